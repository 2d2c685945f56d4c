"""Follow one log: mirror what is new, replay it, and notice when it falls silent, stops growing or shows another past.

A fork is caught here because the mirror never goes back: a checkpoint that does not contain what was mirrored before
is signed by the log's own key, and so are the two together evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from brakeline.audit.copies import Copy, Replayed, open_copy, read_copy
from brakeline.audit.evidence.bundle import Fork
from brakeline.audit.evidence.make import fork_of_copies
from brakeline.audit.opinions import GrowingFolder
from brakeline.audit.report import LogReport, LogState, Problem
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import BrakelineError, DivergenceError, ForkError
from brakeline.ledger.mirror import Mirror
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import DirectorySource, Source, opened
from brakeline.ledger.spill import Spill
from brakeline.treaty.replay import LogReplay
from brakeline.treaty.succession import Succession

Progress = Callable[[str, int, int], None]
"""Told (source, entries done, entries in all) while much is read."""


class Follower:
    """One log, from the address that the auditor gave.

    Attributes:
        source: the address or directory.
        answered_ms, grown_ms: the watcher's clock when the source last answered, and when it last showed more entries.
        problem: why the last look failed, None when it did not.
        fork: evidence of a fork seen between two looks.
    """

    def __init__(
        self, source: str, treaty: Succession, copies: Path, now_ms: int, disclosures: GrowingFolder | None = None
    ) -> None:
        """Follow *source*; its mirror goes into a folder of the log's name below *copies*; *disclosures* open it."""
        self._disclosures = disclosures
        self._awaited: set[str] = set()
        self.source = source
        self.answered_ms = now_ms
        self.grown_ms = now_ms
        self.problem: Problem | None = None
        self.fork: Fork | None = None
        self._treaty = treaty
        self._copies = copies
        self._copy = Copy(LogReport(source=source, quorum=treaty.root.quorum.witnesses))
        self._mirror: Mirror | None = None
        self._replay: LogReplay | None = None
        self._fed = 0
        self._previous: bytes | None = None

    @property
    def replayed(self) -> Replayed:
        """What was read so far and what it shows, as the audit takes it."""
        return Replayed(self._copy, None if self._replay is None else self._replay.close())

    @property
    def size(self) -> int:
        """Entries replayed."""
        return self._fed

    def look(self, now_ms: int, progress: Progress | None = None, treaty: Succession | None = None) -> None:
        """Take what the log has that is new. Nothing is raised for what a source does: it is in the attributes.

        *treaty*: the versions known by now, of which other logs may have shown some.
        """
        self._treaty = treaty or self._treaty
        self.problem = None
        try:
            with opened(self.source) as source:
                self._look_at(source, now_ms, progress)
        except DivergenceError as error:
            self.problem = Problem.of(error, error.index)
        except BrakelineError as error:
            self.problem = Problem.of(error)

    def _look_at(self, source: Source, now_ms: int, progress: Progress | None) -> None:
        shown = open_copy(source, self._treaty)
        if shown.reader is None:
            self.problem = shown.report.divergence
            return
        self.answered_ms = now_ms
        try:
            self._take(source, shown, now_ms, progress)
        except ForkError as error:
            self._forked(source, error)

    def _take(self, source: Source, shown: Copy, now_ms: int, progress: Progress | None) -> None:
        verifier = self._treaty.verifier(shown.report.origin)
        if verifier is None or self._copy.report.origin not in ("", verifier.origin):
            self.problem = Problem(
                "source-changed", "the address shows another log now", self._copy.report.origin, shown.report.origin
            )
            return
        directory = self._copies / verifier.origin
        if self._mirror is None:
            self._mirror = Mirror(directory, verifier.log_key)
        before = self._mirror.size
        try:
            self._mirror.update(source, None if progress is None else partial(progress, self.source))
        finally:  # what was mirrored in an earlier life is judged also when the source now shows something else
            if self._mirror.size:
                self._judge(DirectorySource(directory))
        if self._mirror.size > before:
            self.grown_ms = now_ms

    def _judge(self, copy: DirectorySource) -> None:
        """Replay the entries that are new in the mirror; a log that has diverged once is not read on."""
        if self._copy.report.divergence is not None:
            return
        fresh = open_copy(copy, self._treaty)
        fresh.report = replace(fresh.report, source=self.source)
        if self._opened_late():
            self._replay, self._fed, self._previous = None, 0, None
        elif self._replay is not None:
            fresh.counts = self._copy.counts
            fresh.report = replace(fresh.report, newest_ms=self._copy.report.newest_ms)
        self._copy = fresh
        if fresh.reader is None:
            return
        if self._replay is None:
            self._replay = LogReplay(
                self._treaty.root,
                fresh.report.origin,
                self._root_at,
                archive=Spill(),
                entries=self._entries,
                versions=tuple(self._treaty.known.values()),
                disclosures=self._disclosures,
                second=None if self._disclosures is None else Spill(),
            )
        read_copy(fresh, self._replay.feed, start=self._fed, previous=self._previous)
        if fresh.report.state is LogState.REPRODUCED:
            try:
                self._replay.finish()
            except BrakelineError as error:
                fresh.fail(LogState.MISCONDUCT, Problem.of(error, fresh.reader.size - 1))
        if fresh.reader.size > self._fed and fresh.report.divergence is None:
            self._fed = fresh.reader.size
            self._previous = fresh.reader.entry_at(self._fed - 1).digest

    def _opened_late(self) -> bool:
        """Whether disclosures have come of statements that were judged without: then the log is judged anew, once."""
        if self._disclosures is None or self._replay is None:
            return False
        come = {item for item in self._replay.close().unopened if item in self._disclosures} - self._awaited
        self._awaited |= come
        return bool(come)

    def _entries(self) -> Iterator[Entry]:
        reader = self._copy.reader
        return iter(()) if reader is None else reader.entries()

    def _root_at(self, size: int) -> bytes:
        reader = self._copy.reader
        if reader is None:
            raise ValueError("a log that was not read has no root")
        return reader.root_at(size)

    def _forked(self, source: Source, error: ForkError) -> None:
        """Make the evidence while the source still shows its other history."""
        self.problem = Problem.of(error)
        verifier = self._treaty.verifier(error.origin)
        if self.fork is not None or verifier is None:
            return
        mine = LogReader(DirectorySource(self._copies / error.origin), verifier.log_key)
        try:
            self.fork = fork_of_copies(mine, LogReader(source, verifier.log_key), self._treaty)
        except BrakelineError as lost:
            self.problem = replace(self.problem, fix=f"{self.problem.fix} (no bundle: {lost.message})")
