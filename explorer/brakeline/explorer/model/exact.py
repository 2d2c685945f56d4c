"""Exact mode: the worlds of the fast model, in the treaty's own statements, before the judge that verifiers run.

A column of a :class:`~brakeline.explorer.model.sample.Sample` becomes a :class:`~brakeline.explorer.worlds.world.World`
in integers; the corpus's own strategy turns it into a cheat's; :func:`~brakeline.explorer.worlds.court.hear` judges it.
Nothing of the fast model's cheats or rules is used. Costs tens of milliseconds a world, where the fast model takes
microseconds.

*Caught* means as everywhere: a rule speaks of the lab, at the strategy's severity or above, that has nothing to say of
it in the honest world of the same number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from random import Random

from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.evasion.hidden import POWER, UTILISATION
from brakeline.explorer.evasion.strategy import Infeasible, Plan
from brakeline.explorer.model.habits import Habits
from brakeline.explorer.model.sample import Sample, draw
from brakeline.explorer.scenario.load import ScenarioError
from brakeline.explorer.worlds.court import hear
from brakeline.explorer.worlds.honest import digest
from brakeline.explorer.worlds.world import Extra, Site, Work, World
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Severity
from brakeline.treaty.statements import Activity
from brakeline.treaty.strictjson import JsonObject

_RANK = {Severity.NOTE: 0, Severity.DISCREPANCY: 1, Severity.REFERRAL: 2}


@dataclass(frozen=True, slots=True)
class Case:
    """What is played: a treaty, habits, and who hides how much how; an honest site where *strategy* is empty."""

    treaty: bytes
    habits: Habits
    strategy: str = ""
    way: str = ""
    flop: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules said of one world.

    Attributes:
        feasible: whether the chips can do it.
        known: the first period at whose end a rule knew that has nothing to say of the honest world; None: none did.
        rules: those rules.
    """

    feasible: bool
    known: int | None = None
    rules: tuple[str, ...] = ()


def check(habits: Habits) -> None:
    """Refuse habits that the corpus's cheats do not share (``exact-habits``): they have their own pace and power."""
    if (round(habits.hide_utilisation * 1000), round(habits.hide_power * 1000)) != (UTILISATION, POWER):
        raise ScenarioError(
            code="exact-habits",
            message="hidden training of another utilisation or power than the corpus plays",
            expected=f"utilisation {UTILISATION / 1000}, power {POWER / 1000}",
            found=f"utilisation {habits.hide_utilisation}, power {habits.hide_power}",
            fix="exact mode plays [hiding] with these values only",
        )
    if habits.metered < 1.0:
        raise ScenarioError(
            code="exact-habits",
            message="sites without meters cannot be played beside sites with them",
            expected="meters.metered = 1",
            found=str(habits.metered),
        )


