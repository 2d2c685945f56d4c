"""Runs the corpus through the real rules, many worlds at once, and counts: what is caught, how often, after how long.

First every way of every strategy is played in one world; of each strategy, at each magnitude, the way that is seen
least (not at all, else latest) is the one that a cheat would choose, and that one is played in all the other worlds.
Honest worlds are judged by the same rules, at the same severities, and their findings are counted per site-year.

A cheat is *caught* when a rule that has nothing to say of the lab in the honest world of the same seed has something
to say in the cheat's. Pure but for the processes: the same arguments give the same table, whatever their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from multiprocessing import get_context
from random import Random
from statistics import median

from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.evasion.strategy import Infeasible, Plan, Strategy
from brakeline.explorer.worlds.court import Found, hear
from brakeline.explorer.worlds.honest import SIZES, honest
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Severity
from brakeline.treaty.statistics.exploring.interval import Interval, wilson

YEAR_MS = 31_557_600_000
_RANK = {Severity.NOTE: 0, Severity.DISCREPANCY: 1, Severity.REFERRAL: 2}
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What is played.

    Attributes:
        days: length of every world.
        sites: sites in every world; the first belongs to the cheat.
        chips: of the first site.
        seeds: one world each.
        magnitudes: training to hide, FLOP, ascending.
        strategies: names.
        jobs: processes.
    """

    days: int
    sites: int
    seeds: tuple[int, ...]
    magnitudes: tuple[int, ...]
    strategies: tuple[str, ...]
    jobs: int = 1
    chips: int = SIZES[0]


@dataclass(frozen=True, slots=True)
class Task:
    """One world to be played: an honest one where ``strategy`` is empty."""

    seed: int
    strategy: str = ""
    way: str = ""
    flop: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a task.

    Attributes:
        feasible: whether the chips could do it at all.
        rules: rule -> periods from the begin of the run until it was known, of the rules that caught it.
        severities: of an honest world, how many findings of each severity.
    """

    task: Task
    feasible: bool = True
    rules: tuple[tuple[str, int], ...] = ()
    severities: tuple[tuple[str, int], ...] = ()

    @property
    def delay(self) -> int | None:
        """Periods until the first rule knew; None where none did."""
        return min((delay for _, delay in self.rules), default=None)


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy at one magnitude, in its best way.

    Attributes:
        trials: worlds in which it was feasible; 0 where it never is.
        caught: in how many of them it was caught.
        rules: rule -> in how many of them it caught the cheat.
        delay_ms: median time from the begin of the run until it was known, of those caught.
    """

    strategy: str
    way: str
    flop: int
    trials: int
    caught: int
    rules: tuple[tuple[str, int], ...]
    delay_ms: int | None

    @property
    def interval(self) -> Interval | None:
        """95 % score interval of the probability to be caught."""
        return wilson(self.caught, self.trials) if self.trials else None


@dataclass(frozen=True, slots=True)
class Honest:
    """What the rules say of honest worlds."""

    site_years: Fraction
    findings: tuple[tuple[str, int], ...]

    def rate(self, severity: Severity) -> float:
        """Findings of *severity* per site-year."""
        return float(dict(self.findings).get(severity.value, 0) / self.site_years)


@dataclass(frozen=True, slots=True)
class Table:
    """The whole answer."""

    honest: Honest
    rows: tuple[Row, ...]

    def missed(self, document: TreatyDocument, enough: Fraction = Fraction(95, 100)) -> list[Row]:
        """Return the rows of one significant quantity or more that are caught too seldom and are no residual."""
        line = document.goals.significant_quantity_flop.value
        return [
            row
            for row in self.rows
            if row.flop >= line and row.trials and not STRATEGIES[row.strategy].residual
            if Fraction(row.caught, row.trials) < enough
        ]


def explore(
    document: TreatyDocument, setting: Setting, progress: Progress | None = None, notes: Notes | None = None
) -> Table:
    """Play *setting* under *document*.

    Args:
        document: the treaty.
        setting: what is played.
        progress: told after every world how many are done, of how many.
        notes: what was seen in earlier worlds, and where what is seen now is noted: a run that was ended goes on.
    """
    notes = Notes({}) if notes is None else notes
    chosen = [STRATEGIES[name] for name in setting.strategies]
    first, *others = setting.seeds
    looks = [
        Task(first, strategy.name, way, flop)
        for strategy in chosen
        for way in strategy.ways
        for flop in setting.magnitudes
    ]
    total = len(setting.seeds) + len(looks) + len(chosen) * len(setting.magnitudes) * len(others)
    counted = _Count(total, progress)
    context = get_context("spawn")
    start = partial(_start, document.to_canonical(), setting)
    with ProcessPoolExecutor(setting.jobs, context, start) as pool:
        try:
            plain = _play(pool, [Task(seed) for seed in setting.seeds], counted, notes)
            seen = _play(pool, looks, counted, notes)
            ways = {(name, flop): way for name, flop, way in _best(seen)}
            rest = [Task(seed, name, way, flop) for (name, flop), way in ways.items() for seed in others]
            seen += _play(pool, rest, counted, notes)
        except BaseException:  # told to stop: what has not begun is not played, and no process is left behind
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    rows = [
        _row(document, strategy, ways[strategy.name, flop], flop, seen)
        for strategy in chosen
        for flop in setting.magnitudes
    ]
    return Table(_honest(document, setting, plain), tuple(rows))


