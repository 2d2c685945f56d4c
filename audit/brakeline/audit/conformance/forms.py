"""Cases of the forms: signatures, keys, notes, policies, proofs, tiles, entries, canonical JSON, envelopes, seals."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from brakeline.audit.conformance.case import VALID, Case
from brakeline.audit.story import SITE, VERIFIERS, Story, hash_reader, key_seed, root_of_entries, signed_checkpoint
from brakeline.audit.story import signer as make_signer
from brakeline.audit.story import vkey as make_vkey
from brakeline.ledger.checkpoint import Checkpoint, cosign, sign_checkpoint
from brakeline.ledger.merkle import consistency_proof, inclusion_proof
from brakeline.ledger.note import Note, parse
from brakeline.ledger.policy import quorum_policy
from brakeline.ledger.proof import Receipt
from brakeline.ledger.tiles import encode_bundle
from brakeline.treaty.seal import seal_digest
from brakeline.treaty.strictjson import JsonObject, JsonValue

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
LOG = VERIFIERS[0]


def form_cases(story: Story) -> Iterator[Case]:
    """Yield the cases below the level of what is said."""
    yield from _signatures()
    yield from _vkeys()
    yield from _checkpoints(story)
    yield from _policies()
    yield from _proofs(story)
    yield from _receipts(story)
    yield from _tiles(story)
    yield from _entries(story)
    yield from _json()
    yield from _envelopes(story)
    yield from _seals()


def _case(kind: str, name: str, why: str, expect: str, **given: JsonValue) -> Case:
    return Case(f"{kind}-{name}", kind, why, given, expect)


def _signatures() -> Iterator[Case]:
    signer, message = make_signer(SITE), b"DSSEv1 message"
    good, public = signer.sign(message), signer.public_key
    r, s = good[:32], int.from_bytes(good[32:], "little")

    def with_s(value: int) -> bytes:
        return r + value.to_bytes(32, "little")

    small = (0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826).to_bytes(32, "little")
    bad = {
        "other-message": ("the signature is of another message", public, message + b"!", good),
        "other-key": ("the key is another's", make_signer(LOG, "log").public_key, message, good),
        "s-not-reduced": ("S is S + L: the same number modulo L, another signature", public, message, with_s(s + L)),
        "s-flipped": ("one bit of S is flipped", public, message, with_s(s ^ 1)),
        "r-flipped": ("one bit of R is flipped", public, message, bytes([good[0] ^ 1]) + good[1:]),
        "short": ("63 bytes", public, message, good[:-1]),
        "long": ("65 bytes", public, message, good + b"\0"),
        "key-short": ("a key of 31 bytes", public[:-1], message, good),
        "r-identity": ("R is the neutral point", public, message, b"\1" + bytes(31) + good[32:]),
        "r-small-order": ("R is a point of order 8", public, message, small + good[32:]),
        "key-small-order": ("A is a point of order 8", small, message, good),
        "key-not-canonical": ("A's y is not below p", (P + 1).to_bytes(32, "little"), message, good),
        "all-zero": ("key and signature are zeros, for which lenient verifiers accept", bytes(32), message, bytes(64)),
    }
    yield _case("signature", "valid", "nothing is wrong", VALID, **_signed(public, message, good))
    for name, (why, key, text, signature) in bad.items():
        yield _case("signature", name, why, "signature", **_signed(key, text, signature))
    yield _case("key", "valid", "nothing is wrong", VALID, public=public.hex())
    keys = {
        "identity": ("the neutral point", b"\1" + bytes(31)),
        "small-order": ("a point of order 8", small),
        "not-canonical": ("y is p + 2", (P + 2).to_bytes(32, "little")),
        "off-curve": ("no point of the curve has this y", _off_curve()),
        "torsion": ("a point of the curve outside the prime-order group", _with_torsion(public)),
        "short": ("31 bytes", public[:-1]),
    }
    for name, (why, key) in keys.items():
        yield _case("key", name, why, "key", public=key.hex())


def _signed(public: bytes, message: bytes, signature: bytes) -> JsonObject:
    return {"public": public.hex(), "message": message.hex(), "signature": signature.hex()}


def _off_curve() -> bytes:
    """Return the least y from 2 on for which x^2 = (y^2 - 1) / (d y^2 + 1) has no root."""
    d = -121665 * pow(121666, -1, P) % P
    y = 2
    while pow((y * y - 1) * pow(d * y * y + 1, -1, P) % P, (P - 1) // 2, P) == 1:
        y += 1
    return y.to_bytes(32, "little")


def _with_torsion(public: bytes) -> bytes:
    """Return A plus the point of order 2, which is (0, -1): (x, y) becomes (-x, -y)."""
    y = int.from_bytes(public, "little") & (2**255 - 1)
    sign = public[31] >> 7
    return (((P - y) % P) | ((1 - sign) << 255)).to_bytes(32, "little")


def _vkeys() -> Iterator[Case]:
    text = str(make_vkey(SITE))
    name, number, blob = text.split("+", 2)
    yield _case("vkey", "valid", "nothing is wrong", VALID, vkey=text)
    bad = {
        "wrong-id": ("the id is another key's", f"{name}+00000000+{blob}"),
        "id-upper-case": ("the id is in upper case", f"{name}+{number.upper()}+{blob}"),
        "no-name": ("the name is empty", f"+{number}+{blob}"),
        "space-in-name": ("the name holds a space", f"a b+{number}+{blob}"),
        "base64-stray-bits": ("the base64 has stray bits", f"{name}+{number}+{_stray(blob)}"),
        "short-key": ("the key has 31 bytes", f"{name}+{number}+{_trimmed(blob)}"),
        "two-parts": ("there is no key", f"{name}+{number}"),
    }
    for case, (why, given) in bad.items():
        yield _case("vkey", case, why, "vkey", vkey=given)


def _stray(blob: str) -> str:
    """Return padded base64 with a bit set, in its last character, that no byte uses."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = blob.rstrip("=")
    return body[:-1] + alphabet[alphabet.index(body[-1]) | 1] + "=" * (len(blob) - len(body))


