"""The clock against its witnesses: f liars never stop an honest verifier, and a clock that is wrong dates nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import grpc
import pytest
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.tiles import decode_bundle, entries_path
from brakeline.ledger.vkey import VKey
from brakeline.treaty.bracket import bracket
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.v1 import verifier_pb2 as pb
from brakeline.verifier.clock import ClockGuard
from brakeline.verifier.errors import CallError
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.server import unix_ms
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast
from tests.verifier import world
from tests.verifier.world import Running, World

NOW = 1_767_225_600_000
SKEW = 2_000
OWN, *PEERS = [cast.vkey(name, "witness") for name in cast.VERIFIERS]


class Clocks:
    """Our two clocks, and a guard that is told the times of witnesses."""

    def __init__(self, peers: list[VKey] | None = None, liars: int = 1) -> None:
        self.wall_ms = NOW
        self.monotonic_ms = 5_000_000
        self.guard = ClockGuard(
            peers=PEERS if peers is None else peers,
            liars=liars,
            skew_ms=SKEW,
            now_ms=lambda: self.wall_ms,
            monotonic=lambda: self.monotonic_ms / 1000,
            metrics=Metrics(),
        )

    def cosigned(self, peer: VKey, off_ms: int, before_ms: int = 3, after_ms: int = 4) -> None:
        """*peer*, *off_ms* ahead of our wall clock, cosigns: so long after it was asked and before it answers."""
        asked = self.guard.ticks()
        self.passes(before_ms)
        time_s = (self.wall_ms + off_ms) // 1000
        self.passes(after_ms)
        self.guard.observe(peer, time_s, asked, self.guard.ticks())

    def passes(self, ms: int) -> None:
        """Time goes by."""
        self.wall_ms += ms
        self.monotonic_ms += ms

    @property
    def code(self) -> str:
        """Why nothing may be dated, or nothing."""
        trouble = self.guard.trouble()
        return "" if trouble is None else trouble.code


def told(*off_ms: int) -> Clocks:
    """Peers that are off by so much have just cosigned."""
    clocks = Clocks()
    for peer, off in zip(PEERS, off_ms, strict=False):
        clocks.cosigned(peer, off)
    return clocks


ANY_OFF = st.integers(-(10**9), 10**9)
HONEST_OFF = st.integers(-SKEW, SKEW)
DELAYS = st.tuples(st.integers(0, 5_000), st.integers(0, 5_000))


@given(
    honest=st.lists(st.tuples(HONEST_OFF, DELAYS), max_size=6),
    lies=st.lists(st.tuples(ANY_OFF, DELAYS), max_size=3),
    order=st.randoms(use_true_random=False),
    later=st.integers(0, 10**8),
)
def test_f_liars_never_stop_a_verifier_whose_clock_is_right(
    honest: list[tuple[int, tuple[int, int]]],
    lies: list[tuple[int, tuple[int, int]]],
    order: Random,
    later: int,
) -> None:
    """However many are silent, however slowly they answer, and however long ago that was."""
    keys = [VKey(f"w{i}.example", 4, bytes([i + 1]) * 32) for i in range(len(honest) + len(lies))]
    clocks = Clocks(keys, liars=len(lies))
    told_by = list(zip(keys, [*honest, *lies], strict=True))
    order.shuffle(told_by)
    for key, (off, delays) in told_by:
        clocks.cosigned(key, off, *delays)
    clocks.passes(later)
    assert clocks.code in ("", "clock-unknown")
    assert (clocks.code == "") == clocks.guard.known


@given(
    off=st.one_of(st.integers(SKEW + 1_010, 10**9), st.integers(-(10**9), -SKEW - 1_010)),
    apart=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    lie=ANY_OFF,
)
def test_a_clock_that_is_off_stops_even_when_f_liars_flatter_it(off: int, apart: tuple[int, int], lie: int) -> None:
    """A second of doubt, because cosignatures tell whole seconds; peers answer at once."""
    sign = 1 if off > 0 else -1
    clocks = Clocks()
    for peer, peer_off in zip(PEERS, (off + sign * apart[0], off + sign * apart[1], lie), strict=True):
        clocks.cosigned(peer, peer_off, 0, 0)
    assert clocks.code == ("clock-behind" if off > 0 else "clock-ahead")


def test_times_at_the_edge_of_the_skew_are_right() -> None:
    assert told(SKEW, SKEW, SKEW).code == ""
    assert told(-SKEW, -SKEW, -SKEW).code == ""
    assert told(SKEW + 1_020, SKEW + 1_020, 0).code == "clock-behind"
    assert told(-SKEW - 1_020, -SKEW - 1_020, 0).code == "clock-ahead"


def test_nothing_is_dated_before_enough_witnesses_have_told_their_time() -> None:
    assert told().code == "clock-unknown"
    assert told(0).code == "clock-unknown"
    assert told(0, 0).code == ""
    clocks = Clocks()
    for _ in range(3):
        clocks.cosigned(OWN, 0)  # our own clock
        clocks.cosigned(PEERS[0], 0)  # one peer, however often
    assert clocks.code == "clock-unknown"


def test_a_verifier_without_enough_peers_to_compare_with_is_not_stopped() -> None:
    assert Clocks([], 0).code == ""
    assert Clocks(PEERS[:1], 1).code == ""


@pytest.mark.parametrize(("jump", "code"), [(3_500, "clock-ahead"), (-3_500, "clock-behind"), (900, ""), (-900, "")])
def test_a_clock_that_jumps_is_seen_before_any_witness_has_answered_again(jump: int, code: str) -> None:
    clocks = told(0, 0, 0)
    clocks.passes(10_000)
    clocks.wall_ms += jump
    assert clocks.code == code
    clocks.wall_ms -= jump
    assert clocks.code == ""


def test_old_times_exclude_less_and_less_and_silence_stops_nobody() -> None:
    clocks = told(0, 0, 0)
    clocks.wall_ms += SKEW + 1_500
    assert clocks.code == "clock-ahead"
    clocks.passes(3_600_000)
    assert clocks.code == ""


def test_a_stamp_never_goes_back_and_waits_until_time_has_caught_up_with_the_log() -> None:
    clocks = told(0, 0, 0)
    assert clocks.guard.stamp(NOW - 5_000) == clocks.wall_ms
    assert clocks.guard.stamp(clocks.wall_ms + 500) == clocks.wall_ms + 500
    ahead = clocks.wall_ms + SKEW + 5_000
    with pytest.raises(CallError, match="clock-ahead") as caught:
        clocks.guard.stamp(ahead)
    assert caught.value.retry_after_ms > 0
    assert clocks.code == "clock-ahead"
    clocks.passes(5_000)
    assert clocks.guard.stamp(ahead) == ahead


@given(own=st.integers(0, 10), peers=st.lists(st.integers(0, 10), max_size=5), newest=st.integers(-5_000, 15_000))
def test_what_an_audit_would_accuse_is_not_embedded(own: int, peers: list[int], newest: int) -> None:
    clocks = Clocks()
    clocks.wall_ms = 4_000
    bounds = bracket([own, *peers], 1, SKEW)
    accused = bounds is not None and (newest > bounds.no_later_ms or clocks.wall_ms < bounds.no_earlier_ms)
    assert clocks.guard.agrees([own, *peers], newest) is not accused


# --- whole verifiers: real stores, real cosignatures over HTTP, one wall clock that is wrong


@pytest.fixture
def four(tmp_path: Path) -> World:
    """Four verifiers, one of which may lie."""
    return World(tmp_path, world.treaty(4, heartbeat_ms=100))


async def refusal(four: World, verifier: Running) -> str:
    """Submit to *verifier*; return the code of its refusal, or nothing."""
    async with world.stub(four, verifier) as stub:
        try:
            await stub.SubmitBatch(world.batch(world.chain(four.document)))
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {world.reason(error)}"
    return ""


async def entries_of(verifier: Running) -> list[Entry]:
    """Read the published log over HTTP."""
    size = verifier.server.publication.size
    entries: list[Entry] = []
    for start in range(0, size, 256):
        width = min(256, size - start)
        data = (await world.get(verifier, entries_path(start // 256, width))).content
        entries += [Entry.decode(item) for item in decode_bundle(data, width)]
    return entries


def durable(verifier: Running) -> int:
    """How many entries the log of *verifier* holds, published or not."""
    return int(verifier.server.metrics.entries._value.get())


async def beats(verifier: Running, count: int) -> None:
    """Wait until *verifier* has published so many entries more."""
    before = verifier.server.publication.size
    await world.until(lambda: verifier.server.publication.size >= before + count)


def accused(four: World, entries: list[Entry]) -> bool:
    """Whether the cosignatures in the heartbeats contradict the log's own times, as an audit computes it."""
    own = four.document.verifiers[0]
    keys = [verifier.witness_key for verifier in four.document.verifiers]
    for entry in entries:
        note = parse_heartbeat(entry.body).checkpoint if entry.kind is Kind.HEARTBEAT else None
        if note is None:
            continue
        opened = open_checkpoint(note.encode(), own.log_key, keys)
        bounds = bracket(opened.cosignatures.values(), 1, four.document.deadlines.skew_ms.value)
        newest = entries[opened.checkpoint.size - 1].received_at_ms
        if bounds and (newest > bounds.no_later_ms or entry.received_at_ms < bounds.no_earlier_ms):
            return True
    return False


