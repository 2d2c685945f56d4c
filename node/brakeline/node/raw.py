"""The raw counters that books commit to: kept after they are booked, shown on challenge, bounded on disk.

While a period runs, programs' samples are in the journal and boards' readings below ``counters/``. When its books are
signed, the lines that they commit to (:func:`brakeline.node.books.raw_lines`) are written to
``raw/<period>-<meter.digest>.jsonl.gz``, durably and before the signature: unpacked, a file's SHA-256 is its name. Only
then may the journal forget its samples, and the readings of days that are over go.

Files go when they are older than ``keep_days``, and the oldest before that where all of them take more than
``max_mib``; but none that is younger than :func:`floor_ms`, within which somebody may still ask what is behind books.
What it is not: the chip x slot rows that draws open. They are in the journal, and stay.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.export import sync_directory
from brakeline.node.amounts import Counted
from brakeline.node.boards import counted
from brakeline.node.config import AcceleratorsPart, RawPart
from brakeline.node.meters.kept import Kept
from brakeline.node.meters.protocol import Reading
from brakeline.treaty.document import TreatyDocument

FOLDER = "raw"
COUNTERS = "counters"
LOOK_MS = 3_600_000
"""How far around a period readings are looked for that its ends lie between: a total needs one on either side."""
_DAY_MS = 86_400_000
_NAME = re.compile(r"(0|[1-9][0-9]*)-([0-9a-f]{64})\.jsonl\.gz", re.ASCII)


class RawError(BrakelineError):
    """Raw counters that are not as they were committed to (codes ``raw-*``)."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file: the period, what its lines' digest is said to be, and its size in bytes."""

    path: Path
    period: int
    digest: str
    size: int


class RawCounters:
    """The raw counters of one node's folder."""

    def __init__(self, folder: Path, settings: RawPart, accelerators: AcceleratorsPart | None = None) -> None:
        """Keep them below *folder*; *accelerators*: the meter of the boards, None where none is set."""
        self._folder, self._settings, self._accelerators = folder / FOLDER, settings, accelerators
        self._counters = folder / COUNTERS

    def counted(self, edges: Sequence[int], chips: int) -> Counted | None:
        """Return what the boards say between the first and the last of *edges* (Unix ms); None without a meter.

        Raises:
            MeterError: ``meter-malformed``: a kept reading was changed.
        """
        if self._accelerators is None:
            return None
        meter, hold = self._accelerators.meter, 2 * self._accelerators.every_ms
        start, end = edges[0], edges[-1]
        kept = list(Kept(self._counters).dated(meter, start - LOOK_MS, end + LOOK_MS))
        readings = list(_around((Reading.of_line(line) for _, line in kept), end + hold))
        return counted(meter, readings, edges, chips, hold_ms=hold, lines=_behind(kept, start, end))

    def keep(self, period: int, lines: Iterable[bytes]) -> str:
        """Write the lines that the books of *period* commit to, durably; return their digest. None, no file.

        Raises:
            RawError: ``raw-not-kept``: the disk does not take them; nothing is half kept.
        """
        try:
            return self._keep(period, lines)
        except OSError as error:
            raise RawError(
                code="raw-not-kept",
                message=f"the raw counters of period {period} cannot be written, so that its books are not signed",
                expected=f"room in {self._folder}, which this user may write",
                found=str(error),
                fix="make room; the node books the period when it is started again, nothing is lost",
            ) from None

    def _keep(self, period: int, lines: Iterable[bytes]) -> str:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = self._folder / f".{period}.part"
        digest, any_line = hashlib.sha256(), False
        with part.open("wb") as file:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                for line in lines:
                    digest.update(line)
                    packed.write(line)
                    any_line = True
            file.flush()
            os.fsync(file.fileno())
        if any_line:
            part.rename(self._folder / f"{period}-{digest.hexdigest()}.jsonl.gz")
            sync_directory(self._folder)
        else:
            part.unlink()
        return digest.hexdigest()

    def held(self) -> list[Held]:
        """Return the files that are kept, oldest period first."""
        if not self._folder.is_dir():
            return []
        found = [(path, _NAME.fullmatch(path.name)) for path in self._folder.iterdir()]
        return sorted(
            (Held(path, int(name[1]), name[2], path.stat().st_size) for path, name in found if name is not None),
            key=lambda item: (item.period, item.digest),
        )

    def booked(self, document: TreatyDocument, start: int, now_ms: int) -> None:
        """Books are signed of all that ended before *start* (Unix ms): forget what is packed, and what may go."""
        if self._counters.is_dir():
            Kept(self._counters).forget(start - LOOK_MS)
        keep_ms = max(self._settings.keep_days * _DAY_MS, floor_ms(document))
        held = self.held()
        size = sum(item.size for item in held)
        for item in held:
            age = now_ms - document.grid.end_of(item.period).value
            too_much = size > self._settings.max_mib * 1024**2 and age > floor_ms(document)
            if age > keep_ms or too_much:
                item.path.unlink(missing_ok=True)
                size -= item.size


def _behind(kept: Iterable[tuple[int, bytes]], start: int, end: int) -> list[bytes]:
    """Return the lines of *kept* (Unix ms, reading) that figures of [start, end) come from, as they were kept.

    Those within, and the last turn up to *start* and the first from *end* on: a share is of the time before its
    reading, and a total is told by what it was on either side.
    """
    before: list[tuple[int, bytes]] = []
    found: list[tuple[int, bytes]] = []
    for at, line in kept:
        if at <= start:
            before = [item for item in before if item[0] == at] + [(at, line)]
        elif found and end <= found[-1][0] < at:
            break
        else:
            found.append((at, line))
    return [line for _, line in (*before, *found)]


def floor_ms(document: TreatyDocument) -> int:
    """Return for how long after a period (ms) the treaty may still have somebody ask what is behind its books.

    The time in which it wants to see what happened, and after that one report, one opening and one reply.
    """
    terms, deadlines = document.rule("unopened-challenge"), document.deadlines
    opening = 0 if terms is None else terms.integer("open_ms")
    later = (deadlines.report_ms, deadlines.disclosure_ms, deadlines.reply_ms)
    return document.goals.timeliness_ms.value + opening + sum(item.value for item in later)


def read(item: Held) -> bytes:
    """Return the lines of a file (RawError ``raw-changed``: they are not those that its name says)."""
    try:
        data = gzip.decompress(item.path.read_bytes())
    except (OSError, EOFError) as error:
        raise _changed(item, str(error)) from None
    found = hashlib.sha256(data).hexdigest()
    if found != item.digest:
        raise _changed(item, found)
    return data


def _changed(item: Held, found: str) -> RawError:
    return RawError(
        code="raw-changed",
        message=f"{item.path.name} does not hold the raw counters that were committed to",
        expected=item.digest,
        found=found[:80],
        fix="restore the file from a copy; it cannot be made again",
    )


def _around(readings: Iterable[Reading], beyond: int) -> Iterator[Reading]:
    """Yield *readings* up to the first turn after the instant *beyond*: several meters may have been read in it."""
    last: int | None = None
    for reading in readings:
        if last not in (None, reading.at_ms):
            return
        yield reading
        if reading.at_ms > beyond:
            last = reading.at_ms
