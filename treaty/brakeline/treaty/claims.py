"""Which checkpoints of its peers a log embeds, and where it said so first: in memory that does not grow with the log.

What it is: a dictionary from :class:`Claim` to :class:`Seen` that is only added to. Logs grow, so that nearly every
claim about a peer is of a larger size than the one before: those lie in a tape (:mod:`brakeline.treaty.tape`), 56 bytes
each, in order of size. The others (an older size again, another root at a size) are kept in memory: an honest log has
none, and one that has many pays for each with a heartbeat. What it is not: judgement about what the claims say.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from brakeline.treaty.rules.columns import Archive
from brakeline.treaty.tape import Tape

_WIDTH = 56


class Claim(NamedTuple):
    """A checkpoint of a peer that a heartbeat embeds: the peer's log had this root at this size."""

    origin: str
    size: int
    root: bytes


class Seen(NamedTuple):
    """Where a log said something: the index of its entry, and the instant it gives it (ms)."""

    entry: int
    at_ms: int


class Claims:
    """Claims, each with the first heartbeat that makes it."""

    def __init__(self, archive: Archive | None = None) -> None:
        """Start empty; what is old goes to *archive*, by default memory."""
        self._archive = archive
        self._tapes: dict[str, Tape] = {}
        self._others: dict[Claim, Seen] = {}

    def add(self, claim: Claim, seen: Seen) -> None:
        """Take a claim in, unless it was made before."""
        tape = self._tapes.get(claim.origin)
        if tape is None:
            tape = self._tapes[claim.origin] = Tape(_WIDTH, self._archive)
        if not len(tape) or claim.size > _size(tape, len(tape) - 1):
            numbers = (claim.size, seen.entry, seen.at_ms)
            tape.append(b"".join(number.to_bytes(8, "big") for number in numbers) + claim.root)
        elif self.get(claim) is None:
            self._others[claim] = seen

    def get(self, claim: Claim) -> Seen | None:
        """Return where *claim* was made first, None where it was not."""
        tape = self._tapes.get(claim.origin)
        if tape is None:
            return None
        place = _at_least(tape, claim.size)
        if place < len(tape):
            found, seen = _read(claim.origin, tape[place])
            if found == claim:
                return seen
        return self._others.get(claim)

    def of(self, origin: str) -> Iterator[tuple[Claim, Seen]]:
        """Yield what is claimed of the log *origin*, in order of size and root."""
        return merge(self._kept(origin), sorted(item for item in self._others.items() if item[0].origin == origin))

    def _kept(self, origin: str) -> Iterator[tuple[Claim, Seen]]:
        tape = self._tapes.get(origin)
        if tape is not None:
            for number in range(len(tape)):
                yield _read(origin, tape[number])

    def __iter__(self) -> Iterator[Claim]:
        """Yield every claim."""
        return (claim for origin in self._tapes for claim, _ in self.of(origin))


def _read(origin: str, record: bytes) -> tuple[Claim, Seen]:
    size, entry, at_ms = (int.from_bytes(record[at : at + 8], "big") for at in (0, 8, 16))
    return Claim(origin, size, record[24:]), Seen(entry, at_ms)


def _size(tape: Tape, number: int) -> int:
    return int.from_bytes(tape[number][:8], "big")


def _at_least(tape: Tape, size: int) -> int:
    """Return the number of the first record of at least *size* (bisection: sizes only grow)."""
    low, high = 0, len(tape)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _size(tape, middle) < size else (low, middle)
    return low
