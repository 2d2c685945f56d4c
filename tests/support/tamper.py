"""Flip bytes in an exported log, and know which entry or hash was hit."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Flip:
    """One flipped byte.

    Attributes:
        file: path below the log's directory, with forward slashes.
        index: the entry hit (bundles; the entry whose length prefix or bytes were hit), the hash's place in the whole
            level (tiles), or None (checkpoint).
    """

    file: str
    index: int | None


def log_files(log: Path) -> list[str]:
    """Return the files of an exported log, sorted."""
    return sorted(path.relative_to(log).as_posix() for path in log.rglob("*") if path.is_file())


def flip(source: Path, target: Path, file: str, at: int, mask: int) -> Flip:
    """Copy the log *source* to *target* (replaced), the byte of *file* at *at* (modulo its size) xored by *mask*."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    data = bytearray((target / file).read_bytes())
    at %= len(data)
    hit = _hit(file, bytes(data), at)
    data[at] ^= mask
    (target / file).write_bytes(data)
    return Flip(file, hit)


def _hit(file: str, data: bytes, at: int) -> int | None:
    if not file.startswith("tile/"):
        return None
    number = int("".join(part.lstrip("x") for part in file.split(".p/")[0].split("/")[2:]))
    if not file.startswith("tile/entries/"):
        return 256 * number + at // 32
    index, start = 256 * number, 0
    while True:
        start += 2 + int.from_bytes(data[start : start + 2], "big")
        if at < start:
            return index
        index += 1
