"""The check: is an opened row what the books commit to, and can it be true beside their lines?

Sees: a row that is not in the table; a table that has not one row a chip and slot; a row of another slot than its
index; parts that do not fill the slot; time, FLOP or joules of a workload that the books have no such line for, or less
of; FLOP above the peak of the chip. Cannot see: whether a row that fits the lines is true (meters and third parties
speak to that); whether the chip is one of the inventory's.
Arithmetic: integers; FLOP of a part may exceed chip time x peak by less than one FLOP, since parts are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.merkle import leaf_hash, verify_inclusion
from brakeline.treaty.oversight import OpenedRow, RowPart
from brakeline.treaty.spotcheck.table import encode_row, slot_edges


class RowFault(StrEnum):
    """What is wrong with an opened row, in the order in which it is looked for."""

    TABLE_SIZE = "table-size"
    PROOF = "not-in-table"
    SLOT = "another-slot"
    TIME = "slot-not-filled"
    LINE = "no-such-line"
    BEYOND_LINE = "beyond-line"
    PEAK = "beyond-peak"


@dataclass(frozen=True, slots=True)
class LineFigures:
    """What one line of the books says, as far as rows are held against it.

    Attributes:
        chip_ms: chip class -> chip-milliseconds.
        flop: the larger of both methods, None where neither is stated.
        joules: None where not stated.
        flop_sealed, joules_sealed: the figure is stated and sealed, in part or whole: nothing is held against it.
    """

    chip_ms: Mapping[str, int]
    flop: int | None
    joules: int | None
    flop_sealed: bool = False
    joules_sealed: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """The books of one period, as far as rows are held against them.

    Attributes:
        start_ms, end_ms: the period.
        root: of the table, 32 bytes.
        rows: of the table.
        lines: (workload, activity) -> its figures; lines of one name are one.
        opaque: how many lines are sealed whole; where there are any, rows cannot be held against the books.
    """

    start_ms: int
    end_ms: int
    root: bytes
    rows: int
    lines: Mapping[tuple[str, str], LineFigures]
    opaque: int = 0

    @property
    def chips(self) -> int:
        """Chips whose time the lines sum to, rounded down."""
        total = sum(ms for line in self.lines.values() for ms in line.chip_ms.values())
        return total // (self.end_ms - self.start_ms)


def check_row(books: Committed, opened: OpenedRow, slots: int, peaks: Mapping[str, int]) -> RowFault | None:
    """Say what is wrong with *opened* under *books*; None when nothing is.

    Args:
        books: that the row is said to be of.
        opened: the row, its index and its proof.
        slots: of a period, by the treaty.
        peaks: chip class -> dense peak, FLOP per second.
    """
    if books.rows != books.chips * slots or not books.rows:
        return RowFault.TABLE_SIZE
    if not _in_table(books, opened):
        return RowFault.PROOF
    row = opened.row
    if row.slot != opened.index // books.chips:
        return RowFault.SLOT
    edges = slot_edges(books.start_ms, books.end_ms, slots)
    if sum(part.ms.value for part in row.parts) != edges[row.slot + 1] - edges[row.slot]:
        return RowFault.TIME
    return next((fault for part in row.parts if (fault := _check_part(books, row.chip_class, part, peaks))), None)


def _in_table(books: Committed, opened: OpenedRow) -> bool:
    proof = [bytes.fromhex(item) for item in opened.proof]
    try:
        verify_inclusion(opened.index, books.rows, leaf_hash(encode_row(opened.row)), proof, books.root)
    except BrakelineError:
        return False
    return True


def _check_part(books: Committed, chip_class: str, part: RowPart, peaks: Mapping[str, int]) -> RowFault | None:
    line = books.lines.get((part.workload, part.activity.value))
    if line is None or chip_class not in line.chip_ms:
        return RowFault.LINE
    flop = 0 if part.flop is None else part.flop.value
    joules = 0 if part.joules is None else part.joules.value
    fits = (
        part.ms.value <= line.chip_ms[chip_class],
        line.flop_sealed or ((part.flop is None) is (line.flop is None) and flop <= (line.flop or 0)),
        line.joules_sealed or ((part.joules is None) is (line.joules is None) and joules <= (line.joules or 0)),
    )
    if not all(fits):
        return RowFault.BEYOND_LINE
    peak = peaks.get(chip_class)
    return RowFault.PEAK if peak is not None and flop * 1000 >= part.ms.value * peak + 1000 else None
