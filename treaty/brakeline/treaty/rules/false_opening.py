"""``false-opening``: an opened row does not match its commitment, or the lines of the books it stands under.

Sees: for each opening, the rows it shows, held against the usage statement it names (what can be wrong with a row is in
:mod:`brakeline.treaty.spotcheck.check`); an opening whose books are not in the log, or are of another site or period.
Cannot see: whether the rows are those that were drawn, which the log of the challenge alone shows; whether a row that
fits the lines is true.
Sealed: a row with a sealed figure hashes to nothing that can be compared (``row-sealed``), rows of books with opaque
lines neither (``line-sealed``); an open row is not held against sealed figures of its line.
Arithmetic: hashes and integers; parameter ``slots``: into how many slots a period is cut.
Figures: ``usage``; ``reason`` (``no-such-books``); or ``reason`` (a ``RowFault`` of that module), ``row`` (index of the
first false row), ``chip``, ``false_rows``. One finding an opening. Books that were corrected are still what rows were
committed with.
Keeps: per period its table's commitment and the figures of its lines, in columns; openings whose books are not here.
Source: opening of commitments, as in cut-and-choose; item counting in safeguards (IAEA, STR-261).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, cast

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import OpenedRow, Opening
from brakeline.treaty.rules.board import Board, make
from brakeline.treaty.rules.books import BookLine, Books, Said
from brakeline.treaty.rules.slots import Figures, Slots
from brakeline.treaty.spotcheck.check import Committed, LineFigures, check_row
from brakeline.treaty.terms import RuleTerms

_UNKNOWN = -1
"""How a column keeps a figure that a line does not state."""
_SEALED = -2
"""How it keeps one that is sealed."""


class _Waiting(NamedTuple):
    """An opening whose books have not come."""

    digest: str
    said: Opening
    sealed: frozenset[int]


class FalseOpening:
    """Holds commitments, and openings whose books have not come."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``slots``)."""
        self._grid = document.grid
        self._slots = max(1, terms.integer("slots"))
        self._peaks = {item.name: item.peak_flop_per_s.value for item in document.chip_classes}
        self._terms = terms
        self._board = board
        self._committed: dict[str, Slots] = {}
        self._waiting: defaultdict[tuple[str, int, str], list[_Waiting]] = defaultdict(list)

    def add(self, said: Said) -> None:
        """Take in books, or hold an opening against them."""
        predicate, books = said.predicate, said.books
        if books is not None:
            kept = self._committed.get(books.site)
            if kept is None:
                kept = self._committed[books.site] = Slots(self._board.columns)
            kept.put(books.slot, _figures(books))
            for waiting in self._waiting.pop((books.site, books.period, books.digest), ()):
                self._judge(waiting)
        elif isinstance(predicate, Opening):
            self._judge(_Waiting(said.statement.digest, predicate, said.statement.sealed.rows))

    def _judge(self, opening: _Waiting) -> None:
        said = opening.said
        books = self._books(said)
        figures: dict[str, object] | None = None
        cited = [opening.digest]
        if books is None:
            self._waiting[said.author, said.period, said.usage].append(opening)
            figures = {"usage": said.usage, "reason": "no-such-books"}
        else:
            cited.append(said.usage)
            rows = self._readable(opening, books)
            false = [(row, why) for row in rows if (why := check_row(books, row, self._slots, self._peaks))]
            if false:
                first, why = min(false, key=lambda item: item[0].index)
                figures = {"usage": said.usage, "reason": why, "row": first.index, "chip": first.row.chip}
                figures["false_rows"] = len(false)
        finding: Finding | None = None
        if figures is not None:
            finding = make(self._terms, said.author, period=said.period, statements=cited, figures=figures)
        self._board.put((self._terms.rule, opening.digest), finding)

    def _readable(self, opening: _Waiting, books: Committed) -> list[OpenedRow]:
        """Return the rows that can be held against *books*; the others are counted."""
        site, rows = opening.said.author, opening.said.rows
        if books.opaque:
            self._board.unknown(self._terms.rule, site, "line-sealed", len(rows))
            return []
        self._board.unknown(self._terms.rule, site, "row-sealed", len(opening.sealed))
        return [row for place, row in enumerate(rows) if place not in opening.sealed]

    def _books(self, said: Opening) -> Committed | None:
        kept, known = self._committed.get(said.author), self._board.versions.digests(said.author, said.period)
        if kept is None or said.usage not in known:
            return None
        figures = kept.get(said.period).get(known.index(said.usage))
        if figures is None:  # of a period that another version of the treaty governs, which judges the opening
            return None
        start, end = self._grid.start_of(said.period).value, self._grid.end_of(said.period).value
        root, rows, lines, opaque = cast("tuple[bytes, int, tuple[tuple[object, ...], ...], int]", figures)
        return Committed(start, end, root, rows, _merged(lines), opaque)


def _figures(books: Books) -> Figures:
    lines = tuple(_line(line) for line in books.lines)
    return (books.table_root, books.table_rows, lines, books.opaque)


def _line(line: BookLine) -> Figures:
    flop = _SEALED if line.flop_sealed else _UNKNOWN if line.flop is None else line.flop
    joules = _SEALED if line.joules_sealed else _UNKNOWN if line.joules is None else line.joules
    return (line.workload, line.activity.value, flop, joules, line.chips)


def _merged(lines: Iterable[tuple[object, ...]]) -> dict[tuple[str, str], LineFigures]:
    """Return the lines by workload and activity; of several with one name, their sums."""
    found: dict[tuple[str, str], LineFigures] = {}
    for workload, activity, flop, joules, chips in cast(
        "Iterable[tuple[str, str, int, int, tuple[tuple[str, int], ...]]]", lines
    ):
        before = found.get((workload, activity), LineFigures({}, None, None))
        times = dict(before.chip_ms)
        for chip_class, ms in chips:
            times[chip_class] = times.get(chip_class, 0) + ms
        found[workload, activity] = LineFigures(
            times,
            _plus(before.flop, flop),
            _plus(before.joules, joules),
            before.flop_sealed or flop == _SEALED,
            before.joules_sealed or joules == _SEALED,
        )
    return found


def _plus(known: int | None, figure: int) -> int | None:
    return known if figure in (_UNKNOWN, _SEALED) else figure + (known or 0)
