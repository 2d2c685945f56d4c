"""Lies about rows: transcripts made up after the fact, and challenges left unanswered.

How many rows a log draws in a period follows from the treaty's goals (:mod:`brakeline.treaty.spotcheck.draw`); whether
one of them is a row of the hidden run is chance, with the run's share of all rows.
"""

from __future__ import annotations

from brakeline.explorer.evasion.hidden import train
from brakeline.explorer.evasion.strategy import Plan, Strategy
from brakeline.explorer.worlds.world import World
from brakeline.treaty.spotcheck.challenge import draws


def _drawn(world: World, plan: Plan) -> list[int]:
    """Hide the run; return the periods in which a row of it is drawn, by one log."""
    site, rule = world.first, world.document.rule("false-opening")
    done = train(world, plan)
    if rule is None:
        return []
    slots = rule.integer("slots")
    count = draws(world.document, site.chips * slots, slots)
    due = site.due(world.period_ms)
    return [
        period
        for period, hidden in done.items()
        if any(plan.chance.randrange(due) < hidden.chip_ms for _ in range(count))
    ]


def _fabricated(world: World, plan: Plan) -> None:
    world.first.fabricated.update(_drawn(world, plan))


def _refused(world: World, plan: Plan) -> None:
    world.first.unopened.update(_drawn(world, plan))


STRATEGIES = (
    Strategy(
        "fabricated-transcripts",
        "the books hide the run; rows that are drawn from it are made up afterwards",
        ("false-opening", "energy-gap"),
        _fabricated,
    ),
    Strategy(
        "challenges-refused",
        "the books hide the run; rows that are drawn from it are not opened",
        ("unopened-challenge", "energy-gap"),
        _refused,
    ),
)