class Notes:
    """What was seen, by task."""

    def __init__(self, seen: dict[Task, Seen], write: Callable[[Seen], None] | None = None) -> None:
        """Begin with what is *seen*; *write* is called with all that is seen from now on."""
        self.seen = seen
        self._write = write

    def note(self, seen: Seen) -> None:
        """Take in what was seen."""
        self.seen[seen.task] = seen
        if self._write is not None:
            self._write(seen)


class _Count:
    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def one(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _play(pool: ProcessPoolExecutor, tasks: Sequence[Task], counted: _Count, notes: Notes) -> list[Seen]:
    """Play those of *tasks* that were not played before; the answers are in the order of *tasks*."""
    futures = {pool.submit(_work, task): task for task in tasks if task not in notes.seen}
    for _ in range(len(tasks) - len(futures)):
        counted.one()
    for future in as_completed(futures):
        notes.note(future.result())
        counted.one()
    return [notes.seen[task] for task in tasks]


def _best(seen: Iterable[Seen]) -> Iterable[tuple[str, int, str]]:
    """Yield for every strategy and magnitude the way that is seen least; of equals the one named first."""
    groups: dict[tuple[str, int], list[Seen]] = {}
    for item in seen:
        groups.setdefault((item.task.strategy, item.task.flop), []).append(item)
    for (name, flop), items in groups.items():
        best = max(items, key=lambda item: (item.feasible, not item.rules, item.delay or 0))
        yield name, flop, best.task.way


def _row(document: TreatyDocument, strategy: Strategy, way: str, flop: int, seen: Sequence[Seen]) -> Row:
    mine = [item for item in seen if (item.task.strategy, item.task.way, item.task.flop) == (strategy.name, way, flop)]
    played = [item for item in mine if item.feasible]
    delays = [item.delay for item in played if item.delay is not None]
    rules = Counter(rule for item in played for rule, _ in item.rules)
    length = document.grid.period.value
    delay = int(median(delays) * length) if delays else None
    ordered = tuple(sorted(rules.items(), key=lambda item: (-item[1], item[0])))
    return Row(strategy.name, way, flop, len(played), len(delays), ordered, delay)


def _honest(document: TreatyDocument, setting: Setting, plain: Sequence[Seen]) -> Honest:
    found: Counter[str] = Counter()
    for item in plain:
        found.update(dict(item.severities))
    sites = min(setting.sites, 2 * len(document.labs))
    years = Fraction(len(setting.seeds) * sites * setting.days * 86_400_000, YEAR_MS)
    return Honest(years, tuple(sorted(found.items())))


# in a process of the pool ---------------------------------------------------------------------------------------------

_shared: dict[str, tuple[TreatyDocument, Setting]] = {}


def _start(treaty: bytes, setting: Setting) -> None:
    _shared["now"] = TreatyDocument.from_canonical(treaty), setting


def _work(task: Task) -> Seen:
    document, setting = _shared["now"]
    if not task.strategy:
        return Seen(task, severities=_quiet(task.seed, setting.sites, setting.days)[1])
    strategy = STRATEGIES[task.strategy]
    sites = min(strategy.sites, setting.sites)
    days = max(setting.days, strategy.days)
    world = honest(document, task.seed, days, sites, setting.chips)
    day = 86_400_000 // world.period_ms
    chance = Random(f"{task.strategy} {task.way} {task.flop} {task.seed}")  # noqa: S311  (a simulation)
    plan = Plan(task.flop, day, world.periods - day, task.way, chance)
    try:
        strategy.cheat(world, plan)
    except Infeasible:
        return Seen(task, feasible=False)
    before = _quiet(task.seed, sites, days)[0]
    caught: dict[str, int] = {}
    for item in hear(world).about(world.first.lab):
        if _counts(item, strategy) and item.finding.rule not in before:
            delay = max(0, item.known + 1 - (plan.begins if world.began is None else world.began))
            caught[item.finding.rule] = min(delay, caught.get(item.finding.rule, delay))
    return Seen(task, rules=tuple(sorted(caught.items())))


def _counts(item: Found, strategy: Strategy) -> bool:
    return _RANK[item.finding.severity] >= _RANK[strategy.least]


@cache
def _quiet(seed: int, sites: int, days: int) -> tuple[frozenset[str], tuple[tuple[str, int], ...]]:
    """Return the rules that speak of the first lab in the honest world of *seed*, and all its findings by severity."""
    document, setting = _shared["now"]
    world = honest(document, seed, days, sites, setting.chips)
    found = hear(world)
    severities = Counter(item.finding.severity.value for item in found.found)
    rules = frozenset(item.finding.rule for item in found.about(world.first.lab))
    return rules, tuple(sorted(severities.items()))
