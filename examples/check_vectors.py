"""Check the test vectors of docs/spec/vectors without brakeline's code: recompute every byte from the seeds.

    python check_log.py vectors docs/spec/vectors

What it is: the formats of docs/spec/ in the other direction (encoding and signing), for the ``vectors`` mode of
check_log.py. What it is not: needed to check a log. Exit: 0 all equal; 1 something differs; 3 unreadable.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

from check_log import PREFIX, Bad, b64, canonical, decode_signed, need, pae, registrable, sha, verify, vkey
from nacl.signing import SigningKey

FILES = ("keys", "statement", "envelope", "seal", "entry", "checkpoint", "receipt", "order")
KINDS = {"log": b"\x01", "witness": b"\x04", "statement": b"\xffbrakeline/statement/v1"}


class Ring:
    """The keys of the vectors, by holder and purpose."""

    def __init__(self, cases: list[dict[str, Any]]) -> None:
        self.keys: dict[tuple[str, str], tuple[SigningKey, str, bytes]] = {}
        for case in cases:
            holder, purpose = case["holder"], case["purpose"]
            key = SigningKey(bytes.fromhex(case["seed_hex"]))
            public, material = bytes(key.verify_key), KINDS[purpose] + bytes(key.verify_key)
            name = f"{holder}/witness" if purpose == "witness" else holder
            number = sha(name.encode(), b"\n", material)[:4]
            text = f"{name}+{number.hex()}+{base64.b64encode(material).decode()}"
            same(text, case["vkey"], f"vkey of {name}")
            same((public.hex(), sha(public).hex()), (case["public_hex"], case["keyid"]), f"key of {name}")
            need(registrable(public) and vkey(purpose, text).public == public, "keys", f"{name} is not registrable")
            self.keys[holder, purpose] = key, name, number

    def sign(self, holder: str, purpose: str, message: bytes) -> bytes:
        """A signature by one of the keys."""
        signature = bytes(self.keys[holder, purpose][0].sign(message).signature)
        need(verify(bytes(self.keys[holder, purpose][0].verify_key), message, signature), "sign", f"{holder} {purpose}")
        return signature

    def line(self, holder: str, purpose: str, signature: bytes) -> str:
        """A signature line of a signed note."""
        _, name, number = self.keys[holder, purpose]
        return f"\N{EM DASH} {name} {base64.b64encode(number + signature).decode()}\n"


def same(found: object, expected: object, what: str) -> None:
    """Compare a recomputed value with the vector's."""
    need(found == expected, "differs", f"{what}: recomputed {str(found)[:80]}, the vector says {str(expected)[:80]}")


def check_statement(case: dict[str, Any]) -> None:
    """Canonical JSON and digest."""
    name, payload = case["name"], canonical(case["statement"])
    same(payload.decode(), case["payload"], f"payload of {name}")
    same(sha(payload).hex(), case["digest"], f"digest of {name}")
    same(case["statement"]["predicateType"], f"{PREFIX}{name}/v1", f"predicate type of {name}")
    if name == "treaty":
        pin = sha(canonical(case["statement"]["predicate"])).hex()
        same(case["statement"]["subject"][0]["digest"]["sha256"], pin, "subject of the treaty")


def check_envelope(case: dict[str, Any], ring: Ring) -> bytes:
    """PAE, signatures, body of the entry, DSSE JSON; returns the body."""
    payload: bytes = case["payload"].encode()
    same(pae(payload).decode(), case["pae"], f"PAE of {case['name']}")
    body, rows = bytes([len(case["signers"])]), []
    for row in case["signers"]:
        signature = ring.sign(row["holder"], row["purpose"], pae(payload))
        keyid = sha(bytes(ring.keys[row["holder"], row["purpose"]][0].verify_key)).hex()
        body += bytes([64]) + keyid.encode() + struct.pack(">H", 64) + signature
        rows.append({"keyid": keyid, "sig": base64.b64encode(signature).decode()})
    body += payload
    same(body.hex(), case["body_hex"], f"body of {case['name']}")
    same(decode_signed(body)[1], payload, f"payload in the body of {case['name']}")
    kind, text = "application/vnd.in-toto+json", base64.b64encode(payload).decode()
    envelope = canonical({"payload": text, "payloadType": kind, "signatures": rows})
    same(envelope.decode(), case["dsse_json"], f"DSSE JSON of {case['name']}")
    return body


def check_seal(case: dict[str, Any]) -> None:
    """The commitment of one leaf."""
    message = canonical([case["author"], case["sequence"], case["pointer"], case["value"]])
    same(message.decode(), case["message"], "message of a seal")
    digest = sha(b"brakeline/sealed/v1\0", bytes.fromhex(case["salt_hex"]), message)
    same({"sealed": digest.hex()}, case["leaf"], "seal")


