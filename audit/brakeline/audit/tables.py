"""What an audit read and found, as Parquet tables for DuckDB, pandas or anything else that reads them.

What it is: one file a table in a folder (docs/spec/tables.md has the columns), written in one further pass over the
verified copies, in batches, so that memory does not grow with the logs. Quantities (FLOP, chip-milliseconds, joules,
tokens) are decimal strings, exact whatever their size; instants, indexes and counts are 64-bit integers. What it is
not: judgement, or a copy of the logs. Of a log whose replay ended early, the entries before that end are here.

Needs pyarrow (the extra ``[tables]``).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias, cast

from brakeline.audit.copies import Replayed
from brakeline.audit.look import Look
from brakeline.audit.table_columns import COLUMNS
from brakeline.ledger.entry import Entry, Kind, parse_source
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.treaty.order_report import report as order_report
from brakeline.treaty.quantities import Flop, Joules, Tokens
from brakeline.treaty.replay import Facts
from brakeline.treaty.spotcheck.challenge import parse_challenge
from brakeline.treaty.statements import Acknowledgement, Evidence, Statement, Usage, parse_statement

BATCH = 4096
"""Rows that are held before they are written."""

Row: TypeAlias = Mapping[str, object]
Put: TypeAlias = Callable[[str, Row], None]


def write_tables(look: Look, directory: Path) -> list[Path]:
    """Write every table into *directory* (made if absent), replacing those that are there; return the paths.

    Raises:
        BrakelineError: ``tables-missing``: pyarrow is not installed.
    """
    arrow, parquet = _library("pyarrow"), _library("pyarrow.parquet")
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        tables = {
            name: stack.enter_context(_Table(arrow, parquet, directory / f"{name}.parquet", columns))
            for name, columns in COLUMNS.items()
        }
        for name, row in _rows(look):
            tables[name].add(row)
    return sorted(directory / f"{name}.parquet" for name in COLUMNS)


class _Table:
    """One file: rows in, batches out."""

    def __init__(self, arrow: Any, parquet: Any, path: Path, columns: Mapping[str, str]) -> None:
        self._arrow = arrow
        kinds = {
            "text": arrow.string(),
            "quantity": arrow.string(),
            "integer": arrow.int64(),
            "yes or no": arrow.bool_(),
            "texts": arrow.list_(arrow.string()),
        }
        self._schema = arrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


def _library(name: str) -> Any:
    try:
        return cast("Any", importlib.import_module(name))
    except ModuleNotFoundError:
        raise BrakelineError(
            code="tables-missing",
            message="the library that writes tables is not installed",
            expected="pyarrow",
            found="none",
            fix="pip install 'brakeline[tables]'",
        ) from None


def _rows(look: Look) -> Iterator[tuple[str, Row]]:
    """Yield (table, row) of everything."""
    yield from _report(look)
    known = _Known({key for facts in look.parts for key in facts.corrected})
    for copy in look.copies:
        yield from _log(copy, look.document, known)
        known.read += () if copy.facts is None else (copy.facts,)
    yield from _orders(look)
    for item in look.receipts:
        yield "receipts", item._asdict()


# what the report says ------------------------------------------------------------------------------------------------


_EMPTY: Row = {"expected": "", "found": "", "fix": "", "index": None}


def _report(look: Look) -> Iterator[tuple[str, Row]]:
    report = look.report
    for log in report.logs:
        yield (
            "logs",
            {
                "source": log.source,
                "log": log.origin,
                "state": log.state.value,
                "size": log.size,
                "root": log.root,
                "cosignatures": len(log.cosigned),
                "quorum": log.quorum,
                "newest_ms": log.newest_ms,
                "stale_ms": log.stale_ms,
                "divergence": None if log.divergence is None else log.divergence.code,
                "divergence_at": None if log.divergence is None else log.divergence.index,
            },
        )
    for place, problem in enumerate((*report.problems, *report.unchecked)):
        yield (
            "unchecked",
            {"place": place, **_EMPTY, **problem.to_json()},
        )
    yield from _findings(look)


def _findings(look: Look) -> Iterator[tuple[str, Row]]:
    """Yield what stands, then what was cleared, as far as the logs have its words."""
    standing = {item.digest: item for item in look.report.findings}
    docket = {item.finding: item for item in look.report.docket}
    for digest in dict.fromkeys([*standing, *docket]):
        found, item = standing.get(digest), docket.get(digest)
        body = {} if found is None else found.body
        yield (
            "findings",
            {
                "finding": digest,
                "stands": found is not None,
                **{name: body.get(name) for name in ("rule", "severity", "article", "about", "period", "statements")},
                "sentence": found.sentence if found is not None else item.sentence if item is not None else "",
                "misconduct": found is not None and found.misconduct,
                "docket": None if item is None else item.state,
                "opened_ms": None if item is None else item.opened_ms,
                "reply_due_ms": None if item is None else item.reply_due_ms,
                "replies": [] if item is None else list(item.replies),
                "determination": None if item is None else item.determination or None,
                "conclusion": None if item is None else item.conclusion or None,
            },
        )
        figures = body.get("figures")
        for name, value in figures.items() if isinstance(figures, dict) else ():
            yield "figures", {"finding": digest, "name": name, "value": str(value)}


def _orders(look: Look) -> Iterator[tuple[str, Row]]:
    parts = list(look.parts)
    orders = sorted({digest for facts in parts for digest in facts.orders})
    for digest in orders:
        made = order_report(look.document, parts, digest, look.findings, look.report.as_of_ms or 0)
        if made is None:
            continue
        said = made.order
        yield (
            "orders",
            {
                "order": digest,
                "kind": said.kind,
                "who": list(said.scope.who),
                "activities": [activity.value for activity in said.scope.activities],
                "above": said.scope.above,
                "effective_period": said.effective_period,
                "until_period": made.until,
                "exercise": said.exercise,
                "reason": said.reason,
                "first_ms": made.first_ms,
                "held_ms": made.held_ms,
                "due_ms": made.due_ms,
                "binding_period": made.binding,
            },
        )
        for site in made.sites:
            yield (
                "order_sites",
                {
                    "order": digest,
                    "site": site.site,
                    "quorum_ms": site.quorum_ms,
                    "seen_at": site.seen_at,
                    "stopped_at": site.stopped_at,
                    "heard_ms": site.heard_ms,
                    **{f"{name}_after_ms": value for name, value in site.latencies._asdict().items()},
                    "books": site.kept.value,
                    "kept_until": site.kept_until,
                    "leaked_at_least": str(site.leaked.at_least),
                    "leaked_at_most": str(site.leaked.at_most),
                    "bound": None if site.bound is None else str(site.bound.flop),
                },
            )


class _Known:
    """Which books a correction took back, and the facts of the copies that were written already."""

    def __init__(self, corrected: set[tuple[str, int, str]]) -> None:
        self.corrected = corrected
        self.read: list[Facts] = []

    def wrote(self, digest: str) -> bool:
        """Whether a copy before holds the statement: what it says is then in the tables."""
        raw = bytes.fromhex(digest)
        return any(facts.arrivals.get(raw) is not None for facts in self.read)


# what the logs say ---------------------------------------------------------------------------------------------------


def _log(copy: Replayed, document: TreatyDocument, known: _Known) -> Iterator[tuple[str, Row]]:
    """Yield the rows of one copy's entries, up to where its replay ended."""
    report, reader = copy.copy.report, copy.copy.reader
    if reader is None:
        return
    end = reader.size if report.divergence is None else report.divergence.index or 0
    try:
        for entry in reader.entries():
            if entry.index >= end:
                break
            yield from _entry(report.origin, report.source, entry, document, known)
    except BrakelineError:
        return  # the copy's own report says where it ends, and why


