#!/usr/bin/env python3
"""Check an exported log of a treaty's verifier without a line of brakeline's own code.

What it is: a second reading of docs/spec/, in one file, on the standard library and PyNaCl. It recomputes every hash,
link, signature, canonical form and open book. What it is not: the audit. It reads one log, holds it in memory, applies
no rule of the treaty beyond balance and equivocation, and reads only the members it needs (it is no schema check).

    python check_log.py LOG_DIR --treaty treaty.toml --pin DIGEST [--format json]
    python check_log.py vectors docs/spec/vectors            (needs check_vectors.py beside this file)

Exit: 0 all checked, nothing found; 1 findings; 2 the log's own signed checkpoint covers what no honest verifier logs;
3 unreadable (a copy that differs from its checkpoint, a treaty other than the pinned one); 4 something could not be
checked. Where several apply: 3 before 2 before 1 before 4.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import json
import re
import struct
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

EXIT = {"unreadable": 3, "misconduct": 2, "finding": 1, "unchecked": 4}
PREFIX = "https://brakeline.example/"
PARTY = ("order", "authorisation", "determination", "withdrawal")
VERSION = ("treaty", "amendment")
SITE = ("inventory", "declaration", "usage", "acknowledgement", "opening", "reply", "correction")
ROLES = {**dict.fromkeys(SITE, "site"), "enrolment": "lab", "autonomy": "lab", "evaluation": "evaluator"}
KINDS = {"energy": "meter", "capacity": "provider", "shipment": "vendor", "inspection": "inspector"}  # of evidence
LISTS = ("party", "lab", "third_party", "verifier", "chip_class", "threshold", "rule", "annex")


class Bad(Exception):
    """One thing that is not as the specification says: a stable code and a sentence."""


def need(condition: object, code: str, message: str) -> None:
    """Raise :class:`Bad` unless *condition* holds."""
    if not condition:
        raise Bad(code, message)


def sha(*parts: bytes) -> bytes:
    """SHA-256 of the concatenation."""
    return hashlib.sha256(b"".join(parts)).digest()


def canonical(value: Any, depth: int = 0) -> bytes:
    """RFC 8785 of a value without floats, nulls, big integers, non-ASCII keys or more than 16 levels."""
    need(depth <= 16, "json", "nested deeper than 16")
    if isinstance(value, dict):
        need(all(isinstance(k, str) and k.isascii() for k in value), "json", "a key that is not an ASCII string")
        return b"{" + b",".join(canonical(k) + b":" + canonical(value[k], depth + 1) for k in sorted(value)) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(canonical(item, depth + 1) for item in value) + b"]"
    need(isinstance(value, str | int), "json", f"a {type(value).__name__} is not allowed")
    need(isinstance(value, str) or abs(value) < 2**53, "json", "an integer beyond 2^53 - 1")
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Bad("json", "a lone surrogate") from None


def read_canonical(data: bytes) -> dict[str, Any]:
    """Parse, encode again, compare: duplicate keys, spaces, floats and odd escapes cannot survive that."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise Bad("json", f"not JSON: {error}") from None
    right = isinstance(value, dict) and len(data) <= 60 * 1024 and canonical(value) == data
    need(right, "json", "not canonical JSON, or longer than 60 KiB")
    return dict(value)


def b64(text: str) -> bytes:
    """Standard base64 with padding and no stray bits."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    need(base64.b64encode(data).decode() == text, "base64", f"not canonical base64: {text[:40]!r}")
    return data


P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
SMALL_ORDER_Y = {
    0, 1, P - 1,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
}  # fmt: skip


def point_ok(data: bytes) -> bool:
    """Strict Ed25519's guard on A and R: canonical, and not of small order."""
    return (y := int.from_bytes(data, "little") % 2**255) < P and y not in SMALL_ORDER_Y


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """RFC 8032 under the guard: S < L, A and R canonical and not of small order, cofactorless equation."""
    guard = len(key) == 32 and len(signature) == 64 and point_ok(key) and point_ok(signature[:32])
    guard = guard and int.from_bytes(signature[32:], "little") < L
    try:
        return guard and VerifyKey(key).verify(message, signature) == message
    except BadSignatureError:
        return False


