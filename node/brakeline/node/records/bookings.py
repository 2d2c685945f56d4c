"""What the books of one period say when records are placed on its chips. Pure; integers; every record's amounts whole.

A record that spans periods or slots is divided by time: of an amount A over D chip-milliseconds, what is booked up to
the d-th is A x d // D, so that all parts add up to A. Chip time that no record covers is what the mapping says it is
(``unattributed``, or ``idle`` where the records are complete; time of a rejected record is unattributed in any case),
with joules by the treaty's idle watts. Classes that the site's own meter books stay as it booked them.

Lines are as many as the treaty allows: records alike in workload, activity, references and in which figures they state
share a line, so that a line's figure is of all its time. Where there are too many, the smallest give up first their
references, then their names, and last their activity; a figure is then the sum of what is stated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import cast

from brakeline.node.amounts import IDLE, UNATTRIBUTED, ChipBook, Label
from brakeline.node.books import BookedSoFar, Books
from brakeline.node.records.place import Placed
from brakeline.node.records.record import AMOUNTS, Record
from brakeline.treaty.counting import Precision, Purpose
from brakeline.treaty.oversight import Row, RowPart
from brakeline.treaty.quantities import ChipMs, Flop, Joules, Tokens
from brakeline.treaty.spotcheck.table import encode_row, read_row, row_salt, slot_edges, table_of
from brakeline.treaty.statements import Activity, ChipTime, MeterRef, UsageLine, to_json
from brakeline.treaty.strictjson import JsonValue, canonical, parse_object

METER = "import"
MAX_BASE = 1 << 30
_ORDER = tuple(Activity)


@dataclass(frozen=True, slots=True)
class Base:
    """What the site's own meter says of a period: lines, rows, the new state of its sessions, and the raw counters."""

    lines: tuple[UsageLine, ...]
    rows: tuple[bytes, ...]
    booked: tuple[BookedSoFar, ...] = ()
    raw: tuple[bytes, ...] = ()

    def metered(self) -> frozenset[str]:
        """Return the classes that it books as anything but idle."""
        return frozenset(
            t.chip_class for line in self.lines if line.activity is not Activity.IDLE for t in line.chip_ms
        )

    def kept(self) -> bytes:
        """Return what the journal keeps of it: the lines that are not idle, and the rows of the classes they are of."""
        metered = self.metered()
        lines: list[JsonValue] = [to_json(line) for line in self.lines if line.activity is not Activity.IDLE]
        rows: list[JsonValue] = [row.decode("utf-8") for row in self.rows if read_row(row).chip_class in metered]
        return canonical({"lines": lines, "rows": rows})


def kept_base(data: bytes) -> Base:
    """Return what :meth:`Base.kept` kept."""
    value = parse_object(data, max_bytes=MAX_BASE)
    lines, rows = (cast("list[JsonValue]", value[name]) for name in ("lines", "rows"))
    return Base(
        tuple(UsageLine.model_validate(line, by_alias=True) for line in lines),
        tuple(str(row).encode("utf-8") for row in rows),
    )


@dataclass(frozen=True, slots=True)
class Terms:
    """The period, and how it is cut.

    Attributes:
        start, end: Unix ms.
        slots, line_count: by the treaty.
        uncovered: what time is that no record covers.
        raw: digest of the records behind these books.
        secret: 32 bytes, new for every table.
    """

    start: int
    end: int
    slots: int
    line_count: int
    uncovered: Label
    raw: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """What a line is about."""

    workload: str
    activity: Activity
    states: frozenset[str]
    model_out: str | None = None
    code: str | None = None
    data: str | None = None
    parents: tuple[str, ...] = ()
    purpose: Purpose | None = None
    precision: Precision | None = None
    imported: bool = True

    @property
    def label(self) -> Label:
        """Workload and activity."""
        return self.workload, self.activity


