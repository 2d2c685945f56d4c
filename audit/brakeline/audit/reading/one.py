"""One log, from where its state ends (or entry 0) to its checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from brakeline.audit.copies import Copy, Replayed, read_copy
from brakeline.audit.reading.ahead import WORTHWHILE, Ahead, processes
from brakeline.audit.reading.state import SAVE_EVERY, State, States
from brakeline.audit.report import LogState, Problem
from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.note import MAX_NOTE
from brakeline.ledger.note import parse as parse_note
from brakeline.ledger.reader import LogReader
from brakeline.ledger.spill import Spill
from brakeline.treaty.opinion_log import Disclosures
from brakeline.treaty.replay import LogReplay
from brakeline.treaty.succession import Succession

Progress = Callable[[str, int, int], None]
"""Called now and then with (source, entries done, entries in all)."""


@dataclass(frozen=True)
class Reading:
    """How logs are read; none of it changes a report.

    Attributes:
        processes: how many, this one included; 0 lets the length of the logs decide.
        states: a folder of states to go on from, and to keep states in; None keeps none.
        save_every: entries between two saves.
        disclosures: opens sealed statements, so that opinions are reproduced.
        disclosed: names all of these disclosures (SHA-256, hex); states are kept and used with them where it is given.
        since: origin -> the checkpoint up to which the auditor checked the log before, as it was kept.
    """

    processes: int = 0
    states: Path | None = None
    save_every: int = SAVE_EVERY
    since: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    disclosures: Disclosures | None = None
    disclosed: str = ""

    def workers(self, entries: int) -> int:
        """Return how many processes verify signatures beside this one, for a log of so many *entries*."""
        if self.processes:
            return self.processes - 1
        return processes() - 1 if entries >= WORTHWHILE else 0


READ_ANEW = Reading()


def read_kept(paths: Sequence[Path], treaty: Succession) -> dict[str, bytes]:
    """Return origin -> the checkpoint of a log of *treaty*, of each file in *paths*, its log's signature verified.

    Raises:
        BrakelineError: ``since-unknown-log``, and the codes of notes and checkpoints.
    """
    kept: dict[str, bytes] = {}
    for path in paths:
        note = path.read_bytes()[: MAX_NOTE + 1]
        origin = Checkpoint.parse_text(parse_note(note).text).origin
        verifier = treaty.verifier(origin)
        if verifier is None:
            raise BrakelineError(
                code="since-unknown-log",
                message=f"the treaty names no log of the checkpoint {path}",
                expected=", ".join(item.origin for item in treaty.verifiers())[:200],
                found=origin[:80],
            )
        open_checkpoint(note, verifier.log_key)
        kept[origin] = note
    return kept


class OneLog:
    """Replays one log after the other, in the same way."""

    def __init__(self, treaty: Succession, ahead: Ahead, how: Reading, *, paranoid: bool) -> None:
        """Replay under *treaty*, as far as its versions are known before; signatures are verified by *ahead*."""
        self._treaty, self._ahead, self._how, self._paranoid = treaty, ahead, how, paranoid

    def replay(self, copy: Copy, progress: Progress | None) -> Replayed:
        """Replay *copy*, and keep its state where one is asked for; what fails is in the copy's report."""
        reader = copy.reader
        if reader is None:
            return Replayed(copy, None)
        try:
            states, state = self._begin(reader)
            trusted = self._trusted(copy, reader)
        except BrakelineError as error:
            forked = error.code == "log-forked"
            copy.fail(LogState.MISCONDUCT if forked else LogState.UNREADABLE, Problem.of(error))
            return Replayed(copy, None)
        replay = state.replay
        copy.counts = Counter(state.counts)
        copy.report = replace(copy.report, newest_ms=state.newest_ms)
        place = _Place(state.size)

        def verify(key: bytes, message: bytes, signature: bytes) -> bool:
            return place.index < trusted or self._ahead.verify(key, message, signature)

        def take(entry: Entry) -> None:
            place.index = entry.index
            replay.feed(entry)
            if states is not None and (entry.index + 1) % states.every == 0:
                states.save(self._now(state, copy, entry), reader)

        def order(entries: Iterator[Entry]) -> Iterator[Entry]:
            return self._ahead.of(entries, lambda keyid: replay.key_of(keyid))

        replay.lend(reader.root_at, verify, reader.entries, self._how.disclosures)
        told = None if progress is None else partial(progress, copy.report.source)
        before = state.previous or None
        read_copy(copy, take, told, start=state.size, previous=before, order=order)
        if copy.report.state is LogState.REPRODUCED:
            try:
                replay.finish()
            except BrakelineError as error:
                copy.fail(LogState.MISCONDUCT, Problem.of(error, reader.size - 1))
        return Replayed(copy, replay.close())

    def _begin(self, reader: LogReader) -> tuple[States | None, State]:
        states = known = None
        document = self._treaty.root
        disclosures = self._how.disclosures
        if self._how.states is not None and (disclosures is None or self._how.disclosed):
            states = States(
                self._how.states,
                document,
                paranoid=self._paranoid,
                disclosed=self._how.disclosed,
                every=self._how.save_every,
            )
            known = states.load(reader)
        if known is None:
            archive, second = Spill(), None if disclosures is None else Spill()
            replay = LogReplay(
                document,
                reader.checkpoint.origin,
                reader.root_at,
                archive=archive,
                versions=tuple(self._treaty.known.values()),
                disclosures=disclosures,
                second=second,
            )
            known = State(replay, archive, second)
        return states, known

    def _trusted(self, copy: Copy, reader: LogReader) -> int:
        """Return the size up to which the auditor has checked signatures before; the log must still contain it."""
        note = self._how.since.get(reader.checkpoint.origin)
        if note is None:
            return 0
        kept = Checkpoint.parse_text(parse_note(note).text)
        if kept.size > reader.size:
            raise BrakelineError(
                code="since-ahead",
                message="the log ends before a checkpoint of it that was kept",
                expected=f"at least {kept.size} entries",
                found=f"{reader.size} entries",
                fix="read the log from where it was read before; keep both checkpoints",
            )
        root = reader.root_at(kept.size)
        if root != kept.root:
            raise BrakelineError(
                code="log-forked",
                message="the log has another history than the checkpoint that was kept",
                expected=f"root {kept.root.hex()} at {kept.size} entries",
                found=root.hex(),
                fix="keep the checkpoint and this copy: `brakeline ledger proof consistency` shows the fork",
            )
        copy.report = replace(copy.report, since=kept.size)
        return kept.size

    @staticmethod
    def _now(state: State, copy: Copy, entry: Entry) -> State:
        return replace(
            state,
            size=entry.index + 1,
            previous=entry.digest,
            newest_ms=entry.received_at_ms,
            counts=dict(copy.counts),
        )


@dataclass(slots=True)
class _Place:
    """The entry whose turn it is."""

    index: int
