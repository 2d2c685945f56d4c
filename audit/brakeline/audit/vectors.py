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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from brakeline.ledger.ed25519 import SeedSigner
from brakeline.ledger.entry import Entry, Kind, RawSignature, client_source, first_previous, peer_source
from brakeline.ledger.merkle import inclusion_proof, node_hash, root_from
from brakeline.ledger.proof import Receipt
from brakeline.ledger.vkey import TYPE_LOG, TYPE_STATEMENT, TYPE_WITNESS, VKey
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.logbody import Heartbeat, Mirrored
from brakeline.treaty.seal import seal_digest, sealed
from brakeline.treaty.statements import PREDICATES, Predicate, encode_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical, parse_object

FORMAT = "brakeline-vectors/v1"
START = 1_767_225_600_000
"""Start of period 0 of the vectors' treaty: 2026-01-01T00:00:00Z in Unix ms."""
PERIOD = 4_000

PARTIES = ("party-a.example", "party-b.example")
LAB = "lab-1.party-a.example"
SITE = "lab-1.party-a.example/site-1"
METER = "meter.example"
VERIFIERS = tuple(f"verifier-{n}.example" for n in range(1, 5))
_TYPES = {"log": TYPE_LOG, "witness": TYPE_WITNESS, "statement": TYPE_STATEMENT}


def key_seed(name: str, purpose: str) -> bytes:
    """Return the seed of a key of the vectors: SHA-256("brakeline vectors/v1/" || purpose || "/" || name)."""
    return hashlib.sha256(f"brakeline vectors/v1/{purpose}/{name}".encode()).digest()


def _signer(name: str, purpose: str = "statement") -> SeedSigner:
    return SeedSigner(key_seed(name, purpose))


def _vkey(name: str, purpose: str = "statement") -> VKey:
    shown = f"{name}/witness" if purpose == "witness" else name
    return VKey(shown, _TYPES[purpose], _signer(name, purpose).public_key)


def _all_keys() -> list[tuple[str, str]]:
    statement = [(name, "statement") for name in (*PARTIES, LAB, SITE, METER)]
    return statement + [(name, purpose) for name in VERIFIERS for purpose in ("log", "witness")]


def build() -> dict[str, JsonObject]:
    """Return file name -> content of every vector file."""
    story = _Story()
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
            "public_hex": _signer(name, purpose).public_key.hex(),
            "keyid": _vkey(name, purpose).keyid,
            "vkey": str(_vkey(name, purpose)),
        }
        for name, purpose in _all_keys()
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


