"""The books of one period as the rules read them: plain integers, and what the treaty's chips could do in that time.

What it is: one reading of a usage statement for all rules, so that each line is weighed once, by one arithmetic. What
it is not: a judgement, or a copy of the statement; nothing here is kept when the statement has been judged.

Units. ``chip_ms`` are chip-milliseconds. With rates of the treaty's chip classes (FLOP per second, watts) times
milliseconds come *milli*-FLOP and millijoules, so that nothing is divided and nothing rounded:

* ``peak_mflop`` = sum over classes of chip_ms x ``peak_flop_per_s``: 1,000 times the FLOP possible;
* ``idle_mj``, ``board_mj`` = sum over classes of chip_ms x ``idle_watts``, ``board_watts``: 1,000 times the joules.

A class that the treaty does not name has no peak and draws nothing, so any figure on it is too much.

*Sealed* figures are unknown, and known to be stated: a rule that would accuse because a figure is absent must not do so
because it is sealed. Opaque lines (:mod:`brakeline.treaty.sealing`) are not in ``lines``; only their number is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from brakeline.treaty.counting import Precision, Purpose
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.names import lab_of
from brakeline.treaty.rules.branches import Touched
from brakeline.treaty.rules.versions import Slot, Versions
from brakeline.treaty.statements import Activity, Predicate, Statement
from brakeline.treaty.usage import ReadLine, ReadUsage

MILLI = 1000
"""Milli-FLOP in a FLOP, millijoules in a joule, milliseconds in a second."""
PERMILLE = 1000
"""Parameters of rules that are shares are written in thousandths, because a treaty has no fractions there."""


class Rates(NamedTuple):
    """What one chip of a class can do: FLOP per second at its dense peak, watts of its board at work and idle."""

    peak: int
    board: int
    idle: int


class BookLine(NamedTuple):
    """One line. A figure that its author left out, or sealed, is None: unknown, which is not nothing.

    Attributes:
        number: from 0, in the statement.
        chips: (class, chip-milliseconds), as booked.
        chip_ms: their sum over classes.
        peak_mflop, idle_mj, board_mj: see the module's docstring.
        hardware, model: FLOP by the two methods of counting.
        flop: the larger of both that are known, None when neither is; where one is sealed, no more than a lower bound.
        parents, model_out, code, data: digests, as booked.
        purpose, precision: as booked.
        sealed: names of the figures that are sealed.
    """

    number: int
    workload: str
    activity: Activity
    chips: tuple[tuple[str, int], ...]
    chip_ms: int
    peak_mflop: int
    idle_mj: int
    board_mj: int
    hardware: int | None
    model: int | None
    flop: int | None
    tokens: int | None
    joules: int | None
    parents: tuple[str, ...] | None
    model_out: str | None
    code: str | None
    data: str | None
    purpose: Purpose | None
    precision: Precision | None
    sealed: frozenset[str] = frozenset()

    @property
    def flop_sealed(self) -> bool:
        """Whether ``flop`` may be more than is known, because a method's figure is sealed."""
        return bool(self.sealed) and not self.sealed.isdisjoint(_METHODS)

    @property
    def joules_sealed(self) -> bool:
        """Whether the joules are stated and unknown."""
        return "joules" in self.sealed


_METHODS = frozenset({"flop_hardware", "flop_model"})
_OPEN: frozenset[str] = frozenset()


class Books:
    """The books of one site and period.

    Attributes:
        digest: of the statement.
        slot: the site, the period, and which version of the books this is.
        site, lab: whose.
        period: index on the treaty's grid.
        sequence: of the statement in the site's chain.
        length_ms: of the period.
        inventory: digest of the inventory statement they cite.
        table_root, table_rows: the commitment to the chip x slot rows: 32 bytes, and how many.
        lines: in the statement's order, those that can be read.
        opaque: how many more there are, of which nothing is known.
        sealed: whether anything of them is.
    """

    def __init__(self, statement: Statement, usage: ReadUsage, slot: Slot, lines: tuple[BookLine, ...]) -> None:
        """Take what :class:`BookReader` read."""
        self.digest = statement.digest
        self.slot = slot
        self.site = usage.author
        self.lab = lab_of(usage.author)
        self.period = slot.period
        self.sequence = usage.sequence
        self.length_ms = usage.end - usage.start
        self.inventory = usage.inventory
        self.table_root, self.table_rows = bytes.fromhex(usage.table_root), usage.table_rows
        self.lines = lines
        self.opaque = len(statement.sealed.opaque)
        self.sealed = bool(statement.sealed)

    @cached_property
    def peak_mflop(self) -> int:
        """Milli-FLOP that all chips booked in lines that can be read could have done."""
        return sum(line.peak_mflop for line in self.lines)


class Said(NamedTuple):
    """An admitted statement as rules take it.

    Attributes:
        statement: itself.
        books: the books in it, when it is a usage statement.
        predicate: what any other statement says; None of books.
        touched: what revocations disown more since it came.
    """

    statement: Statement
    books: Books | None
    predicate: Predicate | None
    touched: Sequence[Touched] = ()


class BookReader:
    """Reads usage statements by the grid and the chip classes of one treaty."""

    def __init__(self, document: TreatyDocument, versions: Versions) -> None:
        """Read by *document*; number the books of a period in *versions*."""
        self._grid = document.grid
        self._versions = versions
        self._rates = {
            item.name: Rates(item.peak_flop_per_s.value, item.board_watts, item.idle_watts)
            for item in document.chip_classes
        }

    def said(self, statement: Statement, touched: Sequence[Touched] = ()) -> Said:
        """Return *statement* with the books in it, and the revocations it *touched*."""
        books = self.read(statement)
        return Said(statement, books, None if books is not None else statement.predicate, touched)

    def read(self, statement: Statement) -> Books | None:
        """Return the books in *statement*; None when it is no usage statement of a period of the grid."""
        usage = statement.usage
        if usage is None:
            return None
        period = self._grid.index_from(usage.start, usage.end)
        if period is None:  # refused at admission
            return None
        sealed = statement.sealed
        if sealed:
            places = [n for n in range(len(usage.lines) + len(sealed.opaque)) if n not in sealed.opaque]
            pairs = zip(places, usage.lines, strict=True)
            lines = tuple([self._line(number, line, sealed.figures.get(number, _OPEN)) for number, line in pairs])
        else:
            lines = tuple([self._line(number, line, _OPEN) for number, line in enumerate(usage.lines)])
        slot = self._versions.number(usage.author, period, statement.digest)
        return Books(statement, usage, slot, lines)

    def _line(self, number: int, line: ReadLine, sealed: frozenset[str]) -> BookLine:
        total = peak = board = idle = 0
        for chip_class, ms in line.chips:
            total += ms
            rates = self._rates.get(chip_class)
            if rates is not None:
                peak += ms * rates.peak
                board += ms * rates.board
                idle += ms * rates.idle
        return BookLine(
            number,
            line.workload,
            line.activity,
            line.chips,
            total,
            peak,
            idle,
            board,
            line.hardware,
            line.model,
            line.flop,
            line.tokens,
            line.joules,
            line.parents,
            line.model_out,
            line.code,
            line.data,
            line.purpose,
            line.precision,
            sealed,
        )