def _trimmed(blob: str) -> str:
    return base64.b64encode(base64.b64decode(blob)[:-1]).decode()


def _checkpoints(story: Story) -> Iterator[Case]:
    note = signed_checkpoint(LOG, story.entries).decode()
    text, _, tail = note.rpartition("\n\n")
    lines = text.split("\n")
    witnesses: list[JsonValue] = [str(make_vkey(name, "witness")) for name in VERIFIERS]
    log = str(make_vkey(LOG, "log"))

    def ask(name: str, why: str, expect: str, given: str) -> Case:
        return _case("checkpoint", name, why, expect, note=given, log=log, witnesses=witnesses)

    def resigned(body: str) -> str:
        message = (body + "\n").encode()
        key = make_vkey(LOG, "log")
        line = f"\N{EM DASH} {key.name} {base64.b64encode(key.id + make_signer(LOG, 'log').sign(message)).decode()}\n"
        return f"{body}\n\n{line}"

    other = f"\N{EM DASH} stranger.example {base64.b64encode(bytes(68)).decode()}\n"
    yield ask("valid", "nothing is wrong", VALID, note)
    yield ask("unknown-signer", "a signature of an unknown key is ignored", VALID, note + other)
    yield ask(
        "extension", "a line after the root is signed with it and means nothing", VALID, resigned(text + "\nmore")
    )
    yield ask("many-signatures", "it has 65 signature lines", "note", note + other * (65 - tail.count("\n")))
    yield ask("size-beyond", "the size is 2^63 + 1", "note", resigned(f"{lines[0]}\n{2**63 + 1}\n{lines[2]}"))
    yield ask("no-blank-line", "text and signatures are not parted", "note", text + "\n" + tail)
    yield ask("no-last-newline", "the last line does not end", "note", note[:-1])
    yield ask("carriage-return", "lines end in CR LF", "note", note.replace("\n", "\r\n"))
    yield ask("hyphen", "a signature line begins with a hyphen", "note", note.replace("\N{EM DASH}", "-"))
    yield ask("size-leading-zero", "the size has a leading zero", "note", resigned(f"{lines[0]}\n07\n{lines[2]}"))
    yield ask("size-signed", "the size has a sign", "note", resigned(f"{lines[0]}\n+7\n{lines[2]}"))
    yield ask("size-not-ascii", "the size is in Arabic digits", "note", resigned(f"{lines[0]}\n\u0667\n{lines[2]}"))
    yield ask("root-short", "the root has 31 bytes", "note", resigned(f"{lines[0]}\n7\n{_trimmed(lines[2])}"))
    yield ask("two-lines", "there is no root", "note", resigned("\n".join(lines[:2])))
    yield ask("other-origin", "it is another log's, signed by this one's key", "origin", resigned(_other(lines)))
    yield ask(
        "root-changed", "the text is not what was signed", "signature", note.replace(lines[2], _flipped(lines[2]))
    )
    yield ask("unsigned-by-log", "only witnesses have signed", "signature", _without(note, LOG))
    yield ask("witness-false", "a known witness's line is false", "signature", _false_witness(note))


