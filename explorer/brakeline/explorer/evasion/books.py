"""Lies about how much: figures that are too small, books that are missing, late, or said twice."""

from __future__ import annotations

from dataclasses import replace

from brakeline.explorer.evasion.hidden import POWER, said_as, train
from brakeline.explorer.evasion.strategy import Plan, Strategy
from brakeline.explorer.worlds.world import Extra, Site, World
from brakeline.treaty.findings import Severity
from brakeline.treaty.strictjson import JsonObject

SIDE = "side"


def declare(world: World, site: Site, workload: str, flop: int, begins: int) -> None:
    """Declare a run of *site* before it begins."""
    members: JsonObject = {
        "workload": workload,
        "activity": "training",
        "begins_period": begins,
        "planned_flop": str(flop),
        "chips": [{"class": site.chip.name, "count": site.chips}],
        "parents": [],
        "purpose": "a model",
    }
    world.extras.append(Extra(max(0, begins - 1), site.name, "declaration", members))


def permit(world: World, site: Site, workload: str, flop: int) -> None:
    """Have the parties authorise a run up to *flop*, for every threshold."""
    for threshold in world.document.thresholds:
        members: JsonObject = {
            "lab": site.lab,
            "workload": workload,
            "threshold": threshold.name,
            "flop": str(flop),
            "effective_period": 0,
            "expiry_period": world.periods * 10,
            "reason": "asked for",
        }
        world.extras.append(Extra(0, "", "authorisation", members))


def _understated(world: World, plan: Plan) -> None:
    """Book all of the chip time as a declared run, and a tenth of what it computed."""
    site = world.first
    declare(world, site, SIDE, plan.flop // 10, plan.begins)
    permit(world, site, SIDE, plan.flop // 5)
    for period, hidden in train(world, plan).items():
        tenth = replace(hidden, flop=hidden.flop // 10, tokens=hidden.tokens // 10)
        if plan.way != "tokens only":
            tenth = replace(tenth, hardware=hidden.flop // 10)
        if plan.way == "joules too":
            tenth = replace(tenth, joules=site.joules(hidden, POWER // 10))
        said_as(site, period, hidden, tenth)


def _small_plan(world: World, plan: Plan) -> None:
    site = world.first
    declare(world, site, SIDE, plan.flop // 10, plan.begins)
    permit(world, site, SIDE, plan.flop * 2)
    for period, hidden in train(world, plan).items():
        said_as(site, period, hidden, hidden)


def _undeclared(world: World, plan: Plan) -> None:
    site = world.first
    permit(world, site, SIDE, plan.flop * 2)
    for period, hidden in train(world, plan).items():
        said_as(site, period, hidden, hidden)


def _dropped(world: World, plan: Plan) -> None:
    train(world, plan)
    periods = plan.periods if plan.way == "every period" else plan.periods[-len(plan.periods) // 10 :]
    world.first.silent.update(periods)


def _late(world: World, plan: Plan) -> None:
    train(world, plan)
    world.first.late.update(dict.fromkeys(plan.periods[:3], 3_600_000))


def _twice(world: World, plan: Plan) -> None:
    site = world.first
    for period, hidden in train(world, plan).items():
        clean = site.said[period]
        said_as(site, period, hidden, hidden)
        site.twice[period] = clean


def _replayed(world: World, plan: Plan) -> None:
    """Say the books of a quiet period again, for every period of the run."""
    site = world.first
    quiet = min(plan.periods, key=lambda period: sum(w.flop for w in site.said[period]))
    works = site.said[quiet]
    train(world, plan)
    for period in plan.periods:
        site.said[period] = list(works)


def _declared_afterwards(world: World, plan: Plan) -> None:
    """Declare the run when it has begun, and date the declaration back."""
    site = world.first
    permit(world, site, "side", plan.flop * 2)
    declare(world, site, "side", plan.flop, plan.begins)
    world.extras[-1] = replace(world.extras[-1], period=plan.begins + 1)
    for period, hidden in train(world, plan).items():
        said_as(site, period, hidden, hidden)


def _corrected_away(world: World, plan: Plan) -> None:
    """Say the truth in time, and correct it two periods later to what the books would have said without the run."""
    site = world.first
    for period, hidden in train(world, plan).items():
        site.mistaken[period] = [*(work for work in site.truth[period] if work is not hidden), hidden]


def _own_clock(world: World, plan: Plan) -> None:
    """Keep the books by a clock that is minutes off, so that nobody can say in which period anything was done."""
    site = world.first
    for period, hidden in train(world, plan).items():
        site.own_clock[period] = 17 * 60_000
        said_as(site, period, hidden, hidden)


def _favoured(world: World, plan: Plan) -> None:
    """Show the books of the run to no more verifiers than may lie, who keep them to themselves."""
    site = world.first
    for period, hidden in train(world, plan).items():
        site.favoured.add(period)
        said_as(site, period, hidden, hidden)


def _autonomous(world: World, plan: Plan) -> None:
    """Declare figures that pass the line: seen as what they are, self-declared."""
    rule = world.document.rule("autonomy-tripwire")
    line = 1000 if rule is None else rule.integer("speed_up_permille")
    told: JsonObject = {
        "period": plan.begins,
        "written_by_models": {"numerator": 1, "denominator": 2},
        "reviewed_by_people": {"numerator": 1, "denominator": 2},
        "longest_unattended_ms": 0,
        "speed_up": {"numerator": line + 1, "denominator": 1000},
    }
    world.extras.append(Extra(plan.begins, world.first.lab, "autonomy", told))


STRATEGIES = (
    Strategy(
        "understated",
        "a declared run books its chip time and a tenth of its FLOP (tokens deflated)",
        ("method-gap", "activity-shape", "energy-gap"),
        _understated,
        ("tokens only", "both methods", "joules too"),
    ),
    Strategy("small-plan", "a big run is declared small", ("undeclared-run",), _small_plan),
    Strategy("undeclared", "a run is booked and was never declared", ("undeclared-run",), _undeclared),
    Strategy(
        "dropped",
        "the books of the run's periods never come",
        ("missing-period",),
        _dropped,
        ("every period", "the tail"),
    ),
    Strategy(
        "declared-afterwards",
        "a declaration comes when the run has begun, and is dated back",
        ("undeclared-run",),
        _declared_afterwards,
    ),
    Strategy(
        "corrected-away",
        "books say the truth in time, and are corrected afterwards to what hides it",
        ("energy-gap",),
        _corrected_away,
    ),
    Strategy("own-clock", "books are kept by a clock that is off, and refused", ("missing-period",), _own_clock),
    Strategy(
        "friendly-verifiers",
        "verifiers that help the lab (no more than f) keep the books of the run to themselves",
        ("missing-period",),
        _favoured,
    ),
    Strategy("late", "books come after their deadline", ("late",), _late, least=Severity.NOTE),
    Strategy("two-versions", "two versions of the books, one with the run and one without", ("equivocation",), _twice),
    Strategy("replayed", "the books of a quiet period are said again and again", ("energy-gap",), _replayed),
    Strategy(
        "autonomous",
        "models do more of the research than the treaty's line, and the lab says so",
        ("autonomy-tripwire",),
        _autonomous,
        least=Severity.NOTE,
    ),
)
