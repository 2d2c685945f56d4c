"""``imbalance``: the lines of a period do not add up to the inventory times the period, for some class of chip.

Sees: chip time that was left out of the books or booked twice, by class; books that rest on an inventory which is not
the site's own, not yet in effect, or not in the log.
Cannot see: books that balance and are false (energy, peaks and meters are for that); an inventory that is itself false,
or an old one cited although a newer one stands.
Arithmetic: for each class c of the inventory or the lines, sum over lines of chip_ms[c] must equal
count[c] x (end - start). Exact integers; no tolerance, because a site computes both sides.
Figures: ``class``, ``booked_chip_ms``, ``due_chip_ms``; or ``inventory`` and ``reason`` (``unknown``,
``another-site``, ``not-yet-effective``).
Source: double entry, as in material balance accounting (IAEA Safeguards Glossary, "material balance period").
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board, make, tally
from brakeline.treaty.statements import Inventory, Statement, Usage
from brakeline.treaty.terms import RuleTerms


class _Books(NamedTuple):
    """What of a usage statement the rule needs."""

    digest: str
    site: str
    period: int
    length_ms: int
    inventory: str
    booked: Counter[str]


class _Held(NamedTuple):
    site: str
    effective_period: int
    chips: Counter[str]


class Imbalance:
    """Holds inventories, and books whose inventory has not come."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* on the grid of *document*."""
        self._grid = document.grid
        self._terms = terms
        self._board = board
        self._inventories: dict[str, _Held] = {}
        self._waiting: dict[str, list[_Books]] = {}

    def add(self, statement: Statement) -> None:
        """Weigh books against the inventory they cite."""
        predicate = statement.predicate
        if isinstance(predicate, Inventory):
            chips = tally((item.chip_class, item.count) for item in predicate.chips)
            self._inventories[statement.digest] = _Held(predicate.author, predicate.effective_period, chips)
            for books in self._waiting.pop(statement.digest, ()):
                self._board.put(("imbalance", books.digest, ""), None)
                self._weigh(books)
        elif isinstance(predicate, Usage):
            period = self._grid.index_of(predicate.start, predicate.end)
            if period is None:  # refused at admission
                return
            booked = tally((time.chip_class, time.value.value) for line in predicate.lines for time in line.chip_ms)
            length = predicate.end.value - predicate.start.value
            self._weigh(_Books(statement.digest, predicate.author, period, length, predicate.inventory, booked))

    def _weigh(self, books: _Books) -> None:
        held = self._inventories.get(books.inventory)
        if held is None:
            self._waiting.setdefault(books.inventory, []).append(books)
        reason = _reason(books, held)
        if held is None or reason:
            figures = {"inventory": books.inventory, "reason": reason}
            finding = make(self._terms, books.site, period=books.period, statements=[books.digest], figures=figures)
            self._board.put(("imbalance", books.digest, ""), finding)
            return
        for chip_class in sorted({*held.chips, *books.booked}):
            due = held.chips[chip_class] * books.length_ms
            if books.booked[chip_class] == due:
                continue
            finding = make(
                self._terms,
                books.site,
                period=books.period,
                statements=[books.digest, books.inventory],
                figures={"class": chip_class, "booked_chip_ms": books.booked[chip_class], "due_chip_ms": due},
            )
            self._board.put(("imbalance", books.digest, chip_class), finding)


def _reason(books: _Books, held: _Held | None) -> str:
    """Say why the inventory cited cannot carry these books; "" when it can."""
    if held is None:
        return "unknown"
    if held.site != books.site:
        return "another-site"
    return "not-yet-effective" if held.effective_period > books.period else ""
