"""The PyTorch hook in real trainings on the CPU: one step at most, the same weights, one stop step on all ranks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from brakeline.node import channel
from brakeline.node.hook import ENVIRONMENT

from tests.node.house import ROOT, until
from tests.node.test_hook import ORDER, Desk, listening

pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

TRAINING = ROOT / "tests" / "support" / "torch_training.py"


class Lab(Desk):
    """A node's end that tells each newcomer what binds."""

    demand: channel.FromNode = channel.Resume()

    async def serve(self, peer: channel.Peer) -> None:
        peer.send(self.demand)
        await super().serve(peer)

    def tell(self, message: channel.FromNode) -> None:
        self.demand = message
        for peer in self.peers:
            peer.send(message)

    def frozen(self) -> list[channel.Stopped]:
        return [stop for stop in self.stops() if stop.freeze is not None]

    def resumes(self) -> list[channel.Resumed]:
        return [m for m in self.heard if isinstance(m, channel.Resumed)]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Torch, imported once."""
    command = [sys.executable, str(TRAINING), "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()


@dataclass
class Child:
    """A rank that runs."""

    pid: int
    exit: Path

    async def wait(self) -> int:
        await until(lambda: self.exit.exists() and self.exit.read_text())
        return int(self.exit.read_text())

    def kill(self) -> None:
        if not self.exit.exists():
            os.kill(self.pid, signal.SIGKILL)


@dataclass
class Server:
    """Starts trainings without importing torch again."""

    process: subprocess.Popen[str]

    def start(self, out: Path, rank: int, ranks: int, options: tuple[str, ...]) -> Child:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        words = ["--out", str(out), "--rank", str(rank), "--ranks", str(ranks), *options]
        (out / f"{rank}.exit").unlink(missing_ok=True)
        self.process.stdin.write(json.dumps({"argv": words, "env": {ENVIRONMENT: str(out / "s")}}) + "\n")
        self.process.stdin.flush()
        return Child(int(self.process.stdout.readline()), out / f"{rank}.exit")

    @asynccontextmanager
    async def training(self, out: Path, *options: str, ranks: int = 1) -> AsyncGenerator[list[Child]]:
        """Start every rank of a training; kill what is left of it at the end."""
        out.mkdir(exist_ok=True)
        children = [self.start(out, rank, ranks, options) for rank in range(ranks)]
        try:
            yield children
        finally:
            for child in children:
                child.kill()
                await child.wait()

    @asynccontextmanager
    async def lab(self, out: Path, *options: str, ranks: int = 1) -> AsyncGenerator[tuple[Lab, list[Child]]]:
        """The same, before a desk that plays the node."""
        desk = Lab()
        out.mkdir(exist_ok=True)
        async with listening(out / "s", desk), self.training(out, *options, ranks=ranks) as children:
            yield desk, children


def lines(out: Path, rank: int = 0) -> list[dict[str, object]]:
    path = out / f"{rank}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def begun(out: Path, rank: int = 0) -> list[int]:
    """Return the steps that were begun, in order."""
    return [int(str(line["begin"])) for line in lines(out, rank) if "begin" in line]


async def finished(children: list[Child]) -> list[int]:
    return list(await asyncio.wait_for(asyncio.gather(*(child.wait() for child in children)), 60))


def test_paused_trainings_end_with_the_weights_of_one_that_never_was_and_begin_no_further_step(
    tmp_path: Path, server: Server
) -> None:
    steps = ("--steps", "60", "--step-ms", "5")

    async def paused(out: Path, desk: Lab, *, after: int) -> None:
        await until(lambda: len(begun(out)) >= after)
        desk.tell(channel.Pause(ORDER))
        await until(desk.frozen)
        stop = desk.frozen()[-1]
        assert begun(out)[-1] == stop.step  # it was the last that began
        assert stop.agreed_at is not None
        assert stop.durable_at is not None
        assert stop.agreed_at <= stop.at <= stop.durable_at
        desk.tell(channel.Resume())

    async def scene() -> None:
        plain, attached, straight = tmp_path / "plain", tmp_path / "attached", tmp_path / "straight"
        async with AsyncExitStack() as stack:
            never = await stack.enter_async_context(server.training(straight, *steps, "--no-hook"))
            one, first = await stack.enter_async_context(server.lab(plain, *steps))
            await asyncio.gather(paused(plain, one, after=20), finished(first), finished(never))
            two, second = await stack.enter_async_context(server.lab(attached, *steps, "--attach"))
            await asyncio.gather(paused(attached, two, after=10), finished(second))
            (done,) = [line for line in lines(straight) if "done" in line]
            for desk, out in ((one, plain), (two, attached)):
                assert [line for line in lines(out) if "done" in line] == [done]
                assert [m.freeze for m in desk.resumes()] == [desk.frozen()[-1].freeze]
                assert begun(out) == list(range(1, 61))
                last = desk.samples()[-1]
                assert (last.steps, last.flop, last.tokens) == (60, 60_000, 480)

    asyncio.run(scene())


def test_a_job_that_was_killed_while_paused_goes_on_from_its_checkpoint_and_from_nothing_else(
    tmp_path: Path, server: Server
) -> None:
    steps = ("--steps", "30", "--step-ms", "5")

    async def scene() -> None:
        out = tmp_path / "out"
        async with server.lab(out, *steps) as (desk, _):
            await until(lambda: len(begun(out)) >= 5)
            desk.tell(channel.Pause(ORDER))
            await until(desk.frozen)
        stop = desk.frozen()[-1]
        reminder = channel.Resume(stop.freeze, stop.step)
        again = Lab()
        again.demand = reminder
        async with listening(out / "s", again):
            async with server.training(out, *steps) as children:  # from the beginning: not what it stopped with
                assert await finished(children) == [1]
            assert "resume-mismatch" in (out / "0.err").read_text()
            assert again.resumes() == []
            async with server.training(out, *steps, "--resume") as children:
                assert await finished(children) == [0]
        assert [(m.step, m.freeze) for m in again.resumes()] == [(stop.step, stop.freeze)]
        assert begun(out)[-1] == 30
        async with server.training(tmp_path / "straight", *steps, "--no-hook") as children:
            assert await finished(children) == [0]
        assert lines(out)[-1] == lines(tmp_path / "straight")[-1]

    asyncio.run(scene())


async def one_stop_step(server: Server, out: Path, save_s: float) -> None:
    """Pause and resume a job of four ranks whose checkpoint is slow; check what the acknowledgement is made of."""
    async with server.lab(out, "--step-ms", "20", "--save-s", str(save_s), "--steps", "80", ranks=4) as (
        desk,
        children,
    ):
        await until(lambda: len(begun(out)) >= 10)
        desk.tell(channel.Pause(ORDER))
        await until(desk.frozen, save_s + 30)
        ceased, stop = desk.stops()[0], desk.frozen()[-1]
        assert ceased.freeze is None
        assert (ceased.step, ceased.at, ceased.agreed_at) == (stop.step, stop.at, stop.agreed_at)
        assert {begun(out, rank)[-1] for rank in range(4)} == {stop.step}
        assert stop.agreed_at is not None
        assert stop.durable_at is not None
        assert stop.agreed_at <= stop.at <= stop.durable_at - round(1000 * save_s)
        desk.tell(channel.Resume())
        assert await finished(children) == [0] * 4
        assert [m.freeze for m in desk.resumes()] == [stop.freeze]
        assert len({str(lines(out, rank)[-1]["digest"]) for rank in range(4)}) == 1
        assert desk.samples()[-1].flop == 80 * 4 * 1000


def test_four_ranks_stop_after_one_step_while_a_checkpoint_is_slow(tmp_path: Path, server: Server) -> None:
    asyncio.run(one_stop_step(server, tmp_path / "out", save_s=0.5))


@pytest.mark.soak
def test_four_ranks_stop_after_one_step_while_a_checkpoint_takes_ten_seconds(tmp_path: Path, server: Server) -> None:
    asyncio.run(one_stop_step(server, tmp_path / "out", save_s=10))


@pytest.mark.parametrize("fate", ["dies", "hangs"])
def test_a_rank_that_dies_or_hangs_ends_the_job_with_an_error_and_no_hang(
    tmp_path: Path, server: Server, fate: str
) -> None:
    options = ("--die-at", "12") if fate == "dies" else ("--hang",)

    async def scene() -> None:
        out = tmp_path / "out"
        async with server.lab(out, *options, "--agree-s", "1", "--step-ms", "5", ranks=3) as (desk, children):
            if fate == "hangs":
                await until(lambda: len(begun(out)) >= 8)
                desk.tell(channel.Pause(ORDER))
            assert await finished(children[:2]) == [1, 1]
            assert (fate == "dies") or ("rank-lost" in (out / "0.err").read_text())
            # what has ceased is said all the same; there is nothing to commit to
            assert [(stop.final, stop.freeze) for stop in desk.stops()] == [(True, None)] * (fate == "hangs")
        assert len({begun(out, rank)[-1] for rank in range(2)}) == 1

    asyncio.run(scene())
