"""Sweeps: every combination of the values of some terms, judged in the same worlds, on several processes, resumable.

A sweep's file is JSON, a line at a time: first what is swept (and a fingerprint of scenario, treaty, axes, worlds),
then a line a chunk of designs, in any order. Begun again with the same file, a sweep does what is missing; with another
fingerprint it refuses. A line cut short by a crash is dropped and done again.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
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
from brakeline.explorer.scenario.designs import Term, move, terms_of
from brakeline.explorer.scenario.load import Scenario, ScenarioError

Progress = Callable[[int, int], None]
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
class Axis:
    """A term and the values it takes."""

    term: str
    values: tuple[float, ...]


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


def axis(text: str, scenario: Scenario) -> Axis:
    """Read ``TERM=1,2,3`` or ``TERM=low:high:count`` (by equal factors where the term moves so).

    Raises:
        ScenarioError: ``sweep-axis`` for a term that cannot be swept or values that are none; ``treaty-*`` for a value
            that the treaty cannot have.
    """
    name, _, written = text.partition("=")
    terms = {term.id: term for term in terms_of(scenario.document) if term.id in FIELDS}
    if name not in terms:
        raise _axis_error("no such term to sweep", ", ".join(terms), name)
    try:
        values = _values(written, terms[name])
    except ValueError:
        raise _axis_error("not values of a term", "1,2,3 or low:high:count", written) from None
    for value in (min(values), max(values)):
        move(scenario.treaty_text, {name: value})
    return Axis(name, values)


def _values(written: str, term: Term) -> tuple[float, ...]:
    if ":" not in written:
        values = tuple(float(item) for item in written.split(","))
    else:
        low, high, count = written.split(":")
        spaced = np.geomspace if term.log else np.linspace
        values = tuple(float(item) for item in spaced(float(low), float(high), int(count)))
    if not values or not all(math.isfinite(item) and item >= 0 for item in values):
        raise ValueError
    return tuple(float(round(item)) for item in values)  # a treaty's numbers are whole


def _axis_error(message: str, expected: str, found: str) -> ScenarioError:
    return ScenarioError(code="sweep-axis", message=message, expected=expected, found=found[:60])


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
    count = math.prod(len(item.values) for item in axes)
    if not 0 < count <= MOST_DESIGNS:
        raise ScenarioError(
            code="sweep-size", message="too many designs", expected=f"1 to {MOST_DESIGNS}", found=str(count)
        )
    mark = fingerprint(task.habits, task.rules, task.fields, task.values, task.plays, task.seed, task.trials)
    done = _resume(out, mark, axes, task)
    missing = [start for start in range(0, count, CHUNK) if start not in done]
    total = len(range(0, count, CHUNK))
    with out.open("a", encoding="utf-8") as file:
        for start, rows in _chunks(task, missing, count, jobs):
            file.write(json.dumps({"start": start, "rows": rows}) + "\n")
            file.flush()
            done[start] = rows
            if progress is not None:
                progress(len(done), total)
    return _table(axes, task, [row for start in sorted(done) for row in done[start]])


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


def _resume(out: Path, mark: str, axes: Sequence[Axis], task: Task) -> dict[int, list[list[float]]]:
    """Return what *out* already has, without a line cut short; begin it where there is none."""
    head = {
        "sweep": mark,
        "axes": {item.term: list(item.values) for item in axes},
        "trials": task.trials,
        "seed": task.seed,
    }
    if not out.exists():
        out.write_text(json.dumps(head) + "\n", "utf-8")
        return {}
    whole = out.read_text("utf-8")
    kept = whole[: whole.rfind("\n") + 1]
    first, *lines = kept.splitlines() or [""]
    try:
        other = cast("dict[str, object]", json.loads(first))["sweep"]
    except (ValueError, KeyError, TypeError):
        other = "no sweep"
    if other != mark:
        raise ScenarioError(
            code="sweep-file",
            message=f"{out} holds another sweep",
            expected=mark,
            found=str(other)[:60],
            fix="give another file, or the same scenario, axes and trials",
        )
    if kept != whole:
        out.write_text(kept, "utf-8")
    done: dict[int, list[list[float]]] = {}
    for line in lines:
        item = cast("dict[str, object]", json.loads(line))
        done[cast("int", item["start"])] = cast("list[list[float]]", item["rows"])
    return done


def _chunks(task: Task, starts: Sequence[int], count: int, jobs: int) -> Iterator[tuple[int, list[list[float]]]]:
    if jobs == 1 or len(starts) < 2:
        for start in starts:
            yield start, _work(task, start, count)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        waiting = {pool.submit(_work, task, start, count): start for start in starts}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:  # told to stop: what has not begun is not done, and no process is left behind
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _work(task: Task, start: int, count: int) -> list[list[float]]:
    """Judge a chunk: a row a design, [share of honest worlds accused, share caught of every play ...]."""
    chosen = itertools.islice(itertools.product(*task.values), start, min(count, start + CHUNK))
    columns = np.array(list(chosen)).T
    designs = Designs(task.rules, dict(zip(task.fields, columns, strict=True)))
    accused, caught = judge(task.habits, draw(task.habits, task.seed, task.trials), designs, task.plays)
    return [[float(value) for value in row] for row in np.stack([accused, *caught], axis=1)]


def _table(axes: Sequence[Axis], task: Task, rows: Sequence[Sequence[float]]) -> Series:
    """Return one row a design: its terms, the share of honest worlds accused, the least caught and of which play."""
    designs = itertools.product(*(item.values for item in axes))
    cells: list[tuple[Cell, ...]] = []
    for values, (accused, *caught) in zip(designs, rows, strict=True):
        possible = [(share, place) for place, share in enumerate(caught) if not math.isnan(share)]
        least, place = min(possible, default=(math.nan, 0))
        play = task.plays[place] if possible else None
        cells.append((*values, accused, least if possible else None, f"{play.strategy}, {play.way}" if play else None))
    columns = (
        *(Column(item.term, item.term) for item in axes),
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
