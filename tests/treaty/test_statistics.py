"""The exact statistics against brute force, and the exploring ones against simulation and published tables."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
from brakeline.treaty.quantities import DurationMs, Flop
from brakeline.treaty.statistics import attribute, segments
from brakeline.treaty.statistics.attribute import approximate_sample, miss_probability, smallest_sample
from brakeline.treaty.statistics.bounds import StatisticsError
from brakeline.treaty.statistics.chip_sampling import Visit, guilty_chips, looks_needed, met_probability
from brakeline.treaty.statistics.committee import captured, split_view_seen
from brakeline.treaty.statistics.exact import power_at_most, smallest
from brakeline.treaty.statistics.exploring.fusion import Hint, fuse
from brakeline.treaty.statistics.exploring.muf import gemuf, loss_seen, sitmuf, smallest_loss_seen
from brakeline.treaty.statistics.exploring.normal import cumulative, quantile
from brakeline.treaty.statistics.exploring.run_length import average_run_length, interval_for
from brakeline.treaty.statistics.page import PageTerms, terms_for
from brakeline.treaty.statistics.segments import forgery_seen, segments_needed
from brakeline.treaty.statistics.timeliness import chips_below, time_to_quantity, timely
from hypothesis import assume, given
from hypothesis import strategies as st

H100 = Flop(989 * 10**12)
ONE = Fraction(1)
shares = st.fractions(0, 1, max_denominator=50)
inner = st.fractions(Fraction(1, 50), Fraction(49, 50), max_denominator=50)


@st.composite
def samples(draw: st.DrawFn, most: int = 9) -> tuple[int, int, int]:
    population = draw(st.integers(1, most))
    return population, draw(st.integers(0, population)), draw(st.integers(0, population))


def mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


# Powers --------------------------------------------------------------------------------------------------------------


@given(shares, st.integers(0, 40), shares)
def test_a_power_is_compared_as_if_computed(base: Fraction, exponent: int, bound: Fraction) -> None:
    assert power_at_most(base, exponent, bound) == (base**exponent <= bound)


@given(inner, st.integers(1, 60))
def test_a_bound_that_is_the_power_itself_is_reached(base: Fraction, exponent: int) -> None:
    power = base**exponent
    assert power_at_most(base, exponent, power)
    assert not power_at_most(base, exponent, power - Fraction(1, 10**400))


def test_a_power_too_long_to_write_down_is_still_compared() -> None:
    base, goal = 1 - Fraction(1, 10**9), Fraction(5, 100)
    needed = smallest(lambda n: power_at_most(base, n, goal))
    assert math.isclose(needed, math.log(20) * 10**9, rel_tol=1e-9)
    assert power_at_most(base, needed, goal)
    assert not power_at_most(base, needed - 1, goal)


@given(st.integers(0, 500))
def test_the_smallest_is_found_and_nothing_far_above_it_is_tried(answer: int) -> None:
    tried: list[int] = []

    def enough(n: int) -> bool:
        tried.append(n)
        return n >= answer

    assert smallest(enough) == answer
    assert max(tried) <= 2 * answer
    assert len(tried) <= 2 * answer.bit_length() + 2


# Attribute sampling --------------------------------------------------------------------------------------------------


@given(samples(), shares)
def test_the_miss_probability_is_that_of_every_possible_draw(case: tuple[int, int, int], seen: Fraction) -> None:
    population, false, drawn = case
    draws = itertools.combinations(range(population), drawn)
    missed = [(1 - seen) ** sum(item < false for item in draw) for draw in draws]
    assert miss_probability(population, false, drawn, seen) == mean(missed)


@given(samples(40), shares)
def test_drawing_n_of_d_and_d_of_n_is_the_same(case: tuple[int, int, int], seen: Fraction) -> None:
    population, false, drawn = case
    assert miss_probability(population, false, drawn, seen) == miss_probability(population, drawn, false, seen)


@given(samples(60), inner)
def test_more_items_drawn_or_false_and_a_better_check_never_miss_more(
    case: tuple[int, int, int], seen: Fraction
) -> None:
    population, false, drawn = case
    here = miss_probability(population, false, drawn, seen)
    assert miss_probability(population, false, drawn) <= here
    if drawn < population:
        assert miss_probability(population, false, drawn + 1, seen) <= here
    if false < population:
        assert miss_probability(population, false + 1, drawn, seen) <= here


@given(samples(40), inner, st.fractions(Fraction(1, 4), 1, max_denominator=8))
def test_the_exact_sample_is_enough_and_one_less_is_not(
    case: tuple[int, int, int], miss: Fraction, seen: Fraction
) -> None:
    population, false, _ = case
    assume((1 - seen) ** false <= miss)
    size = smallest_sample(population, false, miss, seen)
    assert miss_probability(population, false, size, seen) <= miss
    assert size == 0 or miss_probability(population, false, size - 1, seen) > miss


@given(st.integers(1, 300), st.data())
def test_the_approximation_is_never_below_the_exact_sample(population: int, data: st.DataObject) -> None:
    false = data.draw(st.integers(1, population))
    miss = data.draw(inner)
    assert approximate_sample(population, false, miss) >= smallest_sample(population, false, miss)


@given(st.integers(1, 5000), st.data())
def test_the_approximation_is_its_formula(population: int, data: st.DataObject) -> None:
    false = data.draw(st.integers(1, population))
    miss = data.draw(inner)
    by_float = population * (1 - float(miss) ** (1 / false))
    assume(abs(by_float - round(by_float)) > 1e-6)
    assert approximate_sample(population, false, miss) == math.ceil(by_float)


def test_the_approximation_can_be_far_above() -> None:
    miss = Fraction(1, 1000)
    assert (approximate_sample(1000, 968, miss), smallest_sample(1000, 968, miss)) == (8, 2)


def test_a_table_of_a_million_rows_takes_no_time() -> None:
    seen = Fraction(9, 10)
    size = smallest_sample(720_000, 7_200, Fraction(5, 100), seen)
    assert size == 332
    assert smallest_sample(10**9, 10**6, Fraction(5, 100)) <= approximate_sample(10**9, 10**6, Fraction(5, 100))


def test_nothing_false_is_never_seen_and_everything_drawn_sees_all() -> None:
    assert miss_probability(10, 0, 10) == 1
    assert miss_probability(10, 1, 10) == 0
    assert smallest_sample(10, 3, Fraction(0)) == 8
    assert smallest_sample(10, 3, ONE) == 0


def test_a_goal_that_looking_at_everything_misses_is_unreachable() -> None:
    with pytest.raises(StatisticsError) as caught:
        smallest_sample(100, 2, Fraction(1, 100), Fraction(1, 2))
    assert caught.value.code == "statistics-unreachable"
    with pytest.raises(StatisticsError) as caught:
        smallest_sample(100, 0, Fraction(1, 100))
    assert caught.value.code == "statistics-unreachable"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: miss_probability(10**9, attribute.MAX_TERMS + 1, 10**8),
        lambda: miss_probability(10**9, attribute.MAX_IMPERFECT_TERMS + 1, 10**8, Fraction(1, 2)),
        lambda: forgery_seen(Fraction(1, 2), ONE, segments.MAX_SEGMENTS + 1),
        lambda: met_probability([Visit(1, 60_000), Visit(1, 60_000)], 10, ONE),
    ],
)
def test_what_would_take_too_long_is_refused(ask: Callable[[], Fraction]) -> None:
    with pytest.raises(StatisticsError) as caught:
        ask()
    assert caught.value.code == "statistics-too-large"
    assert caught.value.fix


# Chips and segments --------------------------------------------------------------------------------------------------


@given(st.integers(1, 50), st.data(), inner, inner)
def test_looks_needed_are_enough_and_one_less_is_not(
    fleet: int, data: st.DataObject, seen: Fraction, miss: Fraction
) -> None:
    guilty = data.draw(st.integers(1, fleet))
    looks = looks_needed(guilty, fleet, seen, miss)
    assert 1 - met_probability([Visit(guilty, looks)], fleet, seen) <= miss
    assert 1 - met_probability([Visit(guilty, looks - 1)], fleet, seen) > miss


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=4), shares)
def test_visits_multiply(pairs: list[tuple[int, int]], seen: Fraction) -> None:
    visits = [Visit(guilty, looks) for guilty, looks in pairs]
    missed = math.prod((1 - met_probability([visit], 5, seen) for visit in visits), start=ONE)
    assert met_probability(visits, 5, seen) == 1 - missed


def test_one_visit_is_every_sequence_of_looks() -> None:
    draws = list(itertools.product(range(4), repeat=3))
    met = Fraction(sum(any(chip < 1 for chip in draw) for draw in draws), len(draws))
    assert met_probability([Visit(1, 3)], 4, ONE) == met


def test_the_published_fleet() -> None:
    guilty = guilty_chips(Flop(10**25), H100, Fraction(4, 10), DurationMs(30 * 86_400_000))
    miss = Fraction(1, 10)
    assert guilty == 9752
    assert approximate_sample(10**6, guilty, miss) == 237
    assert smallest_sample(10**6, guilty, miss) == 235


def test_a_small_run_still_needs_a_chip() -> None:
    assert guilty_chips(Flop(1), H100, ONE, DurationMs(1000)) == 1


@given(inner, inner, inner)
def test_segments_needed_are_enough_and_one_less_is_not(forged: Fraction, seen: Fraction, miss: Fraction) -> None:
    needed = segments_needed(forged, seen, miss)
    assert 1 - forgery_seen(forged, seen, needed) <= miss
    assert 1 - forgery_seen(forged, seen, needed - 1) > miss


def test_one_percent_forged_at_95_percent_needs_299() -> None:
    assert segments_needed(Fraction(1, 100), ONE, Fraction(5, 100)) == 299


@pytest.mark.parametrize(
    "ask",
    [
        lambda: segments_needed(Fraction(0), ONE, Fraction(1, 2)),
        lambda: segments_needed(Fraction(1, 2), Fraction(0), Fraction(1, 2)),
        lambda: segments_needed(Fraction(1, 2), ONE, Fraction(0)),
        lambda: looks_needed(0, 10, ONE, Fraction(1, 2)),
        lambda: looks_needed(5, 10, ONE, Fraction(0)),
    ],
)
def test_goals_that_draws_with_replacement_never_reach(ask: Callable[[], int]) -> None:
    with pytest.raises(StatisticsError) as caught:
        ask()
    assert caught.value.code == "statistics-unreachable"


# Committees ----------------------------------------------------------------------------------------------------------


@given(samples(), st.integers(0, 9))
def test_capture_is_counted_over_every_committee(case: tuple[int, int, int], enough: int) -> None:
    members, bad, drawn = case
    committees = list(itertools.combinations(range(members), drawn))
    caught = sum(sum(member < bad for member in committee) >= enough for committee in committees)
    assert captured(members, bad, drawn, enough) == Fraction(caught, len(committees))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.data())
def test_a_split_view_is_counted_over_every_audit(sides: list[int], data: st.DataObject) -> None:
    logs = [side for side, count in enumerate(sides) for _ in range(count)]
    audited = data.draw(st.integers(0, len(logs)))
    audits = list(itertools.combinations(logs, audited))
    seen = sum(len(set(audit)) > 1 for audit in audits)
    assert split_view_seen(sides, audited) == Fraction(seen, len(audits))


def test_the_published_committees() -> None:
    assert captured(15, 4, 5, 3) == Fraction(231, 3003)
    assert split_view_seen([3, 4], 3) == Fraction(6, 7)


# Timeliness ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**26), st.integers(1, 10**6), st.fractions(Fraction(1, 100), 1, max_denominator=100))
def test_the_quantity_is_not_there_before_its_time_and_is_there_after(
    quantity: int, chips: int, used: Fraction
) -> None:
    time_ms = time_to_quantity(Flop(quantity), chips, H100, used)
    per_ms = chips * H100.value * used / 1000
    assert time_ms * per_ms <= quantity < (time_ms + 1) * per_ms


def test_detect_decide_and_stop_must_fit() -> None:
    month = time_to_quantity(Flop(10**24), 1000, H100, Fraction(4, 10))
    day = DurationMs(86_400_000)
    assert timely(month, DurationMs(27 * day.value), day, day)
    assert not timely(month, DurationMs(28 * day.value), day, day)
    assert timely(3, DurationMs(1), DurationMs(1), DurationMs(1))


def test_the_cluster_line() -> None:
    assert chips_below(Flop(10**20), H100) == 101_112
    assert chips_below(Flop(H100.value * 7), H100) == 7
    assert chips_below(Flop(H100.value * 7 - 1), H100) == 6


# Page's test ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-20, 20), max_size=30), st.integers(0, 5), st.integers(0, 30))
def test_the_sum_is_the_largest_of_all_recent_sums(values: list[int], k: int, h: int) -> None:
    terms, total = PageTerms(k, h), 0
    for end, value in enumerate(values, start=1):
        total = terms.step(total, value)
        assert total == max(0, *(sum(x - k for x in values[start:end]) for start in range(end)))
    fired = terms.first_signal(values)
    assert (fired is None) or 0 <= fired < len(values)


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(0, 5), st.integers(0, 20))
def test_a_larger_h_never_signals_sooner(values: list[int], k: int, h: int) -> None:
    early, late = PageTerms(k, h).first_signal(values), PageTerms(k, h + 1).first_signal(values)
    assert late is None or (early is not None and early <= late)


def test_terms_round_up() -> None:
    assert terms_for(7, Fraction(1, 2), Fraction(4)) == PageTerms(4, 28)
    assert terms_for(0, Fraction(1, 2), Fraction(4)) == PageTerms(0, 0)


# Bad questions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda: miss_probability(-1, 0, 0),
        lambda: miss_probability(10, 11, 1),
        lambda: miss_probability(10, 1, 11),
        lambda: miss_probability(10, 1, 1, Fraction(3, 2)),
        lambda: smallest_sample(10**19, 1, ONE),
        lambda: smallest_sample(10, 1, Fraction(-1, 2)),
        lambda: approximate_sample(10, 0, Fraction(1, 2)),
        lambda: approximate_sample(0, 0, Fraction(1, 2)),
        lambda: power_at_most(Fraction(2), 1, ONE),
        lambda: looks_needed(11, 10, ONE, Fraction(1, 2)),
        lambda: met_probability([Visit(11, 1)], 10, ONE),
        lambda: guilty_chips(Flop(1), Flop(0), ONE, DurationMs(1)),
        lambda: guilty_chips(Flop(1), H100, Fraction(0), DurationMs(1)),
        lambda: guilty_chips(Flop(1), H100, ONE, DurationMs(0)),
        lambda: captured(5, 6, 1, 1),
        lambda: captured(5, 1, 6, 1),
        lambda: split_view_seen([1, 1], 3),
        lambda: split_view_seen([9_000, 9_000], 3),
        lambda: time_to_quantity(Flop(1), 0, H100, ONE),
        lambda: terms_for(1, Fraction(-1), ONE),
        lambda: loss_seen(1.0, 0.0, 0.05),
        lambda: loss_seen(math.nan, 1.0, 0.05),
        lambda: smallest_loss_seen(1.0, 0.05, 1.0),
        lambda: quantile(0.0),
        lambda: average_run_length(0.5, 0.0),
        lambda: average_run_length(-0.5, 4.0),
        lambda: interval_for(0.5, 1e12),
        lambda: fuse(1.0, [], {}),
        lambda: fuse(0.5, [Hint(0.0, "a")], {"a": 0.0}),
        lambda: fuse(0.5, [Hint(2.0, "a")], {"a": 2.0}),
        lambda: sitmuf([1.0], [[1.0, 0.0]]),
        lambda: sitmuf([1.0, 1.0], [[1.0, 0.5], [0.4, 1.0]]),
        lambda: sitmuf([1.0, 1.0], [[1.0, 2.0], [2.0, 1.0]]),
    ],
)
def test_a_question_out_of_bounds_has_a_code(ask: Callable[[], object]) -> None:
    with pytest.raises(StatisticsError) as caught:
        ask()
    assert caught.value.code == "statistics-range"
    assert caught.value.expected
    assert caught.value.found


def test_a_float_or_a_bool_is_the_callers_mistake() -> None:
    with pytest.raises(TypeError):
        miss_probability(10, 1, 1, 0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        miss_probability(10, True, 1)
    with pytest.raises(KeyError):
        fuse(0.5, [Hint(2.0, "unnamed")], {})


# Exploring -----------------------------------------------------------------------------------------------------------


@given(st.floats(-8, 8))
def test_the_quantile_undoes_the_cumulative(x: float) -> None:
    probability = cumulative(x)
    assume(1e-12 < probability < 1 - 1e-12)
    assert math.isclose(cumulative(quantile(probability)), probability, rel_tol=1e-9)


@given(st.floats(0.01, 100), st.floats(0.001, 0.4), st.floats(0.5, 0.999))
def test_the_smallest_loss_seen_is_seen_as_often_as_asked(sigma: float, alarm: float, seen: float) -> None:
    assert math.isclose(loss_seen(smallest_loss_seen(sigma, alarm, seen), sigma, alarm), seen, abs_tol=1e-9)


def test_no_loss_is_seen_as_often_as_a_false_alarm() -> None:
    assert math.isclose(loss_seen(0.0, 1.0, 0.05), 0.05, abs_tol=1e-12)


@pytest.mark.parametrize(("loss", "seen"), [(1, 0.260), (2, 0.639), (3, 0.912), (3.29, 0.950)])
def test_the_published_power_of_the_muf_test(loss: float, seen: float) -> None:
    assert loss_seen(loss, 1.0, 0.05) == pytest.approx(seen, abs=0.001)


@pytest.mark.parametrize(
    ("h", "shift", "length"),
    [(4, 0, 335.4), (4, 0.5, 26.6), (4, 1, 8.38), (4, 2, 3.34), (5, 0, 930.9), (5, 0.5, 38.0), (5, 1, 10.38)],
)
def test_published_average_run_lengths(h: float, shift: float, length: float) -> None:
    assert average_run_length(0.5, h, shift) == pytest.approx(length, rel=0.005)


def test_average_run_length_is_that_of_a_simulation() -> None:
    source, lengths = random.Random(1), []
    for _ in range(4000):
        total, periods = 0.0, 0
        while total <= 3.0:
            total, periods = max(0.0, total + source.gauss(0.5, 1.0) - 0.5), periods + 1
        lengths.append(periods)
    exact = average_run_length(0.5, 3.0, 0.5)
    assert sum(lengths) / len(lengths) == pytest.approx(exact, rel=0.06)


def test_the_interval_gives_the_run_length_asked_for() -> None:
    h = interval_for(0.5, 930.9)
    assert h == pytest.approx(5.0, abs=0.001)
    assert average_run_length(0.5, h) >= 930.9


def test_a_smaller_loss_takes_longer_to_see() -> None:
    lengths = [average_run_length(0.5, 4.0, shift / 4) for shift in range(9)]
    assert lengths == sorted(lengths, reverse=True)


def test_independent_balances_are_standardised_and_correlated_ones_made_independent() -> None:
    assert sitmuf([2.0, 6.0], [[4.0, 0.0], [0.0, 9.0]]) == pytest.approx([1.0, 2.0])
    first, second = sitmuf([1.0, 1.0], [[1.0, -0.5], [-0.5, 1.0]])
    assert (first, second) == pytest.approx((1.0, 1.5 / math.sqrt(0.75)))
    assert gemuf([1.0, 1.0], [[1.0, -0.5], [-0.5, 1.0]]) == pytest.approx(4.0)


@given(st.lists(st.floats(0.1, 10), max_size=5), st.floats(0.01, 0.99), st.floats(0, 1))
def test_fusing_does_not_depend_on_the_order_and_correlation_only_weakens(
    ratios: list[float], prior: float, shared: float
) -> None:
    hints = [Hint(ratio, "g") for ratio in ratios]
    here = fuse(prior, hints, {"g": shared})
    assert fuse(prior, hints[::-1], {"g": shared}) == pytest.approx(here)
    assert abs(here - prior) <= abs(fuse(prior, hints, {"g": 0.0}) - prior) + 1e-12


def test_independent_evidence_multiplies_the_odds() -> None:
    hints = [Hint(4.0, "energy"), Hint(0.5, "network")]
    assert fuse(0.2, hints, {"energy": 0.0, "network": 0.0}) == pytest.approx(0.5 / 1.5)


def test_the_same_hint_twice_is_one_hint() -> None:
    assert fuse(0.5, [Hint(9.0, "g")] * 7, {"g": 1.0}) == pytest.approx(0.9)


def test_overwhelming_evidence_neither_overflows_nor_leaves_the_unit_interval() -> None:
    hints = [Hint(1e30, str(number)) for number in range(40)]
    correlation = {hint.group: 0.0 for hint in hints}
    assert fuse(0.5, hints, correlation) == pytest.approx(1.0)
    against = [Hint(1e-30, hint.group) for hint in hints]
    assert 0.0 <= fuse(0.5, against, correlation) < 1e-100
