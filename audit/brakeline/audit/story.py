"""A small treaty, one lab, one verifier's log and an order, from fixed seeds: what vectors and cases are cut from.

Everything is deterministic: keys come from names, times from a constant, and Ed25519 signatures are. What it is not: a
world that lives (``tests/support`` has that); every statement of the story stands here once, and is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import cast

from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, sign_checkpoint
from brakeline.ledger.ed25519 import SeedSigner
from brakeline.ledger.entry import Entry, Kind, RawSignature, client_source, first_previous, peer_source
from brakeline.ledger.merkle import node_hash, root_from
from brakeline.ledger.vkey import TYPE_LOG, TYPE_STATEMENT, TYPE_WITNESS, VKey
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.logbody import Heartbeat, Mirrored
from brakeline.treaty.statements import PREDICATES, Predicate, encode_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue

START = 1_767_225_600_000
"""Start of period 0 of the vectors' treaty: 2026-01-01T00:00:00Z in Unix ms."""
PERIOD = 4_000

PARTIES = ("party-a.example", "party-b.example")
LAB = "lab-1.party-a.example"
SITE = "lab-1.party-a.example/site-1"
METER = "meter.example"
VERIFIERS = tuple(f"verifier-{n}.example" for n in range(1, 5))
TYPES = {"log": TYPE_LOG, "witness": TYPE_WITNESS, "statement": TYPE_STATEMENT}


def key_seed(name: str, purpose: str) -> bytes:
    """Return the seed of a key of the vectors: SHA-256("brakeline vectors/v1/" || purpose || "/" || name)."""
    return hashlib.sha256(f"brakeline vectors/v1/{purpose}/{name}".encode()).digest()


def signer(name: str, purpose: str = "statement") -> SeedSigner:
    """Return the signer of a key of the story."""
    return SeedSigner(key_seed(name, purpose))


def vkey(name: str, purpose: str = "statement") -> VKey:
    """Return a key of the story as a vkey; a witness key bears the verifier's name and ``/witness``."""
    shown = f"{name}/witness" if purpose == "witness" else name
    return VKey(shown, TYPES[purpose], signer(name, purpose).public_key)


def all_keys() -> list[tuple[str, str]]:
    """Return (name, purpose) of every key of the story."""
    statement = [(name, "statement") for name in (*PARTIES, LAB, SITE, METER)]
    return statement + [(name, purpose) for name in VERIFIERS for purpose in ("log", "witness")]


class Story:
    """One small treaty and one log of it, built once and shown from several sides."""

    def __init__(self) -> None:
        self.document = TreatyDocument.from_json(terms())
        self.pin = self.document.digest
        self.payloads: dict[str, bytes] = {"treaty": encode_statement(self.document)}
        self.signers: dict[str, list[tuple[str, str]]] = {
            "treaty": [key for key in all_keys() if key[0] != SITE],
            "enrolment": [(LAB, "statement"), (SITE, "statement")],
            "inventory": [(SITE, "statement")],
            "usage": [(SITE, "statement")],
            "evidence": [(METER, "statement")],
            "order": [(name, "statement") for name in PARTIES],
            "acknowledgement": [(SITE, "statement")],
        }
        self._site: list[str] = []
        self._add_statements()
        self.envelopes = {name: self.seal_envelope(name, payload) for name, payload in self.payloads.items()}
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
        begin: JsonObject = {"site": SITE, "action": "begin", "key": str(vkey(SITE)), "effective_period": 0}
        self._add("enrolment", {**first, **begin})
        serials = node_hash(leaf(b"cpu-0"), leaf(b"cpu-1")).hex()
        chips: list[JsonValue] = [{"class": "cpu-core", "count": 2}]
        stock: JsonObject = {"effective_period": 0, "chips": chips, "serials": {"root": serials, "count": 2}}
        self._site.append(self._add("inventory", {**self._chain(), **stock}))
        self._site.append(self._add("usage", {**self._chain(), **usage_terms(self._site[0])}))
        readings = hashlib.sha256(b"raw readings").hexdigest()
        span: JsonObject = {"start": START, "end": START + PERIOD}
        metered: JsonObject = {"kind": "energy", "site": SITE, "joules": "340", "readings": readings, **span}
        self._add("evidence", {**first, "author": METER, **metered})
        order = self._add("order", order_terms())
        stop: JsonObject = {"order": order, "seen_at": START + 5_000, "stopped_at": START + 5_400}
        freeze = hashlib.sha256(b"weights and optimiser state").hexdigest()
        times: JsonObject = {"agreed_at": START + 5_020, "ceased_at": START + 5_400, "durable_at": START + 6_100}
        works: list[JsonValue] = [{"workload": "char-lm", "step": 412, "freeze": freeze, **times}]
        self._site.append(self._add("acknowledgement", {**self._chain(), **stop, "workloads": works}))

    def signers_of(self, name: str) -> list[tuple[str, str]]:
        """Return (holder, purpose) of who signs the statement *name*; ``order-slow`` is signed as ``order``."""
        return self.signers[name.partition("-")[0]]

    def seal_envelope(self, name: str, payload: bytes) -> Envelope:
        """Return *payload* signed by whom the statement *name* takes."""
        return Envelope(
            payload,
            tuple(
                RawSignature(vkey(holder, purpose).keyid, signer(holder, purpose).sign(pae(payload)))
                for holder, purpose in self.signers_of(name)
            ),
        )

    def slow(self) -> bytes:
        """Return the payload of an order to slow down, which is in no log of the story."""
        return encode_statement(self._predicate("order", slow_terms()))

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
            entries.append(make_entry(origin, entries, kind, source, body))
        peer = Mirrored(origin=VERIFIERS[1], checkpoint=lone_note(VERIFIERS[1], 4, b"another log").decode())
        own = signed_checkpoint(origin, entries).decode()
        beat = Heartbeat(checkpoint=own, mirrored=(peer,))
        entries.append(make_entry(origin, entries, Kind.HEARTBEAT, b"", beat.body))
        entries.append(make_entry(origin, entries, Kind.STATEMENT, b"", self.envelopes["order"].to_body()))
        entries.append(
            make_entry(
                origin, entries, Kind.STATEMENT, client_source(SITE), self.envelopes["acknowledgement"].to_body()
            )
        )
        return entries