@pytest.mark.parametrize(("off_ms", "code"), [(9_000, "clock-ahead"), (-9_000, "clock-behind")])
def test_a_verifier_whose_clock_goes_wrong_stops_appending_and_goes_on_when_it_is_right(
    four: World, off_ms: int, code: str
) -> None:
    async def scenario() -> None:
        async with world.running(four) as verifiers:
            wrong = verifiers[0]
            await world.until(lambda: wrong.server.publication.size > 3)
            four.off_ms[0] = off_ms

            async def stopped() -> bool:
                answer = await world.get(wrong, "healthz")
                return answer.status_code == 503 and code in answer.text

            async def halted() -> bool:
                """A commit may have been under way, and witnesses tell whole seconds: the edge is a second wide."""
                size = durable(wrong)
                await beats(verifiers[1], 12)
                return durable(wrong) == size

            await world.until(stopped)
            await world.until(halted)
            size = durable(wrong)
            assert await refusal(four, wrong) == f"UNAVAILABLE {code}"
            assert "brakeline_clock_stopped 1.0" in (await world.get(wrong, "metrics")).text
            assert await refusal(four, verifiers[1]) == ""  # its wrong time, as a witness's, stops nobody else
            four.off_ms[0] = 0
            await world.until(lambda: wrong.server.publication.size > size + 4)
            assert await refusal(four, wrong) == ""
            assert (await world.get(wrong, "healthz")).status_code == 200
            assert "brakeline_clock_stopped 0.0" in (await world.get(wrong, "metrics")).text
            entries = await entries_of(wrong)
            assert max(entry.received_at_ms for entry in entries) <= unix_ms()
            assert not accused(four, entries)

    asyncio.run(scenario())


