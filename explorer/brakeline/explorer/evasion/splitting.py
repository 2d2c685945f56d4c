"""Lies about which run it is: one run cut into many, by name, code, data, site or lab."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from brakeline.explorer.evasion.books import declare, permit
from brakeline.explorer.evasion.hidden import said_as, train
from brakeline.explorer.evasion.strategy import Infeasible, Plan, Strategy
from brakeline.explorer.worlds.honest import digest
from brakeline.explorer.worlds.world import Work, World

_Piece = Callable[[Work, int], Work]


def _least_line(world: World) -> int:
    return min(threshold.flop.value for threshold in world.document.thresholds)


def _pieces(
    world: World, plan: Plan, share: int, cut: _Piece, *, declared: bool = True, periods: Sequence[int] | None = None
) -> None:
    """Book the run as pieces of at most *share* FLOP, one after another, each named and dressed by *cut*."""
    site = world.first
    done = train(world, plan, periods=periods)
    number, spent = 0, 0
    begun: set[int] = set()
    for period, hidden in done.items():
        if spent and spent + hidden.flop > share:
            number, spent = number + 1, 0
        spent += hidden.flop
        if declared and number not in begun:
            begun.add(number)
            declare(world, site, f"part-{number}", share, period)
        said_as(site, period, hidden, cut(hidden, number))


def _dressed(work: Work, number: int) -> Work:
    """Return *work* under another name, with code and data that no other part has."""
    return replace(work, workload=f"part-{number}", code=digest(f"code {number}"), data=digest(f"data {number}"))


def _by_name(world: World, plan: Plan) -> None:
    if plan.way == "side by side":
        _side_by_side(world, plan)
        return
    day = 86_400_000 // world.period_ms
    rests = plan.way == "with pauses"
    periods = [period for period in plan.periods if not rests or (period - plan.begins) // day % 6 != 5]
    share = _least_line(world) // 2
    _pieces(world, plan, share, lambda work, n: replace(work, workload=f"part-{n}"), periods=periods)


def _side_by_side(world: World, plan: Plan) -> None:
    """Book the run as many at once, each on its share of the chips and below every line."""
    site, share = world.first, _least_line(world) * 9 // 10
    count = -(-plan.flop // share)
    for number in range(count):
        declare(world, site, f"part-{number}", share, plan.begins)
    for period, hidden in train(world, plan).items():
        if len(site.truth[period]) + count > world.document.limits.line_count:
            raise Infeasible
        said_as(site, period, hidden, *(_share(hidden, f"part-{number}", number, count) for number in range(count)))


def _share(work: Work, workload: str, number: int, count: int) -> Work:
    """Return the part *number* of *count* of a work, under a name of its own."""
    return replace(
        work,
        workload=workload,
        chip_ms=work.chip_ms * (number + 1) // count - work.chip_ms * number // count,
        flop=work.flop // count,
        hardware=work.flop // count,
        tokens=work.tokens // count,
        joules=work.joules // count,
    )


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
                _share(hidden, f"side-{period}-{number}", number, count),
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


def _tune_as_fresh(world: World, plan: Plan) -> None:
    """Go on from the site's own model again and again, and say that each time a small new one begins."""
    base = _base(world)

    def cut(work: Work, number: int) -> Work:
        return replace(_dressed(work, number), model_out=digest(f"tune {number}"))

    _pieces(world, plan, _least_line(world) // 2, cut)
    for works in world.first.truth.values():
        works[:] = [replace(work, parents=(base,)) if work.workload == "side" else work for work in works]


def _forged_parents(world: World, plan: Plan) -> None:
    """Say that a new run goes on from a model that was authorised, and so needs no authorisation."""
    site = world.first
    parent = digest("a model of nobody")
    if plan.way == "a model of the lab":
        parent = _base(world)
    elif plan.way == "a model of another lab":
        parent = _base(world, of_another=True)
    declare(world, site, "side", plan.flop, plan.begins)
    for period, hidden in train(world, plan).items():
        said_as(site, period, hidden, replace(hidden, parents=(parent,), model_out=digest("side")))


def _base(world: World, *, of_another: bool = False) -> str:
    """Return the model that the first site, or a site of another lab, trains with authorisation."""
    site = world.first
    if of_another:
        site = next((item for item in world.sites.values() if item.lab != site.lab), site)
    models = (work.model_out for works in site.truth.values() for work in works if "base" in work.workload)
    return next((model for model in models if model is not None), digest("a model of nobody"))


def _into_another(world: World, plan: Plan) -> None:
    """Book the run to one that was declared and authorised, which grows."""
    site, base = world.first, _base(world)
    example = next(work for works in site.truth.values() for work in works if work.model_out == base)
    for period, hidden in train(world, plan).items():
        said_as(site, period, hidden, replace(hidden, workload=example.workload, code=example.code, data=example.data))


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
    Strategy(
        "split-by-name",
        "a run is cut into declared parts with other names",
        ("threshold",),
        _by_name,
        ("one after another", "side by side", "with pauses"),
    ),
    Strategy(
        "split-handed-on", "parts with other code and data, each the parent of the next", ("threshold",), _handed_on
    ),
    Strategy("split-circular", "parts that name each other as parents", ("threshold",), _circular),
    Strategy("split-fresh", "parts that say they have nothing to do with each other", ("unlinked-runs",), _fresh),
    Strategy("scattered", "a run is cut into undeclared work below the floor", ("undeclared-run",), _scattered),
    Strategy("split-over-sites", "every site of a lab trains a share, slowly", ("threshold",), _over_sites, sites=2),
    Strategy(
        "tune-as-fresh", "tunes of one model are declared as new small models", ("unlinked-runs",), _tune_as_fresh
    ),
    Strategy(
        "forged-parents",
        "a run names an authorised model as its parent, and takes over its authorisation",
        ("threshold",),
        _forged_parents,
        ("a model of the lab", "a model of another lab", "a model of nobody"),
        sites=3,
    ),
    Strategy(
        "into-another-run",
        "a run is booked to one that was declared and authorised",
        ("undeclared-run", "threshold"),
        _into_another,
    ),
    Strategy(
        "split-over-labs",
        "two labs of one owner train one model together, each half of it",
        ("threshold",),
        _over_labs,
        ("parents named", "parents kept quiet"),
        sites=3,
    ),
)
