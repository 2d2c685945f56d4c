"""How often are the honest accused? By simulation, at the severities at which cheats count as caught.

Beside it, in closed form, the energy test's average run length between false alarms, where readings are independent
(:mod:`brakeline.treaty.statistics.exploring.run_length`): k and h in standard deviations of a period's reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from brakeline.explorer.answers.detect import Setup, detect
from brakeline.explorer.answers.figures import YEAR_DAYS, weakest
from brakeline.explorer.answers.forms import QUESTIONS, Answer, Cell, Column, Figure, Rule, Series
from brakeline.explorer.model.books import honest
from brakeline.explorer.model.intervals import Interval, rate
from brakeline.explorer.model.rules import accused
from brakeline.explorer.model.sample import draw
from brakeline.explorer.scenario.form import Adversary, Grade
from brakeline.explorer.scenario.load import Scenario
from brakeline.treaty.statistics.exploring.run_length import average_run_length

_CAVEAT = (
    "Honest sites as the scenario describes them; a real site fails in ways that nobody wrote down. A finding opens a "
    "query with a right of reply, and accuses nobody yet. No alarm in all worlds bounds the rate, no more."
)
_MOST_SIGMAS = 40.0
_SHARES = (0, 2, 5, 10, 15, 20, 25, 30, 40, 60, 100)
"""Thousandths forgiven by the energy test, for the trade-off."""


def answer(scenario: Scenario, trials: int | None = None) -> Answer:
    """Answer for *scenario*, with *trials* worlds (default: the scenario's)."""
    setup = Setup.of(scenario, trials)
    hits, (each, ends) = _hits(setup), per_site_year(setup)
    sites = sum(item.count.value * item.joins.value * item.sites.value for item in scenario.terms.labs)
    figures = tuple(_figures(setup, hits, each, ends, sites))
    most = f"at most {ends.high:.2g}" if not any(hits.values()) else f"{each:.2g} ({ends.low:.2g} to {ends.high:.2g})"
    told = (
        f"An honest site gets {most} queries a year (95 %), so that {sites:,.0f} sites get up to "
        f"{sites * ends.high:,.3g} a year between them."
    )
    return Answer("accused", QUESTIONS["accused"], told, _CAVEAT, figures, (_by_rule(setup, hits), _trade(setup)))


def per_site_year(setup: Setup) -> tuple[float, Interval]:
    """Return how often a rule speaks of an honest site, a year, and its 95 % interval."""
    found = accused(setup.habits, setup.rules, setup.seed, setup.trials)
    first = np.min([*found.values(), np.full(setup.trials, setup.habits.periods)], axis=0)
    return rate(int((first < setup.habits.periods).sum()), setup.trials, _span(setup))


def _span(setup: Setup) -> float:
    return setup.habits.periods * setup.period_days / YEAR_DAYS


def _hits(setup: Setup) -> dict[str, int]:
    found = accused(setup.habits, setup.rules, setup.seed, setup.trials)
    return {rule: int((first < setup.habits.periods).sum()) for rule, first in found.items()}


def run_length_years(setup: Setup) -> float | None:
    """Return the years between false alarms of the energy test by Page's integral equation; None where it has none.

    For independent readings; k or h above 40 standard deviations counts as 40, which is never in practice.
    """
    habits, rules = setup.habits, setup.rules
    if "energy-gap" not in rules.rules or habits.error == 0.0:
        return None
    attested = float(np.mean(honest(habits, draw(habits, setup.seed, setup.trials)).attested))
    sigma = habits.error * attested
    k = (rules.energy_k + rules.energy_share * attested) / sigma
    h = max(rules.energy_h / sigma, 1e-6)
    periods = average_run_length(min(k, _MOST_SIGMAS), min(h, 0.999 * _MOST_SIGMAS))
    return periods * setup.period_days / YEAR_DAYS if 0.0 < periods < 1e12 else None


def _figures(setup: Setup, hits: dict[str, int], each: float, ends: Interval, sites: float) -> Iterator[Figure]:
    terms = setup.scenario.terms
    formula = "-ln(1 - worlds with a finding / worlds) / years of a world"
    source = "simulation; interval: Clopper and Pearson 1934"
    yield Figure(
        "rate",
        "findings of an honest site",
        each,
        "a year",
        formula,
        Grade.ASSUMED,
        source,
        seed=setup.seed,
        trials=setup.trials,
        low=ends.low,
        high=ends.high,
    )
    formula = "rate x sites under the treaty"
    low, high = sites * ends.low, sites * ends.high
    yield Figure(
        "fleet",
        "of all sites together",
        sites * each,
        "a year",
        formula,
        Grade.ASSUMED,
        source,
        seed=setup.seed,
        trials=setup.trials,
        low=low,
        high=high,
    )
    grades = [given for item in terms.labs for given in (item.count, item.sites, item.joins)]
    yield Figure("sites", "sites under the treaty", sites, "", "sum of count x joins x sites", weakest(*grades))
    years = run_length_years(setup)
    note = "" if years is not None else "more than a million million periods, or no energy test"
    note = (
        note if terms.meters.correlation.value == 0 else f"{note}; readings of a site are correlated here".lstrip("; ")
    )
    source = "E. S. Page, Biometrika 41 (1954)"
    grade = weakest(terms.meters.error)
    yield Figure(
        "run-length",
        "energy test between false alarms, independent readings",
        years,
        "years",
        "Page's integral equation",
        grade,
        source,
        note=note,
    )
    for rule, hit in hits.items():
        one, its = rate(hit, setup.trials, _span(setup))
        yield Figure(
            f"rate-{rule}",
            f"of which by {rule}",
            one,
            "a year",
            "as above",
            Grade.ASSUMED,
            "simulation",
            seed=setup.seed,
            trials=setup.trials,
            low=its.low,
            high=its.high,
        )


def _by_rule(setup: Setup, hits: dict[str, int]) -> Series:
    rows: list[tuple[Cell, ...]] = []
    for rule, hit in hits.items():
        one, its = rate(hit, setup.trials, _span(setup))
        rows.append((rule, one, its.low, its.high))
    columns = (
        Column("rule", "rule", kind="name"),
        Column("rate", "findings of an honest site", "a year"),
        Column("low", "95 %: low"),
        Column("high", "95 %: high"),
    )
    return Series(
        "rules",
        "Findings of an honest site, by rule",
        columns,
        tuple(rows),
        "bar",
        "rule",
        "rate",
        low="low",
        high="high",
    )


def _trade(setup: Setup) -> Series:
    """Return what forgiving less costs the honest, and what it shows of a tenth of a significant quantity, unsaid."""
    adversary = Adversary(name="quiet", strategy="unsaid", way="evenly")
    rows: list[tuple[Cell, ...]] = []
    for share in _SHARES:
        moved = replace(setup, rules=replace(setup.rules, energy_share=share / 1000))
        each, ends = per_site_year(moved)
        seen = detect(moved, adversary, setup.quantity / 10)
        assert seen is not None
        rows.append((share, each, ends.low, ends.high, seen.probability))
    columns = (
        Column("k_permille", "forgiven by energy-gap", "thousandths"),
        Column("rate", "findings of an honest site", "a year"),
        Column("low", "95 %: low"),
        Column("high", "95 %: high"),
        Column("probability", "a tenth of a significant quantity is caught"),
    )
    now = Rule("k_permille", setup.rules.energy_share * 1000, "the treaty")
    return Series(
        "trade-off",
        "What forgiving less costs, and buys",
        columns,
        tuple(rows),
        "line",
        "k_permille",
        "rate",
        low="low",
        high="high",
        rules=(now,),
    )
