"""A command that knows nothing of orders: its process group is frozen in place, or ended and started again.

*What it can do*: stop all processes of the group (SIGSTOP) and let them go on (SIGCONT); or ask them to end
(SIGTERM), wait a grace, and end what is left (SIGKILL). *What it cannot*: make a program save; reach processes that
left the group (a daemon, a container of another runtime, a job on another machine); say which step the program was
in; free the memory of accelerators that a frozen program holds. Work of accelerators that was queued before SIGSTOP
still runs to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from enum import StrEnum

POLL_S = 0.05


class OnPause(StrEnum):
    """What a pause does to a command without a hook."""

    FREEZE = "freeze"
    END = "end"


class Command:
    """One start of a command, in a process group of its own. For one asyncio loop."""

    def __init__(self, argv: tuple[str, ...], environment: dict[str, str]) -> None:
        """Start it (``OSError`` when it cannot be run)."""
        self._process = subprocess.Popen(argv, env=environment, process_group=0)
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._exit = os.pidfd_open(self.pid)
        self._loop.add_reader(self._exit, self._ended.set)
        self.frozen = False

    @property
    def pid(self) -> int:
        """Process id, and id of the group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process that was started has not ended."""
        return not self._ended.is_set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait at most *timeout_s*; say whether it has ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), timeout_s)
        return self._ended.is_set()

    def signal(self, number: int) -> None:
        """Pass a signal on to the whole group; one that ends it reaches it also while it is frozen."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)
            if number != signal.SIGHUP and self.frozen:
                os.killpg(self.pid, signal.SIGCONT)

    def freeze(self) -> None:
        """Stop the whole group where it is."""
        if not self.frozen:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGSTOP)
                self.frozen = True

    def thaw(self) -> None:
        """Let the group go on."""
        if self.frozen:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGCONT)
            self.frozen = False

    async def end(self, grace_s: float) -> None:
        """Ask the group to end, and end after *grace_s* what has not; returns when the started process has ended."""
        self.signal(signal.SIGTERM)
        deadline = self._loop.time() + grace_s
        while self._group_lives() and self._loop.time() < deadline:
            await asyncio.sleep(POLL_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._ended.wait()

    def _group_lives(self) -> bool:
        """Say whether any process of the group runs; one that has ended and was not waited for does not."""
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                        fields = file.read().rpartition(")")[2].split()
                    if int(fields[2]) == self.pid and fields[0] not in "ZX":
                        return True
        return False

    def reap(self) -> tuple[int, int]:
        """Return the ended process's exit code (128 + signal) and CPU milliseconds, waited-for children included."""
        self._loop.remove_reader(self._exit)
        os.close(self._exit)
        _, status, usage = os.wait4(self.pid, 0)
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code, round(1000 * (usage.ru_utime + usage.ru_stime))
