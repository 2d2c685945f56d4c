"""The cast of the tests: parties, labs, verifiers and a meter with keys made from their names, and one small treaty.

Deterministic: the same name always has the same key, so that a failing example can be written down. Everything is
signed for real.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import cast

from brakeline.ledger.ed25519 import SeedSigner, Signer
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.vkey import TYPE_LOG, TYPE_STATEMENT, TYPE_WITNESS, VKey
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.statements import (
    Acknowledgement,
    ChipCount,
    ChipTime,
    Enrolment,
    Evidence,
    Inventory,
    Order,
    Predicate,
    Scope,
    Serials,
    Statement,
    StoppedWorkload,
    Table,
    Usage,
    UsageLine,
    encode_statement,
    parse_statement,
)
from brakeline.treaty.strictjson import JsonObject, JsonValue

PARTIES = ("party-a.example", "party-b.example")
LABS = ("lab-1.party-a.example", "lab-2.party-b.example")
SITE = "lab-1.party-a.example/site-1"
OTHER_SITE = "lab-2.party-b.example/site-1"
METER = "meter.example"
VERIFIERS = tuple(f"verifier-{i}.example" for i in range(1, 5))
START = 1_767_225_600_000
"""Start of period 0, Unix ms."""
PERIOD = 4_000
"""Milliseconds of a period."""
CHIPS = 2
"""Chips of class ``cpu-core`` at every site."""
ZEROS = "0" * 64
SHAPE: dict[str, JsonValue] = {
    "work_flop_permille": 500,
    "work_joules_permille": 800,
    "training_flop_permille": 100,
    "h_flop": "10000000000",
    "h_joules": "400",
}
"""Parameters of ``activity-shape`` in the small treaty."""
UNDECLARED: dict[str, JsonValue] = {
    "floor_flop": "10000000000000000",
    "k_permille": 500,
    "h_flop": "10000000000000000",
}
"""Parameters of ``undeclared-run``: above what tests of other rules train."""
AUTONOMY: dict[str, JsonValue] = {
    "written_permille": 800,
    "reviewed_permille": 500,
    "unattended_ms": 3_600_000,
    "speed_up_permille": 2000,
}
"""Parameters of ``autonomy-tripwire``."""


def signer(name: str, purpose: str = "statement") -> Signer:
    """Return the signer of *name* for *purpose* (statement, log, witness, or any word for further keys)."""
    return SeedSigner(hashlib.sha256(f"brakeline tests/{purpose}/{name}".encode()).digest())


def vkey(name: str, purpose: str = "statement") -> VKey:
    """Return the verifier key that belongs to :func:`signer`; a witness key bears the name ``<name>/witness``."""
    kind = {"log": TYPE_LOG, "witness": TYPE_WITNESS}.get(purpose, TYPE_STATEMENT)
    return VKey(f"{name}/witness" if purpose == "witness" else name, kind, signer(name, purpose).public_key)


def terms(**changes: JsonValue) -> JsonObject:
    """Return the small treaty as JSON; *changes* replace members of its root."""
    rules: list[tuple[str, str, dict[str, JsonValue]]] = [
        ("equivocation", "referral", {}),
        ("disowned", "discrepancy", {}),
        ("imbalance", "discrepancy", {}),
        ("peak-exceeded", "discrepancy", {}),
        ("threshold", "referral", {"presumed_permille": 0}),
        ("idle-compute", "discrepancy", {"idle_percent": 100, "maintenance_percent": 150}),
        ("activity-shape", "discrepancy", SHAPE),
        ("method-gap", "discrepancy", {"h_flop": "1000000000000"}),
        ("muf", "discrepancy", {"k_permille": 100, "h_flop": "200000000000"}),
        ("energy-gap", "discrepancy", {"k_joules": "40", "k_permille": 0, "h_joules": "400"}),
        ("missing-period", "discrepancy", {}),
        ("late", "note", {}),
        ("brake-breach", "referral", {}),
        ("resume-mismatch", "referral", {}),
        ("inventory-continuity", "discrepancy", {"grace_periods": 2}),
        ("undeclared-run", "discrepancy", UNDECLARED),
        ("unlinked-runs", "discrepancy", {"k_permille": 900, "h_flop": "1000000000000000000"}),
        ("contradiction", "discrepancy", {"tolerance_permille": 50}),
        ("sandbagging-order", "discrepancy", {"floor_flop": "10000000000000", "grace_periods": 1}),
        ("autonomy-tripwire", "note", AUTONOMY),
        ("false-opening", "discrepancy", {"slots": 4}),
        ("unacknowledged-order", "discrepancy", {}),
        ("verifier-conduct", "referral", {}),
    ]
    value: JsonObject = {
        "name": "tests.treaty.example",
        "version": 1,
        "previous": ZEROS,
        "effective_period": 0,
        "silence": "continue",
        "grid": {"start": START, "period_ms": PERIOD},
        "deadlines": {
            "report_ms": 15_000,
            "heartbeat_ms": 1_000,
            "checkpoint_ms": 2_000,
            "takeover_ms": 8_000,
            "skew_ms": 2_000,
            "notice_ms": 4_000,
            "stop_ms": 2_000,
            "save_ms": 10_000,
            "acknowledge_ms": 15_000,
            "disclosure_ms": 15_000,
            "reply_ms": 60_000,
        },
        "limits": {"child_cap": 3, "line_count": 8},
        "goals": {
            "significant_quantity_flop": "1000000000000000",
            "timeliness_ms": 86_400_000,
            "detection": {"numerator": 95, "denominator": 100},
        },
        "quorum": {"liars": 1, "witnesses": 3, "receipts": 3, "audit": 3, "orders": 2, "amendments": 2},
        "party": [{"name": name, "key": str(vkey(name))} for name in PARTIES],
        "lab": [{"name": name, "party": PARTIES[i % 2], "root_key": str(vkey(name))} for i, name in enumerate(LABS)],
        "third_party": [{"name": METER, "kind": "meter", "key": str(vkey(METER))}],
        "verifier": [
            {
                "name": name,
                "party": PARTIES[i % 2],
                "log_key": str(vkey(name, "log")),
                "witness_key": str(vkey(name, "witness")),
                "url": f"http://127.0.0.1:{18080 + i}",
                "grpc": f"127.0.0.1:{17443 + i}",
            }
            for i, name in enumerate(VERIFIERS)
        ],
        "chip_class": [
            {
                "name": "cpu-core",
                "peak_flop_per_s": "100000000000",
                "board_watts": 100,
                "idle_watts": 10,
                "h100_equivalent": {"numerator": 1, "denominator": 10000},
                "source": "tests",
            }
        ],
        "counting": {
            "profile": "free",
            "margin": {"numerator": 30, "denominator": 100},
            "pue": {"numerator": 1, "denominator": 1},
        },
        "threshold": [{"name": "line", "flop": "1000000000000000", "activities": ["training"], "article": "Art. 4"}],
        "rule": [
            {"rule": rule, "severity": severity, "article": f"Art. {i}", "parameters": parameters}
            for i, (rule, severity, parameters) in enumerate(rules, start=10)
        ],
        "sealing": {"fields": [], "holders": 3},
        "annex": [],
    }
    return {**value, **changes}


def document(**changes: JsonValue) -> TreatyDocument:
    """Return the small treaty; *changes* replace members of its root."""
    return TreatyDocument.from_json(terms(**changes))


def envelope(payload: bytes, *signers: Signer) -> Envelope:
    """Return *payload* signed by each of *signers*."""
    message = pae(payload)
    return Envelope(
        payload,
        tuple(RawSignature(hashlib.sha256(item.public_key).hexdigest(), item.sign(message)) for item in signers),
    )


def treaty_envelope(treaty: TreatyDocument) -> Envelope:
    """Return the treaty statement of *treaty*, signed by every key it names (all must be of this cast)."""
    signers = [signer(name) for name in (*PARTIES, *(lab.name for lab in treaty.labs))]
    signers += [signer(third.name) for third in treaty.third_parties]
    signers += [signer(v.name, purpose) for v in treaty.verifiers for purpose in ("log", "witness")]
    return envelope(encode_statement(treaty), *signers)


def amended(previous: TreatyDocument, effective: int, **changes: JsonValue) -> TreatyDocument:
    """Return the version after *previous* that governs from period *effective*; *changes* replace members."""
    value: JsonObject = {**previous.to_json(), "version": previous.version + 1, "previous": previous.digest}
    value |= {"effective_period": effective, **changes}
    if "settles" not in changes:
        value.pop("settles", None)
    return TreatyDocument.from_json(value)


def amendment_envelope(document: TreatyDocument, *signers: Signer) -> Envelope:
    """Return the amendment statement of *document* signed by *signers* (default: both parties)."""
    return envelope(encode_statement(document), *(signers or tuple(signer(name) for name in PARTIES)))


def joined_by(document: TreatyDocument, verifier: str) -> Envelope:
    """Return the amendment statement of *document* signed by both parties and the *verifier* that it newly names."""
    newcomer = (signer(verifier, purpose) for purpose in ("log", "witness"))
    return amendment_envelope(document, *(signer(name) for name in PARTIES), *newcomer)


def with_rule(document: TreatyDocument, rule: str, severity: str = "discrepancy", **parameters: JsonValue) -> JsonValue:
    """Return the rules of *document* with *rule* as given, in the place of what it was or behind the others."""
    rules = [item for item in json_lines(document.to_json()["rule"]) if item["rule"] != rule]
    return [*rules, {"rule": rule, "severity": severity, "article": f"Article of {rule}", "parameters": parameters}]


class Author:
    """Signs one author's chain: every call is the next statement, unless a position is given."""

    def __init__(self, name: str, treaty: TreatyDocument, key: Signer | None = None) -> None:
        """Begin the chain of *name* under *treaty*; *key* defaults to the name's own statement key."""
        self.name = name
        self.treaty = treaty
        self.key = key or signer(name)
        self.sequence = 0
        self.previous = ZEROS

    def position(self) -> Mapping[str, JsonValue]:
        """Return author, sequence, previous and treaty of the next statement."""
        return {
            "author": self.name,
            "sequence": self.sequence,
            "previous": self.previous,
            "treaty": self.treaty.digest,
        }

    def say(self, predicate: Predicate, *more: Signer, advance: bool = True) -> Envelope:
        """Sign *predicate*; with *advance* the next statement is its child."""
        signed = envelope(encode_statement(predicate), self.key, *more)
        if advance:
            self.sequence += 1
            self.previous = signed.digest
        return signed

    def enrol(self, site: str, key: VKey | None = None, *, period: int = 0, by: Signer | None = None) -> Envelope:
        """As a lab: enrol *site* with the key of its name (or *key*, signed by *by*)."""
        key = key or vkey(site)
        return self.say(
            Enrolment.model_validate(
                {**self.position(), "site": site, "action": "begin", "key": str(key), "effective_period": period}
            ),
            by or signer(site),
        )

    def hold(self, chips: int = CHIPS, *, period: int = 0) -> Envelope:
        """As a site: declare an inventory of *chips* of class cpu-core."""
        return self.say(
            Inventory.model_validate(
                {
                    **self.position(),
                    "effective_period": period,
                    "chips": (ChipCount(chip_class="cpu-core", count=chips),),
                    "serials": Serials(root=hashlib.sha256(b"serials").hexdigest(), count=chips),
                }
            )
        )

    def use(self, period: int, inventory: str, lines: tuple[UsageLine, ...], *, advance: bool = True) -> Envelope:
        """As a site: the books of *period* under the inventory statement *inventory*."""
        start = START + period * PERIOD
        return self.say(
            Usage.model_validate(
                {
                    **self.position(),
                    "start": start,
                    "end": start + PERIOD,
                    "inventory": inventory,
                    "table": Table(root=hashlib.sha256(b"rows").hexdigest(), rows=CHIPS),
                    "lines": lines,
                }
            ),
            advance=advance,
        )

    def acknowledge(
        self, order: Envelope, *workloads: StoppedWorkload, at: int = START, advance: bool = True
    ) -> Envelope:
        """As a site: an order seen, and stopped on, *at* an instant (Unix ms)."""
        return self.say(
            Acknowledgement.model_validate(
                {**self.position(), "order": order.digest, "seen_at": at, "stopped_at": at, "workloads": workloads}
            ),
            advance=advance,
        )

    def measure(self, site: str, period: int, joules: int, *, advance: bool = True) -> Envelope:
        """As a meter: the energy read at *site* in *period*."""
        start = START + period * PERIOD
        return self.say(
            Evidence.model_validate(
                {
                    **self.position(),
                    "kind": "energy",
                    "site": site,
                    "start": start,
                    "end": start + PERIOD,
                    "joules": str(joules),
                    "readings": hashlib.sha256(b"readings").hexdigest(),
                }
            ),
            advance=advance,
        )


