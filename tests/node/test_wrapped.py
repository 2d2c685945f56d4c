"""Commands that cannot be changed: frozen in place or ended and started again; and several ranks behind one meter."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from brakeline.node import channel
from brakeline.node.freeze import freeze_files, freeze_ranks
from brakeline.node.gather import gather_resumes, gather_stops
from brakeline.node.relay import EXIT_MISMATCH
from brakeline.treaty.statements import Activity

from tests.node.house import PROGRAM, until
from tests.node.test_hook import ORDER, Desk

SAVES = """
import pathlib, signal, sys, time
done = pathlib.Path(sys.argv[1])
n = int(done.read_text()) if done.exists() else 0
def leave(*_):
    done.write_text(str(n)); sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print(f"from {n}", flush=True)
while True:
    n += 1; time.sleep(0.01)
"""
STUBBORN = """
import pathlib, signal, sys, time
again = pathlib.Path(sys.argv[1])
if not again.exists():
    again.touch()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True: time.sleep(0.01)
"""
RANK = """
import sys, time
from brakeline.node.hook import Hook
rank, ranks, shard = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
hook = Hook.connect(workload="lm", job="lm-1", rank=rank, ranks=ranks)
step = 0
while True:
    time.sleep(0.004 + 0.003 * rank)   # no lockstep: each at its own pace, the first far ahead
    step += 1
    if not hook.step(flop=1):
        assert hook.hold(step=step, digest=lambda: shard * 64)
"""


class NodeDesk(Desk):
    """A node's end of the socket: greets a meter as a node does, with what binds at the moment."""

    demand: channel.FromNode = channel.Resume()

    async def serve(self, peer: channel.Peer) -> None:
        peer.send(channel.Ack(0))
        peer.send(self.demand)
        await super().serve(peer)

    def tell(self, message: channel.FromNode) -> None:
        self.demand = message
        for peer in self.peers:
            peer.send(message)

    def resumes(self) -> list[channel.Resumed]:
        return [m for m in self.heard if isinstance(m, channel.Resumed)]


@asynccontextmanager
async def metering(
    folder: Path, options: tuple[str, ...], *command: str
) -> AsyncGenerator[tuple[NodeDesk, asyncio.subprocess.Process]]:
    """Run ``brakeline node meter`` around a Python program, before a desk that plays the node."""
    desk = NodeDesk()
    (folder / "node").mkdir(exist_ok=True)
    server = await channel.serve(folder / "node" / "node.sock", desk.serve)
    words = ["meter", "--dir", str(folder / "node"), "--activity", "training", *options, "--", *command]
    child = await asyncio.create_subprocess_exec(*PROGRAM, *words, stdout=asyncio.subprocess.PIPE)
    try:
        yield desk, child
    finally:
        if child.returncode is None:
            desk.tell(channel.Resume())
            child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.communicate(), 20)
            except TimeoutError:
                child.kill()
        server.close()
        for peer in tuple(desk.peers):
            peer.close()


async def line(child: asyncio.subprocess.Process) -> str:
    assert child.stdout is not None
    return (await asyncio.wait_for(child.stdout.readline(), 20)).decode().strip()


def test_a_command_is_ended_its_checkpoint_committed_to_and_started_again_from_it(tmp_path: Path) -> None:
    async def scene() -> None:
        state = tmp_path / "state"
        options = ("--on-pause", "end", "--checkpoint", str(state))
        async with metering(tmp_path, options, sys.executable, "-c", SAVES, str(state)) as (desk, child):
            assert await line(child) == "from 0"
            await until(lambda: desk.samples() and desk.samples()[-1].busy_ms > 0)
            desk.tell(channel.Pause(ORDER))
            await until(lambda: desk.stops() and desk.stops()[-1].final)
            first, last = desk.stops()[0], desk.stops()[-1]
            assert (first.freeze, first.final) == (None, False)
            assert (last.order, last.freeze) == (ORDER, freeze_files([state]))
            assert last.agreed_at is not None
            assert last.durable_at is not None
            assert last.agreed_at <= last.at <= last.durable_at
            desk.tell(channel.Resume())
            assert await line(child) == f"from {state.read_text()}"
            await until(desk.resumes)
            assert desk.resumes()[-1].freeze == last.freeze

    asyncio.run(scene())


def test_a_command_whose_checkpoint_was_changed_meanwhile_is_not_started_again(tmp_path: Path) -> None:
    async def scene() -> None:
        state = tmp_path / "state"
        options = ("--on-pause", "end", "--checkpoint", str(state))
        async with metering(tmp_path, options, sys.executable, "-c", SAVES, str(state)) as (desk, child):
            assert await line(child) == "from 0"
            desk.tell(channel.Pause(ORDER))
            await until(lambda: desk.stops() and desk.stops()[-1].final)
            state.write_text("1000000")
            desk.tell(channel.Resume())
            assert "resume-mismatch" in await line(child)
            assert await asyncio.wait_for(child.wait(), 20) == EXIT_MISMATCH
            assert desk.resumes() == []

    asyncio.run(scene())


def test_a_command_that_does_not_end_is_killed_after_the_grace(tmp_path: Path) -> None:
    async def scene() -> None:
        options = ("--on-pause", "end", "--grace", "0.3")
        async with metering(tmp_path, options, sys.executable, "-c", STUBBORN, str(tmp_path / "x")) as (desk, child):
            assert await line(child) == "up"
            desk.tell(channel.Pause(ORDER))
            await until(desk.stops)
            assert desk.stops()[-1].freeze is None
            assert desk.stops()[-1].final
            desk.tell(channel.Resume())
            assert await line(child) == "up"

    asyncio.run(scene())


