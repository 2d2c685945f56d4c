"""Committees drawn at random: how often bad members are enough to decide, and how often a split view is seen.

Source: the hypergeometric distribution, without replacement. Verifiers of a treaty are few and named, so these are
exact. Cannot see: members that turn bad because they were drawn (bribery after the draw); a draw that is not random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from brakeline.treaty.statistics.bounds import StatisticsError, natural

MAX_MEMBERS = 10_000


def captured(members: int, bad: int, drawn: int, enough: int) -> Fraction:
    """Return P(at least *enough* of the *drawn* are bad): sum over j >= enough of C(b,j) C(n-b,c-j) / C(n,c).

    Args:
        members: n, all verifiers.
        bad: b, bad ones among them.
        drawn: c, size of the committee, drawn without replacement.
        enough: bad members that decide for the committee.

    Raises:
        StatisticsError: ``statistics-range``.

    >>> captured(15, 4, 5, 3)
    Fraction(1, 13)
    """
    natural("members", members, 0, MAX_MEMBERS)
    natural("bad", bad, 0, members)
    natural("drawn", drawn, 0, members)
    natural("enough", enough, 0, MAX_MEMBERS)
    ways = sum(math.comb(bad, j) * math.comb(members - bad, drawn - j) for j in range(enough, min(bad, drawn) + 1))
    return Fraction(ways, math.comb(members, drawn))


def split_view_seen(sides: Sequence[int], audited: int) -> Fraction:
    """Return P(the audited logs lie on two sides or more), when an author showed each side another statement.

    P = 1 - sum over sides of C(side, a) / C(n, a). This is for an auditor who reads *a* logs at random and compares
    nothing else; verifiers that mirror each other find the pair without any auditor.

    Args:
        sides: logs that were shown each version; n is their sum.
        audited: a, logs the auditor reads, drawn without replacement.

    Raises:
        StatisticsError: ``statistics-range``.

    >>> split_view_seen([3, 4], 3)
    Fraction(6, 7)
    """
    logs = sum(natural("side", side, 0, MAX_MEMBERS) for side in sides)
    natural("audited", audited, 0, logs)
    if logs > MAX_MEMBERS:
        raise StatisticsError(
            code="statistics-range",
            message="too many logs",
            expected=f"at most {MAX_MEMBERS} in all",
            found=str(logs),
        )
    if audited == 0:
        return Fraction(0)
    return 1 - Fraction(sum(math.comb(side, audited) for side in sides), math.comb(logs, audited))
