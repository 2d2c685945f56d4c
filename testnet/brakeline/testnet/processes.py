"""The processes of a testnet: started, awaited, stopped, and none left behind.

A :class:`Troupe` is a context manager. Whatever ends the block (the end of the play, an error, Ctrl-C), every process
that was started, and every process below it, is gone afterwards: SIGTERM, a while to end well, then SIGKILL. Only our
own processes are touched, each known by its process id *and* its moment of creation. Output goes to ``<name>.out`` and
``<name>.err``, so that nothing blocks on a full pipe and everything can be read afterwards.

Each process leads a session of its own: Ctrl-C reaches the demo alone, which then ends the others in order.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import psutil
from brakeline.ledger.errors import BrakelineError

BRAKELINE = (sys.executable, "-c", "from brakeline.cli import main; main()")
"""The ``brakeline`` command of this very installation, wherever its script is."""

READY_S = 60.0
"""How long a process may take until it is ready, on a machine with much else to do."""
END_S = 15.0
"""How long a process may take to end after SIGTERM."""
POLL_S = 0.05
_TAIL = 1_500


class ProcessError(BrakelineError):
    """A process of the testnet did not do what it should (codes ``process-*``)."""


@dataclass
class Actor:
    """A process that was started: its command, for starting it again, and where its output goes."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    began_at: int
    """Where in ``out`` this start's output begins."""
    once: bool = False
    """Whether it is to end by itself."""

    def ready(self) -> bool:
        """Say whether the ready line is there (``process-ended`` when it cannot come any more)."""
        if any(line.startswith(b'{"ready"') and line.endswith(b"\n") for line in self.said().splitlines(keepends=True)):
            return True
        if self.process.poll() is not None:
            raise self.failure("process-ended", "a process ended before it was ready", f"exit {self.process.poll()}")
        return False

    def said(self) -> bytes:
        """Return what this start has printed so far."""
        with self.out.open("rb") as out:
            out.seek(self.began_at)
            return out.read()

    def failure(self, code: str, message: str, found: str) -> ProcessError:
        """Return an error about this process that quotes the end of what it said."""
        said = self.err.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip()
        fix = f"its output is in {self.err}; the last of it: {said}" if said else f"its output is in {self.out}"
        return ProcessError(code=code, message=f"{message}: {self.name}", found=found, fix=fix)


