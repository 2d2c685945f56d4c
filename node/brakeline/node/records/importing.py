"""An import through the node's journal: what records say becomes books; of periods already stated, corrections.

The journal keeps every record that is placed, or that only lacks room for now. Books of a period are always made anew:
from what the node's own meter said of it and from all records that are kept. So it does not matter in how many imports,
or in which order, records came; importing a file again changes nothing, and signs nothing. Records and the periods that
they make due are kept in one commit before anything is signed; a crash leaves due periods due, and the next import (of
no file at all, too) goes on.

Periods that are over and not booked yet are booked in order, up to the newest that a record touches. The node must not
run meanwhile (``journal-locked``): start it afterwards, and it sends what was signed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from brakeline.node.amounts import IDLE, UNATTRIBUTED
from brakeline.node.books import BookedSoFar, Books
from brakeline.node.config import FILE, NodeConfig, load
from brakeline.node.gap import open_lines
from brakeline.node.journal import Journal
from brakeline.node.meters.protocol import commitment
from brakeline.node.preview import NoSigner
from brakeline.node.raw import RawCounters
from brakeline.node.records.bookings import Base, Terms, books_of, kept_base
from brakeline.node.records.mapping import Mapping
from brakeline.node.records.place import KEPT, Chips, House, Placed, Placing, place
from brakeline.node.records.read import Rejected, Understood, read
from brakeline.node.records.record import AMOUNTS, Record, restored, stored
from brakeline.node.setup import JOURNAL, TREATY, load_treaty, open_site
from brakeline.node.site import Site
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.spotcheck.table import SECRET_BYTES
from brakeline.treaty.statements import Activity, UsageLine, to_json
from brakeline.treaty.strictjson import JsonObject, JsonValue, parse_object

MAX_RECORD = 4 * 1024 * 1024


@dataclass(slots=True)
class Totals:
    """Sums over rows: how many, their chip time and amounts (those that a row states)."""

    rows: int = 0
    chip_ms: int = 0
    amounts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(AMOUNTS, 0))

    def add(self, record: Record | None) -> None:
        """Add a row; one that is no record has nothing to add but itself."""
        self.rows += 1
        if record is not None:
            self.chip_ms += record.chip_ms
            for name in AMOUNTS:
                self.amounts[name] += record.amount(name) or 0

    def to_json(self) -> JsonObject:
        """Return the sums; amounts as decimal strings."""
        amounts: JsonObject = {name: str(amount) for name, amount in self.amounts.items()}
        return {"rows": self.rows, "chip_ms": str(self.chip_ms), **amounts}


@dataclass(frozen=True, slots=True)
class Stated:
    """Books of a period that were signed, or would be; ``corrects`` is the digest of those that they replace."""

    period: int
    books: Books
    corrects: str | None
    signed: str | None = None

    def to_json(self) -> JsonObject:
        """Return what is printed of it."""
        value: JsonObject = {"period": self.period, "lines": [to_json(line) for line in self.books.lines]}
        value |= {} if self.corrects is None else {"corrects": self.corrects}
        return value | ({} if self.signed is None else {"signed": self.signed})


@dataclass(slots=True)
class Outcome:
    """What became of an import. Every row of the input is in exactly one of booked, unattributed and rejected."""

    read: Totals = field(default_factory=Totals)
    booked: Totals = field(default_factory=Totals)
    unattributed: Totals = field(default_factory=Totals)
    rejected: Totals = field(default_factory=Totals)
    known: int = 0
    rejections: list[Rejected] = field(default_factory=list[Rejected])
    notes: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    displaced: list[str] = field(default_factory=list[str])
    stated: list[Stated] = field(default_factory=list[Stated])


class Importer:
    """Imports into one site."""

    def __init__(
        self, site: Site, config: NodeConfig, folder: Path, mapping: Mapping, now_ms: Callable[[], int]
    ) -> None:
        """Prepare; nothing is read yet."""
        self._site, self._mapping, self._now_ms = site, mapping, now_ms
        self._serials, self._utilisation = config.serials(folder), config.utilisation()
        self._slots = config.books.slots
        self._grid = site.document.grid
        self._bases: dict[int, Base] = {}
        self._held: dict[str, Chips] = {}

    def run(self, files: Iterable[tuple[Path, str | None]], *, sign: bool) -> Outcome:
        """Import *files* (path, format); without *sign* nothing is kept or signed, and what would be is returned.

        Raises:
            RecordsError, SiteError, JournalError.
        """
        outcome = Outcome()
        if sign:
            self._site.settle()
        rows = [row for path, form in files for row in read(path, form, self._mapping, self._site.name)]
        known = {record.id: record for record in self._kept()}
        new = {row.record.id: row.record for row in rows if isinstance(row, Understood)}
        before, after = place(known.values(), self._house()), place({**known, **new}.values(), self._house())
        self._report(outcome, rows, known, after)
        outcome.displaced = sorted({p.record.id for p in before.placed} - {p.record.id for p in after.placed})
        due = self._changed(before, after) | set(self._site.journal.due())
        if sign:
            keep = [p.record for p in after.placed] + [r for r, code, _ in after.rejected if code in KEPT]
            gone = set(known) - {record.id for record in keep}
            fresh = [(r.id, stored(r)) for r in keep if known.get(r.id) != r]
            self._site.journal.keep_records(fresh, gone, due)
        outcome.stated = list(self._state(after, due, sign=sign))
        return outcome

    # -- what is placed ----------------------------------------------------------------------------------------------

    def _kept(self) -> Iterator[Record]:
        for data in self._site.journal.records():
            yield restored(parse_object(data, max_bytes=MAX_RECORD))

    def _house(self) -> House:
        first = self._site.first_period()
        over = self._grid.period_of(InstantMs(max(self._now_ms(), self._grid.start.value)))
        return House(
            first=0 if first is None else first,
            over=over,
            period_of=lambda at: self._grid.period_of(InstantMs(at)) if at >= self._grid.start.value else -1,
            chips=self._chips,
            metered=self._metered,
        )

    def _chips(self, period: int) -> Chips:
        holding = self._site.holding(period)
        if holding is None:
            return {}
        found = self._held.get(holding.digest)
        if found is None:
            books = self._site.chip_books(holding.inventory, self._serials, {})
            found = self._held[holding.digest] = {b.chip_class: b.serials for b in books}
        return found

    def _metered(self, period: int) -> frozenset[str]:
        base = self._base(period)
        if base.lines and not base.rows:  # another host of this site booked it: its rows are not here
            return frozenset(self._chips(period))
        return base.metered()

    def _base(self, period: int) -> Base:
        """Return what the node's own meter says of *period*."""
        found = self._bases.get(period)
        if found is not None:
            return found
        journal, digest = self._site.journal, self._site.journal.usage(period)
        own = journal.own_books(period)
        if own is not None:
            found = kept_base(own)
        elif digest is not None:
            found = Base(self._lines(digest), tuple(journal.rows(period)))
        else:
            return self._ahead(period)
        self._bases[period] = found
        return found

    def _ahead(self, period: int) -> Base:
        """Return what the node's own meter would book of a period that is not booked yet, those before it as well."""
        last = self._site.journal.last_period()
        first = self._site.first_period() or 0
        carried: dict[str, BookedSoFar] = {}
        for number in range(first if last is None else last + 1, period + 1):
            if number not in self._bases:
                _, books = self._site.period_books(
                    number,
                    serials=self._serials,
                    utilisation=self._utilisation,
                    slots=self._slots,
                    carried=carried,
                )
                self._bases[number] = Base(books.lines, books.rows, books.booked, books.raw)
            carried |= {item.session: item for item in self._bases[number].booked}
        return self._bases[period]

    def _changed(self, before: Placing, after: Placing) -> set[int]:
        """Return the periods in which something is placed that was not so before, or is no longer."""
        house = self._house()
        now = {p.record.id: p for p in after.placed}
        then = {p.record.id: p for p in before.placed}
        moved = [p for p in after.placed if then.get(p.record.id) != p]
        moved += [p for p in before.placed if now.get(p.record.id) != p]
        return {period for p in moved for period in house.periods(p.record)}

    # -- what is said ------------------------------------------------------------------------------------------------

    def _state(self, placing: Placing, due: set[int], *, sign: bool) -> Iterator[Stated]:
        """Make the books of all periods that are due, and of those before them that are not booked yet."""
        last, first = self._site.journal.last_period(), self._site.first_period()
        if first is None or not due:
            return
        begin = first if last is None else last + 1
        by_period = self._by_period(placing)
        for period in sorted(due | set(range(begin, max(due) + 1))):
            made = self._one(period, by_period.get(period, []), placing, sign=sign)
            if made is not None:
                yield made

    def _by_period(self, placing: Placing) -> dict[int, list[Placed]]:
        house = self._house()
        found: dict[int, list[Placed]] = {}
        for item in placing.placed:
            for period in house.periods(item.record):
                found.setdefault(period, []).append(item)
        return found

    def _one(self, period: int, placed: list[Placed], placing: Placing, *, sign: bool) -> Stated | None:
        site = self._site
        base, holding = self._base(period), site.holding(period)
        if holding is None:
            return None
        start, end = self._grid.start_of(period).value, self._grid.end_of(period).value
        raw = sorted(item.record.raw for item in placed)
        dark = [(r.chip, r.start, r.end) for r, code, _ in placing.rejected if r.chip and code in KEPT]
        terms = Terms(
            start=start,
            end=end,
            slots=site.table_slots(period, self._slots),
            line_count=site.governing(period).limits.line_count,
            uncovered=IDLE if self._mapping.uncovered == "idle" else UNATTRIBUTED,
            raw=commitment(line + b"\n" for line in raw),
            secret=os.urandom(SECRET_BYTES),
        )
        chips = site.chip_books(holding.inventory, self._serials, self._utilisation, period)
        books = books_of(terms, chips, base, placed, dark)
        digest = site.journal.usage(period)
        if digest is not None and self._lines(digest) == books.lines:
            if sign:
                site.journal.not_due(period)
            return None
        if not sign:
            return Stated(period, books, digest)
        reason = f"late data: {len(placed)} imported records speak of this period" if digest is not None else ""
        made = site.sign_books(period, holding, books, replaces=reason, own=base.kept())
        return Stated(period, books, digest, made.digest)

    def _lines(self, digest: str) -> tuple[UsageLine, ...]:
        payload = self._site.journal.payload(digest)
        return () if payload is None else open_lines(payload, self._site.journal.disclosure(digest))

    # -- the report --------------------------------------------------------------------------------------------------

    def _report(
        self, outcome: Outcome, rows: list[Understood | Rejected], known: dict[str, Record], after: Placing
    ) -> None:
        unfit = {record.id: (code, why) for record, code, why in after.rejected}
        seen: set[str] = set()
        for row in rows:
            record = row.record
            outcome.read.add(record)
            if isinstance(row, Understood):
                row = self._judged(row, unfit, seen)
            if isinstance(row, Rejected):
                outcome.rejected.add(record)
                outcome.rejections.append(row)
                continue
            seen.add(row.record.id)
            outcome.known += row.record.id in known
            lost = row.record.activity is Activity.UNATTRIBUTED
            (outcome.unattributed if lost else outcome.booked).add(record)
            where = f"{row.source.file}, line {row.source.line}"
            outcome.notes += [(where, note) for note in row.record.notes]

    def _judged(self, row: Understood, unfit: dict[str, tuple[str, str]], seen: set[str]) -> Understood | Rejected:
        record, text = row.record, row.record.raw.decode("utf-8")
        if record.id in seen:
            return Rejected(row.source, "import-twice", "the same row stands before", text, record)
        if record.id in unfit:
            code, why = unfit[record.id]
            return Rejected(row.source, code, why, text, record)
        return row


