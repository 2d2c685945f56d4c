"""Sweeps of the rules' parameters: how often the honest are accused, and the worst cheat caught, for every design.

All designs are judged in the same worlds, many at once (:mod:`brakeline.explorer.model.many`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from brakeline.explorer.answers.detect import known
from brakeline.explorer.answers.forms import Cell, Column, Series
from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.model.books import WAYS
from brakeline.explorer.model.habits import Habits, RuleBook, fingerprint
from brakeline.explorer.model.many import Designs, Play, judge
from brakeline.explorer.model.rules import ways
from brakeline.explorer.model.sample import draw
from brakeline.explorer.scenario.load import Scenario
from brakeline.explorer.sweeps.axes import Axis, size
from brakeline.explorer.sweeps.file import Job, Progress, rows

CHUNK = 256
MOST_DESIGNS = 1_000_000
FIELDS: Mapping[str, str] = {
    "energy-gap-k-joules": "energy_k",
    "energy-gap-k-permille": "energy_share",
    "energy-gap-h-joules": "energy_h",
    "muf-k-permille": "muf_share",
    "muf-h-flop": "muf_h",
    "activity-shape-work-flop-permille": "work_flop",
    "activity-shape-work-joules-permille": "work_joules",
    "activity-shape-training-flop-permille": "train_flop",
    "activity-shape-h-flop": "shape_flop",
    "activity-shape-h-joules": "shape_joules",
    "method-gap-h-flop": "method_h",
}
"""Terms that can be swept -> the member of the fast model's rule book that each sets."""
BY_SUMS = frozenset(WAYS) - {"two-versions", "dropped", "other-hall", "undeclared", "small-plan"}
"""Strategies that are seen by sums alone; what one rule decides without chance, these parameters do not change."""


@dataclass(frozen=True, slots=True)
class Task:
    """What every process needs: habits, rules, axes as members of the rule book, plays, whence the worlds."""

    habits: Habits
    rules: RuleBook
    fields: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    plays: tuple[Play, ...]
    seed: int
    trials: int


def run(
    scenario: Scenario,
    axes: Sequence[Axis],
    out: Path,
    trials: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Series:
    """Sweep *axes*, keep what is done in *out*, and return one row a design.

    Raises:
        ScenarioError: ``sweep-size``; ``sweep-file`` when *out* holds another sweep.
    """
    task = _task(scenario, axes, trials)
    count = size(axes, MOST_DESIGNS)
    head = {
        "sweep": fingerprint(task.habits, task.rules, task.fields, task.values, task.plays, task.seed, task.trials),
        "axes": {item.term: list(item.values) for item in axes},
        "trials": task.trials,
        "seed": task.seed,
    }
    return _table(axes, task, rows(out, Job(head, _work, task, count, CHUNK), jobs, progress))


def _task(scenario: Scenario, axes: Sequence[Axis], trials: int | None) -> Task:
    habits = Habits.of(scenario)
    rules = RuleBook.of(scenario.document, habits)
    quantity = float(scenario.document.goals.significant_quantity_flop.value)
    plays = tuple(
        Play(item.strategy, way, quantity)
        for item in scenario.terms.adversaries
        if known(item) and item.strategy in BY_SUMS and not STRATEGIES[item.strategy].residual
        for way in ways(item.strategy, item.way)
    )
    values = tuple(tuple(_scaled(scenario, habits, item.term, value) for value in item.values) for item in axes)
    names = tuple(FIELDS[item.term] for item in axes)
    run_ = scenario.terms.run
    return Task(habits, rules, names, values, tuple(dict.fromkeys(plays)), run_.seed, trials or run_.trials)


def _scaled(scenario: Scenario, habits: Habits, term: str, value: float) -> float:
    """Return *value* in the units of the rule book."""
    if term.endswith("permille"):
        return value / 1000
    if term.endswith("flop"):
        return value / habits.capacity
    pue = scenario.document.counting.pue
    unit = habits.energy * pue.numerator / pue.denominator if term.startswith("energy-gap") else habits.energy
    return value / unit


def _work(task: Task, start: int, end: int) -> list[list[float]]:
    """Judge a chunk: a row a design, [share of honest worlds accused, share caught of every play ...]."""
    chosen = itertools.islice(itertools.product(*task.values), start, end)
    columns = np.array(list(chosen)).T
    designs = Designs(task.rules, dict(zip(task.fields, columns, strict=True)))
    accused, caught = judge(task.habits, draw(task.habits, task.seed, task.trials), designs, task.plays)
    return [[float(value) for value in row] for row in np.stack([accused, *caught], axis=1)]


def _table(axes: Sequence[Axis], task: Task, found: Sequence[list[float]]) -> Series:
    """Return one row a design: its terms, the share of honest worlds accused, the least caught and of which play."""
    designs = itertools.product(*(item.values for item in axes))
    cells: list[tuple[Cell, ...]] = []
    for values, (accused, *caught) in zip(designs, found, strict=True):
        possible = [(share, place) for place, share in enumerate(caught) if not math.isnan(share)]
        least, place = min(possible, default=(math.nan, 0))
        play = task.plays[place] if possible else None
        cells.append((*values, accused, least if possible else None, f"{play.strategy}, {play.way}" if play else None))
    columns = (
        *(Column(item.term, item.term, item.unit, log=item.log) for item in axes),
        Column("accused", "honest worlds in which a rule speaks"),
        Column("caught", "the least of all adversaries at a significant quantity"),
        Column("worst", "which", kind="name"),
    )
    title = f"{len(cells)} designs in {task.trials} worlds each"
    return Series("sweep", title, columns, tuple(cells), "point", "accused", "caught")


def frontier(table: Series) -> list[tuple[Cell, ...]]:
    """Return the designs that no other beats: of no two is one better in both."""
    names = [column.name for column in table.columns]
    accused, caught = names.index("accused"), names.index("caught")
    ordered = sorted(
        (row for row in table.rows if row[caught] is not None),
        key=lambda row: (cast("float", row[accused]), -cast("float", row[caught])),
    )
    kept: list[tuple[Cell, ...]] = []
    for row in ordered:
        if not kept or cast("float", row[caught]) > cast("float", kept[-1][caught]):
            kept.append(row)
    return kept
