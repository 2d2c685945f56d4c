"""Keeping to a ceiling: when the next step may start so that a period holds no more than was granted.

Standard library only.

A grant is an amount of chip time for the time from *begin* to *end*. It becomes available evenly over
that time, and a step starts only when all of its cost is available: a duty cycle, not a burst and a long silence.
What is not used is not carried over. A step that runs across the border between two grants is charged to both. So
whatever an interpolation between samples books into a period, it is at most the grant, as long as the grant is at
least one step.

The first ``LEAD_MS`` of a grant make nothing available: samples are that coarse, and what is done directly after a
border may be booked before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAD_MS: Final = 250
LEAD_SHARE: Final = 16
"""The lead is at most this part of the grant's time."""


@dataclass(frozen=True)
class Grant:
    """How much chip time (microseconds) may be used from *begin* to *end* (Unix ms), under which order."""

    order: str
    amount: int
    begin: int
    end: int


class Pace:
    """One program's account under grants. Not thread-safe; time is passed in (Unix ms)."""

    def __init__(self) -> None:
        """Begin with no grant: :meth:`delay_ms` is 0."""
        self._grant: Grant | None = None
        self._spent = self._reserved = 0

    @property
    def grant(self) -> Grant | None:
        """The newest grant, None when no ceiling binds."""
        return self._grant

    def set(self, grant: Grant | None) -> None:
        """Take a new grant: the next period's, another amount for this one, or None (no ceiling binds)."""
        if grant is None or self._grant is None or grant.begin != self._grant.begin:
            self._spent = self._reserved
        self._grant = grant

    def possible(self, cost: int) -> bool:
        """Say whether a step of *cost* can ever start under the present ceiling."""
        return self._grant is None or cost <= self._grant.amount

    def delay_ms(self, now: int, cost: int) -> int | None:
        """Return how long from *now* until a step of *cost* may start; None: not before the next grant."""
        grant = self._grant
        if grant is None:
            return 0
        wanted = self._spent + cost
        if now >= grant.end or wanted > grant.amount:
            return None
        lead = min(LEAD_MS, (grant.end - grant.begin) // LEAD_SHARE)
        span = max(0, grant.end - grant.begin - lead - 1)  # so that all of it is available just before the end
        due = grant.begin + lead + -(-wanted * span // max(1, grant.amount))
        return max(0, due - now)

    def start(self, cost: int) -> None:
        """Note that a step of *cost*, as far as is known beforehand, starts."""
        self._reserved = cost
        self._spent += cost

    def finish(self, cost: int) -> None:
        """Note that the step has ended and cost *cost*."""
        self._spent += cost - self._reserved
        self._reserved = 0
