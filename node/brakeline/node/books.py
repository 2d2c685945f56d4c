"""The books of one period: counters and an inventory in, usage lines that sum exactly to inventory x period out. Pure.

*Time.* A period is cut into slots. Within each, every session's counters are interpolated between the samples around
the slot's ends (integers, rounded down); what a session had been booked so far is subtracted, so that nothing is
counted twice and counters that arrive late, or did not fit into a slot, are booked in the next one instead of lost.
What no metered program used is ``idle``; time during which a meter was lost is ``unattributed``. So the lines of each
chip class sum to count x period, by construction. *Idle* therefore means "used by no metered program": what runs
outside a meter is not seen here, and only other people's evidence speaks to it.

*FLOP.* ``flop_model`` is what the program reported, and absent where one of the programs computed and could not say how
much. ``flop_hardware`` is chip time x dense peak x utilisation, and a
process meter knows core time, not how busy the arithmetic units were: it is booked only where the operator declares a
measured utilisation for the class, and is absent (unknown) otherwise. Declaring 1 would book several times what was
computed; declaring nothing leaves the conservative bound (chip time x peak) to whoever judges.

A meter places chip time no more exactly than its sampling interval (and kernel ticks), while steps are counted when
they end. Where reported FLOP need more chip time at peak than was placed in the slot, up to ``RESOLUTION_MS`` of it is
booked here and subtracted later; beyond that the books say what was measured, and ``peak-exceeded`` may speak.

*Joules.* From the treaty's chip classes: board watts while busy, idle watts while idle or unattributed (a floor),
remainders of the division carried from line to line so that the sum is exact to one joule and idle never exceeds its
watts. They are computed, not measured.

*Counters of the boards* (:class:`Counted`), where ``node.toml`` names a meter of the first class: busy time is theirs,
shared out among the programs that ran in a slot by their processor time (no counter says for which program a chip
worked); where none ran it is ``unattributed``. Time that no reading covers is ``unattributed`` too, and makes
``flop_hardware`` of the programs of that slot unknown. ``flop_hardware`` is work of the tensor cores x dense peak, the
declared utilisation only where the boards have no such counter. Joules are the boards' own: idle lines take the idle
watts of their time, the others the rest by chip time; where the total is not known, no joules are stated.

*The table.* One salted row for every chip and slot (:mod:`brakeline.treaty.spotcheck.table`); a process meter cannot
say which core it was, so chips are filled in the order of their serials. FLOP and joules of a line are shared out over
its chip time in whole numbers, so that the parts add up to the line. The rows stay in the journal, with their salts, to
be opened on challenge.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from brakeline.node.amounts import (
    IDLE,
    UNATTRIBUTED,
    Amount,
    ChipBook,
    Counted,
    Label,
    energy,
    hardware,
    plus,
    spread,
)
from brakeline.node.channel import Sample
from brakeline.node.meters.protocol import commitment
from brakeline.treaty.oversight import Row, RowPart
from brakeline.treaty.quantities import ChipMs, Flop, Joules, Tokens
from brakeline.treaty.spotcheck.table import encode_row, row_salt, slot_edges, table_of
from brakeline.treaty.statements import Activity, ChipTime, MeterRef, Table, UsageLine
from brakeline.treaty.strictjson import JsonObject, canonical

METER = "process-tree"
RESOLUTION_MS = 250
"""How much chip time may be booked ahead of its measurement: one sampling interval and a few kernel ticks."""

_ORDER = tuple(Activity)


@dataclass(frozen=True, slots=True)
class BookedSoFar:
    """What the books up to now hold of a session (chip-ms, FLOP, tokens)."""

    session: str
    busy_ms: int = 0
    flop: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class SessionSamples:
    """A session as the books of a period need it.

    Attributes:
        booked: up to the period's start.
        opened_at: when all counters were zero (Unix ms).
        samples: by number; those within the period, one before and one after where there are such.
        blind: from when to when its meter was lost (Unix ms), None when it was not.
    """

    booked: BookedSoFar
    opened_at: int
    samples: tuple[Sample, ...]
    blind: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Books:
    """What a usage statement carries, the rows behind its table, and the new state of each session.

    ``raw``: the raw counters that the node's own lines commit to, one canonical line each.
    """

    lines: tuple[UsageLine, ...]
    table: Table
    rows: tuple[bytes, ...]
    booked: tuple[BookedSoFar, ...]
    raw: tuple[bytes, ...] = ()


def book(
    start: int,
    end: int,
    sessions: tuple[SessionSamples, ...],
    chips: tuple[ChipBook, ...],
    *,
    secret: bytes,
    slots: int = 4,
    line_count: int = 8,
    counted: Counted | None = None,
) -> Books:
    """Return the books of [*start*, *end*) (Unix ms) of a site.

    Args:
        start: of the period.
        end: of the period.
        sessions: every session with something to book, in a fixed order.
        chips: by class; the first class is the one that the process meter meters, the others are booked idle.
        secret: 32 bytes from a secure source, new for every table: what its rows are salted from.
        slots: into how many slots the period is cut for the table.
        line_count: how many lines the treaty allows, at least 2; small workloads are merged to stay within it.
        counted: what the boards of the first class say, None where no meter of theirs is set.
    """
    edges = slot_edges(start, end, slots)
    day = _Day(edges, chips[0], counted)
    booked = tuple(day.place(session) for session in sessions)
    day.fill(tuple(s.blind for s in sessions if s.blind is not None))
    amounts = _merged(day.amounts, line_count if len(chips) == 1 else line_count - 1)
    name = METER if counted is None else f"{METER}/{counted.meter}"
    lines_read = () if counted is None else counted.lines
    raw = tuple(raw_lines(sessions, start, end, lines_read))
    meter = MeterRef(name=name, digest=commitment(raw))
    lines = tuple(_lines(edges, chips, amounts, counted, meter))
    rows = tuple(_rows(edges, chips, amounts, lines, secret))
    return Books(lines, table_of(rows), rows, booked, raw)


class Curve:
    """A session's cumulative counter as a function of time: linear between samples, flat after the last one."""

    def __init__(self, opened_at: int, points: Iterable[tuple[int, int]]) -> None:
        """Take (instant, value) pairs by number; neither ever goes back, so one that does is raised to the last."""
        self._at, self._values = [opened_at], [0]
        for at, value in points:
            self._at.append(max(self._at[-1], at))
            self._values.append(max(self._values[-1], value))

    def at(self, instant: int) -> int:
        """Return the value at *instant* (Unix ms), rounded down; before the session was opened 0."""
        right = bisect_left(self._at, instant)
        if right == len(self._at):
            return self._values[-1]
        if right == 0 or self._at[right] == instant:
            last = bisect_right(self._at, instant) - 1
            return self._values[last] if last >= 0 else 0
        t0, t1, v0, v1 = self._at[right - 1], self._at[right], self._values[right - 1], self._values[right]
        return v0 + (v1 - v0) * (instant - t0) // (t1 - t0)


