"""Files of records: CSV with a header, one JSON object a line, and ``sacct``'s text. Every row comes out, or why not.

Nothing is guessed: a column that the mapping does not know ends the import before any row is read; a row that has too
many members, or values that are no text, number or list of them, is rejected and the next one read. CSV and JSON Lines
are UTF-8. Of ``sacct`` the columns of :mod:`brakeline.node.meters.slurm` come first, in its form, with whatever columns
the mapping uses behind them (``JobName``, ``Partition``, ``Account``, ``Comment``): each job is a row for each type of
chip that it held, from its start on for as long as it held them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from brakeline.node.meters import slurm
from brakeline.node.meters.protocol import MeterError
from brakeline.node.records.mapping import Mapping, RecordsError
from brakeline.node.records.record import Odd, Record, Source, understand

MAX_LINE: Final = 1024 * 1024
FORMATS: Final = ("csv", "jsonl", "sacct")


@dataclass(frozen=True, slots=True)
class Understood:
    """A row that is a record."""

    source: Source
    record: Record


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not booked: where it stood, a stable code, why, and the row as it was read."""

    source: Source
    code: str
    why: str
    row: str
    record: Record | None = None


def read(path: Path, form: str | None, mapping: Mapping, site: str) -> Iterator[Understood | Rejected]:
    """Yield every row of the file *path*, in order.

    Args:
        path: the file.
        form: one of ``FORMATS``; None: by the file's ending (.csv, .jsonl, else sacct's text).
        mapping: what its names mean.
        site: for whom.

    Raises:
        RecordsError: ``import-unreadable``, ``import-columns`` (a column that nobody knows; a file without a header).
    """
    form = form or {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}.get(path.suffix, "sacct")
    reader: Callable[[Path, Mapping], Iterable[tuple[int, dict[str, str] | Odd, str]]]
    reader = {"csv": _csv, "jsonl": _jsonl, "sacct": _sacct}[form]
    of_row = mapping.model_copy(update={"columns": {}, "time": "s"}) if form == "sacct" else mapping
    try:
        for line, row, text in reader(path, mapping):
            source = Source(path.name, line)
            try:
                if isinstance(row, Odd):
                    raise row
                yield Understood(source, understand(row, of_row, site))
            except Odd as odd:
                yield Rejected(source, odd.code, odd.why, text)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordsError(
            code="import-unreadable", message=f"{path.name} cannot be read", expected=f"{form} in UTF-8",
            found=str(error)[:200],
        ) from None  # fmt: skip


def _csv(path: Path, mapping: Mapping) -> Iterator[tuple[int, dict[str, str] | Odd, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, strict=True)
        none: list[str] = []
        header = next(rows, none)
        _check_columns(path, header, mapping)
        for values in rows:
            if not values:
                continue
            text = ",".join(values)
            if len(values) != len(header):
                odd = Odd("import-row", f"expected {len(header)} columns, found {len(values)}")
                yield rows.line_num, odd, text
            else:
                yield rows.line_num, dict(zip(header, values, strict=True)), text


def _check_columns(path: Path, columns: list[str], mapping: Mapping) -> None:
    known = {*mapping.named(), *mapping.ignore}
    strange = [column for column in columns if column not in known or columns.count(column) > 1]
    if strange or not columns:
        raise RecordsError(
            code="import-columns",
            message=f"{path.name}, line 1: a column that the mapping does not know, or that stands twice",
            expected=", ".join(sorted(known))[:300],
            found=", ".join(strange)[:200] or "no header",
            fix="name it in [columns], or in ignore, of the mapping",
        )


def _jsonl(path: Path, mapping: Mapping) -> Iterator[tuple[int, dict[str, str] | Odd, str]]:
    known = {*mapping.named(), *mapping.ignore}
    with path.open("rb") as file:
        for number, data in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), start=1):
            text = data.decode("utf-8").strip()
            if len(data) > MAX_LINE:
                raise csv.Error(f"line {number} is longer than {MAX_LINE} bytes")
            if text:
                yield number, _object(text, known), text


def _object(text: str, known: set[str]) -> dict[str, str] | Odd:
    try:
        value: object = json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return Odd("import-row", f"expected one JSON object, found {str(error)[:100]}")
    if not isinstance(value, dict):
        return Odd("import-row", "expected one JSON object")
    row: dict[str, str] = {}
    for name, item in cast("dict[str, object]", value).items():
        if name not in known:
            return Odd("import-row", f"{name}: the mapping does not know it (name it in [columns] or ignore)")
        said = _said(item)
        if said is None:
            return Odd("import-row", f"{name}: expected text, a number, or a list of them")
        row[name] = said
    return row


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


def _said(item: object) -> str | None:
    if item is None:
        return ""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return item
    if isinstance(item, list):
        parts = [_said(part) for part in cast("list[object]", item)]
        return None if None in parts else ";".join(part for part in parts if part)
    return None


def _sacct(path: Path, mapping: Mapping) -> Iterator[tuple[int, dict[str, str] | Odd, str]]:
    lines = path.read_text("utf-8").splitlines()
    header = lines[0].split("|") if lines else []
    mine = len(slurm.FIELDS)
    wanted = {theirs: ours for ours, theirs in mapping.columns.items() if theirs in header[mine:]}
    if tuple(header[:mine]) != slurm.FIELDS:
        raise RecordsError(
            code="import-columns", message=f"{path.name}, line 1: this is not sacct's text",
            expected="|".join(slurm.FIELDS) + "|...", found=lines[0][:200] if lines else "no header",
            fix="docs/operators.md has the command that writes it",
        )  # fmt: skip
    _check_columns(path, [*wanted, *(c for c in header[mine:] if c not in wanted)], mapping)
    for number, text in enumerate(lines[1:], start=2):
        values = text.split("|")
        if len(values) != len(header):
            yield number, Odd("import-row", f"expected {len(header)} columns, found {len(values)}"), text
            continue
        more = {wanted[name]: value for name, value in zip(header[mine:], values[mine:], strict=True) if name in wanted}
        try:
            jobs = slurm.parse("|".join(slurm.FIELDS) + "\n" + "|".join(values[:mine]) + "\n")
        except MeterError as error:
            yield number, Odd("import-row", f"{error.message}: expected {error.expected}, found {error.found}"), text
            continue
        for job in jobs:
            yield from ((number, row, text) for row in _held(job, more))


def _held(job: slurm.Job, more: dict[str, str]) -> Iterator[dict[str, str] | Odd]:
    """Yield a row for each type of chip that *job* held."""
    if job.started_s is None or not job.elapsed_s:
        yield Odd("import-window", "the job held nothing yet")
    elif job.ended_s is None:
        yield Odd("import-running", "the job still runs: import it again when it has ended")
    elif not job.chips:
        yield Odd("import-chip", "the job held no chips (no gres/gpu in AllocTRES)")
    else:
        energy = job.energy_j
        for kind, count in sorted(job.chips.items()):
            row = {"job": f"job-{job.id}", "class": kind, "count": str(count), "start": str(job.started_s)}
            row |= {"end": str(job.started_s + job.elapsed_s)} | more
            if energy is not None and len(job.chips) == 1:
                row["joules"] = str(energy)
            yield {name: value for name, value in row.items() if value}