def test_a_verifier_that_starts_with_a_wrong_clock_dates_nothing_until_it_is_right(four: World) -> None:
    async def scenario() -> None:
        four.off_ms[0] = 86_400_000
        async with world.running(four, 1, 2, 3) as verifiers:
            server = four.server(0)
            urls = {item.addresses["name"]: item.addresses["http"] for item in verifiers}
            own = Running(server, {"http": await server.start_witness()})
            starting = asyncio.create_task(server.start_log(urls))
            try:

                async def told() -> bool:
                    return "clock-ahead" in (await world.get(own, "healthz")).text

                await world.until(told)
                assert not starting.done()
                assert server.publication.size == 0
                four.off_ms[0] = 0
                await asyncio.wait_for(starting, 20)
                await world.until(lambda: server.publication.size > 2)
                entries = await entries_of(own)
                assert entries[0].kind is Kind.TREATY
                assert all(entry.received_at_ms <= unix_ms() for entry in entries)
                assert (await world.get(own, "healthz")).text == "ok\n"
            finally:
                starting.cancel()
                await server.stop()

    asyncio.run(scenario())


def test_it_is_answered_as_retryable_with_a_time_to_wait(four: World) -> None:
    async def scenario() -> None:
        async with world.running(four) as verifiers:
            four.off_ms[2] = 60_000
            await world.until(lambda: verifiers[2].server._guard.trouble() is not None)
            async with world.stub(four, verifiers[2]) as stub:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.SubmitBatch(world.batch(world.chain(four.document)))
                assert world.reason(caught.value) == "clock-ahead"
                assert world.retry_ms(caught.value) == 2_000
                status = await stub.GetStatus(pb.GetStatusRequest())  # reading goes on
                assert status.origin == four.document.verifiers[2].origin

    asyncio.run(scenario())
