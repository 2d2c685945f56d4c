"""The hook in a real process over a real Unix socket: stops within one step, survives the node."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from brakeline.node import channel
from brakeline.node.hook import ENVIRONMENT, Hook
from brakeline.treaty.statements import Activity

from tests.node.house import until

ORDER = "a" * 64
LOOP = """
import json, os, sys, time
from brakeline.node.hook import Hook
hook = Hook.connect(workload="loop", activity="training")
step = 0
print("up", flush=True)
while True:
    time.sleep(0.002)
    step += 1
    if not hook.step(flop=10, tokens=1):
        hook.stopped(step=step, freeze="f" * 64)
        print(json.dumps({"stopped": step}), flush=True)
        hook.wait()
        print(json.dumps({"resumed": step}), flush=True)
"""


@dataclass
class Desk:
    """A node's end of the socket that only writes down what it hears."""

    heard: list[channel.Message] = field(default_factory=list[channel.Message])
    peers: list[channel.Peer] = field(default_factory=list[channel.Peer])

    async def serve(self, peer: channel.Peer) -> None:
        self.peers.append(peer)
        try:
            while (message := await peer.receive()) is not None:
                self.heard.append(message)
        finally:
            self.peers.remove(peer)

    def samples(self) -> list[channel.Sample]:
        return [m for m in self.heard if isinstance(m, channel.Sample)]

    def stops(self) -> list[channel.Stopped]:
        return [m for m in self.heard if isinstance(m, channel.Stopped)]


@asynccontextmanager
async def listening(path: Path, desk: Desk) -> AsyncGenerator[None]:
    server = await channel.serve(path, desk.serve)
    try:
        yield
    finally:
        server.close()
        for peer in tuple(desk.peers):
            peer.close()


@asynccontextmanager
async def looping(path: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOP, stdout=asyncio.subprocess.PIPE, env={**os.environ, ENVIRONMENT: str(path)}
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"up\n"
        yield child
    finally:
        child.kill()
        await child.communicate()


async def said(child: asyncio.subprocess.Process) -> dict[str, int]:
    assert child.stdout is not None
    found: dict[str, int] = json.loads(await asyncio.wait_for(child.stdout.readline(), 20))
    return found


@pytest.mark.parametrize("folder", ["short", "x" * 120])
def test_no_step_starts_after_the_order_was_read_and_training_goes_on_after_resume(tmp_path: Path, folder: str) -> None:
    async def scene() -> None:
        desk, path = Desk(), tmp_path / folder / "s"
        path.parent.mkdir()
        async with listening(path, desk), looping(path) as child:
            await until(lambda: desk.samples() and (desk.samples()[-1].steps or 0) > 20)
            desk.peers[0].send(channel.Pause(ORDER))
            stopped = (await said(child))["stopped"]
            await until(desk.stops)
            stop = desk.stops()[0]
            assert (stop.order, stop.step, stop.freeze) == (ORDER, stopped, "f" * 64)
            steps = [s.steps for s in desk.samples() if s.activity is Activity.TRAINING]
            assert max(n or 0 for n in steps) == stopped  # the step that ran when the order came is booked, as training
            desk.peers[0].send(channel.Resume())
            assert await said(child) == {"resumed": stopped}
            await until(lambda: (desk.samples()[-1].steps or 0) > stopped + 5)
            last = desk.samples()[-1]
            assert (last.flop, last.tokens, last.activity) == (10 * (last.steps or 0), last.steps, Activity.TRAINING)

    asyncio.run(scene())


def test_a_hook_survives_the_node_and_says_again_where_it_stopped(tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "s"
        before, after = Desk(), Desk()
        async with listening(path, before), looping(path) as child:
            await until(before.samples)
            before.peers[0].send(channel.Pause(ORDER))
            stopped = (await said(child))["stopped"]
            async with listening(path, after):  # takes over the address, as a node that was restarted does
                for peer in tuple(before.peers):
                    peer.close()
                await until(after.stops)
                assert isinstance(after.heard[0], channel.Hello)
                assert after.heard[0].activity is Activity.TRAINING  # what it is, not what it does while it waits
                assert after.stops()[0].step == stopped
                after.peers[0].send(channel.Pause("b" * 64))
                await until(lambda: after.stops()[-1].order == "b" * 64)  # a second order finds it stopped already

    asyncio.run(scene())


def test_without_a_node_a_hook_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with Hook.connect(workload="w") as hook:
        assert all(hook.step(flop=1) for _ in range(100))
        assert hook.wait(0)
        hook.stopped(step=1)
    with Hook.connect(workload="w", path=str(tmp_path / "nobody"), wait_s=0) as away:
        assert all(away.step(flop=1) for _ in range(100))


def test_a_program_that_talks_nonsense_is_hung_up_on(tmp_path: Path) -> None:
    async def scene() -> None:
        errors: list[str] = []

        async def serve(peer: channel.Peer) -> None:
            try:
                while await peer.receive() is not None:
                    pass
            except channel.ChannelError as error:
                errors.append(error.code)

        server = await channel.serve(tmp_path / "s", serve)
        for junk in (b"\xff\n", b"[]\n", b'{"op":"sample"}\n', b"x" * 70_000, b'{"op":"hello","role":"boss"}\n'):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(junk)
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        await until(lambda: len(errors) == 5)
        assert set(errors) == {"channel-malformed"}
        server.close()

    asyncio.run(scene())


def test_what_is_encoded_is_decoded_alike() -> None:
    messages: list[channel.Message] = [
        channel.Hello("meter", "0" * 32, "lm", Activity.TRAINING),
        channel.Sample(1, 2, 3, "lm", Activity.IDLE),
        channel.Sample(1, 2, 3, "lm", Activity.TRAINING, 4, 10**30, 6),
        channel.Hello("hook", "0" * 32, "lm", Activity.TRAINING, "job", 3, 4),
        channel.Stopped(ORDER, 3, None, 4),
        channel.Stopped(ORDER, 3, "f" * 64, 4, 5, 6, final=True),
        channel.Slowed(ORDER, 3, 4),
        channel.Resumed(3, None, 4),
        channel.Resumed(3, "f" * 64, 4),
        channel.Accept(ORDER, 3),
        channel.Passed(ORDER, 3),
        channel.End(1, 2),
        channel.Pause(ORDER),
        channel.Pause(ORDER, 0),
        channel.Propose(ORDER, 9),
        channel.Slow(ORDER, 10**30, 1, 2),
        channel.Resume(),
        channel.Resume("f" * 64, 7),
        channel.Ack(9),
    ]
    assert [channel.decode(channel.encode(m)) for m in messages] == messages
    assert channel.decode(b'{"op":"of a later version"}') is None
