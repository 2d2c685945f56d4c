"""Publishing: only under a verified quorum, newest first, whatever single witnesses do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from brakeline.ledger.merkle import EMPTY_ROOT, Frontier, consistency_proof, leaf_hash
from brakeline.ledger.policy import quorum_policy
from brakeline.ledger.vkey import VKey
from brakeline.verifier.clients import OwnWitness
from brakeline.verifier.clock import ClockGuard
from brakeline.verifier.metrics import Metrics
from brakeline.verifier.publish import Publication, Publisher, Signed, WitnessClient
from brakeline.verifier.witness import Answer, Witness
from brakeline.verifier.witness_store import WitnessStore

from tests.support import cast

ORIGIN = cast.VERIFIERS[0]
LOG = cast.vkey(ORIGIN, "log")
KEYS = [cast.vkey(name, "witness") for name in cast.VERIFIERS]
NOW = 1_767_225_600_000


class Log:
    """A tree that grows, and its signed checkpoints."""

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.hashes: dict[tuple[int, int], bytes] = {}
        self.roots = {0: EMPTY_ROOT}

    def grow(self, count: int) -> Signed:
        for _ in range(count):
            for level, index, node in self.frontier.append(leaf_hash(bytes([self.frontier.size]))):
                self.hashes[level, index] = node
            self.roots[self.frontier.size] = self.frontier.root()
        return self.signed(self.frontier.size)

    def signed(self, size: int) -> Signed:
        checkpoint = Checkpoint(ORIGIN, size, self.roots[size])
        return Signed(size, sign_checkpoint(checkpoint, LOG, cast.signer(ORIGIN, "log")), NOW)

    async def proofs(self, old: int, new: int) -> Sequence[bytes]:
        return consistency_proof(old, new, lambda level, index: self.hashes[level, index])


class Moody:
    """A way to a real witness that misbehaves on request."""

    def __init__(self, inner: WitnessClient) -> None:
        self.inner = inner
        self.mood = "well"
        self.calls = 0

    @property
    def key(self) -> VKey:
        return self.inner.key

    async def add(self, body: bytes) -> Answer:
        self.calls += 1
        match self.mood:
            case "down":
                raise OSError("connection refused")
            case "slow":
                await asyncio.sleep(3_600)
            case "liar":
                answer = await self.inner.add(body)
                return Answer(answer.status, answer.body.replace(b" ", b" ", 1)[:-6] + b"AAA=\n", answer.content_type)
            case "odd":
                return Answer(409, b"many\n", "text/x.tlog.size")
            case "ahead":
                return Answer(409, b"1000000\n", "text/x.tlog.size")
        return await self.inner.add(body)


class Bench:
    """A publisher over four witnesses, three of which make a quorum."""

    def __init__(self, tmp_path: Path, stack: AsyncExitStack) -> None:
        self.log = Log()
        self.kept: list[Signed] = []
        self.publication = Publication()
        self.clients: list[Moody] = []
        for name, key in zip(cast.VERIFIERS, KEYS, strict=True):
            store = WitnessStore(tmp_path / f"{name}.sqlite")
            stack.callback(store.close)
            witness = Witness(store, {ORIGIN: LOG}, key, cast.signer(name, "witness"), lambda: NOW)
            self.clients.append(Moody(OwnWitness(witness)))

        self.clock = ClockGuard(
            peers=KEYS[1:], liars=1, skew_ms=2_000, now_ms=lambda: NOW, monotonic=lambda: 0.0, metrics=Metrics()
        )

        async def keep(signed: Signed) -> None:
            self.kept.append(signed)

        self.publisher = Publisher(
            log_key=LOG,
            policy=quorum_policy([LOG], KEYS, 3),
            witnesses=self.clients,
            proofs=self.log.proofs,
            publication=self.publication,
            store=keep,
            clock=self.clock,
            metrics=Metrics(),
            timeout=0.5,
            grace=0.02,
        )

    def cosigners(self) -> set[VKey]:
        assert self.publication.current is not None
        return set(open_checkpoint(self.publication.current.note, LOG, KEYS).cosignatures)

    async def published(self, size: int) -> None:
        async with asyncio.timeout(10):
            while self.publication.size < size:
                await self.publication.wait_for(size, 1)


@asynccontextmanager
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        made = Bench(tmp_path, stack)
        task = asyncio.create_task(made.publisher.run())
        try:
            yield made
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def test_a_checkpoint_is_published_with_every_prompt_cosignature(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            for count in (1, 3, 9):
                signed = it.log.grow(count)
                it.publisher.offer(signed)
                await it.published(signed.size)
            assert it.cosigners() >= set(KEYS[:3]) or len(it.cosigners()) >= 3
            assert [item.size for item in it.kept] == [1, 4, 13]

    asyncio.run(scenario())


def test_one_witness_that_is_down_or_lies_does_not_hold_up_a_quorum(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            for mood in ("down", "slow", "liar", "odd", "ahead"):
                it.clients[3].mood = mood
                signed = it.log.grow(2)
                it.publisher.offer(signed)
                await it.published(signed.size)
                assert it.cosigners() == set(KEYS[:3]), mood

    asyncio.run(scenario())


def test_below_quorum_nothing_new_is_published_until_a_witness_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            first = it.log.grow(1)
            it.publisher.offer(first)
            await it.published(1)
            it.clients[2].mood = it.clients[3].mood = "down"
            it.publisher.offer(it.log.grow(1))
            before = it.clients[3].calls
            async with asyncio.timeout(10):
                while it.clients[3].calls < before + 3:
                    await asyncio.sleep(0.01)
            assert it.publication.size == 1
            assert [item.size for item in it.kept] == [1]
            newest = it.log.grow(1)
            it.publisher.offer(newest)
            it.clients[3].mood = "well"
            await it.published(3)
            assert it.cosigners() == {KEYS[0], KEYS[1], KEYS[3]}

    asyncio.run(scenario())


def test_a_witness_that_remembers_less_or_more_than_was_thought_is_caught_up_with(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            it.clients[3].mood = "down"
            for _ in range(3):
                signed = it.log.grow(2)
                it.publisher.offer(signed)
                await it.published(signed.size)
            it.clients[3].mood, it.clients[0].mood = "well", "down"
            signed = it.log.grow(2)
            it.publisher.offer(signed)
            await it.published(signed.size)
            assert it.cosigners() == set(KEYS[1:])

    asyncio.run(scenario())


def test_witnesses_tell_their_time_with_every_cosignature_and_our_own_does_not_count(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            it.clients[2].mood = it.clients[3].mood = "down"
            assert not it.clock.known
            it.publisher.offer(it.log.grow(1))
            async with asyncio.timeout(10):
                while it.clients[3].calls < 2:
                    await asyncio.sleep(0.01)
            assert not it.clock.known  # one peer of three, and one may lie
            it.clients[2].mood = "well"
            await it.published(1)
            assert it.clock.known
            assert it.clock.trouble() is None

    asyncio.run(scenario())


def test_the_empty_tree_is_asked_about_and_never_published(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            it.publisher.offer(it.log.signed(0))
            async with asyncio.timeout(10):
                while not it.clock.known:
                    await asyncio.sleep(0.01)
            it.publisher.offer(it.log.grow(2))
            await it.published(2)
            assert [item.size for item in it.kept] == [2]

    asyncio.run(scenario())


def test_asked_again_the_same_checkpoint_gets_cosignatures_of_now(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bench(tmp_path) as it:
            it.publisher.refresh()  # nothing was offered yet: nothing happens
            it.publisher.offer(it.log.grow(2))
            await it.published(2)
            it.publisher.refresh()
            async with asyncio.timeout(10):
                while len(it.kept) < 2:
                    await asyncio.sleep(0.01)
            assert [item.size for item in it.kept] == [2, 2]

    asyncio.run(scenario())


def test_waiting_for_a_publication_ends_at_its_deadline(tmp_path: Path) -> None:
    async def scenario() -> None:
        publication = Publication()
        assert await publication.wait_for(1, 0.01) is None
        await publication.publish(Signed(5, b"note", NOW))
        assert await publication.wait_for(5, 0) == Signed(5, b"note", NOW)
        await publication.publish(Signed(4, b"older", NOW))
        assert publication.size == 5

    asyncio.run(scenario())