def _entry(
    origin: str, source: str, entry: Entry, document: TreatyDocument, known: _Known
) -> Iterator[tuple[str, Row]]:
    place = {"source": source, "log": origin, "index": entry.index, "received_at_ms": entry.received_at_ms}
    if entry.kind is Kind.HEARTBEAT:
        beat = parse_heartbeat(entry.body)
        yield "heartbeats", {**place, "mirrored": [item.origin for item in beat.mirrored]}
    elif entry.kind is Kind.CHALLENGE:
        asked = parse_challenge(entry.body)
        more = {"usage": asked.usage, "rows": asked.rows, "drawn": asked.count}
        yield "challenges", {**place, "challenge": asked.digest, "site": asked.site, "period": asked.period, **more}
    elif entry.kind is Kind.STATEMENT:
        envelope = Envelope.from_body(entry.body)
        statement = parse_statement(envelope.payload)
        yield "statements", {**place, **_statement(statement, entry, [keyid for keyid, _ in envelope.signatures])}
        if not known.wrote(statement.digest):
            yield from _said(statement, document, known)


def _statement(statement: Statement, entry: Entry, keyids: Sequence[str]) -> Row:
    name, index = _source(entry.source)
    return {
        "statement": statement.digest,
        "predicate": statement.name,
        "author": getattr(statement.predicate, "author", None),
        "sequence": getattr(statement.predicate, "sequence", None),
        "signed_by": list(keyids),
        "came_from": name,
        "came_from_index": index,
        "bytes": len(entry.body),
    }