def line(activity: str, chip_ms: int, *, workload: str = "job", **more: JsonValue) -> UsageLine:
    """Return one usage line of class cpu-core."""
    time = ChipTime.model_validate({"class": "cpu-core", "value": str(chip_ms)})
    return UsageLine.model_validate({"workload": workload, "activity": activity, "chip_ms": (time,), **more})


def order(
    treaty: TreatyDocument, *signers: Signer, kind: str = "pause", effective: int = 5, expiry: int = 50
) -> Envelope:
    """Return an order on everyone's training signed by *signers* (default: both parties); slow leaves a quarter."""
    predicate = Order.model_validate(
        {
            "treaty": treaty.digest,
            "kind": kind,
            "scope": Scope.model_validate({"who": ("everyone",), "activities": ("training",)}),
            "effective_period": effective,
            "expiry_period": expiry,
            "reason": "tests",
            "exercise": False,
            "lifts": (),
            "nonce": "0" * 32,
            **({"ceiling": {"numerator": 1, "denominator": 4}} if kind == "slow" else {}),
        }
    )
    return envelope(encode_statement(predicate), *(signers or tuple(signer(name) for name in PARTIES)))


def read(item: Envelope) -> Statement:
    """Return the statement in an envelope."""
    return parse_statement(item.payload).signed(tuple(keyid for keyid, _ in item.signatures))


def json_lines(value: JsonValue) -> list[JsonObject]:
    """Return a list of JSON objects as such (for edits of :func:`terms`)."""
    return cast("list[JsonObject]", value)
