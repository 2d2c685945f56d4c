"""The fast model and the judge of verifiers say the same of the same worlds: twenty scenarios, three in every run.

The agreement of a scenario is measured world by world, so its interval is that of the share of worlds in which the two
differ; in the long count also each scenario's own probability is known to two hundredths, by exact mode alone.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brakeline.explorer.commands import app
from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.model import exact
from brakeline.explorer.model.agree import Agreement, compare
from brakeline.explorer.model.books import WAYS
from brakeline.explorer.model.habits import Habits, RuleBook
from brakeline.explorer.model.intervals import wilson
from brakeline.explorer.model.rules import accused, first_passage, play
from brakeline.explorer.model.sample import draw, noise
from brakeline.explorer.scenario.load import ScenarioError
from brakeline.explorer.scenario.presets import preset
from brakeline.treaty.statistics.page import PageTerms
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

CASES: dict[str, dict[str, Any]] = {
    row["name"]: row for row in tomllib.loads(Path(__file__).with_name("agreement.toml").read_text())["case"]
}
SAMPLE = ("quiet-noisy", "serving-as-measured", "extra-chips-in-sight")
"""What every run plays; the others are played by `make soak`."""
WORLDS = 37
"""The fewest in which no difference means: less than a tenth, 95 % sure, half-width below 0.05."""
SEED = 7


def habits_of(case: dict[str, Any]) -> Habits:
    habits = Habits.of(preset(case["preset"]))
    return replace(habits, periods=case["days"] * habits.day, error=case["error"])


def compared(name: str, worlds: int, jobs: int = 1) -> Agreement:
    case = CASES[name]
    document = preset(case["preset"]).document
    found = compare(document, habits_of(case), case["strategy"], case["way"], int(case["flop"]), SEED, worlds, jobs)
    assert found is not None
    return found


def fast(name: str, worlds: int, seed: int) -> tuple[int, int]:
    """Return in how many worlds of another seed the fast model says that it is caught, and how many are feasible."""
    case, habits = CASES[name], habits_of(CASES[name])
    rules = RuleBook.of(preset(case["preset"]).document, habits)
    outcome = play(habits, rules, seed, worlds, case["strategy"], case["way"], case["flop"])
    return int((outcome.caught < habits.periods)[outcome.feasible].sum()), int(outcome.feasible.sum())


def test_there_are_twenty_scenarios_and_most_are_gambles() -> None:
    assert len(CASES) == 20
    shares = [caught / worlds for caught, worlds in (fast(name, 400, 11) for name in CASES)]
    assert sum(0.05 < share < 0.95 for share in shares) >= 12
    assert {case["strategy"] for case in CASES.values()} < set(WAYS)
    assert all(set(ways) <= set(STRATEGIES[name].ways) for name, ways in WAYS.items())


@pytest.mark.parametrize("name", SAMPLE)
def test_both_say_the_same_of_the_same_worlds(name: str) -> None:
    found = compared(name, WORLDS)
    assert (found.differ, found.later) == (0, 0)
    assert found.agrees
    assert (found.difference.high - found.difference.low) / 2 <= 0.05
    caught, worlds = fast(name, 4_000, SEED + 1)
    low, high = wilson(found.exact, found.worlds, 0.9999)
    assert low <= caught / worlds <= high


@pytest.mark.soak
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("name", CASES)
def test_both_probabilities_agree_within_two_hundredths(name: str) -> None:
    caught, worlds = fast(name, 20_000, SEED + 1)
    share = caught / worlds
    found = compared(name, 2_401 if 0.01 < share < 0.99 else 200, jobs=2)
    low, high = found.exact_interval
    print(
        f"{name}: exact {found.exact}/{found.worlds} ({low:.3f} to {high:.3f}), fast {share:.3f}, differ {found.differ}"
    )
    assert found.half_width <= 0.02
    assert (found.difference.high - found.difference.low) / 2 <= 0.02
    assert found.differ <= found.worlds // 1_000
    low, high = wilson(found.exact, found.worlds, 0.9999)
    assert low - 0.002 <= share <= high + 0.002


def test_every_strategy_that_the_fast_model_knows_is_told_alike_by_both() -> None:
    habits = habits_of(CASES["quiet-noisy"])
    document = preset("miri-draft").document
    for strategy, ways in WAYS.items():
        for way in ways[-1:]:
            found = compare(document, habits, strategy, way, 10**23, SEED, 1)
            if found is not None:
                assert (found.differ, found.later) == (0, 0), (strategy, way)


@pytest.mark.parametrize("strategy", ["unsaid", "as-evaluation", "secretly-through-the-pause", "thinned"])
def test_where_room_is_short_both_put_more_into_other_periods(strategy: str) -> None:
    habits, document = habits_of(CASES["quiet-eu"]), preset("eu-1e25").document
    full = habits.capacity * (habits.periods - 2 * habits.day) * habits.hide_utilisation
    for part in (0.62, 0.66, 0.70):
        flop = int(full * part)
        case = exact.Case(document.to_canonical(), habits, strategy, WAYS[strategy][0], flop)
        told = [item.feasible for item in exact.play(case, SEED, range(2))]
        outcome = play(habits, RuleBook.of(document, habits), SEED, 2, strategy, WAYS[strategy][0], float(flop))
        assert told == list(outcome.feasible)


def test_honest_worlds_are_quiet_or_loud_alike() -> None:
    document = preset("miri-draft").document
    habits = replace(habits_of(CASES["quiet-noisy"]), error=0.06)
    case = exact.Case(document.to_canonical(), habits)
    heard = [bool(item.rules) for item in exact.play(case, SEED, range(12))]
    found = accused(habits, RuleBook.of(document, habits), SEED, 12)
    assert heard == list(np.min([*found.values()], axis=0) < habits.periods)
    assert 0 < sum(heard) < 12


def test_exact_mode_is_the_same_whatever_the_number_of_processes() -> None:
    assert compared("quiet-noisy", 2, jobs=2) == compared("quiet-noisy", 2)


def test_exact_mode_refuses_what_the_corpus_does_not_play() -> None:
    habits = habits_of(CASES["lost"])
    for other in (replace(habits, hide_power=0.5), replace(habits, metered=0.5)):
        with pytest.raises(ScenarioError, match="exact-habits"):
            exact.check(other)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40), st.integers(0, 60))
def test_first_passage_is_pages_test(values: list[int], limit: int) -> None:
    expected = PageTerms(k=0, h=limit).first_signal(values)
    (found,) = first_passage(np.array([values], dtype=np.float64).T, float(limit))
    assert found == (len(values) if expected is None else expected)


def test_shares_of_time_add_up_and_the_same_seed_draws_the_same() -> None:
    habits = Habits.of(preset("us-1e26"))
    one = draw(habits, 3, 20)
    total = one.train + one.waiting + one.lost + one.serve + one.check + one.repair + one.idle
    assert np.allclose(total, 1.0)
    assert (one.idle >= 0.0).all()
    assert (one.train_joules <= one.train * (1 + 1e-12)).all()
    draw.cache_clear()
    noise.cache_clear()
    again = draw(habits, 3, 20)
    assert np.array_equal(one.reading, again.reading)
    assert not np.array_equal(one.reading, draw(habits, 4, 20).reading)
    assert abs(float(again.reading.std()) / habits.error - 1) < 0.1


def test_the_command_shows_both_and_refuses_other_habits() -> None:
    words = ["exact", "miri-draft", "--worlds", "2", "--days", "4", "--adversary", "quiet", "--flop", "1e23"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "they differ in 0" in told.stdout
    assert '"agrees": true' in CliRunner().invoke(app, [*words, "--format", "json"]).stdout