def check_entry(case: dict[str, Any]) -> bytes:
    """The encoding, its digest and its leaf hash; returns the encoding."""
    source = bytes.fromhex(case["source_hex"])
    fields = case["index"], bytes.fromhex(case["previous_hex"]), case["received_at_ms"], case["kind"], len(source)
    data = struct.pack(">Q32sQBB", *fields) + source + bytes.fromhex(case["body_hex"])
    what = f"entry {case['index']}"
    same(data.hex(), case["encoded_hex"], what)
    same(sha(data).hex(), case["digest_hex"], f"digest of {what}")
    same(sha(b"\0", data).hex(), case["leaf_hash_hex"], f"leaf hash of {what}")
    return data


def tree(leaves: list[bytes]) -> bytes:
    """RFC 6962 MTH, written as the RFC defines it."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\x01", tree(leaves[:half]), tree(leaves[half:]))


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 PATH."""
    if len(leaves) < 2:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*path(index, leaves[:half]), tree(leaves[half:])]
    return [*path(index - half, leaves[half:]), tree(leaves[:half])]


def check_checkpoint(case: dict[str, Any], leaves: list[bytes], ring: Ring) -> None:
    """The root, the log's signature, the cosignatures."""
    root = tree(leaves[: case["size"]])
    same(root.hex(), case["root_hex"], f"root at size {case['size']}")
    text = f"{case['origin']}\n{case['size']}\n{base64.b64encode(root).decode()}\n"
    note = text + "\n" + ring.line(case["log"], "log", ring.sign(case["log"], "log", text.encode()))
    for row in case["witnesses"]:
        stamp = row["timestamp_s"]
        signature = ring.sign(row["holder"], "witness", f"cosignature/v1\ntime {stamp}\n{text}".encode())
        note += ring.line(row["holder"], "witness", struct.pack(">Q", stamp) + signature)
    same(note, case["note"], f"checkpoint of size {case['size']}")


def check_receipt(case: dict[str, Any], leaves: list[bytes], note: str) -> None:
    """The inclusion proof and the text of the receipt."""
    proof, entry = path(case["index"], leaves), bytes.fromhex(case["entry_hex"])
    same(sha(b"\0", entry), leaves[case["index"]], f"entry of receipt {case['index']}")
    same([item.hex() for item in proof], case["proof_hex"], f"proof of receipt {case['index']}")
    lines = ["c2sp.org/tlog-proof@v1", f"extra {base64.b64encode(entry).decode()}", f"index {case['index']}"]
    lines += [base64.b64encode(item).decode() for item in proof]
    same("\n".join(lines) + "\n\n" + note, case["receipt"], f"receipt {case['index']}")
    same(b64(lines[1].removeprefix("extra ")), entry, "extra")


def check(directory: Path) -> int:
    """Check every file and return the number of cases."""
    cases: dict[str, list[dict[str, Any]]] = {}
    for name in FILES:
        content = json.loads((directory / f"{name}.json").read_bytes())
        need((content["format"], content["what"]) == ("brakeline-vectors/v1", name), "format", f"{name}.json")
        cases[name] = content["cases"]
    ring = Ring(cases["keys"])
    for case in cases["statement"]:
        check_statement(case)
    bodies = {case["name"]: check_envelope(case, ring) for case in cases["envelope"]}
    for case in cases["seal"]:
        check_seal(case)
    previous, leaves = sha(cases["checkpoint"][0]["origin"].encode()), list[bytes]()
    for case in cases["entry"]:
        data = check_entry(case)
        same(case["previous_hex"], previous.hex(), f"link of entry {case['index']}")
        previous = sha(data)
        leaves.append(sha(b"\0", data))
    for case in cases["checkpoint"]:
        check_checkpoint(case, leaves, ring)
    for case in cases["receipt"]:
        check_receipt(case, leaves, cases["checkpoint"][-1]["note"])
    for case in cases["order"]:
        body = check_envelope(case, ring)
        if "entry" in case:
            same(body, bodies["order"], "the order's envelope")
            same(check_entry(case["entry"])[50:][-len(body) :], body, "the order's entry")
        same(sha(case["payload"].encode()).hex(), case["digest"], "the order's digest")
        need(len(case["signers"]) >= case["quorum"], "order", "too few parties")
    return sum(len(items) for items in cases.values())


def main(arguments: list[str]) -> int:
    """Check the vectors in the directory that *arguments* names; return the exit status."""
    try:
        directory = Path(arguments[0])
        print(f"{check(directory)} cases in {directory} recomputed, all equal")
    except Bad as error:
        print(f"{error.args[0]}: {error.args[1]}")
        return 1
    except (OSError, IndexError, KeyError, TypeError, ValueError) as error:
        print(f"unreadable: {error!r} (usage: check_log.py vectors DIR)")
        return 3
    return 0
