"""``autonomy-tripwire``: what a lab says of its own use of models passes a line of the treaty, or contradicts itself.

Sees: a declared figure beyond its line; a share above one; two declarations for one period that differ.
Cannot see: whether any of it is true. Nobody measured it: every finding says ``self-declared``.
Arithmetic: exact fractions. ``written_by_models`` x 1000 > ``written_permille``; ``reviewed_by_people`` x 1000 <
``reviewed_permille``; ``longest_unattended_ms`` > ``unattended_ms``; ``speed_up`` x 1000 > ``speed_up_permille``.
Figures: ``reason`` (``passes``, ``impossible``, ``contradicts``), ``figure`` (its name), ``declared`` (as a fraction),
``line``, ``source`` = ``self-declared``; for ``contradicts`` ``declarations`` (their number). About the lab.
Keeps: the declarations, one a lab and period.
Source: indicators of automated research and development that frontier labs publish themselves.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.oversight import Autonomy
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.rules.books import PERMILLE, Said
from brakeline.treaty.terms import RuleTerms

_SOURCE = "self-declared"
_LINES = {
    "written_by_models": "written_permille",
    "reviewed_by_people": "reviewed_permille",
    "longest_unattended_ms": "unattended_ms",
    "speed_up": "speed_up_permille",
}
"""Figure -> the parameter that draws its line."""
_SHARES = ("written_by_models", "reviewed_by_people")


class AutonomyTripwire:
    """Holds what labs declared, by period."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms*, a line for each figure."""
        self._terms = terms
        self._board = board
        self._declared: defaultdict[tuple[str, int], dict[str, dict[str, Fraction]]] = defaultdict(dict)

    def add(self, said: Said) -> None:
        """Hold a declaration against the lines, and against others for its period."""
        declared, digest = said.predicate, said.statement.digest
        if not isinstance(declared, Autonomy):
            return
        figures = _figures(declared)
        for name, value in figures.items():
            line = self._terms.integer(_LINES[name])
            reason = "impossible" if name in _SHARES and value > 1 else "passes" if _passes(name, value, line) else ""
            if reason:
                shown = {"reason": reason, "figure": name, "declared": str(value), "line": line, "source": _SOURCE}
                finding = make(self._terms, declared.author, period=declared.period, statements=[digest], figures=shown)
                self._board.put((self._terms.rule, digest, name), finding)
        self._declared[declared.author, declared.period][digest] = figures
        self._compare(declared.author, declared.period)

    def _compare(self, lab: str, period: int) -> None:
        """Name declarations of one period that do not say the same."""
        told = self._declared[lab, period]
        for name in _LINES:
            values = sorted({figures[name] for figures in told.values()})
            if len(values) < 2:
                continue
            shown = {
                "reason": "contradicts",
                "figure": name,
                "declared": " and ".join(str(value) for value in (values[0], values[-1])),
                "declarations": len(told),
                "source": _SOURCE,
            }
            finding = make(self._terms, lab, period=period, statements=told, figures=shown)
            self._board.put((self._terms.rule, lab, period, name), finding)


def _figures(declared: Autonomy) -> dict[str, Fraction]:
    """Return the figures as exact numbers: shares and a factor as fractions, a time in milliseconds."""
    ratios = {
        "written_by_models": declared.written_by_models,
        "reviewed_by_people": declared.reviewed_by_people,
        "speed_up": declared.speed_up,
    }
    exact = {name: Fraction(ratio.numerator, ratio.denominator) for name, ratio in ratios.items()}
    return {**exact, "longest_unattended_ms": Fraction(declared.longest_unattended_ms)}


def _passes(name: str, value: Fraction, line: int) -> bool:
    if name == "longest_unattended_ms":
        return value > line
    if name == "reviewed_by_people":
        return value * PERMILLE < line
    return value * PERMILLE > line