def registrable(key: bytes) -> bool:
    """Guard, on the curve, free of torsion: demanded once of every key."""
    return len(key) == 32 and point_ok(key) and crypto_core_ed25519_is_valid_point(key)


class Key(NamedTuple):
    """A C2SP vkey and the role its holder has in the treaty."""

    role: str
    name: str
    public: bytes
    id: bytes
    keyid: str


def vkey(role: str, text: str) -> Key:
    """Read name+hex8(id)+base64(type || key): type 1 (log), 4 (witness), 0xff with our identifier (statements)."""
    name, hexid, blob = (*text.split("+", 2), "", "")[:3]
    material = b64(blob)
    head = {"log": b"\x01", "witness": b"\x04"}.get(role, b"\xffbrakeline/statement/v1")
    public, number = material[len(head) :], sha(name.encode(), b"\n", material)[:4]
    right = material.startswith(head) and len(public) == 32 and hexid == number.hex()
    need(right, "vkey", f"not a {role} key: {text[:80]}")
    return Key(role, name, public, number, sha(public).hex())


class Treaty:
    """The document, its digest (the pin), and every Ed25519 key it names."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document, self.pin = document, sha(canonical(document)).hex()
        self.keys = [vkey("party", row["key"]) for row in document["party"]]
        self.keys += [vkey("lab", row["root_key"]) for row in document["lab"]]
        self.keys += [vkey(row["kind"], row["key"]) for row in document["third_party"]]
        for row in document["verifier"]:
            self.keys += [vkey("log", row["log_key"]), vkey("witness", row["witness_key"])]
        self.by_keyid = {key.keyid: key for key in self.keys}
        need(len(self.by_keyid) == len(self.keys), "treaty", "one key in two roles")

    def check_signatures(
        self, payload: bytes, signatures: list[tuple[str, bytes]], before: Treaty | None = None
    ) -> None:
        """A treaty is signed by enough parties, by every other key it names, and by nobody else; an amendment by enough
        parties of the version *before* too, and of the other keys by those that are new.
        """
        outgoing = {k.keyid: k for k in before.keys if k.role == "party"} if before else {}
        allowed = outgoing | self.by_keyid
        for keyid, signature in signatures:
            need(keyid in allowed, "signer", f"the treaty does not name the key {keyid}")
            good = verify(allowed[keyid].public, pae(payload), signature)
            need(good, "signature", f"treaty: the signature of {allowed[keyid].name} does not verify")
        signed = dict(signatures)
        for keyid, key in self.by_keyid.items():
            need(registrable(key.public), "key", f"the key of {key.name} has small order or torsion")
            known = before.by_keyid.get(keyid) == key if before else key.role == "party"
            need(known or keyid in signed, "signer", f"the key of {key.name} has not signed the treaty")
        for version, held in ((self, self.by_keyid), *([(before, outgoing)] if before else [])):
            parties = sum(1 for keyid in signed if keyid in held and held[keyid].role == "party")
            need(
                parties >= version.document["quorum"]["amendments"],
                "signer",
                f"only {parties} parties signed the treaty",
            )

    def check_follows(self, before: Treaty, older: list[Treaty]) -> None:
        """What must be so of a version after another, which came after *older*."""
        old, new = before.document, self.document
        numbered = new["version"] == old["version"] + 1 and new["effective_period"] > old["effective_period"]
        need(numbered, "succession", "not the next version, or not from a later period")
        rows = [row for version in [*older, before] for row in version.document["verifier"]]
        keys = {row["name"]: (row["log_key"], row["witness_key"]) for row in rows}
        same = all(
            keys.get(row["name"], k) == k for row in new["verifier"] for k in [(row["log_key"], row["witness_key"])]
        )
        right = same and (new["name"], new["grid"]) == (old["name"], old["grid"])
        need(right, "succession", "another name or grid, or a log with other keys")


def read(root: Path, name: str = "") -> bytes:
    """Read a file of the exported log, or the one file that *root* is."""
    try:
        return (root / name).read_bytes()
    except OSError as error:
        raise Bad("missing", f"cannot read {name or root}: {error.strerror}") from None


def load_treaty(path: Path, pin: str) -> Treaty:
    """Read a treaty from TOML (what is empty may be left out) or signed DSSE JSON, and compare it with the pin."""
    raw = read(path)
    try:
        if raw.lstrip().startswith(b"{"):
            envelope = json.loads(raw)
            payload = b64(envelope["payload"])
            treaty = Treaty(read_canonical(payload)["predicate"])
            treaty.check_signatures(payload, [(s["keyid"], b64(s["sig"])) for s in envelope["signatures"]])
        else:
            document = {**{name: [] for name in LISTS}, **tomllib.loads(raw.decode())}
            treaty = Treaty({**document, "rule": [{"parameters": {}, **row} for row in document["rule"]]})
    except (ValueError, KeyError, TypeError) as error:
        raise Bad("treaty", f"{path} is neither a treaty in TOML nor signed DSSE JSON: {error!r}") from None
    need(treaty.pin == pin, "pin", f"the treaty's digest is {treaty.pin}, the pin says {pin}")
    return treaty


def pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what every signature covers."""
    return b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload)


