"""``peak-exceeded``: a line books more FLOP than its chips could do at their dense peak.

Sees: a line whose figures are physically impossible, by whichever counting method: the larger of ``flop_hardware`` and
``flop_model`` counts. Chips of a class that the treaty does not name have no peak: any FLOP on them fires.
Cannot see: any number below the peak; chips that are faster than the treaty's table says they are.
Sealed: a figure that is sealed is counted as unverifiable (``flop-sealed``, ``line-sealed``); the other may still fire.
Arithmetic: flop x 1000 > sum over classes of chip_ms x peak_flop_per_s (chip-milliseconds, FLOP per second).
Figures: ``line`` (from 0), ``workload``, ``flop``, ``peak_flop`` (rounded down).
Source: the hardware method of counting training compute (chips x time x peak x utilisation), utilisation 1.
"""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.rules.books import MILLI, Said
from brakeline.treaty.terms import RuleTerms


class PeakExceeded:
    """Holds nothing."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms*; the chip classes of the document are in the books as they are read."""
        self._terms = terms
        self._board = board

    def add(self, said: Said) -> None:
        """Hold every line against its peak."""
        books = said.books
        if books is None:
            return
        self._board.unknown(self._terms.rule, books.site, "line-sealed", books.opaque)
        for line in books.lines:
            if line.flop_sealed:
                self._board.unknown(self._terms.rule, books.site, "flop-sealed")
            if line.flop is None or line.flop * MILLI <= line.peak_mflop:
                continue
            figures = {
                "line": line.number,
                "workload": line.workload,
                "flop": line.flop,
                "peak_flop": line.peak_mflop // MILLI,
            }
            finding = make(self._terms, books.site, period=books.period, statements=[books.digest], figures=figures)
            self._board.put((self._terms.rule, books.digest, line.number), finding, books=books.digest)
