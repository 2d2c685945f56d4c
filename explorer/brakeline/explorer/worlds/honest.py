"""Honest worlds from a seed: long runs with restarts, fine-tunes, services by day and night, failed chips, meters.

What varies, and how much, is written here and in :mod:`~brakeline.explorer.worlds.plans`. Sources: utilisation of 30 to
45 % and an interruption in every few hours at 16,384 chips (The Llama 3 herd of models, arXiv:2407.21783, section 3.3);
board power of training 75 to 95 % and of serving 40 to 70 % of the limit, the prompt phase above, decoding below that
(POLCA, arXiv:2308.12908). The meter errs as one of class 1 does (IEC 62053-21), with a bias of its own; the PUE drifts
with the seasons and the weather around the figure that the treaty names. Windows of maintenance, mistakes in the books
that are corrected hours later, and chips that are replaced are invented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from brakeline.explorer.worlds.plans import Plans, Run, digest, plan
from brakeline.explorer.worlds.world import Site, Work, World
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.statements import Activity

__all__ = ["SIZES", "digest", "honest"]

SIZES = (24_576, 8_192, 12_288, 4_096)
"""Chips of the sites, in turn: the first has room for a significant quantity of 1e25 FLOP in a month, beside its own
work, in every seed. The larger a site is, the better honest work dilutes a training (docs/evasion.md)."""
_SEASON = (0, 3, 6, 7, 8, 7, 6, 3, 0, -3, -6, -7, -8, -7, -6, -3)
"""A year of the PUE's drift, thousandths."""


def honest(document: TreatyDocument, seed: int, days: int, sites: int = 3, chips: int = SIZES[0]) -> World:
    """Make an honest world: *sites* sites of the treaty's labs, two of the first lab, over *days* days.

    Args:
        document: the treaty; its first chip class of 500 watts or more is what everybody uses, else its first.
        seed: the same one gives the same world; with fewer sites, the same first ones.
        days: at least 2; periods are the treaty's.
        sites: 1 to twice the number of labs.
        chips: of the first site; the others have theirs of ``SIZES``, in turn.
    """
    periods = days * 86_400_000 // document.grid.period.value
    world = World(document, periods, Random(f"honest {seed}"))  # noqa: S311  (a simulation)
    chip = next((item for item in document.chip_classes if item.board_watts >= 500), document.chip_classes[0])
    first, *others = [lab.name for lab in document.labs]
    names = [f"{first}/site-1", f"{first}/site-2", *(f"{lab}/site-{n}" for n in (1, 2) for lab in others)]
    for number, name in enumerate(names[:sites]):
        chance = Random(f"honest {seed} {name}")  # noqa: S311  (a simulation)
        count = SIZES[number % len(SIZES)] if number else chips
        site = world.sites[name] = Site(name, chip, count, count)
        month = 30 * 86_400_000 // world.period_ms
        site.inspected = {first + chance.randrange(month) for first in range(0, periods, month)}
        _live(world, site, plan(world, site, chance), chance)
        _renew(world, site, chance)
        _err(world, site, chance)
    return world


@dataclass(frozen=True, slots=True)
class _Ways:
    """What is a site's own: how busy its services are, how much prompts take, how its meter is biased."""

    serving: int
    used: int
    power: int
    prompts: int
    bias: int

    @classmethod
    def of(cls, chance: Random) -> _Ways:
        """Draw them."""
        return cls(
            chance.randrange(250, 400),
            chance.randrange(90, 150),
            chance.randrange(380, 480),
            chance.randrange(10, 50),
            chance.randrange(-5, 6),
        )


