"""Honest worlds from a seed: long runs with restarts, fine-tunes, services by day and night, failed chips, meters.

What varies, and how much, is written here and nowhere else. Sources: utilisation of 30 to 45 % and an interruption in
every few hours at 16,384 chips (The Llama 3 herd of models, arXiv:2407.21783, section 3.3); board power of training 75
to 95 % and of serving 40 to 70 % of the limit (POLCA, arXiv:2308.12908). The meter errs as one of class 1 does (IEC
62053-21); the PUE drifts with the weather by a percent around the figure that the treaty names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from random import Random

from brakeline.explorer.worlds.world import Extra, Site, Work, World
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.statements import Activity
from brakeline.treaty.strictjson import JsonObject

SIZES = (18_432, 8_192, 12_288, 4_096)
"""Chips of the sites, in turn: the first has room for a significant quantity of 1e25 FLOP in a month, beside its own
work, in every seed, and little more. The larger a site is, the better honest work dilutes a training."""


@dataclass(frozen=True, slots=True)
class _Run:
    """A training run that a lab plans, runs and declares."""

    site: str
    workload: str
    begins: int
    ends: int
    share_permille: int
    utilisation_permille: int
    parents: tuple[str, ...]
    code: str
    data: str

    @property
    def model(self) -> str:
        """The digest of what it makes."""
        return digest(f"model of {self.site} {self.workload}")


def digest(text: str) -> str:
    """Return the SHA-256 of *text*, lowercase hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def honest(document: TreatyDocument, seed: int, days: int, sites: int = 3, chips: int = SIZES[0]) -> World:
    """Make an honest world: *sites* sites of the treaty's labs, two of the first lab, over *days* days.

    Args:
        document: the treaty; its first chip class of 500 watts or more is what everybody uses, else its first.
        seed: the same one gives the same world.
        days: at least 2; periods are the treaty's.
        sites: 1 to twice the number of labs.
        chips: of the first site; the others have theirs of ``SIZES``, in turn.
    """
    chance = Random(f"honest {seed}")  # noqa: S311  (a simulation)
    periods = days * 86_400_000 // document.grid.period.value
    world = World(document, periods, chance)
    chip = next((item for item in document.chip_classes if item.board_watts >= 500), document.chip_classes[0])
    first, *others = [lab.name for lab in document.labs]
    names = [f"{first}/site-1", f"{first}/site-2", *(f"{lab}/site-{n}" for n in (1, 2) for lab in others)]
    for number, name in enumerate(names[:sites]):
        count = SIZES[number % len(SIZES)] if number else chips
        site = Site(name, chip, count, count)
        world.sites[site.name] = site
        month = 30 * 86_400_000 // world.period_ms
        site.inspected = {first + chance.randrange(month) for first in range(0, periods, month)}
        _live(world, site, _plans(world, site, chance), chance)
    return world


def _plans(world: World, site: Site, chance: Random) -> list[_Run]:
    """Return a long run and fine-tunes of its model."""
    day = 86_400_000 // world.period_ms
    base = _Run(
        site.name,
        "base",
        chance.randrange(1, day),
        world.periods * chance.randrange(70, 95) // 100,
        chance.randrange(250, 350),
        chance.randrange(330, 430),
        (),
        digest(f"code {site.lab}"),
        digest(f"data {site.name} base"),
    )
    tunes = [
        _Run(
            site.name,
            f"tune-{number}",
            begins := chance.randrange(base.ends - 5 * day, max(base.ends - 5 * day + 1, world.periods - 2 * day)),
            begins + chance.randrange(day // 2, 2 * day),
            chance.randrange(20, 60),
            chance.randrange(300, 420),
            (base.model,),
            digest(f"code {site.lab}"),
            digest(f"data {site.name} tune {number}"),
        )
        for number in range(chance.randrange(1, 4))
    ]
    runs = [base, *tunes] if world.periods > 10 * day else [base]
    for run in runs:
        _announce(world, site, run)
    return runs


def _announce(world: World, site: Site, run: _Run) -> None:
    """Declare a run, and have the parties authorise what it will pass."""
    per_period = site.flop(site.due(world.period_ms) * run.share_permille // 1000, run.utilisation_permille)
    planned = per_period * (run.ends - run.begins) * 11 // 10
    declared: JsonObject = {
        "workload": run.workload,
        "activity": "training",
        "begins_period": run.begins,
        "planned_flop": str(planned),
        "chips": [{"class": site.chip.name, "count": max(1, site.chips * run.share_permille // 1000)}],
        "parents": list(run.parents),
        "purpose": "a model",
    }
    world.extras.append(Extra(max(0, run.begins - 1), site.name, "declaration", declared))
    for threshold in world.document.thresholds:
        if planned * 2 > threshold.flop.value and not run.parents:
            permitted: JsonObject = {
                "lab": site.lab,
                "workload": run.workload,
                "threshold": threshold.name,
                "flop": str(planned * 3),
                "effective_period": 0,
                "expiry_period": world.periods * 10,
                "reason": "declared and examined",
            }
            world.extras.append(Extra(0, "", "authorisation", permitted))


def _live(world: World, site: Site, runs: list[_Run], chance: Random) -> None:
    """Let *site* work for all periods: truth and books alike."""
    day = 86_400_000 // world.period_ms
    failed = chance.randrange(3, 10)
    serving = chance.randrange(250, 400)
    for period in range(world.periods):
        failed = min(30, max(1, failed + chance.choice((-1, 0, 0, 0, 1))))  # thousandths of the chips, being repaired
        total = site.due(world.period_ms)
        works = [_work(site, "repairs", Activity.MAINTENANCE, total * failed // 1000, 0, 0, chance)]
        for run in runs:
            if run.begins <= period < run.ends:
                works += _train(site, run, total * run.share_permille // 1000, chance)
        swing = 100 * abs(period % day - day // 2) // max(1, day // 2)  # busy by day, quiet by night
        share = serving * (130 - swing * 6 // 10) // 100
        works.append(
            _work(site, "serving", Activity.INFERENCE, total * share // 1000, chance.randrange(80, 160), 420, chance)
        )
        works.append(
            _work(site, "checks", Activity.EVALUATION, total * 15 // 1000, chance.randrange(80, 160), 450, chance)
        )
        left = total - sum(work.chip_ms for work in works)
        works.append(_work(site, "idle", Activity.IDLE, left, 0, 0, chance))
        site.truth[period] = works
        site.said[period] = list(works)
        world.pue[site.name, period] = 1000 + chance.randrange(-10, 10) + chance.randrange(-3, 4)


def _train(site: Site, run: _Run, chip_ms: int, chance: Random) -> list[Work]:
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
