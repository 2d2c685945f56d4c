"""``brakeline node meter -- COMMAND``: runs a command, meters its process tree, and stands between it and the node.

The command gets ``BRAKELINE_HOOK``, the address of this process's own socket; its hooks (:mod:`brakeline.node.hook`)
talk to us, we talk to the node. Every 200 ms, and whenever the activity changes, we take a sample: the tree's
CPU time and the sum of the hooks' counters, all cumulative. Samples are kept until the node says they are durable;
while the node is away they pile up here (thinned beyond 50,000: dropping a cumulative sample coarsens, and loses
nothing). What the node has not taken when the command ends is left in its ``spool`` folder as a file of the same
lines.

On an order: a command whose hook is connected is told, and stops by its own means; one without a hook has its process
group stopped (SIGSTOP) and, when no order binds any more, continued (SIGCONT).

The exit code is the command's (128 + signal when a signal ended it). Processes that outlive the command
are still metered; we end when the last of them does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from brakeline.node import channel, meter
from brakeline.node.hook import ENVIRONMENT
from brakeline.treaty.statements import Activity

INTERVAL_S = 0.2
MAX_KEPT = 50_000
LINGER_S = 3.0
"""How long to wait for the node, after the command has ended, before the rest is left in the spool folder."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run and whom to tell.

    Attributes:
        command: argument vector.
        socket: the node's socket; spool: its folder for leftovers; runtime: where to put our own socket (None: a
            fresh temporary folder).
        workload, activity: how to book time before a hook declares anything.
    """

    command: tuple[str, ...]
    socket: Path
    spool: Path
    workload: str
    activity: Activity


class Relay:
    """One metered command."""

    def __init__(self, settings: Settings, *, session: str, now_ms: Callable[[], int]) -> None:
        """Prepare; *session*: 32 hex digits, unique; *now_ms*: Unix ms."""
        self._settings, self._session, self._now_ms = settings, session, now_ms
        self._kept: list[channel.Sample] = []
        self._n = self._last_at = 0
        self._labels = self._declared = settings.workload, settings.activity
        self._hooks: dict[channel.Peer, str] = {}
        self._counters: dict[str, channel.Sample] = {}
        self._node: channel.Peer | None = None
        self._order: str | None = None
        self._known = False
        self._stopped: channel.Stopped | None = None
        self._frozen = False
        self._new = asyncio.Event()
        self._taken = asyncio.Event()
        self._tree: meter.ProcessTree | None = None
        self._child: subprocess.Popen[bytes] | None = None

    async def run(self) -> int:
        """Run the command to its end and return its exit code."""
        folder = Path(tempfile.mkdtemp(prefix="brakeline-"))
        meter.become_subreaper()
        try:
            server = await channel.serve(folder / "hook", self._serve_hook)
            async with server:
                to_node = asyncio.create_task(self._talk_to_node())
                code = await self._run_command({**os.environ, ENVIRONMENT: str(folder / "hook")})
                await self._say_goodbye(to_node)
            return code
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _run_command(self, environment: dict[str, str]) -> int:
        self._keep(0)
        try:
            child = subprocess.Popen(self._settings.command, env=environment, process_group=0)
        except OSError as error:
            print(f"meter-command: {self._settings.command[0]} cannot be run: {error.strerror}")
            return 127
        self._child, self._tree = child, meter.ProcessTree(child.pid)
        loop = asyncio.get_running_loop()
        for forwarded in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(forwarded, self._signal, forwarded)
        ended = asyncio.Event()
        exit_fd = os.pidfd_open(child.pid)
        loop.add_reader(exit_fd, ended.set)
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), INTERVAL_S)
            self._sample()
        loop.remove_reader(exit_fd)
        os.close(exit_fd)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self._labels = self._settings.workload, self._settings.activity if not self._counters else Activity.OTHER
        self._keep(self._tree.finish(round(1000 * (usage.ru_utime + usage.ru_stime))))
        while self._tree.alive():
            await asyncio.sleep(INTERVAL_S)
            self._sample()
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    def _signal(self, number: int) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)
                if number != signal.SIGHUP and self._frozen:
                    os.killpg(self._child.pid, signal.SIGCONT)

    # -- samples -----------------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        if self._tree is not None:
            self._keep(self._tree.sample())
            meter.reap_orphans(self._child.pid if self._child else 0)

    def _keep(self, busy_ms: int) -> None:
        self._n += 1
        self._last_at = max(self._last_at, self._now_ms())
        known = list(self._counters.values())
        self._kept.append(
            channel.Sample(
                n=self._n,
                at=self._last_at,
                busy_ms=busy_ms,
                workload=self._labels[0],
                activity=self._labels[1],
                steps=sum(s.steps or 0 for s in known) if known else None,
                flop=sum(s.flop or 0 for s in known) if known else None,
                tokens=sum(s.tokens or 0 for s in known) if known else None,
            )
        )
        if len(self._kept) > MAX_KEPT:
            # every second one, never the newest, never the last of a label: cumulative counters lose nothing by it
            self._kept = [
                s
                for i, s in enumerate(self._kept)
                if i % 2 or i + 1 == len(self._kept) or _labels(self._kept[i + 1]) != _labels(s)
            ]
        self._new.set()

    def _relabel(self, labels: tuple[str, Activity]) -> None:
        if labels != self._labels:
            self._sample()  # what was used until now belongs to the old label
            self._labels = labels

    def _declare(self, labels: tuple[str, Activity]) -> None:
        """Take over what a hook says its program does; the node must know, to know whom an order means."""
        self._relabel(labels)
        if labels != self._declared:
            self._declared = labels
            if self._node is not None:
                self._node.send(channel.Hello("meter", self._session, *labels))

    # -- the program's side ------------------------------------------------------------------------------------------

    async def _serve_hook(self, peer: channel.Peer) -> None:
        try:
            hello = await peer.receive()
            if not isinstance(hello, channel.Hello):
                return
            self._hooks[peer] = hello.session
            self._declare((hello.workload, hello.activity))
            if self._order is not None:
                peer.send(channel.Pause(self._order))
            elif self._known:
                peer.send(channel.Resume())
            while (message := await peer.receive()) is not None:
                if isinstance(message, channel.Sample):
                    self._count(hello.session, message)
                elif isinstance(message, channel.Stopped):
                    self._report_stop(message)
                elif isinstance(message, channel.End):
                    if len(self._hooks) == 1:
                        self._relabel((hello.workload, Activity.OTHER))
                    break
        except channel.ChannelError as error:
            print(error)
        finally:
            self._hooks.pop(peer, None)

    def _count(self, session: str, sample: channel.Sample) -> None:
        before = self._counters.get(session)
        if before is not None and (sample.n <= before.n or (sample.flop or 0) < (before.flop or 0)):
            return
        if _labels(sample) != self._labels:
            # the counters in this message were still reached under the old label
            self._counters[session] = sample
            self._relabel(_labels(sample))
        self._counters[session] = sample

    def _report_stop(self, stopped: channel.Stopped) -> None:
        if stopped.order == self._order:
            self._sample()
            self._stopped = stopped
            if self._node is not None:
                self._node.send(stopped)

    # -- the node's side ---------------------------------------------------------------------------------------------

    async def _talk_to_node(self) -> None:
        while True:
            try:
                node = await channel.connect(self._settings.socket)
            except OSError:
                await asyncio.sleep(INTERVAL_S)
                continue
            node.send(channel.Hello("meter", self._session, *self._declared))
            if self._stopped is not None:
                node.send(self._stopped)
            self._node = node
            sending = asyncio.create_task(self._send_samples(node))
            try:
                while (message := await node.receive()) is not None:
                    self._obey(message)
            except channel.ChannelError as error:
                print(error)
            finally:
                self._node = None
                sending.cancel()
                node.close()
            await asyncio.sleep(INTERVAL_S)

    async def _send_samples(self, node: channel.Peer) -> None:
        sent = 0
        while True:
            self._new.clear()
            fresh = [s for s in self._kept if s.n > sent][:256]
            for sample in fresh:
                node.send(sample)
                sent = sample.n
            await node.drain()
            if not fresh:
                await self._new.wait()

    def _obey(self, message: channel.Message) -> None:
        if isinstance(message, channel.Ack):
            self._kept = [s for s in self._kept if s.n > message.n]
            if not self._kept:
                self._taken.set()
        elif isinstance(message, channel.Pause):
            self._known = True
            self._pause(message.order)
        elif isinstance(message, channel.Resume):
            self._known = True
            self._resume()

    def _pause(self, order: str) -> None:
        if self._stopped is not None and self._stopped.order != order and self._order is not None:
            self._stopped = replace(self._stopped, order=order)  # stopped already, under an earlier order
            if self._node is not None:
                self._node.send(self._stopped)
        self._order = order
        for peer in self._hooks:
            peer.send(channel.Pause(order))
        child = self._child
        if not self._hooks and child is not None and child.returncode is None and not self._frozen:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGSTOP)
                self._frozen = True
                steps = sum(s.steps or 0 for s in self._counters.values())
                self._report_stop(channel.Stopped(order, steps, None, max(self._last_at, self._now_ms())))

    def _resume(self) -> None:
        self._order = self._stopped = None
        if self._frozen and self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGCONT)
            self._frozen = False
        for peer in self._hooks:
            peer.send(channel.Resume())

    async def _say_goodbye(self, to_node: asyncio.Task[None]) -> None:
        """Wait a little for the node to take everything; leave the rest in the spool folder."""
        self._taken.clear()
        if self._kept:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._taken.wait(), LINGER_S)
        end = channel.End(self._n, self._last_at)
        if self._node is not None and not self._kept:
            self._node.send(end)
            await self._node.drain()
        else:
            hello = channel.Hello("meter", self._session, *self._declared)
            write_spool(self._settings.spool, hello, self._kept, end)
        to_node.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await to_node


def write_spool(folder: Path, hello: channel.Hello, samples: list[channel.Sample], end: channel.End) -> Path:
    """Leave what the node did not take as ``<session>.jsonl`` (synced, then renamed into place); return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{hello.session}.part"
    with temporary.open("wb") as out:
        messages: list[channel.Message] = [hello, *samples, end]
        for message in messages:
            out.write(channel.encode(message))
        out.flush()
        os.fsync(out.fileno())
    return temporary.rename(folder / f"{hello.session}.jsonl")


def _labels(sample: channel.Sample) -> tuple[str, Activity]:
    return sample.workload, sample.activity