def _other(lines: list[str]) -> str:
    return "\n".join(["another.example", *lines[1:]])


def _flipped(text: str) -> str:
    data = base64.b64decode(text)
    return base64.b64encode(bytes([data[0] ^ 1]) + data[1:]).decode()


def _without(note: str, name: str) -> str:
    parsed = parse(note.encode())
    return Note(parsed.text, tuple(item for item in parsed.signatures if item.name != name)).render().decode()


def _false_witness(note: str) -> str:
    """Replace a witness's cosignature by one of the same second, over another checkpoint."""
    name = VERIFIERS[1]
    other = sign_checkpoint(Checkpoint(LOG, 9, bytes(32)), make_vkey(LOG, "log"), make_signer(LOG, "log"))
    line = cosign(other, make_vkey(name, "witness"), make_signer(name, "witness"), 1_767_225_610)
    kept = parse(_without(note, f"{name}/witness").encode())
    return Note(kept.text, (*kept.signatures, line)).render().decode()


def _policies() -> Iterator[Case]:
    witnesses = [make_vkey(name, "witness") for name in VERIFIERS]
    text = quorum_policy([make_vkey(LOG, "log")], witnesses, 3).render()
    names = [line.split()[1] for line in text.splitlines() if line.startswith("witness ")]
    first = next(line for line in text.splitlines() if line.startswith("witness "))
    again = "\n" + first.replace(f"witness {names[0]}", "witness again", 1)
    yield _case("policy", "valid", "nothing is wrong", VALID, policy=text)
    bad = {
        "no-quorum": ("it does not end in a quorum", "\n".join(text.splitlines()[:-1]) + "\n"),
        "key-twice": ("one key under two names", text.replace(first, first + again, 1)),
        "name-twice": ("one name for two witnesses", text.replace(f"witness {names[1]}", f"witness {names[0]}")),
        "unknown-member": ("a group names a witness that is not there", text.replace(f" {names[3]}\n", " nobody\n")),
        "group-too-many": ("a group wants more than its members", _more(text)),
        "unknown-word": ("a line begins with an unknown word", "frobnicate x\n" + text),
        "two-quorums": ("it has two quorum lines", text + text.splitlines()[-1] + "\n"),
    }
    for name, (why, given) in bad.items():
        if given == text:
            raise ValueError(f"policy-{name} is not wrong")
        yield _case("policy", name, why, "policy", policy=given)


def _more(text: str) -> str:
    """Ask a group for one witness more than it has."""
    lines = text.splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("group "))
    words = lines[place].split()
    words[2] = str(len(words) - 3 + 1)
    lines[place] = " ".join(words)
    return "\n".join(lines) + "\n"


