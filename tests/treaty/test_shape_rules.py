"""The rules that ask whether the books look like what they say: how much exactly each forgives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import Unverifiable
from brakeline.treaty.rules.columns import Columns
from brakeline.treaty.rules.excursions import Excursions
from brakeline.treaty.statements import UsageLine
from brakeline.treaty.statistics.page import PageTerms
from brakeline.treaty.strictjson import JsonValue
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.support.cast import Author, line
from tests.support.judging import FULL, judge_of, standing

PEAK = 10**11
"""FLOP per second of the tests' chip; it idles at 10 W and draws 100 W at most."""


def with_rule(rule: str, **parameters: JsonValue) -> TreatyDocument:
    """Return the tests' treaty with nothing but *rule* in force, some of its parameters changed."""
    (terms,) = [item for item in cast.json_lines(cast.terms()["rule"]) if item["rule"] == rule]
    given = terms["parameters"]
    assert isinstance(given, dict)
    return cast.document(rule=[{**terms, "parameters": {**given, **parameters}}])


def judged(treaty: TreatyDocument, *periods: Sequence[UsageLine]) -> list[Finding]:
    """Return what stands when one site books *periods*, in order of period."""
    author = Author(cast.SITE, treaty)
    inventory = author.hold()
    said = [inventory, *(author.use(number, inventory.digest, tuple(lines)) for number, lines in enumerate(periods))]
    return sorted(standing(said, treaty), key=lambda item: (item.period or 0, str(item.figures)))


def unknown(treaty: TreatyDocument, *lines: UsageLine) -> Mapping[Unverifiable, int]:
    author = Author(cast.SITE, treaty)
    inventory = author.hold()
    return judge_of([inventory, author.use(0, inventory.digest, lines)], treaty).unverifiable()


# idle-compute ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activity", "joules", "found"),
    [("idle", 10, 0), ("idle", 11, 1), ("maintenance", 15, 0), ("maintenance", 16, 1), ("unattributed", 99, 0)],
)
def test_rest_draws_what_the_treaty_allows_and_not_a_joule_more(activity: str, joules: int, found: int) -> None:
    lines = [line(activity, 1_000, joules=str(joules))]  # one chip-second at 10 W
    assert len(judged(with_rule("idle-compute"), lines)) == found


@pytest.mark.parametrize("figure", ["flop_model", "flop_hardware", "tokens"])
def test_rest_computes_nothing(figure: str) -> None:
    resting = line("idle", FULL, workload="idle", joules="1", **{figure: "0"})
    working = line("idle", FULL, workload="night", joules="1", **{figure: "7"})
    (finding,) = judged(with_rule("idle-compute"), [resting], [line("training", 1), working])
    assert (finding.about, finding.period) == (cast.SITE, 1)
    name = "tokens" if figure == "tokens" else "flop"
    assert finding.figures == {
        "line": "1",
        "workload": "night",
        "activity": "idle",
        "flop": "0",
        "tokens": "0",
        "joules": "1",
        "allowed_joules": "80",
        name: "7",
    }


def test_rest_without_its_joules_is_unverifiable_and_no_finding() -> None:
    treaty = with_rule("idle-compute")
    lines = (line("idle", 1), line("maintenance", 1, joules="0"), line("training", 1))
    assert unknown(treaty, *lines) == {Unverifiable("idle-compute", cast.SITE, "joules-absent"): 1}
    assert judged(treaty, lines) == []
    assert unknown(treaty, line("idle", 1, tokens="1")) == {}  # what gives itself away needs no joules
    assert unknown(treaty, line("idle", 0), line("maintenance", 0)) == {}  # no chip rested


def test_chips_that_the_treaty_does_not_name_may_draw_nothing() -> None:
    alien = UsageLine.model_validate(
        {"workload": "w", "activity": "idle", "chip_ms": ({"class": "gpu", "value": "5000"},), "joules": "1"}
    )
    assert len(judged(with_rule("idle-compute"), [alien])) == 1


