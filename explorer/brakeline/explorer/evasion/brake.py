"""Lies about stopping: a pause that is signed, acknowledged and not kept."""

from __future__ import annotations

from dataclasses import replace

from brakeline.explorer.evasion.hidden import said_as, train
from brakeline.explorer.evasion.strategy import Plan, Strategy
from brakeline.explorer.worlds.world import Extra, Site, Work, World, take
from brakeline.treaty.statements import Activity
from brakeline.treaty.strictjson import JsonObject


def _pressed(world: World, plan: Plan) -> None:
    """Pause the training of the first site's lab for the plan's periods, and let it stop."""
    lab = world.first.lab
    order: JsonObject = {
        "kind": "pause",
        "scope": {"who": [lab], "activities": ["training"]},
        "effective_period": plan.begins,
        "expiry_period": plan.ends,
        "reason": "a pause",
        "exercise": False,
        "lifts": [],
    }
    world.extras.append(Extra(max(0, plan.begins - 3), "", "order", order))
    for site in world.of_lab(lab):
        for period in plan.periods:
            site.truth[period] = _stopped(site, site.truth[period])
            site.said[period] = list(site.truth[period])


def _stopped(site: Site, works: list[Work]) -> list[Work]:
    """Return *works* with all training, and what belongs to it, turned into idling."""
    total = sum(work.chip_ms for work in works)
    kept, taken = take(works, Activity.TRAINING, total)
    idle = Work("paused", Activity.IDLE, taken)
    return [*kept, replace(idle, joules=site.joules(idle, 0))] if taken else kept


def _booked(world: World, plan: Plan) -> None:
    _pressed(world, plan)
    for period, hidden in train(world, plan).items():
        said_as(world.first, period, hidden, hidden)


def _unbooked(world: World, plan: Plan) -> None:
    _pressed(world, plan)
    train(world, plan)


STRATEGIES = (
    Strategy(
        "through-the-pause",
        "training goes on during a pause, and the books say so",
        ("brake-breach",),
        _booked,
    ),
    Strategy(
        "secretly-through-the-pause",
        "training goes on during a pause, and the books say that the chips rest",
        ("energy-gap",),
        _unbooked,
    ),
)
