"""The twin of :mod:`brakeline.explorer.model.many` in plain Python loops: the same model, one sum at a time.

Nothing here is used but by ``bench/workbench.py``, which compares results and speed. The figures of the books are made
beforehand for both, and shared by all designs in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from brakeline.explorer.model.habits import RuleBook
from brakeline.explorer.model.many import Series


@dataclass(frozen=True)
class PlainSeries:
    """A :class:`~brakeline.explorer.model.many.Series` as lists: world -> period -> figure."""

    rule: str
    a: list[list[float]]
    b: list[list[float]]
    k: str
    c: str
    h: str


def plain(series: Sequence[Series]) -> list[PlainSeries]:
    """Return *series* as lists."""
    made: list[PlainSeries] = []
    for item in series:
        b = np.broadcast_to(np.asarray(item.b), item.a.shape)
        made.append(PlainSeries(item.rule, item.a.T.tolist(), b.T.tolist(), item.k, item.c, item.h))
    return made


def speaks(item: PlainSeries, rules: Mapping[str, float], world: int) -> bool:
    """Say whether Page's sum of one series passes its limit in one world."""
    k, c, limit = rules.get(item.k, 0.0), rules.get(item.c, 0.0), rules[item.h]
    total = 0.0
    for a, b in zip(item.a[world], item.b[world], strict=True):
        total = total + (a - (k * b + c))
        if total < 0.0:
            total = 0.0
        elif total > limit:
            return True
    return False


def share(
    honest: Sequence[PlainSeries], cheat: Sequence[PlainSeries], rules: RuleBook, worlds: int, feasible: Sequence[bool]
) -> tuple[float, float]:
    """Return the share of honest worlds accused, and of feasible worlds in which the cheat is caught."""
    names = {name for item in (*honest, *cheat) for name in (item.k, item.c, item.h) if name}
    values = {name: float(getattr(rules, name)) for name in names}
    accused = caught = possible = 0
    for world in range(worlds):
        quiet = {item.rule for item in honest if speaks(item, values, world)}
        accused += bool(quiet)
        if feasible[world]:
            possible += 1
            caught += any(item.rule not in quiet and speaks(item, values, world) for item in cheat)
    return accused / worlds, caught / possible