@dataclass(slots=True)
class _Sums:
    ms: dict[str, int] = field(default_factory=dict[str, int])
    amounts: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, chip_class: str, ms: int, amounts: Mapping[str, int]) -> None:
        self.ms[chip_class] = self.ms.get(chip_class, 0) + ms
        for name, amount in amounts.items():
            self.amounts[name] = self.amounts.get(name, 0) + amount

    def take(self, other: _Sums) -> None:
        for chip_class, ms in other.ms.items():
            self.add(chip_class, ms, {})
        for name, amount in other.amounts.items():
            self.amounts[name] = self.amounts.get(name, 0) + amount


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of one chip within one slot."""

    key: Key
    ms: int
    amounts: Mapping[str, int]


def books_of(
    terms: Terms,
    chips: Sequence[ChipBook],
    base: Base,
    placed: Iterable[Placed],
    dark: Iterable[tuple[str, int, int]] = (),
) -> Books:
    """Return the books of a period.

    Args:
        terms: the period.
        chips: of the inventory, by class.
        base: what the site's own meter says.
        placed: records that touch the period.
        dark: (serial, start, end) of rejected records: where no other covers it, this time is unattributed.
    """
    pieces = _Pieces(terms, chips, base, placed, dark)
    cells = list(pieces.cells())
    sums: dict[Key, _Sums] = {}
    for _, chip_class, _, parts in cells:
        for part in parts:
            sums.setdefault(part.key, _Sums()).add(chip_class, part.ms, part.amounts)
    own = pieces.own_lines
    final = _fold(sums, max(2, terms.line_count) - len(own))
    merged: dict[Key, _Sums] = {}
    for key, amount in sums.items():
        merged.setdefault(final[key], _Sums()).take(amount)
    lines = sorted([*own, *(_line(key, s, terms) for key, s in merged.items())], key=_place)
    rows = tuple(_rows(cells, final, lines, pieces.own_parts, terms.secret))
    return Books(tuple(lines), table_of(rows), rows, base.booked, base.raw)


class _Pieces:
    """The chips of a period, cut into slots, and what each did there."""

    def __init__(
        self, terms: Terms, chips: Sequence[ChipBook], base: Base, placed: Iterable[Placed],
        dark: Iterable[tuple[str, int, int]],
    ) -> None:  # fmt: skip
        self._terms, self._chips = terms, chips
        self._edges = slot_edges(terms.start, terms.end, terms.slots)
        self._metered = base.metered()
        self._spans: dict[str, list[tuple[int, int, Record, int]]] = {}
        for item in placed:
            for number, chip in enumerate(item.chips):
                self._spans.setdefault(chip, []).append((item.record.start, item.record.end, item.record, number))
        self._dark: dict[str, list[tuple[int, int]]] = {}
        for chip, start, end in dark:
            self._dark.setdefault(chip, []).append((start, end))
        self._carried = 0
        self.own_lines = [line for line in base.lines if line.activity is not Activity.IDLE]
        self.own_parts: dict[tuple[int, str], tuple[RowPart, ...]] = {}
        for row in map(read_row, base.rows):
            if row.chip_class in self._metered:
                own = tuple(part for part in row.parts if part.activity is not Activity.IDLE)
                self.own_parts[row.slot, row.chip] = own

    def cells(self) -> Iterator[tuple[int, str, str, list[_Piece]]]:
        """Yield (slot, class, serial, what it did) in the order of the table; the own meter's parts stand apart."""
        for slot, (a, b) in enumerate(pairwise(self._edges)):
            for group in self._chips:
                for serial in group.serials:
                    yield slot, group.chip_class, serial, self._cell(slot, group, serial, a, b)

    def _cell(self, slot: int, group: ChipBook, serial: str, a: int, b: int) -> list[_Piece]:
        if group.chip_class in self._metered:
            own = sum(part.ms.value for part in self.own_parts.get((slot, serial), ()))
            return [self._empty(IDLE, group, b - a - own)] if own < b - a else []
        found: list[_Piece] = []
        at = a
        for start, end, record, number in sorted(self._spans.get(serial, ()), key=lambda span: span[:2]):
            since, until = max(start, a), min(end, b)
            if since >= until:
                continue
            found += self._gap(group, serial, at, since)
            amounts = {name: _share(record, name, number, since, until) for name in _stated(record)}
            found.append(_Piece(_key(record), until - since, amounts))
            at = until
        return found + self._gap(group, serial, at, b)

    def _gap(self, group: ChipBook, serial: str, since: int, until: int) -> list[_Piece]:
        """Return what is booked of time that no record covers."""
        if since >= until:
            return []
        lost = 0
        at = since
        for start, end in sorted(self._dark.get(serial, ())):
            lost += max(0, min(end, until) - max(start, at))
            at = max(at, min(end, until))
        found = [self._empty(UNATTRIBUTED, group, lost)] if lost else []
        return found + (
            [self._empty(self._terms.uncovered, group, until - since - lost)] if until - since > lost else []
        )

    def _empty(self, label: Label, group: ChipBook, ms: int) -> _Piece:
        before, self._carried = self._carried, self._carried + ms * group.idle_watts
        amounts = {"joules": self._carried // 1000 - before // 1000}
        return _Piece(Key(*label, frozenset({"joules"}), imported=False), ms, amounts)


def _stated(record: Record) -> list[str]:
    return [name for name in AMOUNTS if record.amount(name) is not None]


def _key(record: Record) -> Key:
    return Key(
        record.workload, record.activity, frozenset(_stated(record)), record.model_out, record.code, record.data,
        record.parents, record.purpose, record.precision,
    )  # fmt: skip


def _share(record: Record, name: str, number: int, since: int, until: int) -> int:
    """Return the part of an amount that falls to the record's chip *number* in [since, until)."""
    amount, span = record.amount(name) or 0, record.end - record.start
    total, before = span * record.count, number * span - record.start
    return amount * (before + until) // total - amount * (before + since) // total


def _fold(sums: Mapping[Key, _Sums], most: int) -> dict[Key, Key]:
    """Return for every line which line it becomes, so that there are at most *most* (where that can be)."""
    smallest = sorted(sums, key=lambda key: (sum(sums[key].ms.values()), _text(key)))
    final = {key: key for key in sums}
    for less in (_nameless, _small, _lost):
        for key in smallest:
            if len(set(final.values())) <= most:
                return final
            if final[key].label != IDLE:
                final[key] = less(final[key])
    return final


def _text(key: Key) -> str:
    return repr((key.workload, key.activity, sorted(key.states), key.model_out, key.code, key.data, key.parents))


def _nameless(key: Key) -> Key:
    return Key(key.workload, key.activity, key.states, imported=key.imported)


def _small(key: Key) -> Key:
    name = "small" if key.activity is not Activity.UNATTRIBUTED else UNATTRIBUTED[0]
    return replace(key, workload=name, states=frozenset({"folded"}))


def _lost(_: Key) -> Key:
    return Key(*UNATTRIBUTED, frozenset({"folded"}))


def _line(key: Key, sums: _Sums, terms: Terms) -> UsageLine:
    figure = sums.amounts
    return UsageLine(
        workload=key.workload,
        activity=key.activity,
        chip_ms=tuple(
            ChipTime.model_validate({"class": name, "value": ChipMs(ms)}) for name, ms in sorted(sums.ms.items())
        ),
        flop_hardware=Flop(figure["flop_hardware"]) if "flop_hardware" in figure else None,
        flop_model=Flop(figure["flop"]) if "flop" in figure else None,
        tokens=Tokens(figure["tokens"]) if "tokens" in figure else None,
        joules=Joules(figure["joules"]) if "joules" in figure else None,
        parents=key.parents or None,
        model_out=key.model_out,
        code=key.code,
        data=key.data,
        meter=MeterRef(name=METER, digest=terms.raw) if key.imported else None,
        purpose=key.purpose,
        precision=key.precision,
    )


def _place(line: UsageLine) -> tuple[object, ...]:
    figures = [None if f is None else f.value for f in (line.flop_model, line.flop_hardware, line.tokens, line.joules)]
    named = (line.model_out or "", line.code or "", line.data or "", line.parents or ())
    return _ORDER.index(line.activity), line.workload, named, repr(figures), repr(line.chip_ms)


def _rows(
    cells: Iterable[tuple[int, str, str, list[_Piece]]],
    final: Mapping[Key, Key],
    lines: Iterable[UsageLine],
    own: Mapping[tuple[int, str], tuple[RowPart, ...]],
    secret: bytes,
) -> Iterator[bytes]:
    """Yield the rows of the table; a part states a figure exactly where a line of its label does."""
    flop_of = {(x.workload, x.activity) for x in lines if x.flop_model is not None or x.flop_hardware is not None}
    joules_of = {(x.workload, x.activity) for x in lines if x.joules is not None}
    for index, (slot, chip_class, serial, pieces) in enumerate(cells):
        parts: dict[Label, tuple[int, int, int]] = {}
        mine = [
            (p.workload, p.activity, p.ms.value, _value(p.flop), _value(p.joules)) for p in own.get((slot, serial), ())
        ]
        for piece in pieces:
            flop = max(piece.amounts.get("flop", 0), piece.amounts.get("flop_hardware", 0))
            mine.append((*final[piece.key].label, piece.ms, flop, piece.amounts.get("joules", 0)))
        for workload, activity, ms, flop, joules in mine:
            sums = parts.get((workload, activity), (0, 0, 0))
            parts[workload, activity] = sums[0] + ms, sums[1] + flop, sums[2] + joules
        yield encode_row(
            Row(
                chip=serial,
                chip_class=chip_class,
                slot=slot,
                parts=tuple(
                    RowPart(
                        workload=label[0],
                        activity=label[1],
                        ms=ChipMs(ms),
                        flop=Flop(flop) if label in flop_of else None,
                        joules=Joules(joules) if label in joules_of else None,
                    )
                    for label, (ms, flop, joules) in parts.items()
                ),
                salt=row_salt(secret, index),
            )
        )


def _value(figure: Flop | Joules | None) -> int:
    return 0 if figure is None else figure.value