class Troupe:
    """All processes of one testnet, by name."""

    def __init__(self, output: Path) -> None:
        """Write their output into the folder *output*."""
        output.mkdir(parents=True, exist_ok=True)
        self.output = output
        self._actors: dict[str, Actor] = {}

    def start(self, name: str, command: Sequence[str], *, talk: bool = False, once: bool = False) -> Actor:
        """Start a process, not waiting for anything; with *talk* its standard input is a pipe.

        One that is to end *once* it has done its work may end with any exit code.
        """
        old = self._actors.get(name)
        if old is not None and old.process.poll() is None:
            raise ValueError(f"{name} is running")
        out, err = (self.output / f"{name}.{kind}" for kind in ("out", "err"))
        with out.open("ab") as to_out, err.open("ab") as to_err, unbroken():
            began_at = to_out.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err,
                start_new_session=True,
            )
            self._actors[name] = Actor(name, command, process, out, err, began_at, once)
        return self._actors[name]

    def await_ready(self, names: Iterable[str], timeout_s: float = READY_S) -> None:
        """Wait until each of *names* has printed its ready line.

        Raises:
            ProcessError: ``process-ended``, ``process-slow``.
        """
        deadline = time.monotonic() + timeout_s
        for name in names:
            actor = self._actors[name]
            while not actor.ready():
                if time.monotonic() > deadline:
                    raise actor.failure("process-slow", "a process is not ready in time", f"{timeout_s:.0f} s passed")
                time.sleep(POLL_S)

    def run(self, name: str, command: Sequence[str], timeout_s: float = READY_S) -> tuple[int, bytes]:
        """Run a command to its end; return its exit code and what it printed (``process-slow``)."""
        actor = self.start(name, command, once=True)
        try:
            return actor.process.wait(timeout_s), actor.said()
        except subprocess.TimeoutExpired:
            raise actor.failure("process-slow", "a command did not end", f"{timeout_s:.0f} s passed") from None

    def __getitem__(self, name: str) -> Actor:
        """Return the actor of this name."""
        return self._actors[name]

    def tell(self, name: str, line: str) -> None:
        """Write a line to the standard input of a process that was started with *talk*."""
        pipe: IO[bytes] | None = self._actors[name].process.stdin
        if pipe is None:
            raise ValueError(f"{name} was not started to be talked to")
        pipe.write(line.encode() + b"\n")
        pipe.flush()

    def child_of(self, name: str) -> int | None:
        """Return the process id of the process that *name* runs; None before it does."""
        try:
            return next((int(child.pid) for child in psutil.Process(self._actors[name].process.pid).children()), None)
        except psutil.NoSuchProcess:
            return None

    def check(self) -> None:
        """Raise ``process-ended`` when a process that is to run on has ended."""
        for actor in self._actors.values():
            if not actor.once and actor.process.poll() is not None:
                raise actor.failure("process-ended", "a process has ended", f"exit {actor.process.poll()}")

    def kill(self, name: str) -> None:
        """SIGKILL one process, as a power cut would; it may be started again."""
        process = self._actors[name].process
        process.kill()
        process.wait()

    def restart(self, name: str) -> Actor:
        """Start a process that has ended again, by the same command."""
        return self.start(name, self._actors[name].command)

    def stop(self, names: Iterable[str], timeout_s: float = END_S) -> None:
        """SIGTERM *names* at once, wait, SIGKILL what is left, also of what they started."""
        actors = [self._actors.pop(name) for name in list(names) if name in self._actors]
        families = [_family(actor.process) for actor in actors]
        for actor in actors:
            if actor.process.poll() is None:
                actor.process.terminate()
        deadline = time.monotonic() + timeout_s
        for actor in actors:
            with contextlib.suppress(subprocess.TimeoutExpired):
                actor.process.wait(max(0.0, deadline - time.monotonic()))
            if actor.process.poll() is None:
                actor.process.kill()
                actor.process.wait()
            if actor.process.stdin is not None:
                with contextlib.suppress(OSError):
                    actor.process.stdin.close()
        for family in families:
            _end(family)

    def stop_all(self) -> None:
        """Stop whatever still runs."""
        self.stop(list(self._actors))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything; a second Ctrl-C waits until that is done."""
        with unbroken():
            self.stop_all()


@contextlib.contextmanager
def unbroken() -> Generator[None]:
    """Hold SIGINT and SIGTERM back until the block is over: between a process's start and our knowing it, say.

    A signal mask would be inherited by what is started; handlers are not.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread is ever interrupted
        yield
        return
    held: list[int] = []
    before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object] | int | None] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda came, _frame: held.append(came))
        yield
    finally:
        for ours, handler in before.items():
            signal.signal(ours, signal.SIG_DFL if handler is None else handler)
        for came in held[:1]:
            signal.raise_signal(came)


@dataclass(frozen=True)
class Errand:
    """A command to be run to its end: not before an instant (Unix ms), again when it fails and *tries* are left."""

    name: str
    command: Sequence[str]
    not_before: int = 0
    tries: int = 1


class Errands:
    """Commands run one after the other while something else goes on; nothing here waits."""

    def __init__(self, troupe: Troupe, errands: Iterable[Errand]) -> None:
        """Run *errands* in this order."""
        self._troupe = troupe
        self._left = deque(errands)
        self._running: Actor | None = None

    @property
    def done(self) -> bool:
        """Whether every errand has ended well."""
        return not self._left

    def go_on(self, now: int) -> str:
        """Look after the errands at *now* (Unix ms); return the name of one that was started just now, or "".

        Raises:
            ProcessError: ``process-failed``.
        """
        if self._running is not None:
            code = self._running.process.poll()
            if code is None:
                return ""
            errand = self._left.popleft()
            if code != 0 and errand.tries == 1:
                raise self._running.failure("process-failed", "a command failed", f"exit {code}")
            if code != 0:
                self._left.appendleft(replace(errand, tries=errand.tries - 1))
            self._running = None
        if not self._left or now < self._left[0].not_before:
            return ""
        errand = self._left[0]
        self._running = self._troupe.start(errand.name, errand.command, once=True)
        return errand.name


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return what runs below *process*; psutil knows each by pid and creation, so that a reused pid is nobody's."""
    try:
        return list(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _end(family: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(list(family), timeout=1.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5.0)
