"""A ceiling in real books; and a node that hears no verifier, under a treaty that then stops."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import trustme
from brakeline.node.hook import HookError
from brakeline.node.pace import LEAD_MS, Grant, Pace
from brakeline.node.site import Site
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Acknowledgement
from brakeline.treaty.strictjson import JsonObject
from hypothesis import given
from hypothesis import strategies as st

from tests.node import house
from tests.node.house import ROOT, make, metered, now_ms, running, until
from tests.node.test_trust import slow
from tests.support import cast

TRAIN = (sys.executable, str(ROOT / "examples" / "train_stdlib.py"), "--bytes", "50000", "--steps", "0")
BURN = (sys.executable, "-c", "while True: sum(range(1000))")
ORDER = "a" * 64


def shares(site: Site) -> list[tuple[int, float]]:
    """Return (period, share of all chip time that is booked as training) of every period booked."""
    found: list[tuple[int, float]] = []
    for usage in house.books(site):
        training = house.total([usage], "training", "chip_ms")
        whole = sum(time.value.value for line in usage.lines for time in line.chip_ms)
        found.append((site.document.grid.period_of(usage.start), training / whole))
    return found


def test_slowed_trainings_stay_below_the_ceiling_together_in_every_period_and_do_not_stop(tmp_path: Path) -> None:
    """One with a hook, which paces itself by steps, and one without, whose process group is frozen and continued."""
    document = cast.document(grid={"start": now_ms(), "period_ms": 2_000})
    make(tmp_path, document, trustme.CA()).journal.close()

    async def scene() -> None:
        async with running(tmp_path / "node") as (site, node), AsyncExitStack() as stack:
            for command, options in ((TRAIN, ()), (BURN, ("--activity", "training", "--workload", "burn"))):
                child = await metered(tmp_path / "node", *command, options=options)
                stack.push_async_callback(child.wait)
                stack.callback(child.terminate)
            await until(lambda: shares(site) and shares(site)[-1][1] > 0.3)
            now = document.grid.period_of(InstantMs(now_ms()))
            assert node.see(slow(document, 1, 4, effective_period=now, expiry_period=now + 50), "by hand").new
            await until(lambda: shares(site)[-1][0] >= now + 3)
            bound = [share for period, share in shares(site) if period > now]
            assert max(bound) <= 0.25
            assert min(bound) > 0.08
            last = {line.workload for line in house.books(site)[-1].lines if line.activity == "training"}
            assert last == {"char-lm", "burn"}
            (said,) = [s.predicate for s in house.statements(site) if isinstance(s.predicate, Acknowledgement)]
            assert {item.workload: item.ceased_at for item in said.workloads} == {"char-lm": None, "burn": None}

    asyncio.run(scene())


def test_a_node_that_hears_no_verifier_stops_training_where_the_treaty_says_so(tmp_path: Path) -> None:
    start = now_ms()
    terms: JsonObject = cast.terms()
    deadlines = terms["deadlines"]
    assert isinstance(deadlines, dict)
    short = {**deadlines, "notice_ms": 1_000, "stop_ms": 500}
    document = cast.document(grid={"start": start, "period_ms": 1_000}, silence="stop", deadlines=short)
    make(tmp_path, document, trustme.CA()).journal.close()

    async def scene() -> None:
        async with running(tmp_path / "node") as (site, _):
            child = await metered(tmp_path / "node", *TRAIN, "--checkpoint", str(tmp_path / "c.npz"))
            try:
                await until(lambda: any(s.last_n > 1 for s in site.journal.open_sessions()))
                (session,) = site.journal.open_sessions()
                await until(lambda: site.journal.stops(document.digest).get(session.id))
                await until(lambda: site.journal.stops(document.digest)[session.id][1].freeze)
            finally:
                child.terminate()
                await child.wait()

    asyncio.run(scene())


# -- the pace --------------------------------------------------------------------------------------------------------


@given(
    costs=st.lists(st.integers(1, 400_000), min_size=1, max_size=60),
    spans=st.lists(st.integers(0, 300), min_size=1, max_size=60),
    amount=st.integers(400_000, 4_000_000),
)
def test_no_period_overlaps_with_steps_that_cost_more_than_its_grant(
    costs: list[int], spans: list[int], amount: int
) -> None:
    """Every step that overlaps with a period counts as a whole, as the worst interpolation would."""
    length, now, pace = 2_000, 1_000_000, Pace()
    used: dict[int, int] = {}
    previous = costs[0]
    for cost, span in zip(costs, spans * len(costs), strict=False):
        while True:
            begin = now - now % length
            pace.set(Grant(ORDER, amount, begin, begin + length))
            delay = pace.delay_ms(now, max(cost, previous))
            if delay == 0:
                break
            now = begin + length if delay is None else now + delay
        pace.start(max(cost, previous))
        for period in range(now // length, (now + span) // length + 1):
            used[period] = used.get(period, 0) + cost
        now += span
        begin = now - now % length
        pace.set(Grant(ORDER, amount, begin, begin + length))
        pace.finish(cost)
        previous = cost
    assert max(used.values()) <= amount


def test_steps_are_spread_over_the_period_and_none_starts_in_the_lead() -> None:
    pace = Pace()
    pace.set(Grant(ORDER, 1_000, 10_000, 20_000))
    starts, now = [], 10_000
    while (delay := pace.delay_ms(now, 100)) is not None:
        now += delay
        starts.append(now)
        pace.start(100)
        pace.finish(100)
    assert len(starts) == 10
    assert starts[0] >= 10_000 + LEAD_MS
    gaps = [b - a for a, b in pairwise(starts)]
    assert max(gaps) - min(gaps) <= 1
    assert not pace.possible(1_001)
    pace.set(None)
    assert pace.delay_ms(now, 10**9) == 0


def test_an_error_of_the_hook_says_what_every_error_of_this_project_says() -> None:
    error = HookError(code="resume-mismatch", message="no", expected="a", found="b", fix="do c")
    assert str(error) == "resume-mismatch: no (expected a, found b). do c"
