"""What labs mean to train: generations of models, fine-tunes of them, users' jobs, experiments; declared and permitted.

A plan is made before a world is lived (:mod:`~brakeline.explorer.worlds.honest`). An honest lab declares what the
treaty wants declared, and has permitted what will pass a line; evaluators commit to a protocol before they test what is
going to serve. How long and how large runs are is invented, as in published schedules of frontier labs: a base model in
one and a half to four months, tunes of hours to days, jobs of users beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from brakeline.explorer.worlds.world import Extra, Site, World
from brakeline.treaty.strictjson import JsonObject, JsonValue

_SHORT = 90
"""Days up to which a world has one generation of models."""


@dataclass(frozen=True, slots=True)
class Run:
    """A training run.

    Attributes:
        workload: as it is booked.
        begins, ends: the periods in which it runs.
        share_permille: of the site's chips, while they train.
        utilisation_permille: of the dense peak.
        parents: models it goes on from.
        model: digest of what it makes.
        code, data: digests.
        permitted: FLOP that the parties are asked to permit for its lineage; 0 where nobody is asked.
    """

    workload: str
    begins: int
    ends: int
    share_permille: int
    utilisation_permille: int
    parents: tuple[str, ...]
    model: str
    code: str
    data: str
    permitted: int = 0


@dataclass(frozen=True, slots=True)
class Served:
    """A model that a site serves from a period on."""

    begins: int
    model: str


@dataclass(frozen=True, slots=True)
class Plans:
    """What a site means to do: runs in order of their begin, and the models that it serves, newest last."""

    runs: tuple[Run, ...]
    served: tuple[Served, ...]


def digest(text: str) -> str:
    """Return the SHA-256 of *text*, lowercase hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def plan(world: World, site: Site, chance: Random) -> Plans:
    """Return what *site* means to do, and let *world* say it: declarations, permissions, evaluations."""
    day = 86_400_000 // world.period_ms
    bases = list(_bases(world, site, chance))
    runs = [*bases]
    if world.periods > 10 * day:
        for base in bases:
            runs += _tunes(world, site, base, chance)
        runs += _jobs(world, site, chance)
    first = Served(0, digest(f"first model of {site.lab}"))
    served = (first, *(Served(base.ends, base.model) for base in bases if base.ends < world.periods))
    runs.sort(key=lambda run: (run.begins, run.workload))
    for run in runs:
        _announce(world, site, run)
    for item in served:
        _evaluated(world, item)
    return Plans(tuple(runs), served)