# muf ------------------------------------------------------------------------------------------------------------------


def lost(chip_ms: int) -> list[UsageLine]:
    return [line("unattributed", chip_ms, workload="unattributed"), line("idle", FULL - chip_ms)]


def test_unattributed_time_fires_above_h_and_not_at_h() -> None:
    treaty = with_rule("muf", k_permille=100, h_flop=str(4 * PEAK))  # 0.8 chip-seconds forgiven of the period's 8
    assert judged(treaty, lost(2_800), lost(2_800)) == []
    (finding,) = judged(treaty, lost(2_800), lost(800), lost(2_801))
    assert (finding.rule, finding.about, finding.period) == ("muf", cast.SITE, 2)
    assert finding.figures == {
        "unattributed_flop": str(2_801 * PEAK // 1_000),
        "capacity_flop": str(8 * PEAK),
        "sum_flop": str(4_001 * PEAK // 1_000),
        "k_permille": "100",
        "h_flop": str(4 * PEAK),
    }
    assert len(finding.statements) == 2, "a period that is within the share is not cited"


def test_what_stays_within_the_share_never_adds_up() -> None:
    assert judged(with_rule("muf"), *[lost(800)] * 50) == []


def test_a_second_version_of_the_books_does_not_take_unattributed_time_back() -> None:
    treaty = with_rule("muf", h_flop=str(2 * PEAK))
    author = Author(cast.SITE, treaty)
    inventory = author.hold()
    versions = [author.use(0, inventory.digest, tuple(lost(chip_ms))) for chip_ms in (2_000, 5_000, 0)]
    (finding,) = standing([inventory, *versions], treaty)
    assert finding.statements == (versions[1].digest,)


# method-gap -----------------------------------------------------------------------------------------------------------


def both(hardware: int, model: int, activity: str = "training", workload: str = "job") -> UsageLine:
    return line(activity, 1, workload=workload, flop_hardware=str(hardware), flop_model=str(model))


@pytest.mark.parametrize(("hardware", "model", "low"), [(1_000, 600, "model"), (600, 1_000, "hardware")])
def test_methods_may_differ_by_the_margin_and_then_by_h(hardware: int, model: int, low: str) -> None:
    treaty = with_rule("method-gap", h_flop="200")  # the margin is 30 %: 100 too many in every period
    assert judged(treaty, *[[both(hardware, model)]] * 2) == []
    (finding,) = judged(treaty, *[[both(hardware, model)]] * 4)
    assert (finding.rule, finding.period, len(finding.statements)) == ("method-gap", 2, 3)
    assert finding.figures == {
        "activity": "training",
        "low": low,
        "hardware_flop": str(hardware),
        "model_flop": str(model),
        "sum_flop": "300",
        "margin": "30/100",
        "h_flop": "200",
    }


def test_methods_that_differ_by_less_than_the_margin_never_add_up() -> None:
    assert judged(with_rule("method-gap", h_flop="0"), *[[both(1_000, 700)], [both(700, 1_000)]] * 20) == []


def test_many_small_lines_are_judged_as_one() -> None:
    treaty = with_rule("method-gap", h_flop="0")
    split = [both(10, 1, workload=f"w{number}") for number in range(8)]
    (finding,) = judged(treaty, split)
    assert finding.figures["sum_flop"] == "48"


def test_activities_do_not_make_up_for_each_other() -> None:
    lines = [both(1_000, 1, "training"), both(1, 1_000, "inference")]
    found = judged(with_rule("method-gap", h_flop="0"), lines)
    assert {(item.figures["activity"], item.figures["low"]) for item in found} == {
        ("training", "model"),
        ("inference", "hardware"),
    }


def test_one_method_alone_is_unverifiable() -> None:
    lines = (line("training", 1, flop_model="5"), line("training", 1, workload="b", flop_hardware="5"), both(1, 1))
    rule = "method-gap"
    assert unknown(with_rule(rule), *lines, line("idle", 1)) == {
        Unverifiable(rule, cast.SITE, "hardware-absent"): 1,
        Unverifiable(rule, cast.SITE, "model-absent"): 1,
    }


# activity-shape -------------------------------------------------------------------------------------------------------


def shape(**parameters: JsonValue) -> TreatyDocument:
    return with_rule("activity-shape", h_flop="0", h_joules="0", **parameters)


@pytest.mark.parametrize("activity", ["inference", "evaluation", "other"])
def test_work_that_is_as_busy_as_training_is_named(activity: str) -> None:
    half = PEAK // 2  # 500 permille of one chip-second
    assert judged(shape(), [line(activity, 1_000, flop_model=str(half))]) == []
    (finding,) = judged(shape(), [line(activity, 1_000, flop_hardware=str(half + 1), joules="80")])
    assert finding.figures == {
        "shape": "flop-high",
        "activity": activity,
        "flop": str(half + 1),
        "possible_flop": str(PEAK),
        "sum_flop": "1",
        "work_flop_permille": "500",
        "h_flop": "0",
    }


@pytest.mark.parametrize("activity", ["inference", "evaluation", "other"])
def test_work_that_draws_what_training_draws_is_named(activity: str) -> None:
    assert judged(shape(), [line(activity, 1_000, joules="80")]) == []
    (finding,) = judged(shape(), [line(activity, 1_000, joules="81")])
    assert finding.figures == {
        "shape": "joules-high",
        "activity": activity,
        "joules": "81",
        "board_joules": "100",
        "sum_joules": "1",
        "work_joules_permille": "800",
        "h_joules": "0",
    }


def test_training_at_full_power_makes_its_least_flop() -> None:
    least = PEAK // 10  # 100 permille of one chip-second at 100 W
    assert judged(shape(), [line("training", 1_000, flop_model=str(least), joules="100")]) == []
    (finding,) = judged(shape(), [line("training", 1_000, flop_model=str(least - 1), joules="100")])
    assert finding.figures == {
        "shape": "flop-low",
        "activity": "training",
        "flop": str(least - 1),
        "expected_flop": str(least),
        "sum_flop": "1",
        "training_flop_permille": "100",
        "h_flop": "0",
    }
    half = line("training", 1_000, flop_model=str(least // 2), joules="55")  # half of what is above idling
    assert judged(shape(), [half]) == []
    assert judged(shape(), [line("training", 1_000, flop_model="0", joules="10")]) == []
    above = line("training", 1_000, flop_model=str(least), joules="100000")  # a board cannot draw more than it can
    assert judged(shape(), [above]) == []


def test_busy_training_and_rest_are_no_shape() -> None:
    lines = [line("training", 1_000, flop_model=str(PEAK), joules="100"), line("idle", 1_000, joules="100")]
    assert judged(shape(), lines) == []


def test_splitting_a_line_changes_nothing() -> None:
    whole = judged(shape(), [line("inference", 4_000, flop_model=str(3 * PEAK))])
    split = judged(
        shape(), [line("inference", 1_000, workload=f"w{i}", flop_model=str(3 * PEAK // 4)) for i in range(4)]
    )
    assert [item.figures for item in whole] == [item.figures for item in split]


def test_lines_without_figures_are_unverifiable_and_lend_their_chips_to_nobody() -> None:
    lines = (line("other", 1_000, flop_model=str(PEAK)), line("other", 1_000, workload="silent"))
    assert unknown(shape(), *lines) == {
        Unverifiable("activity-shape", cast.SITE, "flop-absent"): 1,
        Unverifiable("activity-shape", cast.SITE, "joules-absent"): 2,
    }
    (finding,) = judged(shape(), lines)
    assert finding.figures["possible_flop"] == str(PEAK)


# the sum itself -------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(-9, 12), min_size=1, max_size=40).flatmap(
        lambda values: st.tuples(st.just(values), st.permutations(range(len(values))))
    ),
    st.integers(0, 12),
)
def test_the_sum_is_pages_whatever_the_order_of_arrival(given: tuple[list[int], list[int]], limit: int) -> None:
    values, order = given
    series = Excursions(Columns(), limit)
    shown: dict[int, tuple[int, bool]] = {}
    for period in order:
        for value in (values[period] + 1, values[period]):  # a first version, corrected at once
            shown |= {item.period: (item.total, item.rose) for item in series.put(period, value)}
    terms, total = PageTerms(k=0, h=limit), 0
    for period, value in enumerate(values):
        before, total = total, terms.step(total, value)
        assert shown[period] == (total, before <= limit < total)
        since = [at for at, _, _ in series.excursion(period)]
        assert since == list(range(period, since[-1] - 1, -1))
        assert since[-1] == 0 or shown[since[-1] - 1][0] == 0


@pytest.mark.parametrize(
    ("before", "changed", "after"),
    [
        ((0, 0, 1, 6), (0, 4), [(0, 4, False), (1, 4, False), (2, 5, False), (3, 11, True)]),
        ((4, 0, 1, 6), (0, 0), [(0, 0, False), (1, 0, False), (2, 1, False), (3, 7, True)]),
        ((6, -9, 0, 6), (0, 5), [(0, 5, False), (1, 0, False)]),
        ((0, 0, 0, 6), (1, -1), [(1, 0, False)]),
        ((3, 3, 3, 3), (3, 9), [(3, 18, False)]),
    ],
)
def test_a_figure_that_changes_is_carried_to_where_the_sum_is_as_it_was(
    before: tuple[int, ...], changed: tuple[int, int], after: list[tuple[int, int, bool]]
) -> None:
    series = Excursions(Columns(), 5)
    for period, value in enumerate(before):
        series.put(period, value, f"{period}")
    told = series.put(*changed, "new")
    assert [(item.period, item.total, item.rose) for item in told] == after
    assert [item.note for item in told] == ["new", *(f"{item.period}" for item in told[1:])]
    (again,) = series.put(len(before), 1)
    assert again.total == {(0, 4): 12, (0, 0): 8, (0, 5): 7, (1, -1): 7, (3, 9): 19}[changed]


def test_an_excursion_reaches_back_to_where_the_sum_was_last_nothing() -> None:
    series = Excursions(Columns(), 5)
    assert (series.newest, series.get(0), list(series.excursion(0))) == (-1, None, [])
    for period, value in ((1, 3), (2, -4), (4, 2), (5, -1), (7, 9)):
        series.put(period, value, f"{period}")
    assert series.newest == 7
    assert series.get(5) == (-1, "5")
    assert list(series.excursion(7)) == [(7, 9, "7"), (5, -1, "5"), (4, 2, "4")]
    assert list(series.excursion(4)) == [(4, 2, "4")]
    assert [(item.period, item.total, item.rose) for item in series.drop(7)] == [(7, 0, False)]
    assert series.newest == 5
    assert [(item.period, item.total, item.rose) for item in series.put(6, 5)] == [(6, 6, True)]


@given(st.lists(st.integers(-5, 8), min_size=2, max_size=20), st.data())
def test_a_figure_that_is_dropped_was_never_there(values: list[int], data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, len(values) - 1))
    dropped, without = Excursions(Columns(), 3), Excursions(Columns(), 3)
    shown: dict[int, tuple[int, bool]] = {}
    expected: dict[int, tuple[int, bool]] = {gone: (0, False)}
    for period, value in enumerate(values):
        shown |= {item.period: (item.total, item.rose) for item in dropped.put(period, value)}
        if period != gone:
            expected |= {item.period: (item.total, item.rose) for item in without.put(period, value)}
    shown |= {item.period: (item.total, item.rose) for item in dropped.drop(gone)}
    assert shown == expected
    assert dropped.get(gone) is None
