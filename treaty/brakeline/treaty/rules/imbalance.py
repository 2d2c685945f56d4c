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
from brakeline.treaty.rules.books import Said
from brakeline.treaty.statements import Inventory
from brakeline.treaty.terms import RuleTerms


class _Waiting(NamedTuple):
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

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms*."""
        self._terms = terms
        self._board = board
        self._inventories: dict[str, _Held] = {}
        self._waiting: dict[str, list[_Waiting]] = {}

    def add(self, said: Said) -> None:
        """Weigh books against the inventory they cite."""
        predicate, books = said.statement.predicate, said.books
        if isinstance(predicate, Inventory):
            chips = tally((item.chip_class, item.count) for item in predicate.chips)
            self._inventories[said.statement.digest] = _Held(predicate.author, predicate.effective_period, chips)
            for waiting in self._waiting.pop(said.statement.digest, ()):
                self._board.put(("imbalance", waiting.digest, ""), None)
                self._weigh(waiting)
        elif books is not None:
            booked = tally(time for line in books.lines for time in line.chips)
            self._weigh(_Waiting(books.digest, books.site, books.period, books.length_ms, books.inventory, booked))

    def _weigh(self, books: _Waiting) -> None:
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


def _reason(books: _Waiting, held: _Held | None) -> str:
    """Say why the inventory cited cannot carry these books; "" when it can."""
    if held is None:
        return "unknown"
    if held.site != books.site:
        return "another-site"
    return "not-yet-effective" if held.effective_period > books.period else ""
