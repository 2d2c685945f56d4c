"""Byte-exact test vectors of every format, from fixed seeds: what a second implementation checks itself against.

Written by ``brakeline audit vectors --out docs/spec/vectors`` and checked by ``examples/check_log.py vectors DIR``,
which shares no code with this package. Everything is deterministic (Ed25519 signatures are), so running the command
twice gives the same bytes, and a test compares them with the committed files.

One story runs through the files: a small treaty, one lab with one site, one verifier's log of seven entries, and an
order. Files are JSON, binary fields lowercase hex (``*_hex``), texts as strings. docs/spec/vectors/README.md describes
the members.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from brakeline.audit.story import (
    SITE,
    VERIFIERS,
    Story,
    all_keys,
    hash_reader,
    key_seed,
    root_of_entries,
    signed_checkpoint,
    signer,
    vkey,
    witness_rows,
)
from brakeline.ledger.entry import Entry
from brakeline.ledger.merkle import inclusion_proof
from brakeline.ledger.proof import Receipt
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.seal import seal_digest, sealed
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical, parse_object

FORMAT = "brakeline-vectors/v1"


def build() -> dict[str, JsonObject]:
    """Return file name -> content of every vector file."""
    story = _Shown()
    return {
        "keys.json": _file("keys", _key_cases()),
        "statement.json": _file("statement", story.statement_cases()),
        "envelope.json": _file("envelope", story.envelope_cases()),
        "seal.json": _file("seal", _seal_cases()),
        "entry.json": _file("entry", story.entry_cases()),
        "checkpoint.json": _file("checkpoint", story.checkpoint_cases()),
        "receipt.json": _file("receipt", story.receipt_cases()),
        "order.json": _file("order", story.order_cases()),
    }


def render(content: JsonObject) -> bytes:
    """Return the bytes of a vector file: sorted keys, two spaces of indent, ASCII, one newline at the end."""
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode("ascii")


def write(out: Path) -> list[Path]:
    """Write every vector file into the directory *out* (made if absent) and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, content in sorted(build().items()):
        path = out / name
        path.write_bytes(render(content))
        written.append(path)
    return written


def _file(what: str, cases: Sequence[JsonObject]) -> JsonObject:
    return {"format": FORMAT, "what": what, "cases": list(cases)}


def _key_cases() -> list[JsonObject]:
    return [
        {
            "holder": name,
            "purpose": purpose,
            "seed_hex": key_seed(name, purpose).hex(),
            "public_hex": signer(name, purpose).public_key.hex(),
            "keyid": vkey(name, purpose).keyid,
            "vkey": str(vkey(name, purpose)),
        }
        for name, purpose in all_keys()
    ]


def _seal_cases() -> list[JsonObject]:
    values: list[tuple[str, JsonValue]] = [
        ("/predicate/lines/0/flop_model", "41287680000"),
        ("/predicate/lines/0/flop_model", "41287680001"),
        ("/predicate/lines/1/flop_model", "41287680000"),
        ("/predicate/lines/0/chip_ms", [{"class": "cpu-core", "value": "3120"}]),
        ("/predicate/lines/0/workload", 'caf\u00e9 "quoted" \u0007'),
        ("/predicate/lines/0/tokens", 7),
        ("/predicate/lines/0/open", True),
    ]
    cases: list[JsonObject] = []
    for number, (pointer, value) in enumerate(values):
        salt = hashlib.sha256(b"salt %d" % number).digest()
        digest = seal_digest(salt, SITE, 7, pointer, value)
        cases.append(
            {
                "salt_hex": salt.hex(),
                "author": SITE,
                "sequence": 7,
                "pointer": pointer,
                "value": value,
                "message": canonical([SITE, 7, pointer, value]).decode(),
                "leaf": sealed(digest),
            }
        )
    return cases


class _Shown:
    """The story, shown from several sides."""

    def __init__(self) -> None:
        self._story = Story()

    def statement_cases(self) -> list[JsonObject]:
        """One per predicate: the statement as JSON, its canonical payload, its digest."""
        return [
            {
                "name": name,
                "statement": parse_object(payload),
                "payload": payload.decode(),
                "digest": hashlib.sha256(payload).hexdigest(),
            }
            for name, payload in self._story.payloads.items()
        ]

    def envelope_cases(self) -> list[JsonObject]:
        """One per predicate: who signs, PAE, body of the entry, DSSE JSON."""
        return [self._envelope_case(name) for name in self._story.envelopes]

    def _envelope_case(self, name: str) -> JsonObject:
        return self._case_of(name, self._story.envelopes[name])

    def _case_of(self, name: str, envelope: Envelope) -> JsonObject:
        return {
            "name": name,
            "payload": envelope.payload.decode(),
            "signers": [{"holder": holder, "purpose": purpose} for holder, purpose in self._story.signers_of(name)],
            "pae": envelope.pae().decode(),
            "body_hex": envelope.to_body().hex(),
            "dsse_json": envelope.to_dsse_json().decode(),
        }

    def entry_cases(self) -> list[JsonObject]:
        """The seven entries of the log."""
        return [_entry_case(entry) for entry in self._story.entries]

    def checkpoint_cases(self) -> list[JsonObject]:
        """The log's checkpoint at every size from 0 to 7."""
        return [
            {
                "origin": VERIFIERS[0],
                "size": size,
                "root_hex": root_of_entries(self._story.entries[:size]).hex(),
                "log": VERIFIERS[0],
                "witnesses": witness_rows(),
                "note": signed_checkpoint(VERIFIERS[0], self._story.entries[:size]).decode(),
            }
            for size in range(len(self._story.entries) + 1)
        ]

    def receipt_cases(self) -> list[JsonObject]:
        """A receipt of every entry under the checkpoint of the whole log."""
        return [self._receipt_case(index) for index in range(len(self._story.entries))]

    def _receipt_case(self, index: int) -> JsonObject:
        entry, size = self._story.entries[index], len(self._story.entries)
        proof = inclusion_proof(index, size, hash_reader(self._story.entries))
        note = signed_checkpoint(VERIFIERS[0], self._story.entries)
        return {
            "origin": VERIFIERS[0],
            "index": index,
            "size": size,
            "entry_hex": entry.encode().hex(),
            "proof_hex": [item.hex() for item in proof],
            "quorum": self._story.document.quorum.witnesses,
            "receipt": Receipt(index, entry.encode(), tuple(proof), note).render().decode(),
        }

    def order_cases(self) -> list[JsonObject]:
        """The order on its whole way: statement, envelope, entry; and one to slow down, which is in no log."""
        slow = self._story.seal_envelope("order-slow", self._story.slow())
        entry = next(entry for entry in self._story.entries if entry.body == self._story.envelopes["order"].to_body())
        return [
            {
                **self._envelope_case("order"),
                "treaty": self._story.pin,
                "digest": self._story.envelopes["order"].digest,
                "quorum": self._story.document.quorum.orders,
                "entry": _entry_case(entry),
            },
            {
                **self._case_of("order-slow", slow),
                "treaty": self._story.pin,
                "digest": slow.digest,
                "quorum": self._story.document.quorum.orders,
            },
        ]


def _entry_case(entry: Entry) -> JsonObject:
    return {
        "index": entry.index,
        "previous_hex": entry.previous.hex(),
        "received_at_ms": entry.received_at_ms,
        "kind": int(entry.kind),
        "source_hex": entry.source.hex(),
        "body_hex": entry.body.hex(),
        "encoded_hex": entry.encode().hex(),
        "digest_hex": entry.digest.hex(),
        "leaf_hash_hex": entry.leaf_hash.hex(),
    }