def _proofs(story: Story) -> Iterator[Case]:
    entries = story.entries
    size, read = len(entries), hash_reader(story.entries)
    proof = [item.hex() for item in inclusion_proof(4, size, read)]
    root, leaf = root_of_entries(entries).hex(), entries[4].leaf_hash.hex()

    def ask(name: str, why: str, expect: str, **changes: JsonValue) -> Case:
        given: JsonObject = {"index": 4, "size": size, "leaf": leaf, "proof": list(proof), "root": root}
        return _case("inclusion", name, why, expect, **{**given, **changes})

    yield ask("valid", "nothing is wrong", VALID)
    yield ask("other-index", "the proof is of another index", "proof", index=5)
    yield ask("index-beyond", "the index is not below the size", "proof", index=size)
    yield ask("other-size", "the tree has another size", "proof", size=size - 1)
    yield ask("size-beyond", "the size is above 2^63", "proof", size=str(2**63 + 1))
    yield ask("proof-short", "a hash is missing", "proof", proof=list(proof[:-1]))
    yield ask("proof-long", "there is a hash too many", "proof", proof=[*proof, proof[0]])
    yield ask("proof-swapped", "two hashes are exchanged", "proof", proof=[proof[1], proof[0], *proof[2:]])
    yield ask("hash-short", "a hash has 31 bytes", "proof", proof=[proof[0][:-2], *proof[1:]])
    yield ask("leaf-is-node", "an inner hash is offered as a leaf", "proof", leaf=read(1, 2).hex())
    small, roots = 3, [root_of_entries(entries[:3]).hex(), root]
    steps = [item.hex() for item in consistency_proof(small, size, read)]

    def grow(name: str, why: str, expect: str, **changes: JsonValue) -> Case:
        given: JsonObject = {"size1": small, "size2": size, "proof": list(steps), "root1": roots[0], "root2": roots[1]}
        return _case("consistency", name, why, expect, **{**given, **changes})

    empty = hashlib.sha256().hexdigest()
    yield grow("valid", "nothing is wrong", VALID)
    yield grow("from-empty", "every tree grows from the empty one", VALID, size1=0, root1=empty, proof=[])
    yield grow("empty-with-root", "the empty tree has another root", "proof", size1=0, root1=roots[0], proof=[])
    yield grow("empty-with-proof", "nothing needs proof from the empty tree", "proof", size1=0, root1=empty)
    yield grow("shrinks", "the larger tree comes first", "proof", size1=size, size2=small)
    yield grow("same-size-two-roots", "two roots at one size", "proof", size1=size, proof=[])
    yield grow("old-root-changed", "the old root is another", "proof", root1="00" * 32)
    yield grow("new-root-changed", "the new root is another", "proof", root2="00" * 32)
    yield grow("proof-short", "a hash is missing", "proof", proof=list(steps[:-1]))
    yield grow("proof-long", "there is a hash too many", "proof", proof=[*steps, steps[0]])


def _receipts(story: Story) -> Iterator[Case]:
    entries, witnesses = story.entries, [make_vkey(name, "witness") for name in VERIFIERS]
    note = signed_checkpoint(LOG, entries)
    proof = tuple(inclusion_proof(3, len(entries), hash_reader(entries)))
    receipt = Receipt(3, entries[3].encode(), proof, note).render().decode()
    terms = quorum_policy([make_vkey(LOG, "log")], witnesses, 3).render()
    strict = quorum_policy([make_vkey(LOG, "log")], witnesses, 4).render()

    def ask(name: str, why: str, expect: str, given: str, policy: str = terms) -> Case:
        log = str(make_vkey(LOG, "log"))
        return _case("receipt", name, why, expect, receipt=given, policy=policy, log=log)

    def made(index: int, extra: bytes | None, checkpoint: bytes = note) -> str:
        return Receipt(index, extra, proof, checkpoint).render().decode()

    yield ask("valid", "nothing is wrong", VALID, receipt)
    yield ask("quorum", "too few witnesses have cosigned", "quorum", receipt, strict)
    yield ask("no-entry", "it does not carry its entry", "receipt", made(3, None))
    yield ask("other-entry", "it carries the entry of another index", "receipt", made(3, entries[2].encode()))
    yield ask("other-index", "the entry says another index than the proof", "receipt", made(2, entries[3].encode()))
    yield ask("entry-changed", "one bit of the entry is flipped", "proof", made(3, _bit(entries[3].encode())))
    yield ask("not-rendered", "the index has a leading zero", "receipt", receipt.replace("\nindex 3\n", "\nindex 03\n"))
    yield ask("no-header", "the first line is missing", "receipt", receipt.partition("\n")[2])
    yield ask(
        "checkpoint-cut", "the checkpoint has lost its signatures", "note", receipt[: receipt.index("\N{EM DASH}")]
    )


