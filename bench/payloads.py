"""What is measured: usage statements of many sites, each with eight lines, terse (S) or with every field (F).

Deterministic: keys are made from names, figures from indexes. The books balance, so that rules have work and find
nothing but what they should; every statement is signed for real, before the clock starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import StrEnum

from brakeline.ledger.ed25519 import SeedSigner, Signer
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.document import ZERO_DIGEST, TreatyDocument
from brakeline.treaty.envelope import Envelope, pae
from brakeline.treaty.statements import Enrolment, Inventory, Predicate, Usage, encode_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue

from bench.denominator import Signed

LINES = 8
CHIPS = 1024
CHIP_CLASS = "cpu-core"
ACTIVITIES = ("training", "training", "inference", "inference", "evaluation", "other", "maintenance", "idle")


class Payload(StrEnum):
    """Which lines a usage statement has."""

    S = "S"
    """Workload, activity and chip time."""
    F = "F"
    """Every field of the schema."""


def signer(name: str) -> Signer:
    """Return the key of *name*."""
    return SeedSigner(hashlib.sha256(f"brakeline bench/{name}".encode()).digest())


def statement_key(name: str) -> VKey:
    """Return the public half of :func:`signer`."""
    return VKey(name, TYPE_STATEMENT, signer(name).public_key)


class SiteChain:
    """The statements of one site, in order: an enrolment by its lab, an inventory, then books without end."""

    def __init__(self, lab: str, document: TreatyDocument) -> None:
        """Begin the chains of *lab* and of its one site."""
        self._document = document
        self._lab, self.site = lab, f"{lab}/site-1"
        self._root, self._key = signer(lab), signer(self.site)
        self._sequence, self._previous, self._inventory, self._period = 0, ZERO_DIGEST, ZERO_DIGEST, 0

    @property
    def inventory(self) -> str:
        """Digest of the site's inventory."""
        return self._inventory

    def opening(self) -> list[Envelope]:
        """Return the enrolment and the inventory."""
        root_position: JsonObject = {
            "author": self._lab,
            "sequence": 0,
            "previous": ZERO_DIGEST,
            "treaty": self._document.digest,
        }
        enrolment = Enrolment.model_validate(
            {
                **root_position,
                "site": self.site,
                "action": "begin",
                "key": str(statement_key(self.site)),
                "effective_period": 0,
            }
        )
        inventory = self._say(
            Inventory.model_validate(
                {
                    **self._position(),
                    "effective_period": 0,
                    "chips": ({"class": CHIP_CLASS, "count": CHIPS},),
                    "serials": {"root": digest("serials"), "count": CHIPS},
                }
            )
        )
        self._inventory = inventory.digest
        return [_signed(enrolment, self._root, self._key), inventory]

    def books(self, payload: Payload, count: int) -> Iterator[Envelope]:
        """Yield the books of the next *count* periods."""
        grid = self._document.grid
        for period in range(self._period, self._period + count):
            start = grid.start.value + period * grid.period.value
            yield self._say(
                Usage.model_validate(
                    {
                        **self._position(),
                        "start": start,
                        "end": start + grid.period.value,
                        "inventory": self._inventory,
                        "table": {"root": digest(f"rows {period}"), "rows": CHIPS},
                        "lines": tuple(_line(payload, number, grid.period.value) for number in range(LINES)),
                    }
                )
            )
        self._period += count

    def _position(self) -> JsonObject:
        return {
            "author": self.site,
            "sequence": self._sequence,
            "previous": self._previous,
            "treaty": self._document.digest,
        }

    def _say(self, predicate: Predicate) -> Envelope:
        envelope = _signed(predicate, self._key)
        self._sequence += 1
        self._previous = envelope.digest
        return envelope


def digest(text: str) -> str:
    """Return 64 hex digits that stand for *text*."""
    return hashlib.sha256(text.encode()).hexdigest()


def samples(envelopes: list[Envelope], site: str) -> list[Signed]:
    """Return what the denominator verifies: the single signatures of *envelopes*, all by the key of *site*."""
    key = signer(site).public_key
    return [(key, envelope.pae(), envelope.signatures[0].sig) for envelope in envelopes]


def _line(payload: Payload, number: int, period_ms: int) -> JsonObject:
    activity = ACTIVITIES[number]
    chip_ms = CHIPS * period_ms // LINES
    line: JsonObject = {
        "workload": f"job-{number}",
        "activity": activity,
        "chip_ms": ({"class": CHIP_CLASS, "value": str(chip_ms)},),  # type: ignore[dict-item]  # models take tuples
    }
    if payload is Payload.F:
        line |= _every_field(number, chip_ms, activity not in ("idle", "maintenance"))
    return line


def _every_field(number: int, chip_ms: int, working: bool) -> dict[str, JsonValue]:
    parents: list[JsonValue] = [digest(f"parent {number}")]
    return {
        "flop_hardware": str(chip_ms * 1_000_000 + number if working else 0),
        "flop_model": str(chip_ms * 900_000 + number if working else 0),
        "tokens": str(chip_ms * 100 if working else 0),
        "joules": str(chip_ms // 100),
        "parents": tuple(parents),  # type: ignore[dict-item]  # models take tuples
        "model_out": digest(f"model {number}"),
        "code": digest(f"code {number}"),
        "data": digest(f"data {number}"),
        "meter": {"name": "meter.example", "digest": digest(f"counters {number}")},
    }


def _signed(predicate: Predicate, *signers: Signer) -> Envelope:
    data = encode_statement(predicate)
    message = pae(data)
    return Envelope(
        data, tuple(RawSignature(hashlib.sha256(key.public_key).hexdigest(), key.sign(message)) for key in signers)
    )
