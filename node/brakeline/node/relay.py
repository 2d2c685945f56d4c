"""``brakeline node meter -- COMMAND``: runs a command, meters its process tree, and stands between it and the node.

The command gets ``BRAKELINE_HOOK``, the address of this process's own socket; its hooks (:mod:`brakeline.node.hook`)
talk to us, we talk to the node. Every 200 ms, and whenever the activity changes, we take a sample: the tree's
CPU time and the sum of the hooks' counters, all cumulative. Samples are kept until the node says they are durable;
while the node is away they pile up here (thinned beyond 50,000: dropping a cumulative sample coarsens, and loses
nothing). What the node has not taken when the command ends is left in its ``spool`` folder as a file of the same
lines.

On an order: a command whose hooks are connected is told, and stops by its own means, all its ranks after one step.
One without a hook is frozen (SIGSTOP) and later continued, or ended (SIGTERM, after a grace SIGKILL) and later
started again, as configured; so is one whose hooks have not stopped after a configured time. A command is not started
while an order binds its declared activity. Checkpoint files that are named are committed to when the command has
ended, and compared before it is started again: where they differ, it is not started.

The exit code is the command's (128 + signal when a signal ended it). Processes that outlive the command
are still metered; we end when the last of them does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from brakeline.node import channel, meter
from brakeline.node.freeze import freeze_files
from brakeline.node.gather import gather_resumes, gather_stops
from brakeline.node.hook import ENVIRONMENT, HookError
from brakeline.node.pace import Grant, Pace
from brakeline.node.ranks import Crew
from brakeline.node.wrapped import Command, OnPause
from brakeline.treaty.statements import Activity

INTERVAL_S = 0.2
MAX_KEPT = 50_000
FIRST_WORD_S = 0.5
"""How long to wait for the node's first word before the command is started."""
LINGER_S = 3.0
"""How long to wait for the node, after the command has ended, before the rest is left in the spool folder."""
EXIT_NOT_RUN = 127
EXIT_MISMATCH = 5
"""The checkpoint files are not those that the command left behind: it is not started again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run and whom to tell.

    Attributes:
        command: argument vector.
        socket: the node's socket; spool: its folder for leftovers.
        workload, activity: how to book time before a hook declares anything.
        on_pause: what an order does to a command without a hook.
        grace_s: from SIGTERM to SIGKILL.
        checkpoints: files or folders that the command leaves behind when it ends.
        patience_s: how long hooks may take to stop before the command is treated as one without; None: for ever.
    """

    command: tuple[str, ...]
    socket: Path
    spool: Path
    workload: str
    activity: Activity
    on_pause: OnPause = OnPause.FREEZE
    grace_s: float = 30.0
    checkpoints: tuple[Path, ...] = ()
    patience_s: float | None = None