def run_in(
    folder: Path,
    files: Iterable[tuple[Path, str | None]],
    mapping: Mapping,
    *,
    sign: bool,
    passphrase: str | None,
    now_ms: Callable[[], int],
) -> Outcome:
    """Import into the node of *folder*, opened for it; without *sign* it is only looked at, and may run.

    Raises:
        BrakelineError: as :meth:`Importer.run`; ``config-*``, ``journal-locked``.
    """
    if sign:
        settings, site = open_site(folder, passphrase.encode() if passphrase else None, now_ms)
        try:
            return Importer(site, settings, folder, mapping, now_ms).run(files, sign=True)
        finally:
            site.journal.close()
    settings = load(folder / FILE)
    document = load_treaty((folder / TREATY).read_bytes(), settings.pin)
    with Journal(folder / JOURNAL, read_only=True) as journal:
        raw = RawCounters(folder, settings.raw, settings.accelerators)
        site = Site(settings.site, document, journal, NoSigner(), now_ms, raw=raw)
        return Importer(site, settings, folder, mapping, now_ms).run(files, sign=False)


def as_json(outcome: Outcome) -> JsonObject:
    """Return *outcome* as ``--format json`` prints it."""
    rejections: list[JsonValue] = [rejection_json(item) for item in outcome.rejections]
    notes: list[JsonValue] = [{"where": where, "note": note} for where, note in outcome.notes]
    return {
        "read": outcome.read.to_json(),
        "booked": outcome.booked.to_json(),
        "unattributed": outcome.unattributed.to_json(),
        "rejected": outcome.rejected.to_json(),
        "known_before": outcome.known,
        "rejections": rejections,
        "notes": notes,
        "displaced": list(outcome.displaced),
        "statements": [item.to_json() for item in outcome.stated],
    }


def rejection_json(item: Rejected) -> JsonObject:
    """Return one rejected row, as the report of rejected rows has it."""
    return {"file": item.source.file, "line": item.source.line, "code": item.code, "why": item.why, "row": item.row}
