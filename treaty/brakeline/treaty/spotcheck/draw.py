"""The draw: which rows of a table are opened, from a beacon that nobody chose, and how many.

*Beacon.* Checkpoints that logs signed after the table was committed to:

    seed = SHA-256("brakeline/draw/v1" || 0x00 || JCS([usage digest, [[origin, size, root], ...]]))

origins in byte order, at most one checkpoint a log, root in lowercase hex. One honest log's checkpoint suffices,
because its root hangs on what it received and when; who publishes last can leave its own out, and so choose between two
draws.

*Rows.* A stream of 64-bit numbers, block j being SHA-256("brakeline/draw-rows/v1" || 0x00 || seed || u64 j) cut into
four big-endian words. Words at or above the largest multiple of the number of rows are passed over (so that no row is
more likely than another), the rest taken modulo it; what was drawn before is passed over too, until enough are there.
So the rows are a sample without replacement, and a larger sample holds the smaller one.

*How many.* A run of the treaty's significant quantity, within its timeliness, at one site, needs at least
d = SQ x 1000 / (H x slot ms) false rows (H the largest dense peak of the treaty's chip classes, at full use, so never
more than it takes). Over the periods of that time N rows are committed; to miss all d with at most 1 - detection, s of
N have to be drawn (:func:`~brakeline.treaty.statistics.chip_sampling.looks_needed`), so ceil(s / periods) a period.
Where a site is too small for the whole quantity, all its rows count as false: one row a period is drawn there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.errors import StatementError
from brakeline.treaty.statistics.bounds import MAX_COUNT, StatisticsError
from brakeline.treaty.statistics.chip_sampling import looks_needed
from brakeline.treaty.strictjson import JsonValue, canonical

_SEED = b"brakeline/draw/v1\x00"
_ROWS = b"brakeline/draw-rows/v1\x00"
_WORDS = 1 << 64
MOST_ROWS = 1 << 32
"""Rows of one table that may be drawn from."""


class Beacon(NamedTuple):
    """A checkpoint that a log signed: origin, entries, root (lowercase hex)."""

    origin: str
    size: int
    root: str


def seed_of(usage: str, beacons: Iterable[Beacon]) -> bytes:
    """Return the 32 bytes that the draw from the table of the usage statement *usage* (digest) starts from.

    Raises:
        StatementError: ``draw-beacon``: none, or two of one log.
    """
    ordered = sorted(beacons)
    if not ordered or len({item.origin for item in ordered}) != len(ordered):
        raise StatementError(
            code="draw-beacon",
            message="this is no beacon to draw from",
            expected="one checkpoint or more, at most one a log",
            found=", ".join(item.origin for item in ordered) or "none",
        )
    parts: list[JsonValue] = [[item.origin, item.size, item.root] for item in ordered]
    return hashlib.sha256(_SEED + canonical([usage, parts])).digest()


def drawn_rows(seed: bytes, rows: int, count: int) -> tuple[int, ...]:
    """Return *count* different rows of a table of *rows* (all of them when it has no more), in order of index.

    Raises:
        StatementError: ``draw-size``: a table of more than ``MOST_ROWS`` rows.
    """
    if not 0 <= rows <= MOST_ROWS:
        raise StatementError(
            code="draw-size", message="a table of this size is not drawn from", expected=f"0 to {MOST_ROWS} rows",
            found=str(rows),
        )  # fmt: skip
    if count >= rows:
        return tuple(range(rows))
    found: set[int] = set()
    fair = _WORDS - _WORDS % rows
    for word in _words(seed):
        if len(found) >= count:
            break
        if word < fair:
            found.add(word % rows)
    return tuple(sorted(found))


def rows_to_draw(document: TreatyDocument, rows: int, slots: int) -> int:
    """Return how many rows of a table of *rows* are drawn in every period, for the treaty's goals; at most *rows*.

    Nothing is raised for what a site may claim: *rows* is at most ``MOST_ROWS``, and detection goals are below 1.
    """
    if rows == 0:
        return 0
    goals, period = document.goals, document.grid.period.value
    periods = min(max(1, goals.timeliness_ms.value // period), MAX_COUNT // rows)
    peak = max(item.peak_flop_per_s.value for item in document.chip_classes)
    population = rows * periods
    longest = -(-period // slots)
    false = max(1, goals.significant_quantity_flop.value * 1000 // max(1, peak * longest))
    miss = 1 - Fraction(goals.detection.numerator, goals.detection.denominator)
    try:
        looks = looks_needed(min(false, population), population, Fraction(1), miss)
    except StatisticsError:  # more looks than are ever counted: no sample is large enough
        return rows
    return min(rows, max(1, -(-looks // periods)))


def _words(seed: bytes) -> Iterator[int]:
    block = 0
    while True:
        data = hashlib.sha256(_ROWS + seed + block.to_bytes(8, "big")).digest()
        yield from (int.from_bytes(data[at : at + 8], "big") for at in range(0, 32, 8))
        block += 1
