"""One sample of everything that can be said, for any author: what the tests of roles and reading go through."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from brakeline.treaty.statements import EVIDENCE_KINDS, PREDICATES, Predicate
from brakeline.treaty.strictjson import JsonObject, JsonValue

from tests.support import cast


def digest(text: str) -> str:
    """Return the SHA-256 of *text*, lowercase hex."""
    return hashlib.sha256(text.encode()).hexdigest()


CHIPS: list[JsonValue] = [{"class": "cpu-core", "count": 2}]
SERIALS: JsonObject = {"root": digest("serials"), "count": 2}
SPAN: JsonObject = {"start": cast.START, "end": cast.START + cast.PERIOD}
SEEN: JsonObject = {**SPAN, "site": cast.SITE, "readings": digest("readings")}
HALF: JsonObject = {"numerator": 1, "denominator": 2}
WHEN: JsonObject = {"effective_period": 3, "expiry_period": 9, "reason": "tests", "nonce": "0" * 32}
ROW: JsonObject = {
    "chip": "cpu-0", "class": "cpu-core", "slot": 1, "salt": digest("salt"),
    "parts": [{"workload": "job", "activity": "training", "ms": "1000", "flop": "7", "joules": "3"}],
}  # fmt: skip

SAMPLES: Mapping[str, JsonObject] = {
    "inventory": {
        "effective_period": 0, "chips": CHIPS, "serials": SERIALS, "follows": digest("before"),
        "movements": [{"kind": "acquired", "class": "cpu-core", "count": 2, "serials": SERIALS}],
    },
    "declaration": {
        "workload": "job", "activity": "training", "begins_period": 4, "planned_flop": "1000", "chips": CHIPS,
        "parents": [digest("parent")], "purpose": "tests",
    },
    "usage": {
        **SPAN, "inventory": digest("inventory"), "table": {"root": digest("rows"), "rows": 2},
        "lines": [{"workload": "job", "activity": "idle", "chip_ms": [{"class": "cpu-core", "value": "8000"}]}],
    },
    "acknowledgement": {"order": digest("order"), "seen_at": cast.START, "stopped_at": cast.START, "workloads": []},
    "opening": {
        "period": 0, "usage": digest("usage"), "challenge": digest("challenge"),
        "rows": [{"index": 1, "row": ROW, "proof": [digest("sibling")]}],
    },
    "reply": {"finding": digest("finding"), "text": "we mended it", "cites": [digest("usage")]},
    "correction": {"corrects": digest("usage"), "period": 0, "replacement": digest("other"), "reason": "tests"},
    "autonomy": {
        "period": 0, "written_by_models": HALF, "reviewed_by_people": HALF, "longest_unattended_ms": 60_000,
        "speed_up": {"numerator": 3, "denominator": 2},
    },
    "evaluation": {
        "stage": "result", "model": digest("model"), "protocol": digest("protocol"), "commitment": digest("commit"),
        "seed": "00ff", "passed": True, "result": digest("report"),
    },
    "evidence:energy": {**SEEN, "kind": "energy", "joules": "340"},
    "evidence:capacity": {**SEEN, "kind": "capacity", "chips": CHIPS},
    "evidence:shipment": {**SEEN, "kind": "shipment", "chips": CHIPS, "serials": SERIALS},
    "evidence:inspection": {**SEEN, "kind": "inspection", "chips": CHIPS, "joules": "1"},
    "order": {
        **WHEN, "kind": "pause", "scope": {"who": ["everyone"], "activities": ["training"]}, "exercise": False,
        "lifts": [],
    },
    "authorisation": {
        **WHEN, "lab": cast.LABS[0], "workload": "job", "threshold": "line", "flop": "1000000000000000",
    },
    "determination": {
        "about": cast.SITE, "findings": [digest("finding")], "conclusion": "closed", "reason": "tests",
        "nonce": "1" * 32,
    },
    "withdrawal": {"party": cast.PARTIES[0], "effective_period": 9, "reason": "tests", "nonce": "2" * 32},
}  # fmt: skip
"""What is said (evidence with its kind) -> the predicate without its author's position and treaty."""

PARTY = ("order", "authorisation", "determination", "withdrawal")


def build(said: str, position: Mapping[str, JsonValue], /, **changes: object) -> Predicate:
    """Return the sample *said* at *position* (``author``, ``sequence``, ``previous``, ``treaty``), changed."""
    name, _, kind = said.partition(":")
    model = EVIDENCE_KINDS[kind] if kind else PREDICATES[name]
    where = {"treaty": position["treaty"]} if name in PARTY else dict(position)
    return model.model_validate({**where, **SAMPLES[said], **changes}, by_alias=True, by_name=False)
