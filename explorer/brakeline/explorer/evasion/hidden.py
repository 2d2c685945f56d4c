"""The training that is to be hidden: where its chip time comes from, what it really computes and draws."""

from __future__ import annotations

from dataclasses import replace

from brakeline.explorer.evasion.strategy import Infeasible, Plan
from brakeline.explorer.worlds.honest import digest
from brakeline.explorer.worlds.world import Site, Work, World, take
from brakeline.treaty.statements import Activity

UTILISATION, POWER = 400, 850
"""Thousandths of the dense peak that hidden training reaches, and of the way from idle to full power that it draws."""
_GIVES = (Activity.IDLE, Activity.INFERENCE, Activity.EVALUATION)
"""Whose chip time it takes, in this order."""


def train(world: World, plan: Plan, site: Site | None = None, flop: int | None = None) -> dict[int, Work]:
    """Let *site* (by default the first) really train *flop* (by default the plan's) evenly over the plan's periods.

    The truth changes; what is said stays as it was. Returns the training by period.

    Raises:
        Infeasible: idle time and other work do not leave that much.
    """
    site = site or world.first
    world.began = plan.begins if world.began is None else min(world.began, plan.begins)
    each = -(-(plan.flop if flop is None else flop) // len(plan.periods))
    done: dict[int, Work] = {}
    for period in plan.periods:
        done[period] = _in(site, period, each)
    return done


def _in(site: Site, period: int, flop: int) -> Work:
    wanted = -(-flop * 1_000_000 // (site.chip.peak_flop_per_s.value * UTILISATION))
    works, left = site.truth[period], wanted
    for activity in _GIVES:
        works, taken = take(works, activity, left)
        left -= taken
    if left:
        raise Infeasible
    code, data = digest(f"hidden code {site.lab}"), digest(f"hidden data {site.lab}")
    hidden = Work("side", Activity.TRAINING, wanted, flop, flop, flop // 10**12, code=code, data=data)
    hidden = replace(hidden, joules=site.joules(hidden, POWER))
    site.truth[period] = [*works, hidden]
    return hidden


def said_as(site: Site, period: int, hidden: Work, *lines: Work) -> None:
    """Let the books say what is true, except for *hidden*, of which they say *lines*."""
    site.said[period] = [*(work for work in site.truth[period] if work is not hidden), *lines]