class _Story:
    """One small treaty and one log of it, built once and shown from several sides."""

    def __init__(self) -> None:
        self.document = TreatyDocument.from_json(_terms())
        self.pin = self.document.digest
        self.payloads: dict[str, bytes] = {"treaty": encode_statement(self.document)}
        self.signers: dict[str, list[tuple[str, str]]] = {
            "treaty": [key for key in _all_keys() if key[0] != SITE],
            "enrolment": [(LAB, "statement"), (SITE, "statement")],
            "inventory": [(SITE, "statement")],
            "usage": [(SITE, "statement")],
            "evidence": [(METER, "statement")],
            "order": [(name, "statement") for name in PARTIES],
            "acknowledgement": [(SITE, "statement")],
        }
        self._site: list[str] = []
        self._add_statements()
        self.envelopes = {name: self._seal_envelope(name, payload) for name, payload in self.payloads.items()}
        self.entries = self._entries()

    def _predicate(self, name: str, value: Mapping[str, JsonValue]) -> Predicate:
        return PREDICATES[name].model_validate({**value, "treaty": self.pin}, by_alias=True, by_name=False)

    def _add(self, name: str, value: Mapping[str, JsonValue]) -> str:
        """Encode a statement of the story and return its digest."""
        self.payloads[name] = encode_statement(self._predicate(name, value))
        return hashlib.sha256(self.payloads[name]).hexdigest()

    def _chain(self, author: str = SITE) -> dict[str, JsonValue]:
        previous = self._site[-1] if self._site else "0" * 64
        return {"author": author, "sequence": len(self._site), "previous": previous}

    def _add_statements(self) -> None:
        first: dict[str, JsonValue] = {"author": LAB, "sequence": 0, "previous": "0" * 64}
        begin: JsonObject = {"site": SITE, "action": "begin", "key": str(_vkey(SITE)), "effective_period": 0}
        self._add("enrolment", {**first, **begin})
        serials = node_hash(_leaf(b"cpu-0"), _leaf(b"cpu-1")).hex()
        chips: list[JsonValue] = [{"class": "cpu-core", "count": 2}]
        stock: JsonObject = {"effective_period": 0, "chips": chips, "serials": {"root": serials, "count": 2}}
        self._site.append(self._add("inventory", {**self._chain(), **stock}))
        self._site.append(self._add("usage", {**self._chain(), **_usage(self._site[0])}))
        readings = hashlib.sha256(b"raw readings").hexdigest()
        span: JsonObject = {"start": START, "end": START + PERIOD}
        metered: JsonObject = {"kind": "energy", "site": SITE, "joules": "340", "readings": readings, **span}
        self._add("evidence", {**first, "author": METER, **metered})
        order = self._add("order", _order())
        stop: JsonObject = {"order": order, "seen_at": START + 5_000, "stopped_at": START + 5_400}
        freeze = hashlib.sha256(b"weights and optimiser state").hexdigest()
        times: JsonObject = {"agreed_at": START + 5_020, "ceased_at": START + 5_400, "durable_at": START + 6_100}
        works: list[JsonValue] = [{"workload": "char-lm", "step": 412, "freeze": freeze, **times}]
        self._site.append(self._add("acknowledgement", {**self._chain(), **stop, "workloads": works}))

    def _signers_of(self, name: str) -> list[tuple[str, str]]:
        return self.signers[name.partition("-")[0]]

    def _seal_envelope(self, name: str, payload: bytes) -> Envelope:
        return Envelope(
            payload,
            tuple(
                RawSignature(_vkey(holder, purpose).keyid, _signer(holder, purpose).sign(pae(payload)))
                for holder, purpose in self._signers_of(name)
            ),
        )

    def _entries(self) -> list[Entry]:
        origin = VERIFIERS[0]
        rows: list[tuple[Kind, bytes, bytes]] = [
            (Kind.TREATY, b"", self.envelopes["treaty"].to_body()),
            (Kind.STATEMENT, client_source(LAB), self.envelopes["enrolment"].to_body()),
            (Kind.STATEMENT, client_source(SITE), self.envelopes["inventory"].to_body()),
            (Kind.STATEMENT, peer_source(VERIFIERS[1], 3), self.envelopes["usage"].to_body()),
        ]
        entries: list[Entry] = []
        for kind, source, body in rows:
            entries.append(_entry(origin, entries, kind, source, body))
        peer = Mirrored(origin=VERIFIERS[1], checkpoint=_note(VERIFIERS[1], 4, b"another log").decode())
        own = _signed_checkpoint(origin, entries).decode()
        beat = Heartbeat(checkpoint=own, mirrored=(peer,))
        entries.append(_entry(origin, entries, Kind.HEARTBEAT, b"", beat.body))
        entries.append(_entry(origin, entries, Kind.STATEMENT, b"", self.envelopes["order"].to_body()))
        entries.append(
            _entry(origin, entries, Kind.STATEMENT, client_source(SITE), self.envelopes["acknowledgement"].to_body())
        )
        return entries

    def statement_cases(self) -> list[JsonObject]:
        """One per predicate: the statement as JSON, its canonical payload, its digest."""
        return [
            {
                "name": name,
                "statement": parse_object(payload),
                "payload": payload.decode(),
                "digest": hashlib.sha256(payload).hexdigest(),
            }
            for name, payload in self.payloads.items()
        ]

    def envelope_cases(self) -> list[JsonObject]:
        """One per predicate: who signs, PAE, body of the entry, DSSE JSON."""
        return [self._envelope_case(name) for name in self.envelopes]

    def _envelope_case(self, name: str) -> JsonObject:
        return self._case_of(name, self.envelopes[name])

    def _case_of(self, name: str, envelope: Envelope) -> JsonObject:
        return {
            "name": name,
            "payload": envelope.payload.decode(),
            "signers": [{"holder": holder, "purpose": purpose} for holder, purpose in self._signers_of(name)],
            "pae": envelope.pae().decode(),
            "body_hex": envelope.to_body().hex(),
            "dsse_json": envelope.to_dsse_json().decode(),
        }

    def entry_cases(self) -> list[JsonObject]:
        """The seven entries of the log."""
        return [_entry_case(entry) for entry in self.entries]

    def checkpoint_cases(self) -> list[JsonObject]:
        """The log's checkpoint at every size from 0 to 7."""
        return [
            {
                "origin": VERIFIERS[0],
                "size": size,
                "root_hex": _root(self.entries[:size]).hex(),
                "log": VERIFIERS[0],
                "witnesses": _witness_rows(),
                "note": _signed_checkpoint(VERIFIERS[0], self.entries[:size]).decode(),
            }
            for size in range(len(self.entries) + 1)
        ]

    def receipt_cases(self) -> list[JsonObject]:
        """A receipt of every entry under the checkpoint of the whole log."""
        return [self._receipt_case(index) for index in range(len(self.entries))]

    def _receipt_case(self, index: int) -> JsonObject:
        entry, size = self.entries[index], len(self.entries)
        proof = inclusion_proof(index, size, _hash_reader(self.entries))
        note = _signed_checkpoint(VERIFIERS[0], self.entries)
        return {
            "origin": VERIFIERS[0],
            "index": index,
            "size": size,
            "entry_hex": entry.encode().hex(),
            "proof_hex": [item.hex() for item in proof],
            "quorum": self.document.quorum.witnesses,
            "receipt": Receipt(index, entry.encode(), tuple(proof), note).render().decode(),
        }

    def order_cases(self) -> list[JsonObject]:
        """The order on its whole way: statement, envelope, entry; and one to slow down, which is in no log."""
        slow = self._seal_envelope("order-slow", encode_statement(self._predicate("order", _slow())))
        entry = next(entry for entry in self.entries if entry.body == self.envelopes["order"].to_body())
        return [
            {
                **self._envelope_case("order"),
                "treaty": self.pin,
                "digest": self.envelopes["order"].digest,
                "quorum": self.document.quorum.orders,
                "entry": _entry_case(entry),
            },
            {
                **self._case_of("order-slow", slow),
                "treaty": self.pin,
                "digest": slow.digest,
                "quorum": self.document.quorum.orders,
            },
        ]