def usage_terms(inventory: str) -> dict[str, JsonValue]:
    """Return the books of period 0 under the inventory statement *inventory*."""
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


def order_terms() -> dict[str, JsonValue]:
    """Return the order, without its treaty."""
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


def slow_terms() -> dict[str, JsonValue]:
    """Return an order to slow down, without its treaty."""
    return {
        **order_terms(),
        "kind": "slow",
        "scope": {"who": [PARTIES[0], SITE], "activities": ["training", "other"], "above": "significant-run"},
        "ceiling": {"numerator": 1, "denominator": 4},
        "reason": "vectors: runs above the line slow down to a quarter",
        "lifts": [hashlib.sha256(b"an order before").hexdigest()],
    }


def leaf(data: bytes) -> bytes:
    """Return the RFC 6962 leaf hash of *data*."""
    return hashlib.sha256(b"\x00" + data).digest()


def make_entry(origin: str, before: Sequence[Entry], kind: Kind, source: bytes, body: bytes) -> Entry:
    """Return the entry that follows *before* in the log *origin*."""
    previous = before[-1].digest if before else first_previous(origin)
    return Entry(len(before), previous, START + 4_200 + 250 * len(before), kind, source, body)


class Hashes:
    """Complete subtree hashes of a few leaves."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree (level, index)."""
        if level == 0:
            return self._leaves[index]
        return node_hash(self(level - 1, 2 * index), self(level - 1, 2 * index + 1))


def hash_reader(entries: Sequence[Entry]) -> Hashes:
    """Return a HashReader over *entries*."""
    return Hashes([entry.leaf_hash for entry in entries])


def root_of_entries(entries: Sequence[Entry]) -> bytes:
    """Return the root of the tree of *entries*."""
    return root_from(len(entries), hash_reader(entries))


def stamp(number: int) -> int:
    """Return when witness *number* cosigns (Unix seconds)."""
    return START // 1000 + 10 + number


def witness_rows() -> list[JsonValue]:
    """Return who cosigns the story's checkpoints, and when."""
    return [{"holder": name, "timestamp_s": stamp(number)} for number, name in enumerate(VERIFIERS[:3])]


def signed_checkpoint(origin: str, entries: Sequence[Entry]) -> bytes:
    """Return the checkpoint of *entries*, signed by the log and cosigned by three witnesses."""
    checkpoint = Checkpoint(origin, len(entries), root_of_entries(entries))
    note = sign_checkpoint(checkpoint, vkey(origin, "log"), signer(origin, "log"))
    return add_signatures(
        note,
        [
            cosign(note, vkey(name, "witness"), signer(name, "witness"), stamp(number))
            for number, name in enumerate(VERIFIERS[:3])
        ],
    )


def lone_note(origin: str, size: int, root_of: bytes) -> bytes:
    """A checkpoint of a log that is not part of the story."""
    checkpoint = Checkpoint(origin, size, hashlib.sha256(root_of).digest())
    return sign_checkpoint(checkpoint, vkey(origin, "log"), signer(origin, "log"))


def terms() -> JsonObject:
    """The treaty of the vectors, every member written out."""
    ratio: JsonObject = {"numerator": 1, "denominator": 1}
    verifiers: list[JsonValue] = [
        {
            "name": name,
            "party": PARTIES[number % 2],
            "log_key": str(vkey(name, "log")),
            "witness_key": str(vkey(name, "witness")),
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
        "party": [{"name": name, "key": str(vkey(name))} for name in PARTIES],
        "lab": [{"name": LAB, "party": PARTIES[0], "root_key": str(vkey(LAB))}],
        "third_party": [{"name": METER, "kind": "meter", "key": str(vkey(METER))}],
        "verifier": verifiers,
        "chip_class": [chip],
        "counting": {"profile": "free", "margin": {"numerator": 30, "denominator": 100}, "pue": ratio},
        "threshold": [],
        "rule": [{"rule": "imbalance", "severity": "discrepancy", "article": "Art. 1", "parameters": {}}],
        "sealing": {"fields": [], "holders": 3},
        "annex": [],
    }
