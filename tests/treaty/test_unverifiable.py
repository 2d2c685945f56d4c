"""What the rules say they could not judge: of which books, for which stated reason, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from brakeline.treaty.rules.board import PERIODLESS, Board, Unverifiable
from brakeline.treaty.sealing import PATTERNS
from brakeline.treaty.strictjson import JsonObject, JsonValue

from tests.support import cast
from tests.support.cast import Author, line
from tests.support.judging import digest, judge_of
from tests.support.predicates import build
from tests.support.scenes import ratio
from tests.support.sealing import FIGURES, SealingAuthor, document

BOTH = {"flop_hardware": "10", "flop_model": "10", "joules": "9"}
STATED = (
    line("training", 500, workload="a", **BOTH),
    line("training", 500, workload="b", **BOTH),
    line("inference", 2_000, workload="c", parents=[digest("model")], **BOTH),
    line("idle", 4_000, workload="d", joules="1"),
    line("maintenance", 1_000, workload="e", joules="1"),
)
"""Five lines in which every rule finds the figures that it needs."""
SILENT = tuple(
    line(activity, 1_600, workload=activity)
    for activity in ("training", "inference", "idle", "maintenance", "evaluation")
)
"""Five lines without any figure."""
FLOP_SEALED = {
    ("peak-exceeded", "flop-sealed"): 3,
    ("activity-shape", "flop-sealed"): 3,
    ("method-gap", "flop-sealed"): 3,
    ("threshold", "flop-sealed"): 2,
    ("undeclared-run", "flop-sealed"): 2,
    ("unlinked-runs", "flop-sealed"): 2,
    ("sandbagging-order", "flop-sealed"): 1,
}
JOULES_SEALED = {
    ("idle-compute", "figures-sealed"): 2,
    ("activity-shape", "joules-sealed"): 3,
    ("energy-gap", "joules-sealed"): 5,
    ("contradiction", "joules-sealed"): 5,
}
READ_LINES = (
    "activity-shape", "contradiction", "energy-gap", "idle-compute", "imbalance", "method-gap", "muf", "peak-exceeded",
    "sandbagging-order", "threshold", "undeclared-run", "unlinked-runs",
)  # fmt: skip
"""The rules that read lines of books, and say so where a line is opaque."""


def told(counted: Mapping[Unverifiable, int]) -> dict[tuple[str, str], int]:
    assert {item.about for item in counted} <= {cast.SITE}
    return {(item.rule, item.why): number for item, number in counted.items()}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), {}),
        (FIGURES, FLOP_SEALED | JOULES_SEALED),
        (FIGURES[:1], FLOP_SEALED),
        (FIGURES[1:2], FLOP_SEALED),
        (FIGURES[2:3], JOULES_SEALED),
        (PATTERNS, {(rule, "line-sealed"): 8 for rule in READ_LINES}),
    ],
)
def test_every_figure_that_is_sealed_is_counted_by_each_rule_that_needs_it(
    fields: Sequence[str], expected: dict[tuple[str, str], int]
) -> None:
    treaty = document(fields)
    site = SealingAuthor(cast.SITE, treaty)
    inventory = site.hold()
    judge = judge_of([inventory, site.use(0, inventory.digest, STATED)], treaty)
    assert told(judge.unverifiable()) == expected
    assert judge.standing() == {}


def test_every_figure_that_is_left_out_is_counted_by_each_rule_that_needs_it() -> None:
    site = Author(cast.SITE, cast.document())
    inventory = site.hold()
    judge = judge_of([inventory, site.use(0, inventory.digest, SILENT)])
    assert told(judge.unverifiable()) == {
        ("activity-shape", "flop-absent"): 3,
        ("activity-shape", "joules-absent"): 2,
        ("idle-compute", "joules-absent"): 2,
        ("sandbagging-order", "model-absent"): 1,
        ("threshold", "flop-absent"): 1,
    }
    assert judge.standing() == {}


def test_what_could_not_be_judged_is_counted_up_and_down_and_sorted() -> None:
    board = Board()
    board.unknown("muf", "b", "line-sealed", 2)
    board.unknown("muf", "b", "line-sealed")
    board.unknown("muf", "a", "line-sealed", 0)
    board.unknown("energy-gap", "b", "joules-sealed")
    assert list(board.unverifiable().items()) == [
        (Unverifiable("energy-gap", "b", "joules-sealed"), 1),
        (Unverifiable("muf", "b", "line-sealed"), 3),
    ]
    board.unknown("energy-gap", "b", "joules-sealed", -1)
    assert list(board.unverifiable()) == [Unverifiable("muf", "b", "line-sealed")]


def test_a_muted_board_counts_what_has_no_period_alone() -> None:
    board = Board()
    board.muted = True
    for rule in ("muf", *PERIODLESS):
        board.unknown(rule, "a", "why")
    assert {item.rule for item in board.unverifiable()} == PERIODLESS == {"resume-mismatch"}


@pytest.mark.parametrize(("corrected", "found"), [(False, 0), (True, 1)])
def test_a_modification_is_left_alone_while_its_run_has_sealed_figures_and_not_after(
    corrected: bool, found: int
) -> None:
    counting: JsonObject = {"profile": "eu-gpai", "margin": ratio(300), "pue": ratio(1, 1)}
    line_: JsonValue = [{"name": "line", "flop": "500000000000", "activities": ["training"], "article": "Art. 4"}]
    treaty = document(FIGURES, counting=counting, threshold=line_)
    rival, site = Author(cast.OTHER_SITE, treaty), SealingAuthor(cast.SITE, treaty)
    theirs, inventory, model = rival.hold(), site.hold(), digest("model")
    original = line("training", 8_000, workload="base", model_out=model, flop_model="400000000000")
    part = line("training", 4_000, workload="tune", parents=[model], flop_model="1")
    sealed = site.use(0, inventory.digest, (part, part))
    said = [theirs, rival.use(0, theirs.digest, (original,)), inventory, sealed]
    site.seal = ()
    if corrected:
        changes = {"corrects": sealed.digest, "period": 0, "replacement": None}
        said.append(site.say(build("correction", site.position(), **changes)))
    more = line("training", 8_000, workload="tune", parents=[model], flop_model="300000000000")
    said.append(site.use(1, inventory.digest, (more,)))
    accused = [item for item in judge_of(said, treaty).standing().values() if item.rule == "threshold"]
    assert [item.about for item in accused] == [cast.LABS[0]] * found


def test_rows_of_books_with_opaque_lines_are_counted_one_by_one() -> None:
    treaty = document(PATTERNS)
    site = SealingAuthor(cast.SITE, treaty)
    inventory = site.hold()
    sealed = site.use(0, inventory.digest, STATED)
    site.seal = ()
    opening = site.say(build("opening", site.position(), usage=sealed.digest))
    judge = judge_of([inventory, sealed, opening], treaty)
    assert told(judge.unverifiable())["false-opening", "line-sealed"] == 1


@pytest.mark.parametrize(("flop", "found"), [("1000000000000000", 0), ("1000000000000001", 1)])
def test_flop_that_are_sealed_add_nothing_to_those_that_are_known(flop: str, found: int) -> None:
    classes = cast.json_lines(cast.terms()["chip_class"])
    treaty = document(FIGURES, chip_class=[{**classes[0], "peak_flop_per_s": "1" + "0" * 30}])
    site = SealingAuthor(cast.SITE, treaty)
    inventory = site.hold()
    sealed = site.use(0, inventory.digest, (line("training", 8_000, flop_model="7"),))
    site.seal = ()
    stated = site.use(1, inventory.digest, (line("training", 8_000, flop_model=flop),))
    standing = judge_of([inventory, sealed, stated], treaty).standing().values()
    assert len([item for item in standing if item.rule == "threshold"]) == found
