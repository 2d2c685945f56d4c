"""Judges many designs at once: thousands of settings of the rules' parameters, in the same worlds.

Every rule of this form sums x = a - k b - c over the periods, where a and b are what sites book and k, c and the limit
h are the treaty's (:func:`series_of`). Page's sum S <- max(0, S + x) passes h at some time exactly when its highest
value does, so a scan keeps the highest value, for a block of designs and all worlds at a time; designs with equal k and
c share a scan, and a k above every a/b needs none. ``bench/workbench.py`` has the twin in plain loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from brakeline.explorer.model.books import Books, Line, cheat, honest
from brakeline.explorer.model.habits import Habits, Rule, RuleBook
from brakeline.explorer.model.sample import Array, Sample
from numpy.typing import NDArray

BLOCK_CELLS = 8_192
"""Sums held at a time: designs x worlds that fit a processor's cache."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Series:
    """One sum: the rule it belongs to, a and b, and which members of the rule book are its k, c and h; "" is none."""

    rule: Rule
    a: Array
    b: Array | float
    k: str
    c: str
    h: str


@dataclass(frozen=True, slots=True)
class Designs:
    """Settings of members of a rule book: name -> one value a design, all of one length; the rest as in *base*."""

    base: RuleBook
    moved: Mapping[str, Array]

    @property
    def count(self) -> int:
        """How many designs."""
        return max((len(values) for values in self.moved.values()), default=1)

    def values(self, name: str) -> Array:
        """Return the member *name* of every design; zeros for ""."""
        if name in self.moved:
            return self.moved[name]
        return np.full(self.count, getattr(self.base, name) if name else 0.0)

    def one(self, index: int) -> RuleBook:
        """Return the rule book of one design."""
        book = self.base
        for name, values in self.moved.items():
            number: dict[str, Any] = {name: float(values[index])}  # which member is data
            book = replace(book, **number)
        return book

    def some(self, chosen: Flags | slice) -> Designs:
        """Return some of the designs."""
        return Designs(self.base, {name: values[chosen] for name, values in self.moved.items()})


def series_of(habits: Habits, rules: RuleBook, books: Books, sample: Sample) -> Iterator[Series]:
    """Yield the sums that the rules in force keep of *books*."""
    if "energy-gap" in rules.rules and rules.metering:
        gap = np.where(sample.metered, books.boards * sample.reading - books.attested, -1.0)
        yield Series("energy-gap", gap, books.attested, "energy_share", "energy_k", "energy_h")
    if "muf" in rules.rules:
        yield Series("muf", books.lost, 1.0, "muf_share", "", "muf_h")
    if "activity-shape" in rules.rules:
        lines: list[Line] = [books.serve, books.check, *([] if books.other is None else [books.other])]
        for line in lines:
            yield Series("activity-shape", line.flop, line.share, "work_flop", "", "shape_flop")
            yield Series("activity-shape", line.joules, line.share, "work_joules", "", "shape_joules")
        train, rest = books.train, habits.rest
        drawn = np.maximum(np.minimum(train.joules, train.share) - rest * train.share, 0.0) / (1.0 - rest)
        yield Series("activity-shape", -train.flop, -drawn, "train_flop", "", "shape_flop")
    if "method-gap" in rules.rules:
        part = 1.0 - rules.margin
        yield Series("method-gap", part * books.hardware - books.train.flop, 0.0, "", "", "method_h")
        yield Series("method-gap", part * books.train.flop - books.hardware, 0.0, "", "", "method_h")


def fires(series: Sequence[Series], designs: Designs) -> dict[Rule, Flags]:
    """Return rule -> designs x worlds: whether it speaks at any time."""
    found: dict[Rule, Flags] = {}
    for item in series:
        highest = _highest(item, designs.values(item.k), designs.values(item.c))
        speaks = highest > designs.values(item.h)[:, None]
        found[item.rule] = found[item.rule] | speaks if item.rule in found else speaks
    return found


