"""``activity-shape``: the figures of an activity do not look like that activity: training dressed as something else.

Sees three shapes, each once it adds up to more than h:

* ``flop-high``: inference, evaluation or other work that uses its chips as well as only training does;
* ``joules-high``: the same work, drawing what only training draws;
* ``flop-low``: training that draws the power of much work and books little: more was computed than is said.

Cannot see: training thinned into so much honest work of the same activity that the whole still looks like it; figures
made up alike (``energy-gap`` and spot checks speak to those); lines that state no FLOP or no joules, which are counted
as unverifiable (``flop-absent``, ``joules-absent``).
Sealed: a period in which a line of the activity has a sealed figure that the shape needs, or in which some line is
opaque, has an unknown x (``flop-sealed``, ``joules-sealed``, ``line-sealed``): S begins again from 0.
Arithmetic: per site, activity and period, over the lines that state the figures needed. With P = what their chips could
do at peak (FLOP), B and I = the joules of their boards at work and idle, F and J = FLOP and joules booked:

* flop-high: x = F - (work_flop_permille / 1000) x P
* joules-high: x = J - (work_joules_permille / 1000) x B
* flop-low: x = (training_flop_permille / 1000) x sum over lines of P x (min(J, B) - I) / (B - I), each term at least 0
  and rounded down to a millionth of a FLOP, minus F

then S <- max(0, S + x) in a series each, and the rule fires in the first period of each excursion where S > h
(``h_flop``, ``h_joules``). Lines are summed, so that splitting them changes nothing.
Figures: ``shape``, ``activity``; ``flop`` and ``possible_flop`` (P), or ``joules`` and ``board_joules`` (B), or
``flop`` and ``expected_flop``; ``sum_flop`` or ``sum_joules`` (S, rounded down); the parameters. Cites as
:mod:`brakeline.treaty.rules.page_sums` says.
Keeps: one integer a series (site, activity, shape) and period.
Source: utilisation and power of accelerators at training and at inference, which the parties measure and write into
the parameters; Page's test as in ``muf``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.rules.board import Board
from brakeline.treaty.rules.books import MILLI, PERMILLE, BookLine, Books, Said
from brakeline.treaty.rules.page_sums import UNKNOWN, Measured, PageSums, SumTerms
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Activity
from brakeline.treaty.terms import RuleTerms

_WORK = (Activity.INFERENCE, Activity.EVALUATION, Activity.OTHER)
_SCALE = MILLI * PERMILLE


class ActivityShape:
    """Holds up to seven series a site."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:  # noqa: ARG002  (as every rule)
        """Judge by *terms*."""
        self._rule = terms.rule
        self._board = board
        self._flop = terms.integer("work_flop_permille")
        self._joules = terms.integer("work_joules_permille")
        self._training = terms.integer("training_flop_permille")

        def sums(total: str, limit: str, share: str) -> PageSums:
            constants = {share: terms.integer(share), limit: terms.integer(limit)}
            return PageSums(SumTerms(terms, terms.integer(limit) * _SCALE, _SCALE, total, constants), board)

        self._flop_high = sums("sum_flop", "h_flop", "work_flop_permille")
        self._joules_high = sums("sum_joules", "h_joules", "work_joules_permille")
        self._flop_low = sums("sum_flop", "h_flop", "training_flop_permille")

    def add(self, said: Said) -> None:
        """Look at the work of a period, activity by activity."""
        books = said.books
        if books is None:
            return
        lines: dict[Activity, list[BookLine]] = {}
        for line in books.lines:
            lines.setdefault(line.activity, []).append(line)
        if books.opaque:
            self._board.unknown(self._rule, books.site, "line-sealed", books.opaque)
            for activity in _WORK:
                self._flop_high.put(books.slot, (activity, "flop-high"), UNKNOWN)
                self._joules_high.put(books.slot, (activity, "joules-high"), UNKNOWN)
            self._flop_low.put(books.slot, (Activity.TRAINING, "flop-low"), UNKNOWN)
            return
        for activity in _WORK:
            if activity in lines:
                self._work(books, activity, lines[activity])
        if Activity.TRAINING in lines:
            self._train(books, lines[Activity.TRAINING])

    def supersede(self, slot: Slot) -> None:
        """Take the period's figures back."""
        for sums in (self._flop_high, self._joules_high, self._flop_low):
            sums.supersede(slot)

    def _work(self, books: Books, activity: Activity, lines: Sequence[BookLine]) -> None:
        counted = self._with(books, lines, "flop")
        if self._sealed(books, lines, "flop"):
            self._flop_high.put(books.slot, (activity, "flop-high"), UNKNOWN)
        elif counted:
            flop, peak = sum(line.flop or 0 for line in counted), sum(line.peak_mflop for line in counted)
            figures = {"flop": flop, "possible_flop": peak // MILLI}
            self._put(self._flop_high, books, activity, "flop-high", flop * _SCALE - self._flop * peak, figures)
        metered = self._with(books, lines, "joules")
        if self._sealed(books, lines, "joules"):
            self._joules_high.put(books.slot, (activity, "joules-high"), UNKNOWN)
        elif metered:
            joules, board = sum(line.joules or 0 for line in metered), sum(line.board_mj for line in metered)
            figures = {"joules": joules, "board_joules": board // MILLI}
            excess = joules * _SCALE - self._joules * board
            self._put(self._joules_high, books, activity, "joules-high", excess, figures)

    def _train(self, books: Books, lines: Sequence[BookLine]) -> None:
        known = self._with(books, self._with(books, lines, "flop"), "joules")
        if self._sealed(books, lines, "flop") + self._sealed(books, lines, "joules"):
            self._flop_low.put(books.slot, (Activity.TRAINING, "flop-low"), UNKNOWN)
        elif known:
            flop, expected = sum(line.flop or 0 for line in known), sum(self._expected(line) for line in known)
            figures = {"flop": flop, "expected_flop": expected // _SCALE}
            excess = expected - flop * _SCALE
            self._put(self._flop_low, books, Activity.TRAINING, "flop-low", excess, figures)

    def _expected(self, line: BookLine) -> int:
        """Return the FLOP that training of this power makes at the least, in millionths."""
        drawn = min((line.joules or 0) * MILLI, line.board_mj) - line.idle_mj
        room = line.board_mj - line.idle_mj
        return self._training * line.peak_mflop * drawn // room if drawn > 0 else 0

    @staticmethod
    def _put(
        sums: PageSums, books: Books, activity: Activity, shape: str, excess: int, figures: Mapping[str, object]
    ) -> None:
        named = {"activity": activity, "shape": shape, **figures}
        sums.put(books.slot, (activity, shape), Measured(excess, named))

    def _sealed(self, books: Books, lines: Sequence[BookLine], figure: str) -> int:
        """Count the *lines* whose *figure* is sealed, as unverifiable."""
        if not books.sealed:
            return 0
        sealed = sum(line.flop_sealed if figure == "flop" else line.joules_sealed for line in lines)
        self._board.unknown(self._rule, books.site, f"{figure}-sealed", sealed)
        return sealed

    def _with(self, books: Books, lines: Sequence[BookLine], figure: str) -> list[BookLine]:
        """Return the *lines* that state *figure*; those that leave it out are counted as unverifiable."""
        stated = [line for line in lines if (line.flop if figure == "flop" else line.joules) is not None]
        if len(stated) < len(lines):
            flop = figure == "flop"
            sealed = sum(line.flop is None and line.flop_sealed if flop else line.joules_sealed for line in lines)
            self._board.unknown(self._rule, books.site, f"{figure}-absent", len(lines) - len(stated) - sealed)
        return stated
