"""``muf``: chip time that the books call unattributed adds up to more than noise (material unaccounted for).

Sees: a run that hides in ``unattributed`` time, at whatever pace, once it adds up to more than h.
Cannot see: use that stays within the share forgiven in every period: of a large site that share is itself a large run,
which bulk accounting cannot guard and item counting must; time booked under another name.
Arithmetic: Page's one-sided CUSUM, in integers. Per site and period x = u - (k_permille / 1000) x c, where u is what
the chips of ``unattributed`` lines could have done at their dense peak and c what all chips booked could have done
(FLOP); S <- max(0, S + x), and the rule fires in the first period of each excursion where S > h. Chip time is weighed
by peak so that classes of chip add up. A period with an opaque line has an unknown x (``line-sealed``): S begins again
from 0. Versions of one period: the largest x counts.
Figures: ``unattributed_flop`` and ``capacity_flop`` of the period, ``sum_flop`` (S, rounded down), ``k_permille``,
``h_flop``. Cites the books in which x > 0 since S was last 0 (:mod:`brakeline.treaty.rules.page_sums`).
Keeps: one integer a site and period.
Source: material unaccounted for (IAEA Safeguards Glossary); E. S. Page, Biometrika 41 (1954).
"""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board
from brakeline.treaty.rules.books import MILLI, PERMILLE, Said
from brakeline.treaty.rules.page_sums import UNKNOWN, Measured, PageSums, SumTerms
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Activity
from brakeline.treaty.terms import RuleTerms


class Muf:
    """Holds one series a site."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms* (``k_permille``, ``h_flop``)."""
        self._share, limit = terms.integer("k_permille"), terms.integer("h_flop")
        scale = MILLI * PERMILLE
        self._rule, self._board = terms.rule, board
        constants = {"k_permille": self._share, "h_flop": limit}
        self._sums = PageSums(SumTerms(terms, limit * scale, scale, "sum_flop", constants), board)

    def add(self, said: Said) -> None:
        """Take the unattributed time of a period in."""
        books = said.books
        if books is None:
            return
        if books.opaque:
            self._board.unknown(self._rule, books.site, "line-sealed", books.opaque)
            self._sums.put(books.slot, (), UNKNOWN)
            return
        lost = sum(line.peak_mflop for line in books.lines if line.activity is Activity.UNATTRIBUTED)
        excess = lost * PERMILLE - books.peak_mflop * self._share
        figures = {"unattributed_flop": lost // MILLI, "capacity_flop": books.peak_mflop // MILLI}
        self._sums.put(books.slot, (), Measured(excess, figures))

    def supersede(self, slot: Slot) -> None:
        """Take the period's figure back."""
        self._sums.supersede(slot)
