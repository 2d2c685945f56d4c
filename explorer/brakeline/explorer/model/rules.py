"""The rules in force, on arrays: the first period in which each speaks, in all worlds at once.

The twins of ``energy-gap``, ``muf``, ``activity-shape``, ``method-gap``, ``idle-compute``, ``undeclared-run``,
``contradiction`` (counts of chips), ``equivocation`` and ``missing-period`` in :mod:`brakeline.treaty.rules` and
:mod:`brakeline.treaty.reconcile`; their arithmetic in words is there. Page's sum: S <- max(0, S + x), speaks when
S > h (E. S. Page, Biometrika 41, 1954).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from brakeline.explorer.model.books import WAYS, Books, cheat, honest, span_of
from brakeline.explorer.model.habits import Habits, Rule, RuleBook
from brakeline.explorer.model.sample import Array, Sample, draw
from numpy.typing import NDArray

Periods = NDArray[np.int64]


def first_passage(excess: Array, limit: float) -> Periods:
    """Return by world the first period in which Page's sum of *excess* (periods x worlds) is above *limit*.

    The number of periods where it never is.

    >>> first_passage(np.array([[1.0], [-3.0], [2.0], [2.0]]), 3.0)
    array([3])
    """
    periods, worlds = excess.shape
    first = np.full(worlds, periods, dtype=np.int64)
    if not (excess > 0.0).any():
        return first
    total = np.zeros(worlds)
    for period in range(periods):
        total += excess[period]
        np.maximum(total, 0.0, out=total)
        first[(total > limit) & (first == periods)] = period
    return first


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a cheat in all worlds.

    Attributes:
        periods: length of a world; *began*: the period in which hiding began.
        feasible: by world.
        caught: by world, the first period in which a rule speaks that had nothing to say of the honest site; *periods*
            where none does.
        by: rule -> the same, rule by rule.
    """

    periods: int
    began: int
    feasible: NDArray[np.bool_]
    caught: Periods
    by: dict[Rule, Periods]

    @property
    def delays(self) -> Periods:
        """Periods from the begin until the end of the period that gave it away, of feasible worlds that are caught."""
        known = self.caught[self.feasible & (self.caught < self.periods)]
        return np.maximum(0, known + 1 - self.began)


@lru_cache(maxsize=64)
def accused(habits: Habits, rules: RuleBook, seed: int, trials: int) -> dict[Rule, Periods]:
    """Return rule -> by world, the first period in which it speaks of an honest site."""
    sample = draw(habits, seed, trials)
    return dict(_speak(habits, rules, honest(habits, sample), sample))


@lru_cache(maxsize=4096)
def play(habits: Habits, rules: RuleBook, seed: int, trials: int, strategy: str, way: str, flop: float) -> Outcome:
    """Let a cheat hide *flop* (FLOP) in *trials* worlds, and judge (``KeyError``: not in ``WAYS``)."""
    sample, plain = draw(habits, seed, trials), accused(habits, rules, seed, trials)
    span = span_of(habits, way)
    books = cheat(habits, rules, sample, strategy, way, flop)
    silent = strategy in ("dropped", "other-hall")
    found: dict[Rule, Periods] = {}
    if not silent:
        found.update(_speak(habits, rules, books, sample, honest(habits, sample)))
    found.update(_certain(habits, rules, strategy, flop, span))
    if strategy == "ghost-chips" and way == "in sight of inspectors" and "contradiction" in rules.rules:
        found["contradiction"] = _visited(sample.visited if rules.inspecting else np.zeros_like(sample.visited))
    feasible = np.ones(trials, dtype=np.bool_) if strategy == "other-hall" else books.feasible
    never = habits.periods
    kept: dict[Rule, Periods] = {}
    for rule, first in found.items():
        before = plain.get(rule)
        kept[rule] = first if before is None else np.where(before < never, never, first)
    worst = np.full(trials, never, dtype=np.int64)
    for first in kept.values():
        worst = np.minimum(worst, first)
    return Outcome(never, span.start, feasible, worst, kept)


def _visited(visited: NDArray[np.bool_]) -> Periods:
    first: Periods = visited.argmax(axis=0).astype(np.int64)
    first[~visited.any(axis=0)] = visited.shape[0]
    return first


