"""The negotiators' workbench: designs x worlds a second, over the same model in plain loops; a sweep of 10,000 designs.

What is judged: a design is a setting of eight parameters of three rules, drawn at random; a world is a site of the
preset ``miri-draft`` over 120 periods, honest, and with a cheat that hides 3e23 FLOP. Both sides share the figures of
the books among all designs. Arrays leave out sums whose figures the cheat did not change, and designs whose k no figure
reaches (:mod:`brakeline.explorer.model.many`); plain loops stop a sum as soon as it has passed its limit.

The denominator is the twin on the same core, before and after, on fewer designs and worlds; its results are compared,
design by design, with those of the arrays. One core each. The sweep uses two processes and counts from nothing: worlds
drawn, books made, 10,000 designs x 1,000 worlds judged, honest and cheating.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from brakeline.explorer.model.books import cheat, honest
from brakeline.explorer.model.habits import Habits, RuleBook
from brakeline.explorer.model.many import Designs, Play, judge, series_of
from brakeline.explorer.model.sample import draw
from brakeline.explorer.scenario.presets import preset

from bench import workbench_plain

DESIGNS, WORLDS = 10_000, 1_000
CHUNK = 250
FAST = (CHUNK, WORLDS)
PLAIN = (10, 20)
PLAY = Play("unsaid", "evenly", 3e23)
SEED = 1


@dataclass(frozen=True)
class Round:
    """One round: designs x worlds a second of both; whether their results are equal."""

    fast: float
    plain: float
    equal: bool

    @property
    def ratio(self) -> float:
        """One over the other."""
        return self.fast / self.plain


def setup() -> tuple[Habits, RuleBook]:
    """Return the habits and rules of the preset."""
    scenario = preset("miri-draft")
    habits = Habits.of(scenario)
    return habits, RuleBook.of(scenario.document, habits)


def designs(rules: RuleBook, count: int, seed: int) -> Designs:
    """Return *count* designs, every parameter drawn by itself."""
    chance = np.random.default_rng(seed)

    def factors() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return 10.0 ** chance.uniform(-1.0, 1.0, count)

    moved = {
        "energy_share": chance.uniform(0.0, 0.05, count),
        "energy_h": rules.energy_h * factors(),
        "muf_share": chance.uniform(0.0005, 0.02, count),
        "muf_h": rules.muf_h * factors(),
        "work_flop": chance.uniform(0.10, 0.35, count),
        "work_joules": chance.uniform(0.45, 0.75, count),
        "shape_flop": rules.shape_flop * factors(),
        "shape_joules": rules.shape_joules * factors(),
    }
    return Designs(rules, moved)


def twin(count: int, worlds: int) -> tuple[float, list[tuple[float, float]]]:
    """Return designs x worlds a second in plain loops, and the two shares of every design."""
    habits, rules = setup()
    sample, some = draw(habits, SEED, WORLDS), designs(rules, CHUNK, SEED)
    books = cheat(habits, rules, sample, PLAY.strategy, PLAY.way, PLAY.flop)
    quiet = workbench_plain.plain(list(series_of(habits, rules, honest(habits, sample), sample)))
    loud = workbench_plain.plain(list(series_of(habits, rules, books, sample)))
    feasible = [bool(item) for item in books.feasible]
    began = time.perf_counter()
    found = [workbench_plain.share(quiet, loud, some.one(index), worlds, feasible) for index in range(count)]
    return count * worlds / (time.perf_counter() - began), found


def arrays() -> float:
    """Return designs x worlds a second of the arrays, on one core."""
    habits, rules = setup()
    sample, some = draw(habits, SEED, WORLDS), designs(rules, CHUNK, SEED)
    began = time.perf_counter()
    judge(habits, sample, some, [PLAY])
    return CHUNK * WORLDS / (time.perf_counter() - began)


def equal(found: list[tuple[float, float]], worlds: int) -> bool:
    """Say whether the arrays come to the very shares of the twin, in the first *worlds* worlds."""
    habits, rules = setup()
    sample, some = draw(habits, SEED, WORLDS), designs(rules, CHUNK, SEED).some(slice(0, len(found)))
    first = type(sample)(**{name: getattr(sample, name)[..., :worlds] for name in sample.__slots__})
    accused, (caught,) = judge(habits, first, some, [PLAY])
    return [(float(one), float(other)) for one, other in zip(accused, caught, strict=True)] == found


def measure(rounds: int, progress: Callable[[str], None]) -> list[Round]:
    """Measure *rounds* rounds, the twin before and after the arrays in each."""
    made: list[Round] = []
    for number in range(rounds):
        before, found = twin(*PLAIN)
        fast = arrays()
        after, _ = twin(*PLAIN)
        made.append(Round(fast, (before + after) / 2, equal(found, PLAIN[1])))
        progress(f"workbench: round {number + 1}, {made[-1].ratio:.0f} x plain loops, equal {made[-1].equal}")
    return made


def _some(start: int) -> int:
    habits, rules = setup()
    judge(habits, draw(habits, SEED, WORLDS), designs(rules, CHUNK, SEED + start), [PLAY])
    return CHUNK


def sweep(jobs: int = 2) -> tuple[float, float]:
    """Return the seconds in which *jobs* processes, not yet begun, judge 10,000 designs x 1,000 worlds; and the
    processor seconds of each, which neighbours on the machine do not lengthen much.
    """
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        done = sum(pool.map(_some, range(0, DESIGNS, CHUNK)))
    if done != DESIGNS:
        raise RuntimeError(f"{done} designs")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, used / jobs


def table(rounds: list[Round], took: tuple[float, float]) -> str:
    """Return the Markdown table."""
    ratios = sorted(item.ratio for item in rounds)
    same = "equal" if all(item.equal for item in rounds) else "NOT EQUAL"
    return (
        "| figure | median | range | rounds | goal |\n|---|---|---|---|---|\n"
        f"| designs x worlds a second over plain loops ({same} results) | {statistics.median(ratios):.0f} "
        f"| {ratios[0]:.0f} to {ratios[-1]:.0f} | {len(rounds)} | 100 |\n"
        f"| 10,000 designs x 1,000 worlds, two processes, seconds | {took[0]:.0f} | | 1 | 60 |\n"
        f"| the same, processor seconds of each process | {took[1]:.0f} | | 1 | |\n"
    )