def flop_of(world: World, site: Site, run: Run) -> int:
    """Return what *run* computes if nothing interrupts it."""
    each = site.flop(site.due(world.period_ms) * run.share_permille // 1000, run.utilisation_permille)
    return each * (run.ends - run.begins)


def _bases(world: World, site: Site, chance: Random) -> Iterator[Run]:
    """Yield the long runs, one after another; some go on from the one before."""
    day = 86_400_000 // world.period_ms
    begins, number, spent = chance.randrange(1, day), 0, 0
    before: Run | None = None
    while number == 0 or begins < world.periods - 10 * day:
        number += 1
        whole = world.periods * chance.randrange(70, 95) // 100
        ends = whole if world.periods <= _SHORT * day else begins + chance.randrange(45, 110) * day
        goes_on = before is not None and chance.random() < 0.33
        name = f"base-{_label(site)}-{number}"
        made = Run(
            name,
            begins,
            min(ends, world.periods),
            chance.randrange(250, 350),
            chance.randrange(330, 430),
            (before.model,) if before is not None and goes_on else (),
            digest(f"model of {site.name} {name}"),
            digest(f"code {site.lab}"),
            digest(f"data {site.name} {name}"),
        )
        spent = flop_of(world, site, made) + (spent if goes_on else 0)
        before = replace(made, permitted=spent * 13 // 10)
        yield before
        begins = before.ends + chance.randrange(1, 8) * day


def _tunes(world: World, site: Site, base: Run, chance: Random) -> Iterator[Run]:
    """Yield fine-tunes of a base model's last checkpoints."""
    day = 86_400_000 // world.period_ms
    for number in range(chance.randrange(1, 4)):
        earliest = max(base.begins, base.ends - 5 * day)
        begins = chance.randrange(earliest, max(earliest + 1, min(base.ends + 10 * day, world.periods - 2 * day)))
        name = f"tune-{base.workload}-{number}"
        yield Run(
            name,
            begins,
            min(begins + chance.randrange(day // 2, 2 * day), world.periods),
            chance.randrange(20, 60),
            chance.randrange(300, 420),
            (base.model,),
            digest(f"model of {site.name} {name}"),
            digest(f"code {site.lab}"),
            digest(f"data {site.name} {name}"),
        )


def _jobs(world: World, site: Site, chance: Random) -> Iterator[Run]:
    """Yield what users of a shared cluster train there, and the lab's own experiments: small, and nobody's lineage."""
    day = 86_400_000 // world.period_ms
    kinds = (("user", 6, (8, 30), (day // 4, 3 * day)), ("trial", 3, (2, 8), (2, day // 2)))
    for kind, every, shares, lengths in kinds:
        at, number = chance.randrange(day, every * day), 0
        while at < world.periods - day:
            number += 1
            name = f"{kind}-{_label(site)}-{number}"
            ends = min(at + chance.randrange(lengths[0], lengths[1]), world.periods)
            share, used = chance.randrange(*shares), chance.randrange(250, 420)
            owner = site.lab if kind == "trial" else f"{site.name} {name}"
            code, data = digest(f"code of {owner} {name}"), digest(f"data of {owner} {name}")
            yield Run(name, at, ends, share, used, (), digest(f"model of {site.name} {name}"), code, data)
            at += chance.randrange(1, 2 * every * day)


def _label(site: Site) -> str:
    """Return what tells a lab's sites apart."""
    return site.name.rpartition("-")[2]


def _announce(world: World, site: Site, run: Run) -> None:
    """Declare a run that will pass the floor, and have the parties permit what will pass a line."""
    planned = flop_of(world, site, run) * 11 // 10
    rule = world.document.rule("undeclared-run")
    floor = 0 if rule is None else rule.integer("floor_flop")
    if planned * 2 > floor:
        parents: list[JsonValue] = list(run.parents)
        declared: JsonObject = {
            "workload": run.workload,
            "activity": "training",
            "begins_period": run.begins,
            "planned_flop": str(planned),
            "chips": [{"class": site.chip.name, "count": max(1, site.chips * run.share_permille // 1000)}],
            "parents": parents,
            "purpose": "a model",
        }
        world.extras.append(Extra(max(0, run.begins - 1), site.name, "declaration", declared))
    for threshold in world.document.thresholds:
        if run.permitted * 2 > threshold.flop.value:
            permitted: JsonObject = {
                "lab": site.lab,
                "workload": run.workload,
                "threshold": threshold.name,
                "flop": str(max(run.permitted, threshold.flop.value)),
                "effective_period": 0,
                "expiry_period": world.periods * 10,
                "reason": "declared and examined",
            }
            world.extras.append(Extra(0, "", "authorisation", permitted))


def _evaluated(world: World, served: Served) -> None:
    """Have an evaluator commit to a protocol, and report, before a model serves."""
    evaluator = world.third_party("evaluator")
    if evaluator is None:
        return
    day = 86_400_000 // world.period_ms
    said: JsonObject = {"stage": "commit", "model": served.model, "protocol": digest(f"protocol {served.model}")}
    result: JsonObject = {**said, "stage": "result", "seed": served.model, "passed": True, "result": digest("report")}
    world.extras.append(Extra(max(0, served.begins - 2 * day), evaluator, "evaluation", said))
    world.extras.append(Extra(max(0, served.begins - day), evaluator, "evaluation", result))
