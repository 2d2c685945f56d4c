"""CPU time of a whole process tree, as one counter that never goes back.

*What it can see*: user and system time of every process below the one it was given, in milliseconds, also of
processes that came and went, as long as their parents waited for them (the kernel adds a waited-for child's time to
its parent) or they were seen alive in a sample. The running process is made a *subreaper*, so that grandchildren whose
parents have gone stay in the tree. Linux only.

*What it cannot see*: a process that lives shorter than a sampling interval under a parent that never waits for it; time
of processes that were started outside the tree (by a daemon, over a socket, by cron); how busy the arithmetic units
were during the time (so FLOP of the hardware method need a declared utilisation: :mod:`brakeline.node.books`); energy.
The kernel counts in ticks (10 ms on most machines): a single figure is that coarse, the sum over time is not.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from dataclasses import dataclass

import psutil

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(slots=True)
class _Seen:
    own: int
    waited: int
    parent: int


class ProcessTree:
    """A cumulative counter of the CPU milliseconds of a process and everything below it."""

    def __init__(self, pid: int) -> None:
        """Meter the tree below *pid*, which must be a child of this process (or this process itself, in a test)."""
        self._root = pid
        self._seen: dict[tuple[int, float], _Seen] = {}
        self._gone = 0
        self._total = 0
        self._finished = False

    def sample(self) -> int:
        """Return the CPU milliseconds used by the tree so far (user and system, all cores); never less than before."""
        now = self._read()
        vanished = {key: seen for key, seen in self._seen.items() if key not in now}
        self._gone += sum(self._missing(now, vanished).values())
        self._seen = now
        self._total = max(self._total, self._gone + sum(s.own + s.waited for s in now.values()))
        return self._total

    def finish(self, usage_ms: int) -> int:
        """Take note that the root was waited for, and that ``wait4`` says *usage_ms* of it and its waited-for children.

        Orphans that outlive the root are still counted by :meth:`sample`; :meth:`alive` says whether there are any.
        """
        self._finished = True
        self._gone += usage_ms
        self._seen = self._read()
        self._total = max(self._total, self._gone + sum(s.own + s.waited for s in self._seen.values()))
        return self._total

    def alive(self) -> bool:
        """Say whether any process of the tree was running in the newest reading."""
        return bool(self._seen)

    def _missing(self, now: dict[tuple[int, float], _Seen], vanished: dict[tuple[int, float], _Seen]) -> dict[int, int]:
        """Return, by surviving ancestor, how much time of vanished processes did not arrive in its waited-for time."""
        alive = {pid: key for key in now for pid in (key[0],)}
        parents = {key[0]: seen.parent for key, seen in vanished.items()}
        expected: dict[int, int] = {}
        for seen in vanished.values():
            ancestor = seen.parent
            while ancestor not in alive and ancestor in parents:
                ancestor = parents[ancestor]
            expected[ancestor] = expected.get(ancestor, 0) + seen.own + seen.waited
        missing: dict[int, int] = {}
        for ancestor, amount in expected.items():
            arrived = 0
            key = alive.get(ancestor)
            if key is not None and key in self._seen:
                arrived = now[key].waited - self._seen[key].waited
            missing[ancestor] = max(0, amount - arrived)
        return missing

    def _read(self) -> dict[tuple[int, float], _Seen]:
        # orphans of the tree become children of this process (subreaper): they belong to the tree too
        processes = _orphans(self._root)
        if not self._finished:
            try:
                root = psutil.Process(self._root)
                processes += [root, *root.children(recursive=True)]
            except psutil.Error:
                pass
        found: dict[tuple[int, float], _Seen] = {}
        for process in processes:
            try:
                with process.oneshot():
                    times, parent = process.cpu_times(), process.ppid()
                    key = (process.pid, process.create_time())
            except psutil.Error:
                continue
            own = round(1000 * (times.user + times.system))
            waited = round(1000 * (times.children_user + times.children_system))
            found[key] = _Seen(own, waited, parent)
        return found


def become_subreaper() -> None:
    """Let orphans of the tree become children of this process instead of init's (Linux, ``prctl``)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(root: int) -> None:
    """Wait for finished orphans of the tree of *root*, so that they do not stay as zombies."""
    for process in _orphans(root, recursive=False):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _orphans(root: int, *, recursive: bool = True) -> list[psutil.Process]:
    me = os.getpid()
    if root == me:
        return []
    below = psutil.Process(me).children()
    adopted = [process for process in below if process.pid != root]
    if recursive:
        for process in tuple(adopted):
            try:
                adopted += process.children(recursive=True)
            except psutil.Error:
                continue
    return adopted