def test_a_command_is_not_started_while_an_order_binds(tmp_path: Path) -> None:
    async def scene() -> None:
        async with metering(tmp_path, (), sys.executable, "-c", "print('ran')") as (desk, child):
            desk.demand = channel.Pause(ORDER)
            await until(desk.stops)
            desk.tell(channel.Resume())
            assert await line(child) == "ran"
            assert await asyncio.wait_for(child.wait(), 20) == 0

    asyncio.run(scene())


def test_hooks_that_ignore_the_order_are_frozen_when_patience_ends(tmp_path: Path) -> None:
    ignoring = RANK.replace(
        "    if not hook.step(flop=1):\n        assert hook.hold", "    hook.step(flop=1)\n    if 0: (hook.hold"
    )
    ignoring = ignoring.replace("shard * 64)", "shard * 64))")

    async def scene() -> None:
        async with metering(tmp_path, ("--patience", "0.3"), sys.executable, "-c", ignoring, "0", "1", "a") as (
            desk,
            _,
        ):
            await until(lambda: desk.samples() and (desk.samples()[-1].steps or 0) > 5)
            desk.tell(channel.Pause(ORDER))
            await until(desk.stops)
            stop = desk.stops()[0]
            assert (stop.freeze, stop.final) == (None, True)
            await until(lambda: desk.samples()[-1].at > stop.at + 400)
            settled = next(s for s in desk.samples() if s.at >= stop.at + 100)
            assert desk.samples()[-1].steps == settled.steps
            desk.tell(channel.Resume())
            await until(lambda: (desk.samples()[-1].steps or 0) > stop.step + 20)

    asyncio.run(scene())


def test_ranks_that_each_connect_stop_after_one_step_and_are_one_stop_to_the_node(tmp_path: Path) -> None:
    launcher = (
        "import subprocess, sys\n"
        "code, shards = sys.argv[1:]\n"
        "ranks = [subprocess.Popen([sys.executable, '-c', code, str(i), str(len(shards)), s]) "
        "for i, s in enumerate(shards)]\n"
        "sys.exit(max(abs(rank.wait()) for rank in ranks))"
    )

    async def scene() -> None:
        async with metering(tmp_path, (), sys.executable, "-c", launcher, RANK, "abc") as (desk, _):
            await until(lambda: (desk.samples()[-1].steps or 0) > 60 if desk.samples() else False)
            desk.tell(channel.Pause(ORDER))
            await until(lambda: desk.stops() and desk.stops()[-1].freeze)
            stop = desk.stops()[-1]
            assert stop.freeze == freeze_ranks([c * 64 for c in "abc"])
            await until(
                lambda: (desk.samples()[-1].steps or 0) >= stop.step * 3
            )  # what was done is told after the stop
            training = [s.steps or 0 for s in desk.samples() if s.activity is Activity.TRAINING]
            assert stop.step * 3 == desk.samples()[-1].steps  # every rank did exactly so many
            assert max(training) <= stop.step * 3
            assert stop.agreed_at is not None
            desk.tell(channel.Resume())
            await until(desk.resumes)
            assert desk.resumes()[-1].freeze == stop.freeze
            await until(lambda: (desk.samples()[-1].steps or 0) > stop.step * 3 + 10)

    asyncio.run(scene())


def test_what_ranks_say_becomes_one_when_all_have_said_it() -> None:
    def stop(rank: int, freeze: str | None, *, final: bool = False) -> tuple[channel.Hello, channel.Stopped]:
        hello = channel.Hello("hook", f"{rank:032x}", "lm", Activity.TRAINING, "job", rank, 2)
        return hello, channel.Stopped(ORDER, 7, freeze, 100 + rank, 90 + rank, 200 + rank if freeze else None, final)

    def gathered(*stops: tuple[channel.Hello, channel.Stopped]) -> channel.Stopped:
        return gather_stops({hello.session: (hello, said) for hello, said in stops})

    a, b = "a" * 64, "b" * 64
    assert gathered(stop(0, a), stop(1, None)).freeze is None
    assert gathered(stop(0, a), stop(1, a)) == channel.Stopped(ORDER, 7, a, 101, 91, 201)
    assert gathered(stop(0, a), stop(1, None, final=True)).freeze == a
    assert gathered(stop(1, b), stop(0, a)).freeze == freeze_ranks([a, b])
    alone = channel.Hello("hook", "e" * 32, "lm", Activity.TRAINING)
    two = {"0": stop(0, a), "e" * 32: (alone, channel.Stopped(ORDER, 5, b, 100, None, 300))}
    assert gather_stops(two) == channel.Stopped(ORDER, 12, freeze_ranks([b, a]), 100, None, 300)
    resumed = {"0": (stop(0, a)[0], channel.Resumed(7, a, 9)), "1": (stop(1, b)[0], channel.Resumed(7, b, 8))}
    assert gather_resumes(resumed) == channel.Resumed(7, freeze_ranks([a, b]), 9)


def test_a_checkpoint_option_needs_a_command_that_is_ended(tmp_path: Path) -> None:
    from brakeline.node.commands import app
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["meter", "--dir", str(tmp_path), "--checkpoint", "x", "--", "true"])
    assert result.exit_code == 2
    assert "--on-pause end" in result.output
