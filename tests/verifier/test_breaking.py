"""A statement that no verifier can judge, by a mistake of ours: it is refused, and keeps nobody else waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from brakeline.ledger.entry import Kind
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.statements import Statement
from brakeline.v1 import verifier_pb2_grpc as pb_grpc

from tests.verifier import world
from tests.verifier.test_network import entries_of
from tests.verifier.world import World


class Trap:
    """Breaks the judge with one statement, as a mistake of ours would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.digest = ""
        self.sprung = 0
        add = LogJudge.add

        def add_or_break(judge: LogJudge, index: int, kind: Kind, statement: Statement | None) -> None:
            if statement is not None and statement.digest == self.digest:
                self.sprung += 1
                raise ZeroDivisionError("a mistake")
            add(judge, index, kind, statement)

        monkeypatch.setattr(LogJudge, "add", add_or_break)


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Trap:
    return Trap(monkeypatch)


async def answered(stub: pb_grpc.VerifierAsyncStub, *said: Envelope) -> list[str]:
    """Return what became of each of *said*, or the one reason why nothing was taken."""
    try:
        answer = await stub.SubmitBatch(world.batch([*said]))
    except grpc.aio.AioRpcError as error:
        return [f"{error.code().name} {world.reason(error)}"]
    return [result.WhichOneof("outcome") or "" for result in answer.results]


def test_a_statement_that_breaks_the_judge_is_refused_and_the_others_go_on(tmp_path: Path, trap: Trap) -> None:
    async def scenario() -> None:
        alone = World(tmp_path, world.treaty(1))
        chain = world.chain(alone.document, 6)
        *good, last = chain
        trap.digest = last.digest
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            mixed, other = await asyncio.gather(answered(stub, *chain), answered(stub, *good[:2]))
            assert mixed == ["UNAVAILABLE commit-broke"]
            assert other == ["receipt", "receipt"]
            assert await answered(stub, *good) == ["receipt"] * len(good), "those before it were taken"
            sprung = trap.sprung
            assert await answered(stub, last) == ["UNAVAILABLE commit-broke"]
            assert trap.sprung == sprung, "what broke a commit alone is not tried again"
            size = verifier.server.publication.size
            await world.until(lambda: verifier.server.publication.size > size + 2)
            held = {Envelope.from_body(entry.body).digest for entry in await entries_of(verifier) if entry.kind <= 2}
            assert held >= {item.digest for item in good}
            assert last.digest not in held
        trap.digest = ""
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            assert await answered(stub, last) == ["receipt"], "the mistake was mended, and the verifier started again"

    asyncio.run(scenario())


def test_a_verifier_that_cannot_judge_its_own_log_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        alone = World(tmp_path, world.treaty(1))
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size > 2)

            def broken(_judge: LogJudge) -> list[bytes]:
                raise ZeroDivisionError("a mistake")

            monkeypatch.setattr(LogJudge, "heartbeat", broken)
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(verifier.server.finished(), 120)

    asyncio.run(scenario())
