"""Looking on: what every log holds by now, read over HTTP as anybody could.

Used to show progress and to know when everything has arrived everywhere. It is no auditor: it follows each log's chain
under its signed checkpoint, believes what admission let in, and judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import httpx
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import HttpSource
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Acknowledgement, Activity, Evidence, Order, Statement, Usage, parse_statement
from brakeline.treaty.terms import VerifierTerms

TIMEOUT_S = 3.0


@dataclass
class View:
    """One log as far as it was read."""

    verifier: VerifierTerms
    source: HttpSource
    size: int = 0
    previous: bytes | None = None
    held: dict[str, int] = field(default_factory=dict[str, int])
    """Statement digest -> index."""
    heartbeat: int = -1
    """Index of the newest heartbeat; findings for everything before it are in the log."""
    findings: int = 0
    newest_ms: int = -1

    def fresh(self) -> Iterator[Entry]:
        """Yield the entries that are new, verified; nothing while the log cannot be read."""
        try:
            reader = LogReader(self.source, self.verifier.log_key)
            if reader.size <= self.size:
                return
            for entry in reader.entries(self.size, previous=self.previous):
                self.size, self.previous = entry.index + 1, entry.digest
                self.newest_ms = entry.received_at_ms
                yield entry
        except LedgerError:  # not up yet, or killed a moment ago; the audit will say if it stays so
            return


class Observer:
    """All logs of a testnet."""

    def __init__(self, document: TreatyDocument) -> None:
        """Read the logs at the addresses that *document* gives."""
        self._document = document
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)
        self.views = [View(v, HttpSource(v.url, self._client)) for v in document.verifiers]
        self.statements: dict[str, Statement] = {}
        self.order_at: dict[str, int] = {}
        """When the first log took an order in (Unix ms, that log's clock), by statement digest."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def look(self) -> None:
        """Read what is new in every log."""
        for view in self.views:
            for entry in view.fresh():
                if entry.kind is Kind.HEARTBEAT:
                    view.heartbeat = entry.index
                elif entry.kind is Kind.FINDING:
                    view.findings += 1
                elif entry.kind in (Kind.TREATY, Kind.STATEMENT):
                    statement = parse_statement(Envelope.from_body(entry.body).payload)
                    self.statements.setdefault(statement.digest, statement)
                    view.held[statement.digest] = entry.index
                    if isinstance(statement.predicate, Order):
                        first = self.order_at.get(statement.digest, entry.received_at_ms)
                        self.order_at[statement.digest] = min(first, entry.received_at_ms)

    def period_of(self, statement: Statement) -> int | None:
        """Return the period that books or evidence are about, None for other statements."""
        said = statement.predicate
        if isinstance(said, Usage | Evidence):
            return self._document.grid.index_of(said.start, said.end)
        return None

    def settled(self, sites: Sequence[str], periods: int, *, metered: bool) -> bool:
        """Say whether all logs alike hold, and have judged, the books (and evidence) of the first *periods*."""
        wanted: set[str] = set()
        books: set[tuple[str, int]] = set()
        evidence: set[str] = set()
        for digest, statement in self.statements.items():
            period = self.period_of(statement)
            if period is not None and period >= periods:
                continue
            wanted.add(digest)
            said = statement.predicate
            if isinstance(said, Usage) and period is not None:
                books.add((said.author, period))
            elif isinstance(said, Evidence) and period == periods - 1:
                evidence.add(said.site)
        complete = all((site, period) in books for site in sites for period in range(periods))
        if not complete or (metered and not evidence.issuperset(sites)):
            return False
        return all(
            wanted <= view.held.keys() and view.heartbeat > max(view.held[digest] for digest in wanted)
            for view in self.views
        )

    def order_held(self, kind: str) -> str | None:
        """Return the digest of the order of *kind* when every log holds it."""
        digest = self.order(kind)
        return digest if digest is not None and all(digest in view.held for view in self.views) else None

    def order(self, kind: str) -> str | None:
        """Return the digest of the order of *kind* that a log holds, None while there is none."""
        for digest, statement in self.statements.items():
            if isinstance(statement.predicate, Order) and statement.predicate.kind == kind:
                return digest
        return None

    def acknowledgements(self, kind: str) -> dict[str, Acknowledgement]:
        """Return site -> what it said last of the order of *kind*."""
        digest = self.order(kind)
        found = [s.predicate for s in self.statements.values() if isinstance(s.predicate, Acknowledgement)]
        ours = sorted((said for said in found if said.order == digest), key=lambda said: said.sequence)
        return {said.author: said for said in ours}

    def training(self, site: str) -> dict[int, tuple[int, int]]:
        """Return period -> (chip-ms, FLOP) of training in the books of *site*; of several versions the largest."""
        found: dict[int, tuple[int, int]] = {}
        for statement in self.statements.values():
            said, period = statement.predicate, self.period_of(statement)
            if isinstance(said, Usage) and said.author == site and period is not None:
                lines = [line for line in said.lines if line.activity is Activity.TRAINING]
                chip_ms = sum(time.value.value for line in lines for time in line.chip_ms)
                flop = sum(line.flop_model.value for line in lines if line.flop_model is not None)
                found[period] = max(found.get(period, (0, 0)), (chip_ms, flop))
        return dict(sorted(found.items()))
