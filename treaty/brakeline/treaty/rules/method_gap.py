"""``method-gap``: the two methods of counting compute, both told by one author, do not agree.

Sees: figures that were made up or mistaken on one side: a model said to be smaller than the chips show, tokens left
out, a utilisation that is not the one measured; once the disagreement beyond the margin adds up to more than h.
Cannot see: two figures that are false alike; lines that state one method only (counted as unverifiable:
``hardware-absent``, ``model-absent``).
Sealed: a period in which a line of the activity has a sealed figure (``flop-sealed``), or some line is opaque
(``line-sealed``), has an unknown x: S begins again from 0.
Arithmetic: per site, activity and period, over the lines that state both: H = sum of ``flop_hardware``, M = sum of
``flop_model``. With the treaty's margin m, x = (1 - m) x H - M where the model method is low, x = (1 - m) x M - H where
the hardware method is, in two series; S <- max(0, S + x), and the rule fires in the first period of each excursion
where S > h. An hour of restarts, in which chips were busy and no step was made, is forgiven by the hours around it.
Figures: ``activity``, ``low`` (``model`` or ``hardware``), ``hardware_flop`` and ``model_flop`` of the period,
``sum_flop`` (S, rounded down), ``margin``, ``h_flop``. Cites as :mod:`brakeline.treaty.rules.page_sums` says.
Keeps: two integers a site, activity and period.
Source: Guidelines C(2025) 5045 of the European Commission, Annex A.2 (both methods, 30 %); Page's test as in ``muf``.
"""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board
from brakeline.treaty.rules.books import BookLine, Books, Said
from brakeline.treaty.rules.page_sums import UNKNOWN, Measured, PageSums, SumTerms
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Activity
from brakeline.treaty.terms import RuleTerms


class MethodGap:
    """Holds two series a site and activity."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``h_flop``) and the margin of *document*."""
        self._margin = document.counting.margin
        self._rule = terms.rule
        self._board = board
        limit, scale = terms.integer("h_flop"), self._margin.denominator
        constants = {"margin": f"{self._margin.numerator}/{scale}", "h_flop": limit}
        self._sums = PageSums(SumTerms(terms, limit * scale, scale, "sum_flop", constants), board)

    def add(self, said: Said) -> None:
        """Compare the methods, activity by activity."""
        if said.books is None:
            return
        sums: dict[Activity, tuple[int, int]] = {}
        sealed = _sealed(said.books) if said.books.sealed else set[Activity]()
        self._board.unknown(self._rule, said.books.site, "line-sealed", said.books.opaque)
        for line in said.books.lines:
            if line.flop_sealed:
                self._board.unknown(self._rule, said.books.site, "flop-sealed")
                continue
            if line.hardware is None or line.model is None:
                self._count_unknown(said.books, line)
                continue
            hardware, model = sums.get(line.activity, (0, 0))
            sums[line.activity] = hardware + line.hardware, model + line.model
        for activity in sorted(sealed):
            for low in ("model", "hardware"):
                self._sums.put(said.books.slot, (activity, low), UNKNOWN)
        for activity, (hardware, model) in sums.items():
            if activity not in sealed:
                self._compare(said.books, activity, hardware, model)

    def supersede(self, slot: Slot) -> None:
        """Take the period's figures back."""
        self._sums.supersede(slot)

    def _compare(self, books: Books, activity: Activity, hardware: int, model: int) -> None:
        figures = {"activity": activity, "hardware_flop": hardware, "model_flop": model}
        whole, part = self._margin.denominator, self._margin.denominator - self._margin.numerator
        for low, excess in (("model", part * hardware - whole * model), ("hardware", part * model - whole * hardware)):
            self._sums.put(books.slot, (activity, low), Measured(excess, {**figures, "low": low}))

    def _count_unknown(self, books: Books, line: BookLine) -> None:
        if line.flop:
            why = "hardware-absent" if line.hardware is None else "model-absent"
            self._board.unknown(self._rule, books.site, why)


def _sealed(books: Books) -> set[Activity]:
    """Return the activities whose figures are not all known."""
    return set(Activity) if books.opaque else {line.activity for line in books.lines if line.flop_sealed}
