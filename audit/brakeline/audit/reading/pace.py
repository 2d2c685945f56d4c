"""How far an audit is, how fast it goes, and how long it will take: one line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

EVERY_S = 5.0
"""Seconds between two lines where nobody watches a terminal."""


class Pace:
    """Tells of entries done, of all sources, on *out*."""

    def __init__(self, out: TextIO, *, every_s: float = EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to *out* a line every *every_s* seconds of *clock*."""
        self._out, self._every_s, self._clock = out, every_s, clock
        self._source = ""
        self._began = self._told = clock()
        self._first = 0

    def __call__(self, source: str, done: int, size: int) -> None:
        """Take that *done* of *size* entries of *source* have been read."""
        now = self._clock()
        if source != self._source:
            self._source, self._began, self._told, self._first = source, now, now, done
            return
        if now - self._told >= self._every_s or done >= size:
            self._told = now
            self._out.write(line(source, done, size, done - self._first, now - self._began) + "\n")
            self._out.flush()


def line(source: str, done: int, size: int, fresh: int, seconds: float) -> str:
    """Return what is said of *done* of *size* entries, *fresh* of which took *seconds*.

    >>> line("copy", 2_000, 10_000, 1_000, 2.0)
    'copy: 2,000 of 10,000 entries, 500 a second, 16 s left'
    """
    rate = fresh / seconds if seconds > 0 else 0.0
    left = f", {(size - done) / rate:,.0f} s left" if rate and done < size else ""
    return f"{source}: {done:,} of {size:,} entries, {rate:,.0f} a second{left}"