def _bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _tiles(story: Story) -> Iterator[Case]:
    yield _case("tile-path", "valid", "nothing is wrong", VALID, path="tile/0/x001/x234/067.p/5")
    bad = {
        "no-padding": ("the number is not padded", "tile/0/67"),
        "no-x": ("an upper group lacks its x", "tile/0/001/067"),
        "leading-group": ("a first group of zeros is superfluous", "tile/0/x000/067"),
        "full-partial": ("a tile of 256 is not partial", "tile/0/067.p/256"),
        "empty-partial": ("no tile has no hashes", "tile/0/067.p/0"),
        "width-zero-led": ("the width has a leading zero", "tile/0/067.p/05"),
        "level-zero-led": ("the level has a leading zero", "tile/00/067"),
        "level-high": ("no tree of 2^63 has this level", "tile/64/000"),
        "climbs": ("it climbs out", "tile/0/../checkpoint"),
        "absolute": ("it begins with a slash", "/tile/0/067"),
    }
    for name, (why, path) in bad.items():
        yield _case("tile-path", name, why, "tile", path=path)
    data = encode_bundle([entry.encode() for entry in story.entries[:3]])
    yield _case("bundle", "valid", "nothing is wrong", VALID, bundle=data.hex(), width=3)
    yield _case("bundle", "cut", "the last entry is cut", "tile", bundle=data[:-1].hex(), width=3)
    yield _case("bundle", "more", "bytes follow the last entry", "tile", bundle=(data + b"\0").hex(), width=3)
    yield _case("bundle", "too-few", "it holds fewer entries than its width", "tile", bundle=data.hex(), width=4)


def _entries(story: Story) -> Iterator[Case]:
    data = story.entries[1].encode()
    yield _case("entry", "valid", "nothing is wrong", VALID, entry=data.hex())
    bad = {
        "empty": ("there is nothing", b""),
        "cut": ("it ends in its source", data[: 50 + data[49] - 1]),
        "kind-zero": ("its kind is 0", data[:48] + b"\0" + data[49:]),
        "kind-eight": ("its kind is 8", data[:48] + b"\x08" + data[49:]),
        "too-large": ("it has 65,536 bytes", data + bytes(65_536 - len(data))),
        "index-beyond": ("its index is 2^63", b"\x80" + bytes(7) + data[8:]),
        "time-beyond": ("its time is 2^63", data[:40] + b"\x80" + bytes(7) + data[48:]),
    }
    for name, (why, given) in bad.items():
        yield _case("entry", name, why, "entry", entry=given.hex())


