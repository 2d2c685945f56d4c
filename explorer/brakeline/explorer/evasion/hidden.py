"""The training that is to be hidden: where its chip time comes from, what it really computes and draws."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from brakeline.explorer.evasion.strategy import Infeasible, Plan
from brakeline.explorer.worlds.honest import digest
from brakeline.explorer.worlds.world import Site, Work, World, take
from brakeline.treaty.statements import Activity

UTILISATION, POWER = 400, 850
"""Thousandths of the dense peak that hidden training reaches, and of the way from idle to full power that it draws."""


class Pace(NamedTuple):
    """How hard chips train: utilisation and power, in thousandths as above."""

    utilisation: int
    power: int


FULL = Pace(UTILISATION, POWER)
_GIVES = (Activity.IDLE, Activity.INFERENCE, Activity.EVALUATION)
"""Whose chip time it takes, in this order."""


def train(
    world: World,
    plan: Plan,
    site: Site | None = None,
    flop: int | None = None,
    *,
    pace: Pace = FULL,
    periods: Sequence[int] | None = None,
) -> dict[int, Work]:
    """Let *site* (by default the first) really train *flop* (by default the plan's) over *periods*, by default all.

    The same in every period, but where maintenance and other training leave less room: then more in the others. The
    truth changes; what is said stays as it was. Returns the training by period.

    Raises:
        Infeasible: idle time and other work do not leave that much.
    """
    site = site or world.first
    world.began = plan.begins if world.began is None else min(world.began, plan.begins)
    wanted = plan.flop if flop is None else flop
    room = {period: _room(site, period, pace) for period in periods or plan.periods}
    level = _level(room.values(), wanted)
    done: dict[int, Work] = {}
    for period, most in room.items():
        if min(level, most) > 0:
            done[period] = _in(site, period, min(level, most), pace)
    return done


def _room(site: Site, period: int, pace: Pace) -> int:
    """Return how many FLOP idle time and other work leave in a period."""
    free = sum(work.chip_ms for work in site.truth[period] if work.activity in _GIVES)
    return site.flop(free, pace.utilisation)


def _level(room: Collection[int], wanted: int) -> int:
    """Return the least figure a period such that all of them together, none beyond its room, reach *wanted*."""
    if sum(room) < wanted:
        raise Infeasible
    low, high = 0, max(room, default=0)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if sum(min(most, middle) for most in room) >= wanted else (middle + 1, high)
    return low


def _in(site: Site, period: int, flop: int, pace: Pace) -> Work:
    wanted = -(-flop * 1_000_000 // (site.chip.peak_flop_per_s.value * pace.utilisation))
    works, left = site.truth[period], wanted
    for activity in _GIVES:
        works, taken = take(works, activity, left)
        left -= taken
    code, data = digest(f"hidden code {site.lab}"), digest(f"hidden data {site.lab}")
    hidden = Work("side", Activity.TRAINING, wanted, flop, flop, flop // 10**12, code=code, data=data)
    hidden = replace(hidden, joules=site.joules(hidden, pace.power))
    site.truth[period] = [*works, hidden]
    return hidden


def said_as(site: Site, period: int, hidden: Work, *lines: Work) -> None:
    """Let the books say what is true, except for *hidden*, of which they say *lines*."""
    site.said[period] = [*(work for work in site.truth[period] if work is not hidden), *lines]
