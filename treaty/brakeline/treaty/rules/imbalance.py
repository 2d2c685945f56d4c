"""``imbalance``: the lines of a period do not add up to the inventory times the period, for some class of chip.

Sees: chip time that was left out of the books or booked twice, by class; books that rest on an inventory which is not
the site's own, not yet in effect, or not in the log; a period whose books were corrected away and not replaced.
Cannot see: books that balance and are false (energy, peaks and meters are for that); an inventory that is itself false,
or an old one cited although a newer one stands.
Sealed: where a line's chip time is sealed the sum is unknown, and counted as unverifiable (``line-sealed``).
Arithmetic: for each class c of the inventory or the lines, sum over lines of chip_ms[c] must equal
count[c] x (end - start). Exact integers; no tolerance, because a site computes both sides.
Figures: ``class``, ``booked_chip_ms``, ``due_chip_ms``; or ``inventory`` and ``reason`` (``unknown``,
``another-site``, ``not-yet-effective``); or ``reason`` alone (``withdrawn``).
Keeps: the inventories, and books whose inventory is not here.
Source: double entry, as in material balance accounting (IAEA Safeguards Glossary, "material balance period").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board, make, tally
from brakeline.treaty.rules.books import Said
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Inventory
from brakeline.treaty.terms import RuleTerms


class _Weighed(NamedTuple):
    """What of a usage statement the rule needs; *told* of its opaque lines are counted as unverifiable, all or none."""

    digest: str
    slot: Slot
    length_ms: int
    inventory: str
    booked: Counter[str]
    opaque: int
    told: int


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
        self._waiting: dict[str, list[_Weighed]] = {}

    def add(self, said: Said) -> None:
        """Weigh books against the inventory they cite."""
        predicate, books = said.predicate, said.books
        if isinstance(predicate, Inventory):
            chips = tally((item.chip_class, item.count) for item in predicate.chips)
            held = _Held(predicate.author, predicate.effective_period, chips)
            self._inventories[said.statement.digest] = held
            for waiting in self._waiting.pop(said.statement.digest, ()):
                if not self._board.versions.superseded(waiting.slot):
                    self._board.put((self._terms.rule, waiting.digest, ""), None)
                    self._weigh(waiting)
                elif not _reason(waiting.slot, held):
                    self._count_sealed(waiting)  # as if the inventory had been here first
        elif books is not None:
            self._board.put((self._terms.rule, books.site, books.period), None)
            booked = tally(time for line in books.lines for time in line.chips)
            told = 0 if self._board.muted else books.opaque
            self._weigh(
                _Weighed(books.digest, books.slot, books.length_ms, books.inventory, booked, books.opaque, told)
            )

    def supersede(self, slot: Slot) -> None:
        """Say so when a period is left without books."""
        versions = self._board.versions
        if versions.live(slot.site, slot.period):
            return
        finding = make(
            self._terms,
            slot.site,
            period=slot.period,
            statements=versions.digests(slot.site, slot.period),
            figures={"reason": "withdrawn"},
        )
        self._board.put((self._terms.rule, slot.site, slot.period), finding)

    def _weigh(self, books: _Weighed) -> None:
        held = self._inventories.get(books.inventory)
        if held is None:
            self._waiting.setdefault(books.inventory, []).append(books)
        reason = _reason(books.slot, held)
        if held is None or reason:
            self._name(books, "", [books.digest], {"inventory": books.inventory, "reason": reason})
            return
        if books.opaque:
            self._count_sealed(books)
            return
        for chip_class in sorted({*held.chips, *books.booked}):
            booked, due = books.booked[chip_class], held.chips[chip_class] * books.length_ms
            if booked != due:
                figures = {"class": chip_class, "booked_chip_ms": booked, "due_chip_ms": due}
                self._name(books, chip_class, [books.digest, books.inventory], figures)

    def _count_sealed(self, books: _Weighed) -> None:
        self._board.unknown(self._terms.rule, books.slot.site, "line-sealed", books.told)

    def _name(self, books: _Weighed, chip_class: str, cited: list[str], figures: Mapping[str, object]) -> None:
        finding = make(self._terms, books.slot.site, period=books.slot.period, statements=cited, figures=figures)
        self._board.put((self._terms.rule, books.digest, chip_class), finding, books=books.digest)


def _reason(slot: Slot, held: _Held | None) -> str:
    """Say why the inventory cited cannot carry these books; "" when it can."""
    if held is None:
        return "unknown"
    if held.site != slot.site:
        return "another-site"
    return "not-yet-effective" if held.effective_period > slot.period else ""