def _source(source: bytes) -> tuple[str | None, int | None]:
    """Return who brought an entry, and where it stood there: nobody is refused for it, so it may be anything."""
    try:
        return parse_source(source) if source else (None, None)
    except BrakelineError:
        return None, None


def _said(statement: Statement, document: TreatyDocument, known: _Known) -> Iterator[tuple[str, Row]]:
    """Yield what a statement says, once however many logs hold it."""
    said = statement.predicate
    if isinstance(said, Usage):
        period = document.grid.index_of(said.start, said.end)
        corrected = period is not None and (said.author, period, statement.digest) in known.corrected
        yield from _books(statement.digest, said, period, corrected=corrected)
    elif isinstance(said, Evidence):
        span = {"start_ms": said.start.value, "end_ms": said.end.value}
        yield (
            "energy",
            {"statement": statement.digest, "by": said.author, "site": said.site, **span, "joules": str(said.joules)},
        )
    elif isinstance(said, Acknowledgement):
        for item in said.workloads:
            times = {
                name: None if (at := getattr(item, name)) is None else at.value
                for name in ("agreed_at", "ceased_at", "durable_at")
            }
            yield (
                "acknowledgements",
                {
                    "statement": statement.digest,
                    "order": said.order,
                    "site": said.author,
                    "seen_at": said.seen_at.value,
                    "stopped_at": said.stopped_at.value,
                    "workload": item.workload,
                    "step": item.step,
                    "freeze": item.freeze,
                    "resumed": item.resumed,
                    **times,
                },
            )


def _books(digest: str, said: Usage, period: int | None, *, corrected: bool) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(said.lines):
        key = {"statement": digest, "line": number}
        yield (
            "books",
            {
                **key,
                "site": said.author,
                "period": period,
                "corrected": corrected,
                "workload": line.workload,
                "activity": line.activity.value,
                "flop_hardware": _quantity(line.flop_hardware),
                "flop_model": _quantity(line.flop_model),
                "tokens": _quantity(line.tokens),
                "joules": _quantity(line.joules),
                "parents": None if line.parents is None else list(line.parents),
                "model_out": line.model_out,
                "code": line.code,
                "data": line.data,
            },
        )
        for time in line.chip_ms:
            yield "chip_time", {**key, "class": time.chip_class, "chip_ms": str(time.value)}


def _quantity(value: Flop | Tokens | Joules | None) -> str | None:
    return None if value is None else str(value)
