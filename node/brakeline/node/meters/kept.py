"""Readings on disk: one canonical line each, appended and synced, and what a period commits to.

A usage line says which meter its figures come from and commits to that meter's raw counters; on challenge the lines
are shown. So they are kept as they were read, in one file for each meter and UTC day, ``<meter>.<day>.jsonl``, the day
counted from 1970. A line that a crash cut off is dropped when the file is opened: it was never committed to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from brakeline.ledger.export import sync_directory
from brakeline.node.meters.protocol import MAX_LINE, Reading, commitment, malformed
from brakeline.treaty.errors import JsonError
from brakeline.treaty.strictjson import parse_object

_DAY_MS = 86_400_000
_AT = re.compile(rb'\{"at":(0|[1-9][0-9]{0,15}),')
"""How every kept line begins, its members being sorted: what most of it says need not be read to place it."""
_DAY = re.compile(r"\.(0|[1-9][0-9]*)\.jsonl\Z", re.ASCII)


class Kept:
    """The readings of all meters of a node, in one folder. One writer."""

    def __init__(self, folder: Path) -> None:
        """Keep them in *folder*, made when absent."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._clean: set[Path] = set()

    def keep(self, reading: Reading) -> None:
        """Append *reading*; durable on return (OSError when the disk does not take it: nothing is half kept)."""
        path = self._path(reading.meter, reading.at_ms // _DAY_MS)
        fresh = not path.exists()
        if path not in self._clean:
            _drop_torn_tail(path)
            self._clean.add(path)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(file).st_size
            try:
                _write(file, reading.line())
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)
        if fresh:
            sync_directory(self._folder)

    def lines(self, meter: str, start: int, end: int) -> Iterator[bytes]:
        """Yield the lines of *meter* whose instants are in [start, end) (Unix ms), as they were kept.

        Raises:
            MeterError: ``meter-malformed``: a kept line was changed into something that is none.
        """
        return (line for _, line in self.dated(meter, start, end))

    def dated(self, meter: str, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield (instant, line) as :meth:`lines` does."""
        days = sorted(
            int(path.name.split(".")[-2]) for path in self._folder.glob(f"{meter}.*.jsonl") if _DAY.search(path.name)
        )
        for day in days:
            if not start // _DAY_MS <= day <= (end - 1) // _DAY_MS:
                continue
            path = self._path(meter, day)
            with path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n") and start <= (at := _instant(path, line)) < end:
                        yield at, line

    def forget(self, before: int) -> None:
        """Delete the files of days that ended before the instant *before* (Unix ms)."""
        for path in self._folder.glob("*.jsonl"):
            if _DAY.search(path.name) and (int(path.name.split(".")[-2]) + 1) * _DAY_MS <= before:
                path.unlink()
                self._clean.discard(path)

    def commitment(self, meter: str, start: int, end: int) -> str:
        """Return what commits to those lines (SHA-256, hex)."""
        return commitment(self.lines(meter, start, end))

    def _path(self, meter: str, day: int) -> Path:
        return self._folder / f"{meter}.{day}.jsonl"


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _drop_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
            file.flush()
            os.fsync(file.fileno())


def _instant(path: Path, line: bytes) -> int:
    if (quick := _AT.match(line)) is not None:
        return int(quick[1])
    try:
        at = parse_object(line.removesuffix(b"\n"), max_bytes=MAX_LINE).get("at")
    except JsonError:
        at = None
    if not isinstance(at, int):
        raise malformed("a kept reading was changed", "a line as it was kept", f"{path}: {line[:60]!r}")
    return at
