"""Brake-breach under ceilings and lines, to the chip-millisecond; pauses and acknowledgements are in test_reconcile."""

from __future__ import annotations

import pytest
from brakeline.treaty.findings import Finding
from brakeline.treaty.sentences import sentence
from brakeline.treaty.statements import ChipTime, Order, Statement, UsageLine
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import line
from tests.support.facts import DOC, FULL, TIMES, Logs, Site, end_of, say, start_of

PASSING = 10**15 + 1
"""FLOP that pass the line of the tests' treaty."""


def order(
    kind: str = "slow", share: tuple[int, int] = (1, 4), above: str | None = None, **changes: object
) -> Statement:
    """Return an order on everyone's training in [5, 50), with *changes*."""
    scope: dict[str, object] = {"who": ("everyone",), "activities": ("training",)}
    members: dict[str, object] = {
        "treaty": DOC.digest,
        "kind": kind,
        "scope": scope if above is None else {**scope, "above": above},
        "effective_period": 5,
        "expiry_period": 50,
        "reason": "tests",
        "exercise": False,
        "lifts": (),
        "nonce": "0" * 32,
    }
    if kind == "slow":
        members["ceiling"] = {"numerator": share[0], "denominator": share[1]}
    return say(Order.model_validate({**members, **changes}))


def breaches(logs: Logs) -> list[Finding]:
    return [item for item in logs.found() if item.rule == "brake-breach"]


def pressed(*orders: Statement) -> tuple[Logs, Site]:
    logs = Logs()
    site = Site(logs)
    for item in orders:
        logs.bring(item, start_of(4))
    return logs, site


