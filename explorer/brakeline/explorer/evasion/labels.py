"""Lies about what chips did: training under another name."""

from __future__ import annotations

from dataclasses import replace

from brakeline.explorer.evasion.hidden import said_as, train
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
    rule = world.document.rule("activity-shape")
    return site.flop(hidden.chip_ms, 1000 if rule is None else rule.integer(name))


def _work_joules(world: World) -> int:
    rule = world.document.rule("activity-shape")
    return 1000 if rule is None else rule.integer("work_joules_permille")


def _thinned(world: World, plan: Plan) -> None:
    """Book training and serving as one line of inference: the sum looks like busy serving."""
    site = world.first
    for period, hidden in train(world, plan).items():
        serving = [work for work in site.truth[period] if work.activity is Activity.INFERENCE]
        others = [work for work in site.truth[period] if work.activity is not Activity.INFERENCE and work is not hidden]
        whole = (*serving, hidden)
        mixed = Work(
            "serving",
            Activity.INFERENCE,
            sum(work.chip_ms for work in whole),
            sum(work.flop for work in whole),
            None,
            sum(work.tokens for work in whole),
            sum(work.joules for work in whole),
        )
        site.said[period] = [*others, mixed]


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
    Strategy("thinned", "training is mixed into one line with honest serving", ("activity-shape",), _thinned),
    Strategy("unattributed", "training is booked as time that nobody can place", ("muf",), _unattributed),
)
