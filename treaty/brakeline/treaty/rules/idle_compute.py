"""``idle-compute``: chips that are said to rest, and do not.

Sees: a line of activity ``idle`` or ``maintenance`` that books FLOP or tokens, or more joules than the idle watts of
its chips allow: training booked as rest by somebody who left the figures in.
Cannot see: rest that is booked without its figures (``energy-gap`` is for that); work that draws no more than idling.
Arithmetic: FLOP > 0, or tokens > 0, or joules x 1000 x 100 > percent x sum over classes of chip_ms x idle_watts, with
``idle_percent`` for idle lines and ``maintenance_percent`` for maintenance (which may load chips a little; tests at
full load belong under ``other``, with their FLOP). A class that the treaty does not name may draw nothing.
Figures: ``line`` (from 0), ``workload``, ``activity``, ``flop``, ``tokens``, ``joules`` (0 where not stated),
``allowed_joules`` (rounded down). A line with chip time and without joules, or with a sealed figure, is counted as
unverifiable (``joules-absent``, ``figures-sealed``, ``line-sealed``), as long as nothing else gives it away.
Keeps: nothing.
Source: double entry of chip time; board and idle watts of the treaty's chip classes.
"""

from __future__ import annotations

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.rules.books import MILLI, BookLine, Books, Said
from brakeline.treaty.statements import Activity
from brakeline.treaty.terms import RuleTerms

_PERCENT = 100


class IdleCompute:
    """Holds nothing."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms* (``idle_percent``, ``maintenance_percent``)."""
        self._percent = {
            Activity.IDLE: terms.integer("idle_percent"),
            Activity.MAINTENANCE: terms.integer("maintenance_percent"),
        }
        self._terms = terms
        self._board = board

    def add(self, said: Said) -> None:
        """Hold every line that claims rest against what rest looks like."""
        if said.books is None:
            return
        self._board.unknown(self._terms.rule, said.books.site, "line-sealed", said.books.opaque)
        for line in said.books.lines:
            percent = self._percent.get(line.activity)
            if percent is not None:
                self._weigh(said.books, line, line.idle_mj * percent)

    def _weigh(self, books: Books, line: BookLine, allowed: int) -> None:
        """Hold *line* against *allowed*, in hundredths of a millijoule."""
        joules = line.joules or 0
        if not line.flop and not line.tokens and joules * MILLI * _PERCENT <= allowed:
            if line.sealed:
                self._board.unknown(self._terms.rule, books.site, "figures-sealed")
            elif line.joules is None and line.chip_ms:
                self._board.unknown(self._terms.rule, books.site, "joules-absent")
            return
        figures = {
            "line": line.number,
            "workload": line.workload,
            "activity": line.activity,
            "flop": line.flop or 0,
            "tokens": line.tokens or 0,
            "joules": joules,
            "allowed_joules": allowed // (MILLI * _PERCENT),
        }
        finding = make(self._terms, books.site, period=books.period, statements=[books.digest], figures=figures)
        self._board.put((self._terms.rule, books.digest, line.number), finding, books=books.digest)