def to_world(document: TreatyDocument, habits: Habits, sample: Sample, column: int) -> World:
    """Return the world of one *column* of *sample*: one site of the treaty's first lab."""
    world = World(document, habits.periods, Random(column))  # noqa: S311  (a simulation)
    peak, watts = round(habits.peak), round(habits.board_watts)
    chip = next(c for c in document.chip_classes if (c.peak_flop_per_s.value, c.board_watts) == (peak, watts))
    site = Site(f"{document.labs[0].name}/site-1", chip, habits.chips, habits.chips)
    world.sites[site.name] = site
    site.inspected = {period for period in range(habits.periods) if sample.visited[period, column]}
    for period in range(habits.periods):
        site.truth[period] = _works(habits, sample, site, period, column)
        site.said[period] = list(site.truth[period])
        world.pue[site.name, period] = round(1000 * float(sample.reading[period, column]))
    planned = sum(work.flop for works in site.truth.values() for work in works if work.activity is Activity.TRAINING)
    _announce(world, site, planned * 11 // 10)
    return world


def _works(habits: Habits, sample: Sample, site: Site, period: int, column: int) -> list[Work]:
    total, at = site.due(round(habits.period_s * 1000)), (period, column)

    def work(name: str, activity: Activity, share: float, flop: float, joules: float) -> Work:
        done = round(flop * habits.capacity)
        return Work(name, activity, round(share * total), done, None, done // 10**12, round(joules * habits.energy))

    def resting(name: str, activity: Activity, share: float) -> Work:
        done = Work(name, activity, round(share * total))
        return Work(name, activity, done.chip_ms, joules=site.joules(done, 0))

    works = [
        resting("repairs", Activity.MAINTENANCE, sample.repair[at]),
        work("serving", Activity.INFERENCE, sample.serve[at], sample.serve_flop[at], sample.serve_joules[at]),
        work("checks", Activity.EVALUATION, sample.check[at], sample.check_flop[at], sample.check_joules[at]),
    ]
    if sample.train[at] > 0.0:
        flop = round(sample.train_flop[at] * habits.capacity)
        run = Work(
            "base",
            Activity.TRAINING,
            round(sample.train[at] * total),
            flop,
            round(sample.train_hardware[at] * habits.capacity),
            flop // 10**12,
            round(sample.train_joules[at] * habits.energy),
            model_out=digest("base model"),
            code=digest("base code"),
            data=digest("base data"),
        )
        works.append(run)
    if sample.waiting[at] > 0.0:
        works.append(resting("base", Activity.MAINTENANCE, sample.waiting[at]))
        works.append(work("astray", Activity.UNATTRIBUTED, sample.lost[at], 0.0, sample.lost_joules[at]))
    return [*works, resting("idle", Activity.IDLE, 1.0 - sum(w.chip_ms for w in works) / total)]


def _announce(world: World, site: Site, planned: int) -> None:
    """Declare the run, and have the parties authorise it for every threshold."""
    declared: JsonObject = {
        "workload": "base",
        "activity": "training",
        "begins_period": 1,
        "planned_flop": str(planned),
        "chips": [{"class": site.chip.name, "count": site.chips}],
        "parents": [],
        "purpose": "a model",
    }
    world.extras.append(Extra(0, site.name, "declaration", declared))
    for threshold in world.document.thresholds:
        permitted: JsonObject = {
            "lab": site.lab,
            "workload": "base",
            "threshold": threshold.name,
            "flop": str(planned * 3),
            "effective_period": 0,
            "expiry_period": world.periods * 10,
            "reason": "declared and examined",
        }
        world.extras.append(Extra(0, "", "authorisation", permitted))


def judge(case: Case, document: TreatyDocument, sample: Sample, seed: int, column: int) -> Verdict:
    """Play one world of *case*."""
    world = to_world(document, case.habits, sample, column)
    quiet = _quiet(document, case.habits, sample, seed, column) if case.strategy else frozenset[str]()
    least, begins = Severity.DISCREPANCY, 0
    if case.strategy:
        strategy = STRATEGIES[case.strategy]
        least, begins = strategy.least, case.habits.day
        ends = world.periods - begins
        chance = Random(f"{case.strategy} {case.way} {case.flop} {column}")  # noqa: S311  (a simulation)
        try:
            strategy.cheat(world, Plan(case.flop, begins, ends, case.way, chance))
        except Infeasible:
            return Verdict(feasible=False)
    found = [
        (item.known, item.finding.rule)
        for item in hear(world).about(world.first.lab)
        if _RANK[item.finding.severity] >= _RANK[least] and item.finding.rule not in quiet
    ]
    known = min((at for at, _ in found), default=None)
    return Verdict(True, known, tuple(sorted({rule for _, rule in found})))


_heard: dict[tuple[str, Habits, int, int, int], frozenset[str]] = {}


def _quiet(document: TreatyDocument, habits: Habits, sample: Sample, seed: int, column: int) -> frozenset[str]:
    """Return the rules that speak of the honest world; several cheats of one world ask."""
    key = document.digest, habits, seed, sample.train.shape[1], column
    if key not in _heard:
        world = to_world(document, habits, sample, column)
        _heard[key] = frozenset(item.finding.rule for item in hear(world).about(world.first.lab))
    return _heard[key]


def play(case: Case, seed: int, columns: Sequence[int], jobs: int = 1) -> list[Verdict]:
    """Judge the worlds *columns* of *seed*, in their order, on *jobs* processes; the same whatever their number.

    Raises:
        ScenarioError: ``exact-habits``.
    """
    check(case.habits)
    trials = max(columns, default=0) + 1
    if jobs == 1:
        return _some(case, seed, trials, columns)
    parts = [columns[start::jobs] for start in range(jobs)]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        done = list(pool.map(partial(_some, case, seed, trials), parts))
    by = dict(zip((column for part in parts for column in part), (one for some in done for one in some), strict=True))
    return [by[column] for column in columns]


def _some(case: Case, seed: int, trials: int, columns: Sequence[int]) -> list[Verdict]:
    document, sample = TreatyDocument.from_canonical(case.treaty), draw(case.habits, seed, trials)
    return [judge(case, document, sample, seed, column) for column in columns]


def each(verdicts: Iterable[Verdict], sees: Callable[[Verdict], bool]) -> tuple[int, int]:
    """Return in how many feasible worlds *sees* holds, and how many feasible worlds there are."""
    possible = [item for item in verdicts if item.feasible]
    return sum(map(sees, possible)), len(possible)
