"""``peak-exceeded``: a line books more FLOP than its chips could do at their dense peak.

Sees: a line whose figures are physically impossible, by whichever counting method: the larger of ``flop_hardware`` and
``flop_model`` counts. Chips of a class that the treaty does not name have no peak: any FLOP on them fires.
Cannot see: any number below the peak; chips that are faster than the treaty's table says they are.
Arithmetic: flop x 1000 > sum over classes of chip_ms x peak_flop_per_s (chip-milliseconds, FLOP per second).
Figures: ``line`` (from 0), ``workload``, ``flop``, ``peak_flop`` (rounded down).
Source: the hardware method of counting training compute (chips x time x peak x utilisation), utilisation 1.
"""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.statements import Statement, Usage, UsageLine
from brakeline.treaty.terms import RuleTerms

MS_PER_S = 1000


class PeakExceeded:
    """Holds nothing but the table of peaks."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* with the chip classes of *document*."""
        self._grid = document.grid
        self._peaks = {item.name: item.peak_flop_per_s.value for item in document.chip_classes}
        self._terms = terms
        self._board = board

    def add(self, statement: Statement) -> None:
        """Hold every line against its peak."""
        usage = statement.predicate
        if not isinstance(usage, Usage):
            return
        for number, line in enumerate(usage.lines):
            if line.flop_hardware is None and line.flop_model is None:
                continue
            flop = flop_of(line)
            peak = sum(self._peaks.get(time.chip_class, 0) * time.value.value for time in line.chip_ms)
            if flop * MS_PER_S <= peak:
                continue
            finding = make(
                self._terms,
                usage.author,
                period=self._grid.index_of(usage.start, usage.end),
                statements=[statement.digest],
                figures={"line": number, "workload": line.workload, "flop": flop, "peak_flop": peak // MS_PER_S},
            )
            self._board.put(("peak-exceeded", statement.digest, number), finding)


def flop_of(line: UsageLine) -> int:
    """Return the FLOP that *line* admits to: the larger of both counting methods, 0 where neither is known."""
    hardware, model = line.flop_hardware, line.flop_model
    return max(0 if hardware is None else hardware.value, 0 if model is None else model.value)
