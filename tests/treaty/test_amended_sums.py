"""Where a version changes the arithmetic of a rule: what was done before counts for nothing, or passes later."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.statements import Statement
from brakeline.treaty.strictjson import JsonValue

from tests.support import cast
from tests.support.cast import METER, SITE, Author, line
from tests.support.judging import books, digest, judge_of
from tests.support.scenes import EVALUATOR

BEGINS, PERIODS = 4, 8
HIGH = "9" * 30
SHAPE: dict[str, JsonValue] = {
    "work_flop_permille": 0,
    "work_joules_permille": 999,
    "training_flop_permille": 0,
    "h_joules": HIGH,
}
SUMS: dict[str, tuple[dict[str, JsonValue], dict[str, JsonValue]]] = {
    "muf": ({"k_permille": 0, "h_flop": HIGH}, {"k_permille": 0, "h_flop": "30000000000"}),
    "method-gap": ({"h_flop": HIGH}, {"h_flop": "30000000000"}),
    "activity-shape": ({**SHAPE, "h_flop": HIGH}, {**SHAPE, "h_flop": "9"}),
    "energy-gap": (
        {"k_joules": "0", "k_permille": 0, "h_joules": HIGH},
        {"k_joules": "0", "k_permille": 0, "h_joules": "150"},
    ),
    "undeclared-run": (
        {"floor_flop": HIGH, "k_permille": 0, "h_flop": HIGH},
        {"floor_flop": HIGH, "k_permille": 0, "h_flop": "30000000000"},
    ),
    "unlinked-runs": ({"k_permille": 0, "h_flop": HIGH}, {"k_permille": 0, "h_flop": "30000000000"}),
}  # fmt: skip
"""Rule -> its parameters in a version that forgives everything, and in one that does not."""


def version(rule: str, parameters: dict[str, JsonValue], effective: int = 0) -> TreatyDocument:
    third: list[JsonValue] = [
        {"name": name, "kind": kind, "key": str(cast.vkey(name))}
        for name, kind in ((METER, "meter"), (EVALUATOR, "evaluator"))
    ]
    rows: list[JsonValue] = [{"rule": rule, "severity": "note", "article": "Art. 1", "parameters": parameters}]
    first = cast.document(rule=rows, third_party=third)
    return first if not effective else cast.amended(first, effective)


def said(periods: Sequence[int], last: int = PERIODS) -> list[Statement]:
    """Return what one site and a meter say of *periods*; all periods before *last* are alike, then it works no more."""
    treaty = cast.document()
    site, meter = Author(SITE, treaty), Author(METER, treaty)
    inventory = site.hold()
    found = [inventory]
    for period in periods:
        work = [
            line("training", 1_000, flop_model="20000000000", flop_hardware="1", parents=[digest("m")]),
            line("inference", 1_000, workload="serve", flop_model="20000000000", parents=[digest("model")]),
            line("unattributed", 200, workload="lost"),
        ]
        found.append(books(site, inventory, period, *(work if period < last else ())))
        found.append(meter.measure(SITE, period, 100 if period < last else 0))
    return [cast.read(item) for item in found]


def found(first: TreatyDocument, amendment: TreatyDocument | None, statements: Sequence[Statement]) -> list[Finding]:
    versions = [] if amendment is None else [cast.read(cast.amendment_envelope(amendment))]
    judge = judge_of([*versions, *statements], first)
    return sorted(judge.standing().values(), key=lambda item: (item.period or 0, sorted(item.figures.items())))


@pytest.mark.parametrize("rule", SUMS)
def test_a_sum_begins_with_the_version_that_changed_it(rule: str) -> None:
    lenient, strict = (version(rule, parameters) for parameters in SUMS[rule])
    changed = cast.amended(lenient, BEGINS, rule=strict.to_json()["rule"])
    whole = found(lenient, changed, said(range(PERIODS)))
    alone = found(strict, None, said(range(BEGINS, PERIODS)))
    assert whole
    assert [(item.period, item.figures) for item in whole] == [(item.period, item.figures) for item in alone]
    assert found(lenient, None, said(range(PERIODS))) == []
    assert min(item.period or 0 for item in found(strict, None, said(range(PERIODS)))) < BEGINS


LINES: dict[str, tuple[str, dict[str, JsonValue]]] = {
    "undeclared-run": ("floor_flop", {"k_permille": 1_000, "h_flop": HIGH}),
    "sandbagging-order": ("floor_flop", {"grace_periods": 0}),
}


@pytest.mark.parametrize("rule", LINES)
def test_a_line_that_was_passed_before_it_was_drawn_is_passed_when_work_goes_on(rule: str) -> None:
    name, more = LINES[rule]
    lenient, strict = (version(rule, {name: floor, **more}) for floor in (HIGH, "30000000000"))
    changed = cast.amended(lenient, BEGINS, rule=strict.to_json()["rule"])
    (finding,) = found(lenient, changed, said(range(PERIODS)))
    total = str(2 * 10**10 * (BEGINS + 1))
    assert (finding.period, total in finding.figures.values()) == (BEGINS, True)
    assert found(lenient, changed, said(range(PERIODS), last=BEGINS)) == [], "and not where it had stopped"
    (sooner,) = found(strict, None, said(range(PERIODS)))
    assert sooner.period == 1