def _usage(inventory: str) -> dict[str, JsonValue]:
    training: JsonObject = {
        "workload": "char-lm",
        "activity": "training",
        "chip_ms": [{"class": "cpu-core", "value": "6120"}],
        "flop_hardware": "51200000000",
        "flop_model": "41287680000",
        "tokens": "122880",
        "joules": "306",
        "parents": [],
        "model_out": hashlib.sha256(b"model").hexdigest(),
        "code": hashlib.sha256(b"code").hexdigest(),
        "data": hashlib.sha256(b"data").hexdigest(),
        "meter": {"name": "process-tree", "digest": hashlib.sha256(b"counters").hexdigest()},
    }
    idle: JsonObject = {
        "workload": "idle",
        "activity": "idle",
        "chip_ms": [{"class": "cpu-core", "value": "1880"}],
    }
    table: JsonObject = {"root": hashlib.sha256(b"table").hexdigest(), "rows": 2}
    return {"start": START, "end": START + PERIOD, "inventory": inventory, "table": table, "lines": [training, idle]}


def _order() -> dict[str, JsonValue]:
    return {
        "kind": "pause",
        "scope": {"who": ["everyone"], "activities": ["training"]},
        "effective_period": 1,
        "expiry_period": 900,
        "reason": "vectors: pause of all training",
        "exercise": False,
        "lifts": [],
        "nonce": "000102030405060708090a0b0c0d0e0f",
    }


def _slow() -> dict[str, JsonValue]:
    return {
        **_order(),
        "kind": "slow",
        "scope": {"who": [PARTIES[0], SITE], "activities": ["training", "other"], "above": "significant-run"},
        "ceiling": {"numerator": 1, "denominator": 4},
        "reason": "vectors: runs above the line slow down to a quarter",
        "lifts": [hashlib.sha256(b"an order before").hexdigest()],
    }


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _entry(origin: str, before: Sequence[Entry], kind: Kind, source: bytes, body: bytes) -> Entry:
    previous = before[-1].digest if before else first_previous(origin)
    return Entry(len(before), previous, START + 4_200 + 250 * len(before), kind, source, body)


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