def open_checkpoint(data: bytes, keys: list[Key], origin: str = "") -> tuple[str, int, bytes, set[str]]:
    """Return origin, size, root and cosigning witnesses; a known key with a bad signature rejects the checkpoint."""
    try:
        head, gap, tail = data.decode().rpartition("\n\n")
    except UnicodeDecodeError:
        raise Bad("checkpoint", "not UTF-8") from None
    text, lines, control = head + "\n", head.split("\n"), re.search("[\x00-\x09\x0b-\x1f]", head + tail)
    note = gap and tail.endswith("\n") and not control and len(lines) >= 3 and all(lines) and tail.count("\n") <= 64
    right = note and re.fullmatch("0|[1-9][0-9]{0,18}", lines[1], re.ASCII) and int(lines[1]) <= 2**63
    need(right, "checkpoint", "not a signed note of three lines, the second a number")
    root = b64(lines[2])
    need(len(root) == 32 and origin in ("", lines[0]), "checkpoint", f"bad root, or of another log: {lines[0]!r}")
    known = {(k.name, k.id): k for k in keys if k.role == "witness" or (k.role, k.name) == ("log", lines[0])}
    cosigned, signed = set[str](), False
    for line in tail.split("\n")[:-1]:
        match = re.fullmatch("\N{EM DASH} ([^ +]+) ([A-Za-z0-9+/=]+)", line)
        name, blob = (match[1], b64(match[2])) if match else ("", b"")
        need(len(blob) > 4, "checkpoint", f"bad signature line {line[:60]!r}")
        key, message, signature = known.get((name, blob[:4])), text.encode(), blob[4:]
        if key is None:
            continue
        if key.role == "witness":
            stamp, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = b"cosignature/v1\ntime %d\n%b" % (stamp, message)
            cosigned.add(name)
        signed |= key.role == "log"
        need(verify(key.public, message, signature), "checkpoint", f"the signature of {name} does not verify")
    need(signed, "checkpoint", f"not signed by a log of the treaty: {lines[0]!r}")
    return lines[0], int(lines[1]), root, cosigned


