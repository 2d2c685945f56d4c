"""The bracket that cosignatures set around a log's own times. Pure.

A witness's cosignature says when it saw a checkpoint, by the witness's clock, in whole seconds rounded down. Of the
witnesses f may lie, so one time proves nothing; but among any f + 1 of them is an honest one. Sort the times
c1 <= c2 <= ... <= ck, k > f:

- of the f + 1 earliest, c1 to c(f+1), one is honest: the newest entry below the checkpoint was there by then, so it was
  received no later than c(f+1) and what is left of that second;
- of the f + 1 latest, c(k-f) to ck, one is honest: the heartbeat that embeds these cosignatures came after it, so no
  earlier than c(k-f).

Honest clocks may be apart by the treaty's skew; a log that leaves the bracket by more has dated its entries falsely
(docs/spec/rules.md, ``verifier-conduct``). f witnesses alone can move neither bound past an honest witness's time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Bracket(NamedTuple):
    """The bounds, skew included, in Unix milliseconds.

    Attributes:
        no_later_ms: latest ``received_at_ms`` of the newest entry below the checkpoint.
        no_earlier_ms: earliest ``received_at_ms`` of a heartbeat that embeds the cosigned checkpoint.
    """

    no_later_ms: int
    no_earlier_ms: int


def bracket(times_s: Iterable[int], liars: int, skew_ms: int) -> Bracket | None:
    """Return what cosignatures at *times_s* (Unix seconds) say, *liars* of them false; None when they are too few.

    >>> bracket([100, 103, 900], 1, 2_000)
    Bracket(no_later_ms=105999, no_earlier_ms=101000)
    >>> bracket([900], 1, 2_000) is None
    True
    """
    times = sorted(times_s)
    if len(times) <= liars:
        return None
    return Bracket(times[liars] * 1000 + 999 + skew_ms, times[-1 - liars] * 1000 - skew_ms)
