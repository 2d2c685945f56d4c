"""``brakeline node top``: books, receipts, programs and orders of one node, in the terminal, renewed until Ctrl-C.

It reads the journal beside the running node (a read-only connection; SQLite's WAL lets both go on) and asks nobody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from brakeline.node import config
from brakeline.node.gap import Gap, gaps_of
from brakeline.node.journal import Delivery, Journal
from brakeline.node.setup import JOURNAL, treaty_of
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Order, Usage, parse_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

PERIODS = 8
"""How many of the newest books are shown."""


@dataclass(frozen=True, slots=True)
class Booked:
    """The books of one period, added up.

    Attributes:
        period: its index on the treaty's grid.
        chip_ms: chip-milliseconds by activity, all classes together.
        flop: FLOP by the model method, by the hardware method where that alone is known.
        receipts: how many logs' verified receipts are held.
    """

    period: int
    chip_ms: dict[str, int]
    flop: int
    receipts: int


@dataclass(frozen=True, slots=True)
class Glance:
    """What the node's journal says at one moment."""

    site: str
    now_period: int
    quorum: int
    booked: tuple[Booked, ...]
    outbox: dict[str, dict[Delivery, int]]
    programs: tuple[tuple[str, str, int], ...]
    orders: tuple[tuple[str, str, str, int], ...]
    gaps: tuple[Gap, ...] = ()

    def to_json(self) -> JsonObject:
        """Return the JSON object that ``--format json`` prints."""
        booked: list[JsonValue] = [
            {
                "period": b.period,
                "chip_ms": {name: str(value) for name, value in b.chip_ms.items()},
                "flop": str(b.flop),
                "receipts": b.receipts,
            }
            for b in self.booked
        ]
        return {
            "site": self.site,
            "now_period": self.now_period,
            "receipt_quorum": self.quorum,
            "booked": booked,
            "outbox": {name: {s.value: count for s, count in by.items()} for name, by in self.outbox.items()},
            "programs": [{"workload": w, "activity": a, "last_at": at} for w, a, at in self.programs],
            "orders": [{"digest": d, "kind": k, "scope": s, "seen_at": at} for d, k, s, at in self.orders],
            "method_gaps": [gap.to_json() for gap in self.gaps],
        }


def look(folder: Path, now_ms: int | None = None) -> Glance:
    """Read the journal in *folder* once (``config-*``, ``journal-*``, codes of the treaty)."""
    settings = config.load(folder / config.FILE)
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    document = treaty_of(folder, settings, now)
    with Journal(folder / JOURNAL, read_only=True) as journal:
        return Glance(
            settings.site,
            document.grid.period_of(InstantMs(now)),
            document.quorum.receipts,
            _booked(journal, document),
            {v.name: journal.progress(v.name) for v in document.verifiers},
            tuple((s.workload, s.activity.value, s.last_at) for s in journal.open_sessions()),
            tuple(_order(digest, body, at) for digest, body, at in journal.orders()),
            tuple(gaps_of(document, journal)),
        )


def _booked(journal: Journal, document: TreatyDocument) -> tuple[Booked, ...]:
    last, held = journal.last_period(), journal.receipts()
    if last is None:
        return ()
    wanted = {digest for p in range(max(0, last - PERIODS + 1), last + 1) if (digest := journal.usage(p)) is not None}
    found: list[Booked] = []
    for item in journal.envelopes():
        if item.digest not in wanted:
            continue
        usage = parse_statement(Envelope.from_body(item.body).payload).predicate
        if isinstance(usage, Usage):
            found.append(_added(document.grid.period_of(usage.start), usage, held.get(item.digest, 0)))
    return tuple(found)


def _added(period: int, usage: Usage, receipts: int) -> Booked:
    chip_ms: dict[str, int] = {}
    flop = 0
    for line in usage.lines:
        spent = sum(t.value.value for t in line.chip_ms)
        chip_ms[line.activity] = chip_ms.get(line.activity, 0) + spent
        known = line.flop_model or line.flop_hardware
        flop += known.value if known is not None else 0
    return Booked(period, chip_ms, flop, receipts)


def _order(digest: str, body: bytes, at: int) -> tuple[str, str, str, int]:
    order = parse_statement(Envelope.from_body(body).payload).predicate
    if not isinstance(order, Order):
        return digest, "unknown", "", at
    return digest, order.kind, f"periods {order.effective_period} to {order.expiry_period}", at


def show(folder: Path, every_s: float, *, once: bool, console: Console | None = None) -> None:
    """Draw the node in *folder*, again every *every_s* seconds until interrupted; *once*: one time."""
    screen = console or Console()
    if once:
        screen.print(draw(look(folder)))
        return
    try:
        with Live(draw(look(folder)), console=screen, screen=screen.is_terminal, auto_refresh=False) as live:
            while True:
                time.sleep(every_s)
                live.update(draw(look(folder)), refresh=True)
    except KeyboardInterrupt:
        return


def draw(glance: Glance) -> Group:
    """Return the tables of one look."""
    books = Table(title=f"{glance.site}: books (period {glance.now_period} runs)", title_justify="left", expand=True)
    for name in ("period", "chip time by activity, s", "FLOP", "receipts"):
        books.add_column(name)
    for b in glance.booked:
        times = ", ".join(f"{name} {ms / 1000:.1f}" for name, ms in sorted(b.chip_ms.items()) if ms)
        enough = "" if b.receipts >= glance.quorum else f", {glance.quorum} are a quorum"
        books.add_row(str(b.period), times, f"{b.flop:.3g}", f"{b.receipts}{enough}")
    outbox = Table(title="outbox", title_justify="left", expand=True)
    for name in ("verifier", *(state.value for state in Delivery)):
        outbox.add_column(name)
    for name, by in glance.outbox.items():
        outbox.add_row(name, *(str(by[state]) for state in Delivery))
    programs = Table(title="programs", title_justify="left", expand=True)
    for name in ("workload", "activity", "last report, Unix ms"):
        programs.add_column(name)
    for workload, activity, at in glance.programs:
        programs.add_row(workload, activity, str(at))
    orders = Table(title="orders", title_justify="left", expand=True)
    for name in ("digest", "kind", "in force", "seen, Unix ms"):
        orders.add_column(name)
    for digest, kind, scope, at in glance.orders:
        orders.add_row(f"{digest[:16]}...", kind, scope, str(at))
    return Group(books, outbox, programs, orders, *(Text(f"warning: {gap.text()}") for gap in glance.gaps))
