#!/usr/bin/env python3
"""Answer the conformance suite of docs/spec/conformance with check_log.py, which shares no code with brakeline.

    brakeline audit conform --cases docs/spec/conformance/cases -- python examples/check_cases.py

What it is: one line of JSON in, one word out, for the kinds about signatures, notes, proofs, entries, canonical JSON,
seals and whole logs. What it is not: an implementation of policies, admission or findings; it says so.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from check_log import (
    Bad,
    LogCheck,
    canonical,
    decode_entry,
    load_treaty,
    need,
    open_checkpoint,
    read_canonical,
    registrable,
    sha,
    verify,
    vkey,
)

MISCONDUCT = {
    "index": "link", "link": "link", "time": "link", "kind": "kind", "duplicate": "repeated", "heartbeat": "heartbeat",
    "fork": "heartbeat", "entry": "entry",
}  # fmt: skip


def signature(given: dict[str, Any]) -> str:
    """Strict Ed25519."""
    key, message, signed = (bytes.fromhex(given[name]) for name in ("public", "message", "signature"))
    return "" if verify(key, message, signed) else "signature"


def key(given: dict[str, Any]) -> str:
    """What may be registered."""
    return "" if registrable(bytes.fromhex(given["public"])) else "key"


def key_text(given: dict[str, Any]) -> str:
    """A statement key as text; its name is a DNS-like path."""
    right = vkey("statement", given["vkey"])
    return "" if re.fullmatch(r"[a-z0-9.-]+(/[a-z0-9-]+)?", right.name) else "vkey"


def checkpoint(given: dict[str, Any]) -> str:
    """A signed note that is a checkpoint of this log, and no known key's line is false."""
    keys = [vkey("log", given["log"]), *(vkey("witness", text) for text in given["witnesses"])]
    origin = keys[0].name
    try:
        open_checkpoint(given["note"].encode(), keys, origin)
    except Bad as error:
        text = error.args[1]
        return "signature" if "sign" in text and "note" not in text and "line" not in text else "note"
    return ""


def note(given: dict[str, Any]) -> str:
    """As :func:`checkpoint`; another origin under the log's own signature has its own word."""
    own, first = given["log"].split("+")[0], given["note"].split("\n")[0]
    found = checkpoint(given)
    return "origin" if found and first != own and re.fullmatch("[a-z0-9.-]+", first) else found


def proofs(index: int, size: int, proof: list[bytes]) -> tuple[list[bytes], int]:
    """RFC 9162, 2.1.3.2: which siblings stand left; the caller folds."""
    need(0 <= index < size <= 2**63 and all(len(item) == 32 for item in proof), "proof", "out of range")
    return proof, (index ^ (size - 1)).bit_length()


def inclusion(given: dict[str, Any]) -> str:
    """Fold a leaf to the root."""
    index, size = int(given["index"]), int(given["size"])
    proof, inner = proofs(index, size, [bytes.fromhex(item) for item in given["proof"]])
    border = (index >> inner).bit_count()
    need(len(proof) == inner + border, "proof", "wrong length")
    at = bytes.fromhex(given["leaf"])
    for level, item in enumerate(proof):
        left = level >= inner or index >> level & 1
        at = sha(b"\x01", item, at) if left else sha(b"\x01", at, item)
    return "" if at.hex() == given["root"] else "proof"


def consistency(given: dict[str, Any]) -> str:
    """Fold to both roots (RFC 9162, 2.1.4.2)."""
    size1, size2 = int(given["size1"]), int(given["size2"])
    proof, one, two = [bytes.fromhex(item) for item in given["proof"]], given["root1"], given["root2"]
    if size1 == 0:
        return "" if one == sha().hex() and not proof else "proof"
    if size1 >= size2:
        return "" if size1 == size2 and one == two and not proof else "proof"
    need(all(len(item) == 32 for item in proof), "proof", "a hash of another size")
    if size1 & (size1 - 1) == 0:
        proof = [bytes.fromhex(one), *proof]
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    need(proof, "proof", "nothing to fold")
    old = new = proof[0]
    for item in proof[1:]:
        need(last, "proof", "too long")
        if node & 1 or node == last:
            old, new = sha(b"\x01", item, old), sha(b"\x01", item, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = sha(b"\x01", new, item)
        node, last = node >> 1, last >> 1
    return "" if (old.hex(), new.hex(), last) == (one, two, 0) else "proof"


def entry(given: dict[str, Any]) -> str:
    """A log entry's frame."""
    decoded = decode_entry(bytes.fromhex(given["entry"]))
    return "" if 1 <= decoded[3] <= 7 else "entry"


def canonical_json(given: dict[str, Any]) -> str:
    """The restricted canonical JSON of an object."""
    read_canonical(bytes.fromhex(given["bytes"]))
    return ""


def seal(given: dict[str, Any]) -> str:
    """What a sealed leaf commits to."""
    place = [given["author"], given["sequence"], given["pointer"], given["value"]]
    salt = bytes.fromhex(given["salt"])
    digest = sha(b"brakeline/sealed/v1\0", salt, canonical(place))
    return "" if (len(salt), digest.hex()) == (32, given["sealed"]) else "seal"


def log(given: dict[str, Any]) -> str:
    """A whole exported log: a copy that differs, or what its verifier did first."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, data in given["files"].items():
            (root / "log" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "log" / path).write_bytes(bytes.fromhex(data))
        (root / "treaty.json").write_text(given["treaty"])
        checker = LogCheck(load_treaty(root / "treaty.json", given["pin"]))
        try:
            checker.run(root / "log")
        except Bad:
            return "copy"
    wrong = [item for item in checker.problems if item["level"] == "misconduct"]
    if not wrong:
        return ""
    first = min(wrong, key=lambda item: item["index"])
    treaty = first["code"] == "kind" and (first["index"] == 0 or first["message"].startswith("kind 1 "))
    return "treaty" if treaty else MISCONDUCT.get(first["code"], "inadmissible")


KINDS: dict[str, Callable[[dict[str, Any]], str]] = {
    "signature": signature, "key": key, "vkey": key_text, "checkpoint": note, "inclusion": inclusion,
    "consistency": consistency, "entry": entry, "json": canonical_json, "seal": seal, "log": log,
}  # fmt: skip


def answer(kind: str, given: dict[str, Any]) -> str:
    """The word for what is wrong."""
    judge = KINDS.get(kind)
    if judge is None:
        return "unsupported"
    try:
        return judge(given)
    except Bad as error:
        return kind if kind in ("vkey", "entry", "json") else str(error.args[0])
    except (ValueError, KeyError):
        return kind


def main() -> None:
    """Answer line by line."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps({"answer": answer(asked["kind"], asked["input"])}), flush=True)


if __name__ == "__main__":
    main()
