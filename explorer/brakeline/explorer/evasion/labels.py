"""Lies about what chips did: training under another name."""

from __future__ import annotations

from dataclasses import replace

from brakeline.explorer.evasion.hidden import Pace, said_as, train
from brakeline.explorer.evasion.strategy import WORKING, Plan, Strategy
from brakeline.explorer.worlds.world import Site, Work, World
from brakeline.treaty.statements import Activity


def _unsaid(world: World, plan: Plan) -> None:
    train(world, _window(plan))


def _window(plan: Plan) -> Plan:
    """Return the plan in the stretch that its way names."""
    length = plan.ends - plan.begins
    if plan.way == "in a week":
        return replace(plan, ends=plan.begins + max(1, length // 4))
    if plan.way == "late":
        return replace(plan, begins=plan.ends - max(1, length // 2))
    return plan


def _rest(activity: Activity) -> Strategy:
    def cheat(world: World, plan: Plan) -> None:
        site = world.first
        for period, hidden in train(world, plan).items():
            joules = hidden.joules
            if plan.way == "joules as allowed":
                joules = site.joules(hidden, 0) * _allowed(world, activity) // 100
            said_as(site, period, hidden, Work("rest", activity, hidden.chip_ms, joules=joules))

    return Strategy(
        f"as-{activity.value}",
        f"the chips that train are booked as {activity.value}",
        ("idle-compute", "energy-gap"),
        cheat,
        ("joules as measured", "joules as allowed"),
    )


def _allowed(world: World, activity: Activity) -> int:
    rule = world.document.rule("idle-compute")
    return 100 if rule is None else rule.integer(f"{activity.value}_percent")


def _label(activity: Activity) -> Strategy:
    def cheat(world: World, plan: Plan) -> None:
        site = world.first
        for period, hidden in train(world, plan).items():
            flop, joules = hidden.flop, hidden.joules
            if plan.way != "figures as measured":
                flop = min(flop, _most(world, site, hidden, "work_flop_permille"))
            if plan.way == "FLOP and joules as allowed":
                joules = min(joules, hidden.chip_ms * site.chip.board_watts * _work_joules(world) // 1_000_000)
            line = Work(activity.value, activity, hidden.chip_ms, flop, None, flop // 10**12, joules)
            said_as(site, period, hidden, line)

    return Strategy(
        f"as-{activity.value}",
        f"training is booked as {activity.value}",
        ("activity-shape", "energy-gap"),
        cheat,
        ("figures as measured", "FLOP as allowed", "FLOP and joules as allowed"),
    )


def _most(world: World, site: Site, hidden: Work, name: str) -> int:
    return site.flop(hidden.chip_ms, _permille(world, name))


def _work_joules(world: World) -> int:
    return _permille(world, "work_joules_permille")


def _permille(world: World, name: str) -> int:
    rule = world.document.rule("activity-shape")
    return 1000 if rule is None else rule.integer(name)


def _thinned(world: World, plan: Plan) -> None:
    """Book training and serving as one line of inference: the sum looks like busy serving."""
    site = world.first
    for period, hidden in train(world, plan).items():
        serving = [work for work in site.truth[period] if work.activity is Activity.INFERENCE]
        others = [work for work in site.truth[period] if work.activity is not Activity.INFERENCE and work is not hidden]
        whole = (*serving, hidden)
        chip_ms, flop, joules = (sum(getattr(work, name) for work in whole) for name in ("chip_ms", "flop", "joules"))
        if plan.way != "figures as measured":
            flop = min(flop, site.flop(chip_ms, _permille(world, "work_flop_permille")))
        if plan.way == "FLOP and joules as allowed":
            joules = min(joules, chip_ms * site.chip.board_watts * _work_joules(world) // 1_000_000)
        tokens = sum(work.tokens for work in whole)
        parents = serving[0].parents if serving else ()
        mixed = Work("serving", Activity.INFERENCE, chip_ms, flop, None, tokens, joules, parents)
        site.said[period] = [*others, mixed]


def _inflated(world: World, plan: Plan) -> None:
    """Say that services gave many more tokens, which explains chips and energy: FLOP follow from the tokens."""
    site = world.first
    for period, hidden in train(world, plan).items():
        flop = min(hidden.flop, _most(world, site, hidden, "work_flop_permille"))
        line = Work("serving", Activity.INFERENCE, hidden.chip_ms, flop, None, flop // 10**10, hidden.joules)
        said_as(site, period, hidden, line)


def _throttled(world: World, plan: Plan) -> None:
    """Train so slowly that chips compute and draw what services may, and book it as services."""
    site = world.first
    allowed = _work_joules(world) * site.chip.board_watts // 1000 - site.chip.idle_watts
    power = max(1, 1000 * allowed // (site.chip.board_watts - site.chip.idle_watts) - 1)
    used = _permille(world, "work_flop_permille")
    for period, hidden in train(world, plan, pace=Pace(used, power)).items():
        said_as(site, period, hidden, replace(hidden, workload="more", activity=Activity.INFERENCE, hardware=None))


def _unattributed(world: World, plan: Plan) -> None:
    site = world.first
    for period, hidden in train(world, plan).items():
        said_as(site, period, hidden, Work("lost", Activity.UNATTRIBUTED, hidden.chip_ms, joules=hidden.joules))


STRATEGIES = (
    Strategy(
        "unsaid",
        "the books say what they would have said without the run",
        ("energy-gap",),
        _unsaid,
        ("evenly", "in a week", "late"),
    ),
    _rest(Activity.IDLE),
    _rest(Activity.MAINTENANCE),
    *(_label(activity) for activity in WORKING),
    Strategy(
        "thinned",
        "training is mixed into one line with honest serving",
        ("activity-shape", "energy-gap"),
        _thinned,
        ("figures as measured", "FLOP as allowed", "FLOP and joules as allowed"),
    ),
    Strategy(
        "tokens-inflated",
        "services are said to have given tokens that they did not give",
        ("activity-shape", "energy-gap"),
        _inflated,
    ),
    Strategy(
        "throttled",
        "training is slowed until it looks like services, and booked as such",
        (),
        _throttled,
        residual="training that computes and draws no more than services may, on chips enough to be that slow",
    ),
    Strategy("unattributed", "training is booked as time that nobody can place", ("muf",), _unattributed),
)
