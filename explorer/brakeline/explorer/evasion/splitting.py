"""Lies about which run it is: one run cut into many, by name, code, data, site or lab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from brakeline.explorer.evasion.books import declare, permit
from brakeline.explorer.evasion.hidden import said_as, train
from brakeline.explorer.evasion.strategy import Infeasible, Plan, Strategy
from brakeline.explorer.worlds.honest import digest
from brakeline.explorer.worlds.world import Work, World

_Piece = Callable[[Work, int], Work]


def _least_line(world: World) -> int:
    return min(threshold.flop.value for threshold in world.document.thresholds)


def _pieces(world: World, plan: Plan, share: int, cut: _Piece, *, declared: bool = True) -> None:
    """Book the run as pieces of at most *share* FLOP, one after another, each named and dressed by *cut*."""
    site = world.first
    done = train(world, plan)
    each = next(iter(done.values())).flop
    length = max(1, share // each)
    for number, begins in enumerate(range(plan.begins, plan.ends, length)):
        if declared:
            declare(world, site, f"part-{number}", share, begins)
        for period in range(begins, min(begins + length, plan.ends)):
            said_as(site, period, done[period], cut(done[period], number))


def _dressed(work: Work, number: int) -> Work:
    """Return *work* under another name, with code and data that no other part has."""
    return replace(work, workload=f"part-{number}", code=digest(f"code {number}"), data=digest(f"data {number}"))


def _by_name(world: World, plan: Plan) -> None:
    _pieces(world, plan, _least_line(world) // 2, lambda work, n: replace(work, workload=f"part-{n}"))


def _handed_on(world: World, plan: Plan) -> None:
    def cut(work: Work, number: int) -> Work:
        parents = (digest(f"part {number - 1}"),) if number else ()
        return replace(_dressed(work, number), parents=parents, model_out=digest(f"part {number}"))

    _pieces(world, plan, _least_line(world) // 2, cut)


def _circular(world: World, plan: Plan) -> None:
    def cut(work: Work, number: int) -> Work:
        here, there = digest(f"part {number % 2}"), digest(f"part {1 - number % 2}")
        return replace(_dressed(work, number), parents=(there,), model_out=here)

    _pieces(world, plan, _least_line(world) // 2, cut)


def _fresh(world: World, plan: Plan) -> None:
    def cut(work: Work, number: int) -> Work:
        return replace(_dressed(work, number), model_out=digest(f"part {number}"))

    _pieces(world, plan, _least_line(world) // 2, cut)


def _scattered(world: World, plan: Plan) -> None:
    rule = world.document.rule("undeclared-run")
    floor = _least_line(world) // 100 if rule is None else rule.integer("floor_flop")
    site = world.first
    for period, hidden in train(world, plan).items():
        count = -(-hidden.flop * 11 // (10 * floor))
        parts = [
            replace(
                hidden,
                workload=f"side-{period}-{number}",
                chip_ms=hidden.chip_ms * (number + 1) // count - hidden.chip_ms * number // count,
                flop=hidden.flop // count,
                hardware=hidden.flop // count,
                tokens=hidden.tokens // count,
                joules=hidden.joules // count,
                code=digest(f"code {period} {number}"),
                data=digest(f"data {period} {number}"),
            )
            for number in range(count)
        ]
        if len(site.truth[period]) + count > world.document.limits.line_count:
            raise Infeasible
        said_as(site, period, hidden, *parts)


def _over_sites(world: World, plan: Plan) -> None:
    """Train slowly at every site of the lab at once: a run that needs little bandwidth."""
    sites = list(world.of_lab(world.first.lab))
    for site in sites:
        share = plan.flop // len(sites)
        declare(world, site, "side", share, plan.begins)
        for period, hidden in train(world, plan, site, share).items():
            said_as(site, period, hidden, hidden)


def _over_labs(world: World, plan: Plan) -> None:
    """Let two labs train one model together, each half of it."""
    other = next((site for site in world.sites.values() if site.lab != world.first.lab), None)
    if other is None:
        raise Infeasible
    for site in (world.first, other):
        declare(world, site, "side", plan.flop // 2, plan.begins)
        for period, hidden in train(world, plan, site, plan.flop // 2).items():
            parents = (digest("half"),) if site is other and plan.way == "parents named" else ()
            model = digest("half") if site is world.first else None
            said_as(site, period, hidden, replace(hidden, parents=parents, model_out=model))


def _unauthorised(world: World, plan: Plan) -> None:
    site = world.first
    declare(world, site, "side", plan.flop, plan.begins)
    for period, hidden in train(world, plan).items():
        said_as(site, period, hidden, hidden)


def _beyond(world: World, plan: Plan) -> None:
    site = world.first
    permit(world, site, "side", _least_line(world))
    _unauthorised(world, plan)


STRATEGIES = (
    Strategy("unauthorised", "a declared run passes a line that nobody authorised", ("threshold",), _unauthorised),
    Strategy("beyond-permission", "a run goes on beyond what was authorised", ("threshold",), _beyond),
    Strategy("split-by-name", "a run is cut into declared parts with other names", ("threshold",), _by_name),
    Strategy(
        "split-handed-on", "parts with other code and data, each the parent of the next", ("threshold",), _handed_on
    ),
    Strategy("split-circular", "parts that name each other as parents", ("threshold",), _circular),
    Strategy("split-fresh", "parts that say they have nothing to do with each other", ("unlinked-runs",), _fresh),
    Strategy("scattered", "a run is cut into undeclared work below the floor", ("undeclared-run",), _scattered),
    Strategy("split-over-sites", "every site of a lab trains a share, slowly", ("threshold",), _over_sites),
    Strategy(
        "split-over-labs",
        "two labs of one owner train one model together, each half of it",
        ("threshold",),
        _over_labs,
        ("parents named", "parents kept quiet"),
    ),
)