@pytest.mark.parametrize(("chip_ms", "breach"), [(FULL // 4, False), (FULL // 4 + 1, True)])
def test_a_ceiling_is_kept_to_the_chip_millisecond(chip_ms: int, breach: bool) -> None:
    logs, site = pressed(order())
    logs.bring(site.books(9, chip_ms, flop_model="77"), end_of(9))
    found = breaches(logs)
    assert bool(found) is breach
    if breach:
        assert found[0].figures == {
            "binding_period": "6",
            "class": "cpu-core",
            "chip_ms": str(FULL // 4 + 1),
            "ceiling_chip_ms": str(FULL // 4),
            "flop": "77",
        }
        assert str(FULL // 4) in sentence(found[0]).replace(" ", "")


def test_a_ceiling_is_rounded_down() -> None:
    logs, site = pressed(order(share=(1, 3)))
    logs.bring(site.books(9, FULL // 3), end_of(9))
    assert breaches(logs) == []
    logs.bring(site.books(10, FULL // 3 + 1), end_of(10))
    assert [item.period for item in breaches(logs)] == [10]


def test_everything_in_scope_shares_one_ceiling() -> None:
    logs, site = pressed(order(scope={"who": ("everyone",), "activities": ("training", "inference")}))
    quarter = FULL // 4
    logs.bring(site.book(9, line("training", quarter // 2), line("inference", quarter // 2, workload="api")), end_of(9))
    assert breaches(logs) == []
    logs.bring(site.book(10, line("training", quarter), line("inference", 1, workload="api")), end_of(10))
    assert [item.figures["chip_ms"] for item in breaches(logs)] == [str(quarter + 1)]


def test_each_class_of_chip_has_its_own_ceiling() -> None:
    logs, site = pressed(order())
    lines = (classes("training", {"cpu-core": 1, "other": 26}), classes("idle", {"cpu-core": FULL - 1, "other": 74}))
    logs.bring(cast.read(site.author.use(9, site.inventory.digest, lines)), end_of(9))
    assert [(item.figures["class"], item.figures["ceiling_chip_ms"]) for item in breaches(logs)] == [("other", "25")]


def classes(activity: str, times: dict[str, int]) -> UsageLine:
    """Return a line of several classes of chip."""
    chip_ms = [ChipTime.model_validate({"class": name, "value": str(ms)}) for name, ms in times.items()]
    return line(activity, 1).model_copy(update={"chip_ms": tuple(chip_ms)})


def test_of_several_versions_each_is_held_against_its_own_books() -> None:
    logs, site = pressed(order())
    logs.bring(site.books(9, FULL // 4), end_of(9))
    worse = site.books(9, FULL)
    logs.bring(worse, None, None, None, end_of(9))
    (finding,) = breaches(logs)
    assert worse.digest in finding.statements
    assert len(finding.statements) == 2
    assert finding.figures["chip_ms"] == str(FULL)


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "withdrawn"])
def test_books_that_a_correction_supersedes_break_no_order(replaced: bool) -> None:
    logs, site = pressed(order("pause"))
    wrong, right = site.books(9, FULL // 2), site.books(9)
    logs.bring(wrong, end_of(9))
    assert [wrong.digest in item.statements for item in breaches(logs)] == [True]
    if replaced:
        logs.bring(right, end_of(9))
    logs.bring(site.correct(wrong, 9), end_of(9), None, None, None)  # one log that holds it is enough
    assert breaches(logs) == []


def test_a_correction_of_other_books_or_of_another_period_leaves_the_breach() -> None:
    logs, site = pressed(order("pause"))
    wrong, right = site.books(9, FULL // 2), site.books(9)
    logs.bring(wrong, end_of(9))
    logs.bring(site.correct(right, 9), end_of(9))
    logs.bring(site.correct(wrong, 8), end_of(9))
    assert len(breaches(logs)) == 1


def test_a_pause_and_a_ceiling_broken_together_are_two_findings() -> None:
    logs, site = pressed(order(), order(kind="pause"))
    logs.bring(site.books(9, FULL // 4), end_of(9))
    assert len(breaches(logs)) == 1
    logs.bring(site.books(10, FULL), end_of(10))
    assert [item.period for item in breaches(logs)] == [9, 10, 10]


def test_a_pause_that_a_ceiling_replaces_is_judged_by_the_ceiling() -> None:
    pause = order(kind="pause")
    logs, site = pressed(pause, order(effective_period=8, lifts=(pause.digest,)))
    for period in (7, 9):
        logs.bring(site.books(period, FULL // 4), end_of(period))
    assert [item.period for item in breaches(logs)] == [7]


@given(st.integers(1, 12), st.integers(0, FULL))
def test_no_ceiling_accuses_who_keeps_it(part: int, chip_ms: int) -> None:
    logs, site = pressed(order(share=(part, 13)))
    logs.bring(site.books(9, chip_ms), end_of(9))
    assert bool(breaches(logs)) is (chip_ms * 13 > part * FULL)


# runs above a line ----------------------------------------------------------------------------------------------------


def known_from(passage: int) -> int:
    """Return the first period in which a lineage that passed in *passage* counts as passed."""
    return DOC.grid.first_from(DOC.grid.end_of(passage).after(TIMES.report_ms).after(TIMES.notice_ms))


def test_only_runs_above_the_line_are_asked_to_stop() -> None:
    logs, site = pressed(order(kind="pause", above="line"))
    big = line("training", 100, workload="big", flop_model=str(PASSING))
    logs.bring(site.book(0, big), end_of(0))
    logs.bring(site.books(9, 100, workload="small", flop_model="1"), end_of(9))
    assert breaches(logs) == []
    logs.bring(site.book(10, line("training", 7, workload="big"), line("training", 9, workload="small")), end_of(10))
    (finding,) = breaches(logs)
    assert (finding.period, finding.figures["chip_ms"]) == (10, "7")


def test_a_run_that_passes_while_the_order_stands_has_until_its_books_are_due_and_notice() -> None:
    logs, site = pressed(order(kind="pause", above="line"))
    logs.bring(site.books(8, 100, flop_model=str(PASSING)), end_of(8))
    first = known_from(8)
    assert first > 9
    for period in range(9, first + 1):
        logs.bring(site.books(period, 100), end_of(period))
    assert [item.period for item in breaches(logs)] == [first]


def test_a_fine_tune_of_a_run_above_the_line_is_above_it() -> None:
    logs, site = pressed(order(kind="pause", above="line"))
    base, tuned = "aa" * 32, "bb" * 32
    logs.bring(site.books(0, 100, workload="base", flop_model=str(PASSING), model_out=base), end_of(0))
    tune = line("training", 5, workload="tune", flop_model="1", parents=[base], model_out=tuned)
    logs.bring(site.book(9, tune), end_of(9))
    # its lineage passed where its parent did, and who begins it knows that
    assert [item.period for item in breaches(logs)] == [9]


def test_one_log_that_knows_of_the_passing_is_enough() -> None:
    logs, site = pressed(order(kind="pause", above="line"))
    logs.bring(site.books(0, 100, flop_model=str(PASSING)), end_of(0), None, None, None)
    logs.bring(site.books(9, 100), end_of(9))
    assert [item.period for item in breaches(logs)] == [9]


def test_another_labs_run_of_the_same_name_is_another_run() -> None:
    logs, site = pressed(order(kind="pause", above="line"))
    other = Site(logs, cast.OTHER_SITE)
    logs.bring(site.books(0, 100, flop_model=str(PASSING)), end_of(0))
    logs.bring(other.books(9, 100), end_of(9))
    assert breaches(logs) == []