def _speak(
    habits: Habits, rules: RuleBook, books: Books, sample: Sample, plain: Books | None = None
) -> Iterator[tuple[Rule, Periods]]:
    """Yield every rule that sums figures of the books, and when it speaks.

    With *plain*, the honest books of the same worlds, sums over figures that are equal in both are left out: what they
    say of the cheat they say of the honest site, and it does not count.
    """
    never, metered, reading = np.int64(habits.periods), sample.metered, sample.reading
    if "energy-gap" in rules.rules and rules.metering:
        first = first_passage(energy_excess(rules, books, reading), rules.energy_h)
        yield "energy-gap", np.where(metered, first, never)
    if "muf" in rules.rules and (plain is None or books.lost is not plain.lost):
        yield "muf", first_passage(books.lost - rules.muf_share, rules.muf_h)
    if "activity-shape" in rules.rules:
        yield "activity-shape", _shape(habits, rules, books, plain)
    if "method-gap" in rules.rules and (plain is None or books.hardware is not plain.hardware):
        yield "method-gap", _methods(rules, books)
    if "idle-compute" in rules.rules and not books.quiet:
        yield "idle-compute", np.full(metered.shape, habits.day, dtype=np.int64)


def energy_excess(rules: RuleBook, books: Books, reading: Array) -> Array:
    """Return metered - k - (1 + share) PUE attested, over PUE: in joules of the boards."""
    return books.boards * reading - rules.energy_k - (1.0 + rules.energy_share) * books.attested


def _shape(habits: Habits, rules: RuleBook, books: Books, plain: Books | None) -> Periods:
    first = np.full(books.boards.shape[1], habits.periods, dtype=np.int64)
    same: tuple[object, ...] = (None,) if plain is None else (None, plain.train, plain.serve, plain.check)
    for line in (books.serve, books.check, books.other):
        if line is None or any(line is known for known in same):
            continue
        first = np.minimum(first, first_passage(line.flop - rules.work_flop * line.share, rules.shape_flop))
        first = np.minimum(first, first_passage(line.joules - rules.work_joules * line.share, rules.shape_joules))
    train, rest = books.train, habits.rest
    if any(train is known for known in same):
        return first
    drawn = np.minimum(train.joules, train.share) - rest * train.share
    expected = rules.train_flop * np.maximum(drawn, 0.0) / (1.0 - rest)
    return np.minimum(first, first_passage(expected - train.flop, rules.shape_flop))


def _methods(rules: RuleBook, books: Books) -> Periods:
    model, hardware, part = books.train.flop, books.hardware, 1.0 - rules.margin
    low = first_passage(part * hardware - model, rules.method_h)
    return np.minimum(low, first_passage(part * model - hardware, rules.method_h))


def _certain(
    habits: Habits, rules: RuleBook, strategy: str, flop: float, span: slice
) -> Iterator[tuple[Rule, Periods]]:
    """Yield what a rule decides without chance: the period in which it speaks, alike in all worlds."""
    each = flop / (span.stop - span.start) / habits.capacity
    counted = max(each, rules.presumed * each / habits.hide_utilisation)
    period = None
    rule: Rule = "undeclared-run"
    if strategy == "two-versions":
        rule, period = "equivocation", span.start
    elif strategy == "dropped":
        rule, period = "missing-period", span.start + rules.report
    elif strategy == "small-plan":
        period = _passes(max(rules.floor, (1.0 + rules.margin) * flop / 10.0 / habits.capacity), counted, span)
    elif strategy == "undeclared":
        over = counted - rules.scattered_share
        alone = _passes(rules.floor, counted, span)
        together = _passes(rules.scattered_h, over, span) if over > 0.0 else None
        known = [item for item in (alone, together) if item is not None]
        period = min(known) if known else None
    if period is not None and rule in rules.rules:
        yield rule, np.array(period, dtype=np.int64)


def _passes(limit: float, each: float, span: slice) -> int | None:
    """Return the first period of *span* in which *each*, period after period, sums to more than *limit*."""
    for count, period in enumerate(range(span.start, span.stop), start=1):
        if count * each > limit:
            return period
    return None


def ways(strategy: str, way: str | None) -> tuple[str, ...]:
    """Return the ways of *strategy* that the fast model plays: the one named, or all; none of one it does not know."""
    known = WAYS.get(strategy, ())
    return tuple(item for item in known if way is None or item == way)