class _Hashes:
    """Complete subtree hashes of a few leaves."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves

    def __call__(self, level: int, index: int) -> bytes:
        if level == 0:
            return self._leaves[index]
        return node_hash(self(level - 1, 2 * index), self(level - 1, 2 * index + 1))


def _hash_reader(entries: Sequence[Entry]) -> _Hashes:
    return _Hashes([entry.leaf_hash for entry in entries])


def _root(entries: Sequence[Entry]) -> bytes:
    return root_from(len(entries), _hash_reader(entries))


def _stamp(number: int) -> int:
    return START // 1000 + 10 + number


def _witness_rows() -> list[JsonValue]:
    return [{"holder": name, "timestamp_s": _stamp(number)} for number, name in enumerate(VERIFIERS[:3])]


def _signed_checkpoint(origin: str, entries: Sequence[Entry]) -> bytes:
    checkpoint = Checkpoint(origin, len(entries), _root(entries))
    note = sign_checkpoint(checkpoint, _vkey(origin, "log"), _signer(origin, "log"))
    return add_signatures(
        note,
        [
            cosign(note, _vkey(name, "witness"), _signer(name, "witness"), _stamp(number))
            for number, name in enumerate(VERIFIERS[:3])
        ],
    )


def _note(origin: str, size: int, root_of: bytes) -> bytes:
    """A checkpoint of a log that is not part of the story."""
    checkpoint = Checkpoint(origin, size, hashlib.sha256(root_of).digest())
    return sign_checkpoint(checkpoint, _vkey(origin, "log"), _signer(origin, "log"))


def _terms() -> JsonObject:
    """The treaty of the vectors, every member written out."""
    ratio: JsonObject = {"numerator": 1, "denominator": 1}
    verifiers: list[JsonValue] = [
        {
            "name": name,
            "party": PARTIES[number % 2],
            "log_key": str(_vkey(name, "log")),
            "witness_key": str(_vkey(name, "witness")),
            "url": f"https://{name}",
            "grpc": f"{name}:8443",
        }
        for number, name in enumerate(VERIFIERS)
    ]
    deadlines = {
        "report_ms": 15_000, "heartbeat_ms": 1_000, "checkpoint_ms": 2_000, "takeover_ms": 8_000, "skew_ms": 2_000,
        "notice_ms": 4_000, "stop_ms": 2_000, "save_ms": 10_000, "acknowledge_ms": 15_000, "disclosure_ms": 15_000,
        "reply_ms": 60_000,
    }  # fmt: skip
    quorum = {"liars": 1, "witnesses": 3, "receipts": 3, "audit": 3, "orders": 2, "amendments": 2}
    chip: JsonObject = {
        "name": "cpu-core", "peak_flop_per_s": "100000000000", "board_watts": 100, "idle_watts": 10,
        "h100_equivalent": {"numerator": 1, "denominator": 10000}, "source": "vectors",
    }  # fmt: skip
    return {
        "name": "vectors.treaty.example",
        "version": 1,
        "previous": "0" * 64,
        "effective_period": 0,
        "silence": "continue",
        "grid": {"start": START, "period_ms": PERIOD},
        "deadlines": cast("JsonObject", deadlines),
        "limits": {"child_cap": 3, "line_count": 8},
        "goals": {
            "significant_quantity_flop": "1000000000000000",
            "timeliness_ms": 86_400_000,
            "detection": {"numerator": 95, "denominator": 100},
        },
        "quorum": cast("JsonObject", quorum),
        "party": [{"name": name, "key": str(_vkey(name))} for name in PARTIES],
        "lab": [{"name": LAB, "party": PARTIES[0], "root_key": str(_vkey(LAB))}],
        "third_party": [{"name": METER, "kind": "meter", "key": str(_vkey(METER))}],
        "verifier": verifiers,
        "chip_class": [chip],
        "counting": {"profile": "free", "margin": {"numerator": 30, "denominator": 100}, "pue": ratio},
        "threshold": [],
        "rule": [{"rule": "imbalance", "severity": "discrepancy", "article": "Art. 1", "parameters": {}}],
        "sealing": {"fields": [], "holders": 3},
        "annex": [],
    }