def since(session: SessionSamples, start: int) -> SessionSamples:
    """Return *session* as books need it that begin at *start* (Unix ms): what it used before is nobody's to book."""
    if session.opened_at >= start:
        return session
    before = (
        Curve(session.opened_at, points).at(start)
        for points in (
            [(s.at, s.busy_ms) for s in session.samples],
            [(s.at, s.flop or 0) for s in session.samples],
            [(s.at, s.tokens or 0) for s in session.samples],
        )
    )
    return replace(session, booked=BookedSoFar(session.booked.session, *before))


def raw_lines(
    sessions: Iterable[SessionSamples], start: int, end: int, boards: Iterable[bytes] = ()
) -> Iterator[bytes]:
    """Yield the raw counters within a period that a line commits to: samples of programs, then *boards*, readings.

    One canonical JSON line each, with its newline; the SHA-256 over all of them is ``meter.digest``.
    """
    for session in sessions:
        for s in session.samples:
            if start <= s.at < end:
                fields: JsonObject = {"at": s.at, "busy_ms": s.busy_ms, "n": s.n, "session": session.booked.session}
                fields |= {"flop": str(s.flop or 0), "steps": s.steps or 0, "tokens": str(s.tokens or 0)}
                fields |= {"flop": "unknown"} if s.steps and s.flop is None else {}
                fields |= {} if s.recomputed is None else {"recomputed": str(s.recomputed)}
                yield canonical(fields) + b"\n"
    yield from boards