def tree_levels(entries: list[bytes]) -> list[list[bytes]]:
    """The RFC 6962 hashes of all complete subtrees; level 0 is the leaves."""
    levels = [[sha(b"\x00", entry) for entry in entries]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([sha(b"\x01", below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
    return levels


def tree_root(levels: list[list[bytes]], size: int) -> bytes:
    """The RFC 6962 root of the first *size* leaves."""
    parts = [levels[k][(size >> k) - 1] for k in range(size.bit_length()) if size >> k & 1]
    root = parts[0] if parts else sha()
    for left in parts[1:]:
        root = sha(b"\x01", left, root)
    return root


def tile_names(kind: str, count: int) -> list[tuple[str, int]]:
    """The paths (x001/x234/067, partial ones with .p/W) and widths of the tiles that hold *count* items."""
    names = list[tuple[str, int]]()
    for number in range(-(-count // 256)):
        text, width = str(number).zfill(3 * -(-len(str(number)) // 3)), min(256, count - 256 * number)
        groups = [text[i : i + 3] for i in range(0, len(text), 3)]
        path = "/".join(["tile", kind, *("x" + group for group in groups[:-1]), groups[-1]])
        names.append((path if width == 256 else f"{path}.p/{width}", width))
    return names


def decode_entry(data: bytes) -> tuple[int, bytes, int, int, bytes]:
    """u64 index || previous[32] || u64 received_at_ms || u8 kind || u8 length || source || body; without the source."""
    need(50 <= len(data) <= 65535 and len(data) >= 50 + data[49], "entry", "truncated or oversize")
    index, previous, received, kind, length = struct.unpack(">Q32sQBB", data[:50])
    need(max(index, received) < 2**63, "entry", "index or time of 2^63 or more")
    return index, previous, received, kind, data[50 + length :]


def decode_signed(body: bytes) -> tuple[list[tuple[str, bytes]], bytes]:
    """u8 count, then per signature u8 length || keyid || u16 length || sig, then the payload."""
    signatures, at = dict[str, bytes](), 1
    for _ in range(body[0] if body else 0):
        frame = re.match(rb"\x40([0-9a-f]{64})\x00\x40(.{64})", body[at : at + 131], re.DOTALL)
        need(frame and frame[1].decode() not in signatures, "envelope", "bad signature frame, or a key id twice")
        signatures |= {frame[1].decode(): frame[2]} if frame else {}
        at += 131
    need(signatures, "envelope", "no signature")
    return list(signatures.items()), body[at:]


def read_entries(root: Path, size: int) -> list[bytes]:
    """The first *size* entries, from the bundles (u16 length || entry, repeated)."""
    entries: list[bytes] = []
    for name, width in tile_names("entries", size):
        data, at = read(root, name), 0
        for _ in range(width):
            start, at = at + 2, at + 2 + int.from_bytes(data[at : at + 2], "big")
            entries.append(data[start:at])
        if at != len(data):
            entries[-1] += b"\0" + data[at:]  # a wrong frame never passes for the entry; check_tree names the first
    return entries


class LogCheck:
    """Reads one log from entry 0 on, remembering keys, chains and inventories."""

    def __init__(self, treaty: Treaty) -> None:
        self.treaty, self.origin, self.size, self.root = treaty, "", 0, b""
        self.versions, self.keys = {treaty.pin: treaty}, treaty.keys[:]
        self.checked, self.problems = Counter[str](), list[dict[str, Any]]()
        self.levels, self.seen = list[list[bytes]](), set[str]()
        self.holders: dict[str, list[Key]] = {k.keyid: [k] for k in treaty.keys if k.role not in ("log", "witness")}
        self.chains: dict[tuple[str, int], dict[str, str]] = {}
        self.inventories: dict[str, tuple[str, dict[str, int]]] = {}

    def say(self, level: str, code: str, message: str, index: int | None = None) -> None:
        """Record a problem of a level of EXIT."""
        self.problems.append({"level": level, "code": code, "index": index, "message": message})

    def run(self, root: Path) -> None:
        """Check everything; a :class:`Bad` that escapes means that this copy is unreadable."""
        self.origin, self.size, self.root, cosigned = open_checkpoint(read(root, "checkpoint"), self.keys)
        self.checked["cosignatures"] += len(cosigned)
        if len(cosigned) < self.treaty.document["quorum"]["witnesses"]:
            self.say("unchecked", "quorum", f"only {len(cosigned)} witnesses cosigned the checkpoint")
        entries = read_entries(root, self.size)
        self.levels = tree_levels(entries)
        self.check_tree(root, tree_root(self.levels, self.size) == self.root)
        previous, received = sha(self.origin.encode()), 0
        for index, raw in enumerate(entries):
            try:
                number, link, now, kind, body = decode_entry(raw)
                need(number == index, "index", f"the entry calls itself {number}")
                need(link == previous, "link", "`previous` is not the hash of the entry before")
                need(now >= received, "time", "received_at_ms goes back")
                self.check_entry(index, now, kind, body)
            except Bad as error:
                self.say("misconduct", error.args[0], error.args[1], index)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                self.say("misconduct", "schema", f"a member is missing or of another type: {error!r}", index)
            previous, received = sha(raw), max(received, int.from_bytes(raw[40:48], "big"))
            self.checked["entries"] += 1

    def check_tree(self, root: Path, right: bool) -> None:
        """Compare every hash tile with the entries; name the first entry or tile that differs."""
        for level in range(0, len(self.levels), 8):
            for number, (name, width) in enumerate(tile_names(str(level // 8), len(self.levels[level]))):
                found = read(root, name)
                need(len(found) == 32 * width, "tile", f"{name}: not {width} hashes")
                for i, want in enumerate(self.levels[level][256 * number : 256 * number + width]):
                    same = want == found[32 * i : 32 * i + 32]
                    need(same or right, "root", f"entry {256 * number + i}: it is not the one under the checkpoint")
                    need(same, "tile", f"{name}: hash {i} is not that of the entries")
                self.checked["tiles"] += 1
        need(right, "root", "the root of the entries is not the root of the checkpoint")

    def check_entry(self, index: int, now: int, kind: int, data: bytes) -> None:
        """Check what one entry says."""
        need(1 <= kind <= 7 and (index or kind == 1), "kind", f"kind {kind} has no place here")
        if kind <= 2:
            return self.check_statement(index, now, kind, data)
        body = read_canonical(data)
        rows = [(self.origin, body["checkpoint"])] if kind == 3 and "checkpoint" in body else []
        rows += [(row["origin"], row["checkpoint"]) for row in body["mirrored"]] if kind == 3 else []
        for origin, text in rows:
            _, size, signed_root, _ = open_checkpoint(text.encode(), self.keys, origin)
            if origin == self.origin:
                need(size <= index, "heartbeat", "embeds a checkpoint of the future")
                need(tree_root(self.levels, size) == signed_root, "fork", f"another root was signed at size {size}")
            self.checked["embedded checkpoints"] += 1
        return None

    def check_statement(self, index: int, now: int, kind: int, data: bytes) -> None:
        """Signatures by known keys in their role, canonical payload, chain, time; then its books."""
        signatures, payload = decode_signed(data)
        signers = list[Key]()
        for keyid, signature in signatures:
            signers += (held := self.holders.get(keyid, []))
            good = not held or verify(held[0].public, pae(payload), signature)
            need(good, "signature", f"the signature of the key {keyid} does not verify")
        statement, digest = read_canonical(payload), sha(payload).hex()
        name, predicate = statement["predicateType"].removeprefix(PREFIX).removesuffix("/v1"), statement["predicate"]
        right = set(statement) == {"_type", "predicate", "predicateType", "subject"} and statement["subject"]
        need(right and statement["_type"] == "https://in-toto.io/Statement/v1", "schema", "not an in-toto statement")
        need(kind != 1 or name == VERSION[index > 0], "kind", "kind 1 is no version that may stand here")
        need(digest not in self.seen, "duplicate", "the log holds this statement already")
        known = kind == 1 or name in {*ROLES, *PARTY, "evidence"}
        need(known and statement["predicateType"] == f"{PREFIX}{name}/v1", "schema", "unknown predicate type")
        if kind == 1 and not index:
            need(canonical(predicate) == canonical(self.treaty.document), "pin", "another treaty")
            self.treaty.check_signatures(payload, signatures)
        elif kind == 1:
            self.amend(Treaty(predicate), payload, signatures)
        else:
            need(predicate["treaty"] in self.versions, "pin", "made under a version of the treaty that is not here")
            under = self.versions[predicate["treaty"]]
            signers = [key for key in signers if key.role == "site" or key in under.keys]
            self.check_signers(name, predicate, signers, dict(signatures), under)
            self.enrol(name, predicate, dict(signatures), payload, under)
            if name not in PARTY:
                self.check_chain(predicate, digest, index)
            self.check_time(predicate, now, under)
        self.seen.add(digest)
        self.checked["statements"] += 1
        if name == "inventory":
            self.inventories[digest] = predicate["author"], {row["class"]: row["count"] for row in predicate["chips"]}
        elif name == "usage":
            self.check_books(predicate, index)

    def amend(self, version: Treaty, payload: bytes, signatures: list[tuple[str, bytes]]) -> None:
        """Take in a version that follows from one that is here."""
        before = self.versions.get(version.document["previous"])
        if before is None:
            raise Bad("succession", "the version before it is not in this log")
        older = [before]
        while (known := self.versions.get(older[0].document["previous"])) is not None:
            older.insert(0, known)
        version.check_follows(before, older[:-1])
        version.check_signatures(payload, signatures, before)
        self.versions[version.pin] = version
        for key in version.keys:
            self.keys += [] if key in self.keys else [key]
            if key.role not in ("log", "witness") and key not in self.holders.setdefault(key.keyid, []):
                self.holders[key.keyid].append(key)

    def check_signers(
        self, name: str, predicate: Any, signers: list[Key], signatures: dict[str, bytes], under: Treaty
    ) -> None:
        """Who signed is exactly who must, under the version that the statement names."""
        if name in PARTY:
            least = 1 if name == "withdrawal" else under.document["quorum"]["orders"]
            right = all(k.role == "party" and predicate.get("party", k.name) == k.name for k in signers)
            right = right and len(signers) == len(signatures) >= least
            return need(right, "signer", f"{name}: signed by too few parties, or by somebody who is none")
        role = KINDS[predicate["kind"]] if name == "evidence" else ROLES[name]
        labs = {row["name"] for row in under.document["lab"]}
        need(role != "site" or predicate["author"].split("/")[0] in labs, "signer", "the version names no such lab")
        author = [key for key in signers if (key.role, key.name) == (role, predicate["author"])]
        need(author, "signer", f"not signed by a known {role} key of {predicate['author']}")
        begun = name == "enrolment" and predicate["action"] != "end"
        who = {author[0].keyid} | ({vkey("site", predicate["key"]).keyid} if begun else set())
        return need(signatures.keys() == who, "signer", "signed by more, or fewer, than it should be")

    def enrol(self, name: str, predicate: Any, signatures: dict[str, bytes], payload: bytes, under: Treaty) -> None:
        """A lab enrols a key of its own site; the key is sound, new, and has signed too."""
        if name != "enrolment" or predicate["action"] == "end":
            return
        key = vkey("site", predicate["key"])
        own = key.name == predicate["site"] and key.name.split("/")[0] == predicate["author"]
        fit = key.keyid not in under.by_keyid and registrable(key.public)
        need(own and fit, "key", "another lab's site, a key with another role, or of small order or torsion")
        need(verify(key.public, pae(payload), signatures[key.keyid]), "signature", "the enrolled key's signature")
        self.holders.setdefault(key.keyid, []).append(key)

    def check_chain(self, predicate: dict[str, Any], digest: str, index: int) -> None:
        """The parent stands in this log before its child; a second child of one parent is equivocation."""
        author, sequence, previous = predicate["author"], predicate["sequence"], predicate["previous"]
        parents = self.chains.get((author, sequence - 1), {}) if sequence else ["0" * 64]
        need(previous in parents, "chain", "the parent is not in this log")
        siblings = self.chains.setdefault((author, sequence), {})
        if previous in siblings.values():
            self.say("finding", "equivocation", f"{author} signed two statements as number {sequence}", index)
        siblings[digest] = previous

    def check_time(self, predicate: dict[str, Any], received_at_ms: int, under: Treaty) -> None:
        """A period lies on the grid, and nothing speaks of a time later than the log's clock and skew."""
        grid, latest = under.document["grid"], received_at_ms + under.document["deadlines"]["skew_ms"]
        if "start" in predicate:
            start, length = predicate["start"] - grid["start"], predicate["end"] - predicate["start"]
            need(length == grid["period_ms"] and start >= 0 == start % length, "grid", "not a period of the treaty")
        ends = [predicate[member] for member in ("end", "seen_at", "stopped_at") if member in predicate]
        need(max(ends, default=0) <= latest, "future", "speaks of a time after it was received")

    def check_books(self, usage: dict[str, Any], index: int) -> None:
        """Open books: per chip class the lines sum to the inventory they name times the period."""
        owner, chips = self.inventories.get(usage["inventory"], ("", {}))
        if owner != usage["author"]:
            return self.say("finding", "inventory", f"{usage['author']} names no inventory of its own", index)
        balance = Counter({name: count * (usage["end"] - usage["start"]) for name, count in chips.items()})
        for line in usage["lines"]:
            if not isinstance(line["chip_ms"], list) or any(isinstance(row["value"], dict) for row in line["chip_ms"]):
                return self.say("unchecked", "sealed", f"the books of {usage['author']} are sealed", index)
            for row in line["chip_ms"]:
                need(re.fullmatch("0|[1-9][0-9]{0,39}", row["value"], re.ASCII), "schema", "not a decimal string")
                balance[row["class"]] -= int(row["value"])
        for name, rest in sorted(item for item in balance.items() if item[1]):
            text = f"{usage['author']}, period from {usage['start']}: {rest} chip-ms of {name} not accounted for"
            self.say("finding", "imbalance", text, index)
        self.checked["open books"] += 1
        return None


def check(log: Path, treaty: Path, pin: str) -> dict[str, Any]:
    """Check one log and return the report; ``exit`` in it is the exit status."""
    report: dict[str, Any] = {"format": "check-log/v1", "origin": "", "size": 0, "root": "", "pin": pin, "checked": {}}
    problems: list[dict[str, Any]] = []
    try:
        checker = LogCheck(load_treaty(treaty, pin))
        problems = checker.problems
        checker.run(log)
        report |= {"origin": checker.origin, "size": checker.size, "root": checker.root.hex()}
        report["checked"] = checker.checked
    except Bad as error:
        problems.append({"level": "unreadable", "code": error.args[0], "index": None, "message": error.args[1]})
    levels = {problem["level"] for problem in problems}
    return {**report, "problems": problems, "exit": next((EXIT[level] for level in EXIT if level in levels), 0)}


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    if arguments[:1] == ["vectors"]:
        return int(importlib.import_module("check_vectors").main(arguments[1:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="exported log: a directory with checkpoint and tile/ (C2SP tlog-tiles)")
    parser.add_argument("--treaty", type=Path, required=True, help="the treaty: TOML, or its signed DSSE JSON")
    parser.add_argument("--pin", required=True, help="the treaty's digest, 64 hex digits, from a source you trust")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    report = check(options.log, options.treaty, options.pin)
    if options.format == "json":
        print(json.dumps(report, indent=2, sort_keys=True))
    else:
        print(f"log       {report['origin'] or options.log}: {report['size']} entries, root {report['root'] or '?'}")
        print(f"checked   {', '.join(f'{n} {what}' for what, n in report['checked'].items()) or 'nothing'}")
        for problem in report["problems"]:
            where = "" if problem["index"] is None else f" at entry {problem['index']}"
            print(f"{problem['level']:<10} {problem['code']}{where}: {problem['message']}")
        print(f"exit      {report['exit']}")
    return int(report["exit"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