class Relay:
    """One metered command."""

    def __init__(self, settings: Settings, *, session: str, now_ms: Callable[[], int]) -> None:
        """Prepare; *session*: 32 hex digits, unique; *now_ms*: Unix ms."""
        self._settings, self._session, self._now_ms = settings, session, now_ms
        self._kept: list[channel.Sample] = []
        self._n = self._last_at = 0
        self._labels = self._declared = settings.workload, settings.activity
        self._hooks: dict[channel.Peer, channel.Hello] = {}
        self._crews: dict[str, Crew] = {}
        self._counters: dict[str, channel.Sample] = {}
        self._stops: dict[str, tuple[channel.Hello, channel.Stopped]] = {}
        self._resumes: dict[str, tuple[channel.Hello, channel.Resumed]] = {}
        self._node: channel.Peer | None = None
        self._demand: channel.FromNode | None = None
        self._paused_at = 0
        self._may_run, self._known = asyncio.Event(), asyncio.Event()
        self._said: list[channel.Message] = []
        self._new, self._taken = asyncio.Event(), asyncio.Event()
        self._pace = Pace()
        self._tree: meter.ProcessTree | None = None
        self._command: Command | None = None
        self._earlier = self._busy = self._burst = 0
        self._leaving = self._beside = self._told_beside = 0
        self._ending: asyncio.Task[None] | None = None
        self._committed: str | None = None

    async def run(self) -> int:
        """Run the command to its end and return its exit code."""
        folder = Path(tempfile.mkdtemp(prefix="brakeline-"))
        meter.become_subreaper()
        loop = asyncio.get_running_loop()
        for forwarded in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(forwarded, self._signal, forwarded)
        try:
            server = await channel.serve(folder / "hook", self._serve_hook)
            async with server:
                to_node = asyncio.create_task(self._talk_to_node())
                code = await self._run_command({**os.environ, ENVIRONMENT: str(folder / "hook")})
                await self._say_goodbye(to_node)
            return code
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # -- the command -------------------------------------------------------------------------------------------------

    async def _run_command(self, environment: dict[str, str]) -> int:
        self._keep()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._known.wait(), FIRST_WORD_S)
        if not self._known.is_set():
            self._may_run.set()  # nobody there to say anything: nothing binds that we know of
        while True:
            while not self._may_run.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._may_run.wait(), INTERVAL_S)
                self._keep()
            if self._leaving:
                return 128 + self._leaving
            if self._committed is not None and not self._unchanged():
                return EXIT_MISMATCH
            try:
                code = await self._run_once(environment)
            except OSError as error:
                print(f"meter-command: {self._settings.command[0]} cannot be run: {error.strerror}")
                return EXIT_NOT_RUN
            if self._ending is None or self._leaving:
                return code
            await self._ending
            self._ending = None

    async def _run_once(self, environment: dict[str, str]) -> int:
        command = self._command = Command(self._settings.command, environment)
        self._tree = meter.ProcessTree(command.pid)
        while not await command.wait(INTERVAL_S):
            self._sample()
            self._watch_over()
        code, usage_ms = command.reap()
        self._labels = self._settings.workload, self._settings.activity if not self._counters else Activity.OTHER
        self._busy = self._earlier + self._tree.finish(usage_ms)
        self._keep()
        while self._tree.alive() and self._ending is None:
            await asyncio.sleep(INTERVAL_S)
            self._sample()
        self._earlier, self._tree = self._busy, None
        return code

    def _signal(self, number: int) -> None:
        if number != signal.SIGHUP:
            self._leaving = number  # who was told to go is not started again
            self._may_run.set()
        if self._command is not None:
            self._command.signal(number)

    def _watch_over(self) -> None:
        """Keep to a ceiling, to the patience with hooks, and to the deadline of their agreement."""
        now = self._now_ms()
        for crew in self._crews.values():
            crew.tick(now)
        demand, command, patience = self._demand, self._command, self._settings.patience_s
        if isinstance(demand, channel.Pause) and self._hooks and patience is not None:
            late = now >= self._paused_at + round(1000 * patience)
            if late and not self._hooks_stopped() and not self._stopped_for(demand.order):
                self._stop_command(demand.order)
        if isinstance(demand, channel.Slow) and self._hooks and self._unhooked() > self._told_beside:
            self._told_beside = self._unhooked() + demand.chip_ms // 50
            for peer, hello in self._hooks.items():
                self._tell(peer, hello)
        if isinstance(demand, channel.Slow) and not self._hooks and command is not None:
            if self._pace.delay_ms(now, self._burst) == 0:
                command.thaw()
            else:
                command.freeze()

    def _stop_command(self, order: str) -> None:
        """Stop a command that does not stop by itself."""
        command = self._command
        if command is None or not command.running:
            self._say_stopped(channel.Stopped(order, self._steps(), self._committed, self._now_ms(), final=True))
        elif self._settings.on_pause is OnPause.FREEZE:
            command.freeze()
            now = self._now_ms()
            self._say_stopped(channel.Stopped(order, self._steps(), None, now, now, final=True))
        elif self._ending is None:
            self._ending = asyncio.create_task(self._end_command(command, order))

    async def _end_command(self, command: Command, order: str) -> None:
        agreed = self._now_ms()
        await command.end(self._settings.grace_s)
        self._sample()
        ceased = self._now_ms()
        stopped = channel.Stopped(order, self._steps(), None, ceased, agreed, final=not self._settings.checkpoints)
        self._say_stopped(stopped)
        if self._settings.checkpoints:
            try:
                self._committed = await asyncio.to_thread(freeze_files, self._settings.checkpoints)
            except HookError as error:
                print(error)
            committed = replace(stopped, freeze=self._committed, durable_at=self._now_ms(), final=True)
            if isinstance(self._demand, channel.Pause):
                self._say_stopped(replace(committed, order=self._demand.order))

    def _unchanged(self) -> bool:
        """Compare the checkpoint files with what was committed to, and say what the command goes on from."""
        expected, self._committed = self._committed, None
        try:
            found = freeze_files(self._settings.checkpoints)
        except HookError as error:
            print(error)
            return False
        if found != expected:
            print(f"resume-mismatch: the checkpoint files have changed (expected {expected}, found {found})")
            return False
        self._say(channel.Resumed(self._steps(), found, self._now_ms()))
        return True

    # -- samples -----------------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        if self._tree is not None:
            before = self._busy
            self._busy = max(before, self._earlier + self._tree.sample())
            self._pace.finish(1000 * (self._busy - before))
            self._burst = max(self._burst, 1000 * (self._busy - before))
            meter.reap_orphans(self._command.pid if self._command else 0)
        self._keep()

    def _steps(self) -> int:
        return sum(sample.steps or 0 for sample in self._counters.values())

    def _hooked(self) -> int:
        """Return the chip time that hooks have reported of their own processes."""
        return sum(sample.busy_ms for sample in self._counters.values())

    def _unhooked(self) -> int:
        """Return what processes beside those of the hooks have used since the newest grant (data loaders, say)."""
        return max(0, self._busy - self._hooked() - self._beside)

    def _keep(self) -> None:
        self._n += 1
        self._last_at = max(self._last_at, self._now_ms())
        known = list(self._counters.values())
        self._kept.append(
            channel.Sample(
                n=self._n,
                at=self._last_at,
                busy_ms=self._busy,
                workload=self._labels[0],
                activity=self._labels[1],
                steps=sum(s.steps or 0 for s in known) if known else None,
                flop=_sum(s.flop for s in known if s.flop is not None or s.steps),
                tokens=sum(s.tokens or 0 for s in known) if known else None,
                recomputed=sum(s.recomputed or 0 for s in known) or None,
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
            self._hooks[peer] = hello
            self._crews.setdefault(hello.job or hello.session, Crew(hello.ranks)).join(peer, hello.session)
            self._declare((hello.workload, hello.activity))
            if self._demand is not None:
                self._tell(peer, hello)
            while (message := await peer.receive()) is not None:
                self._hear(peer, hello, message)
                if isinstance(message, channel.End):
                    break
        except channel.ChannelError as error:
            print(error)
        finally:
            self._forget(peer)

    def _hear(self, peer: channel.Peer, hello: channel.Hello, message: channel.Message) -> None:
        crew = self._crews[hello.job or hello.session]
        match message:
            case channel.Sample():
                crew.note(peer, message.steps or 0)
                self._count(hello.session, message)
            case channel.Accept() | channel.Passed():
                crew.answer(peer, message)
            case channel.Stopped():
                self._stops[hello.session] = hello, message
                self._report_stops()
            case channel.Resumed():
                self._resumes[hello.session] = hello, message
                if all(h.session in self._resumes for h in self._hooks.values()):
                    self._say(gather_resumes(self._resumes))
            case channel.Slowed():
                self._say(message)
            case channel.End() if len(self._hooks) == 1:
                self._relabel((hello.workload, Activity.OTHER))
            case _:
                pass

    def _forget(self, peer: channel.Peer) -> None:
        hello = self._hooks.pop(peer, None)
        if hello is not None:
            self._crews[hello.job or hello.session].leave(peer)
            if isinstance(self._demand, channel.Pause) and self._hooks:
                self._report_stops()  # the others may have waited for this one

    def _tell(self, peer: channel.Peer, hello: channel.Hello) -> None:
        """Pass on to a hook what the node demands; a ceiling in equal parts, a commitment only to a process alone."""
        message = self._demand
        if isinstance(message, channel.Slow):
            message = replace(message, chip_ms=max(0, message.chip_ms - self._unhooked()) // max(1, len(self._hooks)))
        if isinstance(message, channel.Resume) and hello.ranks > 1:
            message = channel.Resume()
        if message is not None:
            self._crews[hello.job or hello.session].tell(peer, message, self._now_ms())

    def _count(self, session: str, sample: channel.Sample) -> None:
        before = self._counters.get(session)
        if before is not None and (sample.n <= before.n or (sample.steps or 0) < (before.steps or 0)):
            return
        if _labels(sample) != self._labels:
            # the counters in this message were still reached under the old label
            self._counters[session] = sample
            self._relabel(_labels(sample))
        self._counters[session] = sample

    def _order(self) -> str:
        """Return the order that binds the command, "" when none does."""
        return self._demand.order if isinstance(self._demand, (channel.Pause, channel.Slow)) else ""

    def _hooks_stopped(self) -> bool:
        order = self._order()
        said = {session for session, (_, stop) in self._stops.items() if stop.order == order}
        return all(hello.session in said for hello in self._hooks.values())

    def _report_stops(self) -> None:
        """Report one stop when every hook has said where it stopped, and again when there is a digest."""
        order = self._order()
        said = {key: item for key, item in self._stops.items() if item[1].order == order}
        if said and self._hooks_stopped():
            self._say_stopped(gather_stops(said))

    # -- the node's side ---------------------------------------------------------------------------------------------

    def _say_stopped(self, stopped: channel.Stopped) -> None:
        self._sample()
        self._said = [m for m in self._said if not isinstance(m, channel.Resumed)]
        self._say(stopped)

    def _say(self, message: channel.Message) -> None:
        """Tell the node, now and whenever it has been away."""
        self._said = [*(m for m in self._said if type(m) is not type(message)), message]
        if self._node is not None:
            self._node.send(message)

    async def _talk_to_node(self) -> None:
        while True:
            try:
                node = await channel.connect(self._settings.socket)
            except OSError:
                await asyncio.sleep(INTERVAL_S)
                continue
            node.send(channel.Hello("meter", self._session, *self._declared))
            for message in self._said:
                node.send(message)
            self._node = node
            sending = asyncio.create_task(self._send_samples(node))
            try:
                while (heard := await node.receive()) is not None:
                    self._obey(heard)
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
            self._pause(message)
        elif isinstance(message, (channel.Resume, channel.Slow)):
            self._release(message)
        self._known.set()

    def _pause(self, message: channel.Pause) -> None:
        if not isinstance(self._demand, channel.Pause):
            self._paused_at = self._now_ms()
        again = isinstance(self._demand, channel.Pause) and self._demand.order != message.order
        self._demand = message
        self._may_run.clear()
        for peer, hello in self._hooks.items():
            self._tell(peer, hello)
        if not self._hooks and (again or not self._stopped_for(message.order)):
            self._stop_command(message.order)

    def _stopped_for(self, order: str) -> bool:
        return any(isinstance(m, channel.Stopped) and m.order == order for m in self._said)

    def _release(self, message: channel.Resume | channel.Slow) -> None:
        was_paused = isinstance(self._demand, channel.Pause)
        self._demand = message
        self._stops.clear()
        if was_paused:
            self._resumes.clear()
            self._said = [m for m in self._said if not isinstance(m, channel.Stopped)]
        self._limit(message)
        self._may_run.set()
        if self._command is not None and self._command.frozen:
            if was_paused:
                self._say(channel.Resumed(self._steps(), None, self._now_ms()))
            if isinstance(message, channel.Resume):
                self._command.thaw()
        for peer, hello in self._hooks.items():
            self._tell(peer, hello)

    def _limit(self, message: channel.Resume | channel.Slow) -> None:
        """Take a ceiling, to be kept to here by a command without a hook."""
        if isinstance(message, channel.Slow):
            newly = self._pace.grant is None or self._pace.grant.order != message.order
            self._pace.set(Grant(message.order, 1000 * message.chip_ms, message.begin, message.end))
            self._beside, self._told_beside = self._busy - self._hooked(), message.chip_ms // 50
            if newly and not self._hooks:
                self._say(channel.Slowed(message.order, self._steps(), self._now_ms()))
        else:
            self._pace.set(None)

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


def _sum(flop: Iterable[int | None]) -> int | None:
    """Return the sum, None where one is unknown or there is none."""
    known = list(flop)
    return None if not known or None in known else sum(value for value in known if value is not None)
