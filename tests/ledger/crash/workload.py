"""A sequencer at work, and everything it promised: what was acknowledged and what was signed, dated on a tape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import apsw
from brakeline.ledger.checkpoint import Checkpoint
from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.entry import Kind, client_source
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.sequencer import Appended, Candidate, Sequencer
from brakeline.ledger.sqlite_store import SqliteStore

from tests.ledger.crash.disk import Tape
from tests.support.cast import START, signer, vkey

ORIGIN = "verifier-1.example"
LOG = Path("log", "log.sqlite")
MEMORY = Path("memory", "checkpoint.sqlite")
"""Two directories: what is synced in one says nothing of the other."""


@dataclass
class Promises:
    """What a log has let out. An instant is a length of the tape (0 where there is none)."""

    acknowledged: list[tuple[int, bytes]] = field(default_factory=list)
    """(instant, entry): after the instant, the entry may not be lost."""
    signed: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(instant, size, root): from the instant on, the log may not contradict it, whether anybody saw it or not."""
    refusals: list[LedgerError] = field(default_factory=list)

    def refused(self, error: LedgerError) -> None:
        """Keep *error* without its traceback, whose frames would keep the dead session's connections open."""
        error.__traceback__ = error.__cause__ = error.__context__ = None
        self.refusals.append(error)

    def at(self, instant: int) -> Promises:
        """Return what was promised in the first *instant* operations."""
        return Promises(
            [item for item in self.acknowledged if item[0] <= instant],
            [item for item in self.signed if item[0] <= instant],
        )

    def as_of_old(self) -> Promises:
        """Return the same promises, dated before a tape that begins now."""
        return Promises(
            [(0, entry) for _, entry in self.acknowledged], [(0, size, root) for _, size, root in self.signed]
        )


class Witnessed:
    """The log's signer, which also writes down every checkpoint it is made to sign."""

    def __init__(self, promises: Promises, tape: Tape | None = None) -> None:
        """Write into *promises*, dated on *tape*."""
        self._signer: Signer = signer(ORIGIN, "log")
        self._promises = promises
        self._tape = tape

    @property
    def public_key(self) -> bytes:
        """The key's 32 bytes."""
        return self._signer.public_key

    def sign(self, message: bytes) -> bytes:
        """Sign the note text of a checkpoint."""
        checkpoint = Checkpoint.parse_text(message.decode())
        instant = 0 if self._tape is None else len(self._tape)
        self._promises.signed.append((instant, checkpoint.size, checkpoint.root))
        return self._signer.sign(message)


def make_directories(directory: Path) -> None:
    """Make the two directories of a log, unless they are there (asked without touching a disk that may be dead)."""
    for path in (LOG, MEMORY):
        parent = (directory / path).parent
        if not parent.is_dir():
            parent.mkdir(parents=True)


@contextmanager
def opened(directory: Path, log_signer: Signer | None = None, *, careless: bool = False) -> Iterator[Sequencer]:
    """Open the log in *directory* as a verifier does, boot check included; close it whatever happens.

    *careless* is the control: the same code over SQLite's ``synchronous=OFF``.
    """
    make_directories(directory)
    memory = CheckpointStore(directory / MEMORY)
    try:
        store = SqliteStore(directory / LOG)
        try:
            sequencer = Sequencer(store, memory, vkey(ORIGIN, "log"), log_signer or signer(ORIGIN, "log"))
            if careless:
                store._db.pragma("synchronous", "off")
                memory._db.pragma("synchronous", "off")
            sequencer.reload()
            yield sequencer
        finally:
            store.close()
    finally:
        memory.close()


def batch(random: Random, largest: int = 40_000) -> list[Candidate]:
    """Return one to six candidates, mostly small, now and then larger than a page."""
    sizes = [random.choice((40, 300, 1400, 1400, 5_000)) for _ in range(random.randint(1, 5))]
    if random.random() < 0.15:
        sizes.append(random.randint(largest // 2, largest))
    return [Candidate(Kind.STATEMENT, client_source("site.example"), random.randbytes(size)) for size in sizes]


def run(
    directory: Path,
    promises: Promises,
    tape: Tape | None,
    random: Random,
    *,
    sessions: Sequence[int],
    retry: bool = False,
    careless: bool = False,
) -> None:
    """Append batches to the log in *directory*: one session (open, append, close) for each number of batches.

    A session begins by signing what is there, as a verifier does. An error ends it, and what died comes to life again
    with the next one. With *retry* the same open sequencer is asked again, three times at most, as a verifier that
    stays up would.
    """
    now = START
    for batches in sessions:
        try:
            with opened(directory, Witnessed(promises, tape), careless=careless) as sequencer:
                if sequencer.size:
                    sequencer.append([], now)
                for _ in range(batches):
                    now += random.randint(-50, 200)
                    appended = _append(sequencer, batch(random), now, promises, attempts=3 if retry else 1)
                    instant = 0 if tape is None else len(tape)
                    promises.acknowledged += [(instant, entry.encode()) for entry in appended.entries]
        except LedgerError as error:
            promises.refused(error)
        except apsw.Error:
            # Only a VFS written in Python raises out of closing a connection; SQLite itself ignores such errors.
            pass
        if tape is not None:
            tape.dead = False


def _append(
    sequencer: Sequencer, candidates: list[Candidate], now: int, promises: Promises, *, attempts: int
) -> Appended:
    while True:
        try:
            return sequencer.append(candidates, now)
        except LedgerError as error:
            attempts -= 1
            if not attempts:
                raise
            promises.refused(error)
