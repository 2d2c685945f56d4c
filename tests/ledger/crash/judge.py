"""The judge: opens what a crash left with the real code, and holds it against what was promised.

Its own arithmetic: roots are computed here from the recovered bytes with nothing but SHA-256, so that a mistake in the
ledger's tree cannot excuse itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.sequencer import Candidate
from brakeline.ledger.sqlite_store import SqliteReader

from tests.ledger.crash.states import Image
from tests.ledger.crash.workload import LOG, ORIGIN, Promises, opened
from tests.support.cast import START, vkey

REFUSALS = frozenset({"store-behind", "store-forked", "store-corrupt", "store-forgotten", "store-io"})
"""Codes with which a damaged log may refuse; every other one is a mistake of ours."""


def roots(entries: Sequence[bytes]) -> list[bytes]:
    """Return the RFC 6962 root of every prefix of *entries*, the empty one first."""
    result = [hashlib.sha256(b"").digest()]
    stack: list[tuple[int, bytes]] = []
    for entry in entries:
        stack.append((0, hashlib.sha256(b"\0" + entry).digest()))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            height, right = stack.pop()
            stack[-1] = (height + 1, hashlib.sha256(b"\1" + stack[-1][1] + right).digest())
        root = stack[-1][1]
        for _, left in reversed(stack[:-1]):
            root = hashlib.sha256(b"\1" + left + root).digest()
        result.append(root)
    return result


def write(image: Image) -> None:
    """Write the files of a state."""
    for path, data in image.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def clear(directory: Path) -> None:
    """Remove every file below *directory*."""
    for path in directory.rglob("*"):
        if path.is_file():
            path.unlink()


def problems(directory: Path, promises: Promises) -> list[str]:
    """Return what the log in *directory* breaks of *promises* (see :func:`recover`)."""
    return recover(directory, promises).problems


@dataclass(frozen=True)
class Recovered:
    """What stands in a log that was opened again, after one entry more; and what it breaks of what was promised."""

    entries: list[bytes]
    problems: list[str]


def recover(directory: Path, promises: Promises) -> Recovered:
    """Open the log in *directory* with the real code, append and sign one entry more, and judge.

    A refusal to open comes back as ``refused: <code>``: after a crash it is a loss too, since a synced log must open.
    """
    entries: list[bytes] = []
    try:
        with opened(directory) as sequencer:
            entries = list(sequencer.store.read_entries(0, sequencer.size))
            found = _broken(entries, promises)
            if found:
                return Recovered(entries, found)
            appended = sequencer.append([Candidate(Kind.HEARTBEAT, b"", b"after the crash")], START)
            entries = list(sequencer.store.read_entries(0, sequencer.size))
    except LedgerError as error:
        return Recovered(entries, [f"refused: {error.code}" if error.code in REFUSALS else f"undocumented: {error}"])
    checkpoint = open_checkpoint(appended.note, vkey(ORIGIN, "log")).checkpoint
    if checkpoint.size != len(entries) or checkpoint.root != _roots(tuple(entries))[-1]:
        return Recovered(entries, ["fork: what was signed after the crash is not the root of the log"])
    return Recovered(entries, _broken(entries, promises))


def opens_unchanged(directory: Path, entries: Sequence[bytes]) -> bool:
    """Say whether a plain reader of the log in *directory* finds exactly *entries* first."""
    reader = SqliteReader(directory / LOG)
    try:
        return list(reader.read_entries(0, len(entries))) == list(entries)
    finally:
        reader.close()


def _broken(entries: list[bytes], promises: Promises) -> list[str]:
    found: list[str] = []
    for _, entry in promises.acknowledged:
        index = int.from_bytes(entry[:8], "big")
        if index >= len(entries):
            found.append(f"lost: acknowledged entry {index}, the log holds {len(entries)}")
            break
        if entries[index] != entry:
            found.append(f"lost: acknowledged entry {index} was replaced")
            break
    prefixes = _roots(tuple(entries))
    for _, size, root in promises.signed:
        if size > len(entries):
            found.append(f"lost: signed at size {size}, the log holds {len(entries)}")
            break
        if prefixes[size] != root:
            found.append(f"fork: the root signed at size {size} is not the log's")
            break
    return found


@lru_cache(maxsize=64)
def _roots(entries: tuple[bytes, ...]) -> list[bytes]:
    return roots(entries)