def _live(world: World, site: Site, plans: Plans, chance: Random) -> None:
    """Let *site* work for all periods: truth and books alike."""
    year = 365 * 86_400_000 // world.period_ms
    ways, failed = _Ways.of(chance), chance.randrange(3, 10)
    windows = _windows(world, chance)
    running: list[Run] = []
    waiting = list(reversed(plans.runs))
    models = list(reversed(plans.served))
    model = models.pop().model
    for period in range(world.periods):
        failed = min(30, max(1, failed + chance.choice((-1, 0, 0, 0, 1))))  # thousandths of the chips, being repaired
        while waiting and waiting[-1].begins <= period:
            running.append(waiting.pop())
        running = [run for run in running if period < run.ends]
        while models and models[-1].begins <= period:
            model = models.pop().model
        works = list(_day(world, site, failed, windows.get(period, 0), running, chance))
        works += _serve(world, site, period, ways, model, works, chance)
        left = site.due(world.period_ms) - sum(work.chip_ms for work in works)
        works.append(_work(site, "idle", Activity.IDLE, left, 0, 0, chance))
        site.truth[period] = works
        site.said[period] = list(works)
        drift = ways.bias + _SEASON[period * len(_SEASON) // year % len(_SEASON)]
        world.pue[site.name, period] = 1000 + drift + chance.randrange(-8, 8) + chance.randrange(-3, 4)


def _day(world: World, site: Site, failed: int, window: int, running: Sequence[Run], chance: Random) -> list[Work]:
    """Return what comes before services: repairs, a window of maintenance, and training on what that leaves."""
    total = site.due(world.period_ms)
    works = [_work(site, "repairs", Activity.MAINTENANCE, total * failed // 1000, 0, 0, chance)]
    if window:
        upkeep = _work(site, "upkeep", Activity.MAINTENANCE, total * window // 1000, 0, 0, chance)
        works.append(_with_joules(site, upkeep, chance.randrange(0, 40)))  # self-tests
    for run in running:
        left = total - sum(work.chip_ms for work in works)
        wanted = total * run.share_permille * (1000 - window) // 1_000_000
        if min(left, wanted) > 0:
            works += _train(site, run, min(left, wanted), chance)
    return works


def _serve(
    world: World, site: Site, period: int, ways: _Ways, model: str, before: Sequence[Work], chance: Random
) -> list[Work]:
    """Return services and checks, as far as chips are left: busy by day, quiet by night."""
    day = 86_400_000 // world.period_ms
    total = site.due(world.period_ms)
    left = total - sum(work.chip_ms for work in before)
    checks = min(left, total * 15 // 1000)
    swing = 100 * abs(period % day - day // 2) // max(1, day // 2)
    prompts = min(left - checks, total * ways.prompts // 1000)
    share = ways.serving * (130 - swing * 6 // 10) // 100
    chats = min(left - checks - prompts, total * share // 1000)
    used, busy = ways.used + chance.randrange(-40, 40), chance.randrange(200, 300)
    lines = (
        _work(site, "serving", Activity.INFERENCE, chats, used, ways.power, chance),
        _work(site, "prompts", Activity.INFERENCE, prompts, busy, 650, chance),
        _work(site, "checks", Activity.EVALUATION, checks, chance.randrange(80, 160), 450, chance),
    )
    return [replace(line, parents=(model,)) for line in lines if line.chip_ms]


def _windows(world: World, chance: Random) -> dict[int, int]:
    """Return by period which part of the chips (thousandths) a window of maintenance takes: some hours a month."""
    month, found = 30 * 86_400_000 // world.period_ms, dict[int, int]()
    for first in range(0, world.periods, month):
        begins, part = first + chance.randrange(month), chance.randrange(200, 600)
        for period in range(begins, begins + chance.randrange(4, 9)):
            found[period] = part
    return found


def _renew(world: World, site: Site, chance: Random) -> None:
    """Replace failed chips for good, a few in a thousand each quarter: one inventory follows another."""
    quarter = 90 * 86_400_000 // world.period_ms
    for first in range(quarter, world.periods, quarter):
        site.renewed[first] = site.chips * chance.randrange(1, 6) // 1000


def _err(world: World, site: Site, chance: Random) -> None:
    """Let the books of one period in five hundred be wrong at first: a line says less than it did."""
    for period in range(world.periods - 3):
        if chance.randrange(500) == 0:
            place = chance.randrange(len(site.said[period]))
            works = list(site.said[period])
            works[place] = replace(works[place], chip_ms=works[place].chip_ms * 9 // 10, joules=0)
            site.mistaken[period] = works


def _train(site: Site, run: Run, chip_ms: int, chance: Random) -> list[Work]:
    """Return a period of training; now and then with an interruption, whose time is part maintenance, part nobody's."""
    lost = chip_ms * chance.randrange(50, 400) // 1000 if chance.random() < 0.12 else 0
    astray = lost // 50
    power = chance.randrange(780, 900)
    flop = site.flop(chip_ms - lost, run.utilisation_permille + chance.randrange(-15, 15))
    hardware = flop * chance.randrange(960, 1040) // 1000
    done = Work(
        run.workload,
        Activity.TRAINING,
        chip_ms - lost,
        flop,
        hardware,
        flop // 10**12,
        parents=run.parents,
        model_out=run.model,
        code=run.code,
        data=run.data,
    )
    done = _with_joules(site, done, power)
    if not lost:
        return [done]
    waiting = _work(site, run.workload, Activity.MAINTENANCE, lost - astray, 0, 0, chance)
    return [done, waiting, _work(site, "astray", Activity.UNATTRIBUTED, astray, 0, 300, chance)]


def _work(
    site: Site, workload: str, activity: Activity, chip_ms: int, utilisation: int, power: int, chance: Random
) -> Work:
    """Return work at about *power* thousandths between idle and full."""
    chip_ms = max(0, chip_ms)
    flop = site.flop(chip_ms, utilisation)
    tokens = flop // 10**12 if flop else 0
    made = Work(workload, activity, chip_ms, flop, None, tokens)
    return _with_joules(site, made, max(0, power + (chance.randrange(-60, 60) if power else chance.randrange(-3, 5))))


def _with_joules(site: Site, work: Work, power: int) -> Work:
    return replace(work, joules=site.joules(work, power))
