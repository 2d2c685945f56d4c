"""``wrong-version``: a statement about a period names another version of the treaty than the one that governs it.

Sees: books, evidence and declarations of autonomy made under a version that did not govern their period, in whatever
order the version and the statement came. They are judged by the version that governs all the same.
Cannot see: whether the author could have known of the version in time; statements about no one period (inventories,
orders, enrolments), which are made ahead of it.
Arithmetic: none; digests are equal or not.
Figures: ``named`` and ``governs`` (digests of versions). About the author.
Keeps: nothing.
Source: docs/spec/statements.md, Amendments.
"""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.oversight import Autonomy, Capacity, Inspection, Shipment
from brakeline.treaty.quantities import Grid
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.rules.books import Said
from brakeline.treaty.statements import Evidence, Statement
from brakeline.treaty.terms import RuleTerms


class WrongVersion:
    """Holds nothing."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *document*, the version that governs."""
        self._document = document
        self._terms = terms
        self._board = board

    def add(self, said: Said) -> None:
        """Compare the version that a statement about a period names."""
        authored = said.statement.placed
        period = period_of(self._document.grid, said.statement)
        if authored is None or period is None or authored.treaty == self._document.digest:
            return
        figures = {"named": authored.treaty, "governs": self._document.digest}
        digest = said.statement.digest
        finding = make(self._terms, authored.author, period=period, statements=[digest], figures=figures)
        self._board.put((self._terms.rule, digest), finding, books="" if said.books is None else digest)


def period_of(grid: Grid, statement: Statement) -> int | None:
    """Return the period that *statement* reports on, None where it reports on none."""
    usage = statement.usage
    if usage is not None:
        return grid.index_from(usage.start, usage.end)
    match statement.predicate:
        case Evidence() | Capacity() | Shipment() | Inspection() as said:
            return grid.index_of(said.start, said.end)
        case Autonomy() as said:
            return said.period
        case _:
            return None
