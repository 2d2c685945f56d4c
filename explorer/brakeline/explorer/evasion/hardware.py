"""Lies about the chips: more of them than declared, fewer, or more work than they could do."""

from __future__ import annotations

from dataclasses import replace

from brakeline.explorer.evasion.hidden import POWER, UTILISATION, train
from brakeline.explorer.evasion.strategy import Plan, Strategy
from brakeline.explorer.worlds.world import Site, Work, World
from brakeline.treaty.statements import Activity


def _undeclared_chips(world: World, plan: Plan) -> Work:
    """Return what chips that nobody declared do in a period of the plan."""
    site = world.first
    each = -(-plan.flop // len(plan.periods))
    chip_ms = -(-each * 1_000_000 // (site.chip.peak_flop_per_s.value * UTILISATION))
    work = Work("side", Activity.TRAINING, chip_ms, each, each)
    return replace(work, joules=site.joules(work, POWER))


def _ghosts(world: World, plan: Plan) -> None:
    site, work = world.first, _undeclared_chips(world, plan)
    for period in plan.periods:
        site.elsewhere[period] = work.joules
    if plan.way == "in sight of inspectors":
        site.present += -(-work.chip_ms // world.period_ms)


def _other_hall(_world: World, _plan: Plan) -> None:
    """Nothing in any log changes."""


def _phantoms(world: World, plan: Plan) -> None:
    """Declare chips that do not exist, and let their pretended serving explain the energy of the hidden run."""
    site = world.first
    done = train(world, plan)
    hidden = next(iter(done.values()))
    count = _phantom_count(site, hidden, world.period_ms)
    site.chips += count
    for period in range(world.periods):
        gap = done[period].joules - _displaced(site, period) if period in done else 0
        idle = Work("phantom", Activity.IDLE, count * world.period_ms)
        serving = replace(idle, workload="phantom", activity=Activity.INFERENCE, joules=max(0, gap))
        site.said[period] = [*site.said[period], serving if gap > 0 else idle]


def _phantom_count(site: Site, hidden: Work, period_ms: int) -> int:
    """Return how many chips, serving at 60 % of board power, draw what the hidden run draws."""
    return max(1, -(-hidden.joules * 1000 // (site.chip.board_watts * 600 * period_ms // 1000)))


def _displaced(site: Site, period: int) -> int:
    """Return the joules that the books claim for work that gave way to the hidden run."""
    said = sum(work.joules for work in site.said[period])
    true = sum(work.joules for work in site.truth[period] if work.workload != "side")
    return said - true


def _impossible(world: World, plan: Plan) -> None:
    """Book a run on undeclared chips, in full, as done by a hundredth of the declared ones."""
    site, work = world.first, _undeclared_chips(world, plan)
    for period in plan.periods:
        site.elsewhere[period] = work.joules
        first, *others = sorted(site.said[period], key=lambda item: item.activity is not Activity.TRAINING)
        if first.activity is Activity.TRAINING:
            site.said[period] = [replace(first, flop=first.flop + work.flop), *others]


STRATEGIES = (
    Strategy(
        "ghost-chips",
        "chips that nobody declared train in the same building",
        ("energy-gap", "contradiction"),
        _ghosts,
        ("out of sight", "in sight of inspectors"),
    ),
    Strategy(
        "phantom-chips",
        "chips that do not exist explain the energy of those that train",
        ("contradiction",),
        _phantoms,
    ),
    Strategy(
        "other-chips-work",
        "FLOP of undeclared chips are booked to a declared run",
        ("peak-exceeded", "method-gap", "undeclared-run", "energy-gap", "activity-shape"),
        _impossible,
    ),
    Strategy(
        "other-hall",
        "chips that nobody declared train where nobody meters",
        (),
        _other_hall,
        residual="compute wholly off the declared inventory, with no outside evidence",
    ),
)
