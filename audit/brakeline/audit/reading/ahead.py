"""Signatures verified ahead of the replay, in other processes.

A signature check is most of what a statement costs and needs nothing but key, message and signature, so it can be done
by a worker before the statement's turn comes. Everything else stays in one process and in log order, so that an audit
has one answer however many processes there are. Only *true* is ever taken from a worker: what it did not verify, or
found false, the replay verifies again itself, at the entry where it stands, and says what is wrong with it there.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

from brakeline.ledger import collector
from brakeline.ledger.entry import Entry, Kind, decode_signed
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import Verify
from brakeline.treaty.envelope import pae

CHUNK = 128
"""Entries that go to a worker together."""
DEPTH = 3
"""Chunks a worker that are read ahead of the replay."""
WORTHWHILE = 20_000
"""Entries below which starting workers takes longer than it saves."""

Signed = tuple[bytes, bytes, bytes]
"""Key, message, signature."""
KeyOf = Callable[[str], bytes | None]
"""The key with this id, as far as it is known; None when it is not."""


def processes() -> int:
    """Return how many processes an audit uses by default: as many as this one may run on, at most 8."""
    return min(8, len(os.sched_getaffinity(0)))


class _Chunk(NamedTuple):
    entries: list[Entry]
    signed: list[Signed]
    answer: Future[bytes] | None


class Ahead:
    """Worker processes, and what they found true of the entries whose turn it is."""

    def __init__(self, workers: int, verify: Verify) -> None:
        """Start *workers* processes (0: none) that run *verify*, a function of a module."""
        self._verify = verify
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        if workers:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=collector.settle)
        self._true: dict[bytes, tuple[bytes, bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def verify(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Say whether *signature* is *key*'s on *message*: by what a worker found, else by looking."""
        return self._true.get(signature) == (key, message) or self._verify(key, message, signature)

    def of(self, entries: Iterable[Entry], key_of: KeyOf) -> Iterator[Entry]:
        """Yield *entries* in order; by the time one comes, workers have seen to its signatures.

        What *entries* raises comes after all that it gave before.
        """
        if self._pool is None:
            yield from entries
            return
        source, waiting = _chunks(entries), deque[_Chunk]()
        failed: BrakelineError | None = None
        more = True
        while more or waiting:
            while more and len(waiting) < DEPTH * self._workers:
                try:
                    chunk = next(source, None)
                except BrakelineError as error:
                    failed, chunk = error, None
                more = chunk is not None
                if chunk:
                    waiting.append(self._ask(chunk, key_of))
            if waiting:
                yield from self._answered(waiting.popleft())
        self._true = {}
        if failed is not None:
            raise failed

    def _ask(self, entries: list[Entry], key_of: KeyOf) -> _Chunk:
        signed = [item for entry in entries if entry.kind is Kind.STATEMENT for item in _signed(entry, key_of)]
        if self._pool is None or not signed:
            return _Chunk(entries, [], None)
        return _Chunk(entries, signed, self._pool.submit(verify_all, self._verify, signed))

    def _answered(self, chunk: _Chunk) -> list[Entry]:
        answer = b"" if chunk.answer is None else chunk.answer.result()
        self._true = {
            signature: (key, message)
            for (key, message, signature), true in zip(chunk.signed, answer, strict=chunk.answer is not None)
            if true
        }
        return chunk.entries


def verify_all(verify: Verify, signed: Sequence[Signed]) -> bytes:
    """Return a byte for each of *signed*: 1 where it verifies (runs in a worker)."""
    return bytes(_true(verify, *item) for item in signed)


def _true(verify: Verify, key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        return verify(key, message, signature)
    except BrakelineError:  # libraries that disagree: said by the replay, at the entry
        return False


def _signed(entry: Entry, key_of: KeyOf) -> Iterator[Signed]:
    """Yield the signatures of *entry* by keys that are known; a later one may enrol more."""
    try:
        signatures, payload = decode_signed(entry.body)
    except BrakelineError:
        return
    message = pae(payload)
    for keyid, signature in signatures:
        key = key_of(keyid)
        if key is not None:
            yield key, message, signature


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    try:
        for entry in entries:
            chunk.append(entry)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    except BrakelineError:
        yield chunk
        raise
    yield chunk