class _Day:
    """A period being filled, slot by slot, with what sessions used of the metered class."""

    def __init__(self, edges: list[int], chips: ChipBook, counted: Counted | None) -> None:
        self.edges, self.chips, self.counted = edges, chips, counted
        self.amounts: dict[Label, Amount] = {}
        self.room = [len(chips.serials) * (b - a) for a, b in pairwise(edges)]

    def place(self, session: SessionSamples) -> BookedSoFar:
        """Book what *session* used in each slot; return what is booked of it then."""
        samples, so_far = session.samples, session.booked
        if not samples:
            return so_far
        curves = (
            Curve(session.opened_at, ((s.at, s.busy_ms) for s in samples)),
            Curve(session.opened_at, ((s.at, s.flop or 0) for s in samples)),
            Curve(session.opened_at, ((s.at, s.tokens or 0) for s in samples)),
        )
        instants = sorted({s.at for s in samples if self.edges[0] < s.at < self.edges[-1]} | set(self.edges[1:]))
        times = [s.at for s in samples]
        for instant in instants:
            sample = samples[min(bisect_left(times, instant), len(samples) - 1)]
            now = [curve.at(instant) for curve in curves]
            label = sample.workload, sample.activity
            so_far = self._add(label, instant, so_far, now, sample.flop is not None)
            if sample.flop is None and sample.steps:
                self._amount(label).unknown = True
        return so_far

    def _add(self, label: Label, instant: int, so_far: BookedSoFar, now: list[int], reported: bool) -> BookedSoFar:
        """Book under *label* what the counters *now* (busy, FLOP, tokens at *instant*) have beyond *so_far*."""
        slot = bisect_left(self.edges, instant) - 1
        flop, tokens = max(so_far.flop, now[1]), max(so_far.tokens, now[2])
        used = now[0] - so_far.busy_ms
        amount = self._amount(label)
        peak = self.chips.peak_flop_per_s
        need = -(-(flop - so_far.flop) * 1000 // peak) if peak else 0
        if self.counted is not None:  # the boards say how long; processor time only says whose it was
            placed = max(0, used)
            amount.weight[slot] += placed
        else:
            placed = min(max(0, used, min(need, used + RESOLUTION_MS)), self.room[slot])
            self.room[slot] -= placed
            amount.busy[slot] += placed
        if reported:
            amount.flop = plus(amount.flop, flop - so_far.flop)
            amount.tokens = plus(amount.tokens, tokens - so_far.tokens)
        return BookedSoFar(so_far.session, so_far.busy_ms + placed, flop, tokens)

    def fill(self, blind: tuple[tuple[int, int], ...]) -> None:
        """Book what is left: unattributed where a meter was lost, idle elsewhere; what boards counted before that."""
        if self.counted is not None:
            spread(self.amounts, self.counted, self.room)
            blind = ()  # the boards were read: what a lost program used is in their busy time
        for slot, (a, b) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            dark = sum(max(0, min(b, until) - max(a, since)) for since, until in blind)
            lost = min(self.room[slot], dark * len(self.chips.serials))
            if lost:
                self._amount(UNATTRIBUTED).busy[slot] += lost
            if self.room[slot] - lost:
                self._amount(IDLE).busy[slot] += self.room[slot] - lost
            self.room[slot] = 0
        self.amounts = {k: v for k, v in self.amounts.items() if sum(v.busy) or v.flop or v.tokens}

    def _amount(self, label: Label) -> Amount:
        return self.amounts.setdefault(label, Amount.nothing(len(self.room)))


def _merged(amounts: dict[Label, Amount], line_count: int) -> dict[Label, Amount]:
    """Return at most *line_count* labels: the smallest merged by activity, then, if need be, into unattributed."""
    most = max(2, line_count)
    by_activity = _fold(amounts, most, lambda label: ("small", label[1]))
    merged = _fold(by_activity, most, lambda _: UNATTRIBUTED)
    return dict(sorted(merged.items(), key=lambda item: (_ORDER.index(item[0][1]), item[0][0])))


def _fold(amounts: dict[Label, Amount], most: int, into: Callable[[Label], Label]) -> dict[Label, Amount]:
    """Merge the smallest labels *into* others until there are at most *most*, or nothing is left to merge."""
    merged = dict(amounts)
    while len(merged) > most:
        candidates = [label for label in merged if label[1] is not Activity.IDLE and into(label) != label]
        if not candidates:
            break
        # one more than the excess, because the merged line needs a place itself
        smallest = sorted(candidates, key=lambda label: (sum(merged[label].busy), label))[: len(merged) - most + 1]
        for label in smallest:
            amount = merged.pop(label)
            merged.setdefault(into(label), Amount.nothing(len(amount.busy))).add(amount)
    return merged


def _rows(
    edges: list[int],
    chips: tuple[ChipBook, ...],
    amounts: dict[Label, Amount],
    lines: tuple[UsageLine, ...],
    secret: bytes,
) -> Iterator[bytes]:
    """Yield the rows of the table: by slot, by class, by serial."""
    shares = {(line.workload, line.activity): _Share(line) for line in lines}
    index = 0
    for slot, (a, b) in enumerate(pairwise(edges)):
        for position, group in enumerate(chips):
            todo = [(label, amount.busy[slot]) for label, amount in amounts.items()] if position == 0 else []
            queue = [item for item in todo if item[1]] or [(IDLE, len(group.serials) * (b - a))]
            for serial in group.serials:
                parts: list[RowPart] = []
                room = b - a
                while room and queue:
                    label, left = queue[0]
                    ms = min(room, left)
                    parts.append(shares[label].take(ms))
                    room -= ms
                    queue[0] = (label, left - ms)
                    if left == ms:
                        queue.pop(0)
                salt = row_salt(secret, index)
                yield encode_row(
                    Row(chip=serial, chip_class=group.chip_class, slot=slot, parts=tuple(parts), salt=salt)
                )
                index += 1


class _Share:
    """Shares FLOP and joules of a line out over its chip time, so that what was given adds up to the line."""

    def __init__(self, line: UsageLine) -> None:
        self._line = line
        stated = [item.value for item in (line.flop_hardware, line.flop_model) if item is not None]
        self._flop = max(stated) if stated else None
        self._joules = None if line.joules is None else line.joules.value
        self._total_ms = max(1, sum(time.value.value for time in line.chip_ms))
        self._given_ms = 0

    def take(self, ms: int) -> RowPart:
        """Return the part of the next *ms* chip-milliseconds."""
        before, self._given_ms = self._given_ms, self._given_ms + ms
        flop, joules = (
            None if figure is None else figure * self._given_ms // self._total_ms - figure * before // self._total_ms
            for figure in (self._flop, self._joules)
        )
        return RowPart(
            workload=self._line.workload,
            activity=self._line.activity,
            ms=ChipMs(ms),
            flop=None if flop is None else Flop(flop),
            joules=None if joules is None else Joules(joules),
        )


def _lines(
    edges: list[int],
    chips: tuple[ChipBook, ...],
    amounts: dict[Label, Amount],
    counted: Counted | None,
    meter: MeterRef,
) -> list[UsageLine]:
    span = edges[-1] - edges[0]
    lines: list[UsageLine] = []
    others = [
        ChipTime.model_validate({"class": c.chip_class, "value": ChipMs(len(c.serials) * span)}) for c in chips[1:]
    ]
    millijoules = energy(amounts, chips[0], counted)
    if millijoules is not None and others:
        millijoules[IDLE] = millijoules.get(IDLE, 0) + sum(c.idle_watts * len(c.serials) * span for c in chips[1:])
    carried = 0
    idle_first = sorted(amounts, key=lambda label: label != IDLE) if IDLE in amounts or not others else [IDLE, *amounts]
    for label in idle_first:
        amount = amounts.get(label, Amount.nothing(1))
        joules = None
        if millijoules is not None:
            whole = millijoules.get(label, 0) + carried
            joules, carried = Joules(whole // 1000), whole % 1000
        own = [ChipTime.model_validate({"class": chips[0].chip_class, "value": ChipMs(sum(amount.busy))})]
        at_rest = label[1] in (Activity.IDLE, Activity.UNATTRIBUTED)
        lines.append(
            UsageLine(
                workload=label[0],
                activity=label[1],
                chip_ms=tuple([*own, *others] if label == IDLE else own),
                flop_hardware=hardware(label, amount, chips[0], counted),
                flop_model=None if amount.flop is None or amount.unknown else Flop(amount.flop),
                tokens=None if amount.tokens is None else Tokens(amount.tokens),
                joules=joules,
                meter=None if at_rest and counted is None else meter,
            )
        )
    return sorted(lines, key=lambda line: (_ORDER.index(line.activity), line.workload))