def _json() -> Iterator[Case]:
    yield _case("json", "valid", "nothing is wrong", VALID, bytes=b'{"a":1,"b":["\xc3\xa9",true]}'.hex())
    bad: dict[str, tuple[str, bytes]] = {
        "space": ("a space after a colon", b'{"a": 1}'),
        "key-order": ("keys are not sorted", b'{"b":1,"a":1}'),
        "key-twice": ("a key stands twice", b'{"a":1,"a":2}'),
        "float": ("a number with a fraction", b'{"a":1.0}'),
        "exponent": ("a number with an exponent", b'{"a":1e2}'),
        "nan": ("NaN is no JSON", b'{"a":NaN}'),
        "null": ("null does not exist here", b'{"a":null}'),
        "big-integer": ("an integer of 2^53", b'{"a":9007199254740992}'),
        "minus-zero": ("minus zero", b'{"a":-0}'),
        "leading-zero": ("a number with a leading zero", b'{"a":01}'),
        "escape-needless": ("an escape where none is needed", b'{"a":"\\u0061"}'),
        "escape-upper": ("an escape in upper case", b'{"a":"\\u001F"}'),
        "escape-slash": ("an escaped slash", b'{"a":"\\/"}'),
        "surrogate": ("a lone surrogate", b'{"a":"\\ud800"}'),
        "not-utf8": ("bytes that are no UTF-8", b'{"a":"\xff"}'),
        "overlong-utf8": ("an overlong encoding", b'{"a":"\xc0\xaf"}'),
        "byte-order-mark": ("a byte order mark", b'\xef\xbb\xbf{"a":1}'),
        "key-not-ascii": ("a key that is not ASCII", b'{"\xc3\xa9":1}'),
        "not-object": ("a list at the root", b"[1]"),
        "two-values": ("two values", b'{"a":1}{}'),
        "newline-after": ("a newline at the end", b'{"a":1}\n'),
        "too-deep": ("lists nested seventeen deep", b'{"a":' + b"[" * 17 + b"]" * 17 + b"}"),
        "cut": ("it ends early", b'{"a":'),
    }
    for name, (why, data) in bad.items():
        yield _case("json", name, why, "json", bytes=data.hex())


def _envelopes(story: Story) -> Iterator[Case]:
    text = story.envelopes["usage"].to_dsse_json().decode()
    keyid, sig = story.envelopes["usage"].signatures[0]
    shown = base64.b64encode(sig).decode()
    one = f'{{"keyid":"{keyid}","sig":"{shown}"}}'
    yield _case("envelope", "valid", "nothing is wrong", VALID, envelope=text)
    bad = {
        "payload-type": ("another payload type", text.replace("in-toto+json", "in-toto2+json")),
        "member-more": ("a further member", text.replace('{"payload"', '{"extra":1,"payload"')),
        "no-signature": ("no signature", text.replace(f"[{one}]", "[]")),
        "keyid-twice": ("a key id stands twice", text.replace(f"[{one}]", f"[{one},{one}]")),
        "keyid-upper": ("a key id in upper case", text.replace(keyid, keyid.upper())),
        "sig-short": ("a signature of 63 bytes", text.replace(shown, base64.b64encode(sig[:-1]).decode())),
        "base64-url": ("URL-safe base64", text.replace(shown, base64.urlsafe_b64encode(b"\xff" * 64).decode())),
        "base64-stray": ("base64 with stray bits", text.replace(shown, _stray(shown))),
    }
    for name, (why, given) in bad.items():
        yield _case("envelope", name, why, "envelope", envelope=given)


def _seals() -> Iterator[Case]:
    salt, pointer, value = hashlib.sha256(b"salt").digest(), "/predicate/lines/0/flop_model", "41287680000"
    digest = seal_digest(salt, SITE, 7, pointer, value)

    def ask(name: str, why: str, expect: str, **changes: JsonValue) -> Case:
        given: JsonObject = {
            "sealed": digest, "salt": salt.hex(), "author": SITE, "sequence": 7, "pointer": pointer, "value": value,
        }  # fmt: skip
        return _case("seal", name, why, expect, **{**given, **changes})

    yield ask("valid", "nothing is wrong", VALID)
    yield ask("other-value", "the value is another", "seal", value="41287680001")
    yield ask("other-type", "the value is a number, not its text", "seal", value=41287680000)
    yield ask("other-author", "the seal was copied to another author", "seal", author=f"{SITE}x")
    yield ask("other-statement", "the seal was copied to another statement", "seal", sequence=8)
    yield ask("other-field", "the seal was copied to another field", "seal", pointer="/predicate/lines/1/flop_model")
    yield ask("other-salt", "the salt is another", "seal", salt=key_seed("another", "salt").hex())