def _highest(item: Series, k: Array, c: Array) -> Array:
    """Return designs x worlds: the highest value of Page's sum."""
    pairs, where = np.unique(np.stack([k, c], axis=1), axis=0, return_inverse=True)
    worlds = item.a.shape[1]
    highest = np.zeros((len(pairs), worlds))
    needed = np.flatnonzero(_rises(item, pairs))
    size = max(1, BLOCK_CELLS // worlds)
    for start in range(0, len(needed), size):
        rows = needed[start : start + size]
        highest[rows] = _scan(item.a, item.b, pairs[rows, :1], pairs[rows, 1:])
    return highest[where.reshape(-1)]


def _rises(item: Series, pairs: Array) -> Flags:
    """Return for every (k, c) whether x is above 0 anywhere: where it never is, no sum rises."""
    k, c = pairs[:, 0], pairs[:, 1]
    b = item.b
    if not isinstance(b, np.ndarray):
        return np.asarray(float(item.a.max()) - k * b - c > 0.0)
    if (b < 0.0).any():
        return np.ones(len(pairs), dtype=np.bool_)
    free = item.a[b == 0.0]
    most = np.max(np.divide(item.a, b, out=np.full_like(item.a, -np.inf), where=b > 0.0))
    return np.asarray((k < most) | (free.size > 0 and float(free.max(initial=-1.0)) > 0.0))


def _scan(a: Array, b: Array | float, k: Array, c: Array) -> Array:
    total = np.zeros((len(k), a.shape[1]))
    forgiven, highest = np.empty_like(total), np.zeros_like(total)
    rows = b if isinstance(b, np.ndarray) else None
    fixed = c if rows is not None else c + k * b
    for period in range(len(a)):
        if rows is None:
            total += a[period] - fixed
        else:
            np.multiply(k, rows[period], out=forgiven)
            forgiven += fixed
            np.subtract(a[period], forgiven, out=forgiven)
            total += forgiven
        np.maximum(total, 0.0, out=total)
        np.maximum(highest, total, out=highest)
    return highest


@dataclass(frozen=True, slots=True)
class Play:
    """A strategy, one of its ways, and the FLOP to hide."""

    strategy: str
    way: str
    flop: float


def judge(habits: Habits, sample: Sample, designs: Designs, plays: Sequence[Play]) -> tuple[Array, list[Array]]:
    """Return by design the share of honest worlds in which a rule speaks, and for every play the share of caught ones.

    Plays are those whose cheats are seen by sums of the books; the share is of worlds in which they are feasible.
    """
    plain = honest(habits, sample)
    quiet = fires(list(series_of(habits, designs.base, plain, sample)), designs)
    accused = np.mean(_any(quiet, designs.count, sample), axis=1)
    return accused, [_caught(habits, sample, designs, play, quiet) for play in plays]


def _any(found: Mapping[Rule, Flags], count: int, sample: Sample) -> Flags:
    speaks = np.zeros((count, sample.train.shape[1]), dtype=np.bool_)
    for flags in found.values():
        speaks |= flags
    return speaks


_TOLD = ("work_flop", "work_joules", "idle_limit", "maintenance_limit")
"""Members on which what a cheat tells can depend: designs that differ in these have books of their own."""


def _caught(habits: Habits, sample: Sample, designs: Designs, play: Play, quiet: Mapping[Rule, Flags]) -> Array:
    told = "allowed" in play.way or play.strategy in ("tokens-inflated", "throttled")
    names = [name for name in _TOLD if name in designs.moved and told]
    keys = np.stack([designs.moved[name] for name in names], axis=1) if names else np.zeros((designs.count, 1))
    share = np.zeros(designs.count)
    for key in np.unique(keys, axis=0):
        chosen = (keys == key).all(axis=1)
        some = designs.some(chosen)
        first = some.one(0) if some.moved else some.base
        books = cheat(habits, first, sample, play.strategy, play.way, play.flop)
        found = fires(_changed(habits, first, books, sample), some)
        caught = np.zeros((some.count, sample.train.shape[1]), dtype=np.bool_)
        for rule, flags in found.items():
            before = quiet.get(rule)
            caught |= flags if before is None else flags & ~before[chosen if designs.moved else slice(None)]
        feasible = books.feasible
        share[chosen] = caught[:, feasible].mean(axis=1) if feasible.any() else np.nan
    return share


def _changed(habits: Habits, rules: RuleBook, books: Books, sample: Sample) -> list[Series]:
    """Return the sums that differ from the honest site's: the others say of both the same, and do not count."""
    same = honest(habits, sample)
    untouched = (same.lost, same.serve.flop, same.serve.joules, same.check.flop, same.check.joules)
    kept: list[Series] = []
    for item in series_of(habits, rules, books, sample):
        if any(item.a is figures for figures in untouched):
            continue
        if item.k == "train_flop" and books.train is same.train:
            continue
        if item.rule == "method-gap" and books.hardware is same.hardware:
            continue
        kept.append(item)
    return kept
