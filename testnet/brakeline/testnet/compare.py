"""The planted truth against an auditor's findings. Pure.

They match when the audit's set of (rule, about) is exactly the planted one, the periods agree where the plan fixes one,
and the audit itself came out as it must: exit 1 with findings, 0 without, nothing left open. A cheat that no log can
show is *not detectable*: that nothing was found of it is what the plan says, and counts as a match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from brakeline.testnet.plan import Expected, Plan


@dataclass(frozen=True)
class Found:
    """A finding of the audit, as far as it is compared."""

    rule: str
    about: str
    period: int | None = None
    sentence: str = ""


class Outcome(StrEnum):
    """How one line of the comparison came out."""

    MATCH = "match"
    NOT_DETECTABLE = "not detectable"
    MISSING = "MISSING"
    UNEXPECTED = "UNEXPECTED"
    OTHER_PERIOD = "OTHER PERIOD"

    @property
    def good(self) -> bool:
        """Whether planted truth and findings agree here."""
        return self in (Outcome.MATCH, Outcome.NOT_DETECTABLE)


@dataclass(frozen=True)
class Row:
    """What was planted, and what was found, of one rule about one site.

    ``planted``: the period that the plan fixes, "any", or "-" where nothing was planted; ``found``: periods found.
    """

    rule: str
    about: str
    planted: str
    found: tuple[int | None, ...]
    outcome: Outcome


@dataclass(frozen=True)
class Comparison:
    """Every row, and what was wrong with the audit as a whole."""

    rows: tuple[Row, ...]
    problems: tuple[str, ...]

    @property
    def matched(self) -> bool:
        """Whether everything agrees."""
        return not self.problems and all(row.outcome.good for row in self.rows)


HIDDEN = "hidden training"
"""What stands in the place of a rule for a cheat that none can find."""


def compare(plan: Plan, found: Sequence[Found], *, exit_code: int, unchecked: Sequence[str]) -> Comparison:
    """Compare.

    Args:
        plan: the planted truth.
        found: the audit's findings.
        exit_code: the audit's.
        unchecked: what the audit could not check, one sentence each.
    """
    planted = {(item.rule, item.about): item for item in plan.expected()}
    by_key: dict[tuple[str, str], list[int | None]] = {}
    for item in found:
        by_key.setdefault((item.rule, item.about), []).append(item.period)
    rows = [_row(key, planted.get(key), by_key.get(key, [])) for key in sorted(planted.keys() | by_key.keys())]
    rows += [Row(HIDDEN, lab.site, "any", (), Outcome.NOT_DETECTABLE) for lab in plan.not_detectable()]
    due = 1 if planted else 0
    problems = [f"the audit left something open: {text}" for text in unchecked]
    if exit_code != due:
        problems.append(f"the audit ended with exit code {exit_code}, expected {due}")
    return Comparison(tuple(rows), tuple(problems))


def _row(key: tuple[str, str], planted: Expected | None, found: Sequence[int | None]) -> Row:
    periods = tuple(sorted(found, key=lambda period: -1 if period is None else period))
    if planted is None:
        return Row(*key, "-", periods, Outcome.UNEXPECTED)
    fixed = "any" if planted.period is None else str(planted.period)
    if not periods:
        return Row(*key, fixed, periods, Outcome.MISSING)
    if planted.period is not None and set(periods) != {planted.period}:
        return Row(*key, fixed, periods, Outcome.OTHER_PERIOD)
    return Row(*key, fixed, periods, Outcome.MATCH)
