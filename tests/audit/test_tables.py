"""The audit's tables, read back: every row of the logs, exact numbers, and the columns that the page of docs tells."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from brakeline.audit.commands import app
from brakeline.audit.table_columns import COLUMNS
from brakeline.ledger.entry import Kind
from typer.testing import CliRunner

from tests.audit.conftest import Audited
from tests.support import cast

LOGS = Path(__file__).parents[2] / "examples" / "logs"
Rows = list[dict[str, Any]]


def read(folder: Path) -> Mapping[str, Rows]:
    parquet = importlib.import_module("pyarrow.parquet")
    return {path.stem: parquet.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))}


@pytest.fixture(scope="module")
def tables(audited: Audited) -> Mapping[str, Rows]:
    return read(audited.tables)


def test_the_page_of_the_specification_names_every_table_and_column() -> None:
    page = (LOGS.parents[1] / "docs" / "spec" / "tables.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z_]+) \| [^|]* \| ([^|]*) \|$", page, re.MULTILINE)
    told = {name: dict(item.split(" ", 1) for item in columns.split(", ")) for name, columns in rows[1:]}
    assert told == {name: dict(columns) for name, columns in COLUMNS.items()}


def test_every_table_is_there_with_its_columns(audited: Audited, tables: Mapping[str, Rows]) -> None:
    assert set(tables) == set(COLUMNS)
    for name, rows in tables.items():
        assert all(list(row) == list(COLUMNS[name]) for row in rows)
    assert all(tables[name] for name in COLUMNS if name not in ("energy", "receipts", "acknowledgements", "challenges"))


def test_every_statement_and_heartbeat_of_a_log_that_reproduces_is_a_row(
    audited: Audited, tables: Mapping[str, Rows]
) -> None:
    log = audited.scene.world.logs[0]
    published = log.entries[: log.published_size]
    for name, kind in (("statements", Kind.STATEMENT), ("heartbeats", Kind.HEARTBEAT)):
        rows = [row for row in tables[name] if row["log"] == log.name]
        assert [(row["index"], row["received_at_ms"]) for row in rows] == [
            (entry.index, entry.received_at_ms) for entry in published if entry.kind is kind
        ]
    ended = next(item.divergence for item in audited.report.logs if item.origin == cast.VERIFIERS[2])
    assert ended is not None
    assert max(row["index"] for row in tables["heartbeats"] if row["log"] == cast.VERIFIERS[2]) < (ended.index or 0)


def test_books_are_exact_whatever_their_size_and_stand_once(audited: Audited, tables: Mapping[str, Rows]) -> None:
    tokens = {row["tokens"] for row in tables["books"] if row["workload"] == "base"}
    assert tokens == {str(10**40 - 1)}
    lines = [(row["statement"], row["line"]) for row in tables["books"]]
    assert len(lines) == len(set(lines))
    whose = {(row["statement"], row["line"]): (row["site"], row["activity"]) for row in tables["books"]}
    sums: dict[tuple[str, str], int] = {}
    for row in tables["chip_time"]:
        key = whose[row["statement"], row["line"]]
        sums[key] = sums.get(key, 0) + int(row["chip_ms"])
    for site in audited.detail.sites:
        assert {name.value: ms for name, ms in site.chip_ms.items()} == {
            activity: ms for (name, activity), ms in sums.items() if name == site.site
        }


def test_findings_figures_and_orders_are_those_of_the_report(audited: Audited, tables: Mapping[str, Rows]) -> None:
    found = {item.digest: item for item in audited.report.findings}
    standing = [row for row in tables["findings"] if row["stands"]]
    assert [row["finding"] for row in standing] == list(found)
    for row in standing:
        body = found[row["finding"]].body
        assert {name: row[name] for name in ("rule", "severity", "about")} == {
            name: body[name] for name in ("rule", "severity", "about")
        }
        figures = {item["name"]: item["value"] for item in tables["figures"] if item["finding"] == row["finding"]}
        assert figures == body["figures"]
    (order,) = tables["orders"]
    assert order["order"] == audited.detail.orders[0].digest
    assert {row["site"]: row["books"] for row in tables["order_sites"]} == {
        cast.SITE: "kept",
        cast.OTHER_SITE: "broken",
    }
    assert [row["code"] for row in tables["unchecked"]] == [item.code for item in audited.report.unchecked]


def test_the_command_writes_tables_with_receipts_it_could_not_read(tmp_path: Path) -> None:
    (tmp_path / "receipts").mkdir()
    (tmp_path / "receipts" / "bad.tlog-proof").write_text("no receipt")
    pin = (LOGS / "pin").read_text().strip()
    command = ["replay", str(LOGS / "verifier-1.example"), "--treaty", str(LOGS / "treaty.json"), "--pin", pin]
    done = CliRunner().invoke(
        app, [*command, "--tables", str(tmp_path / "tables"), "--receipts", str(tmp_path / "receipts")]
    )
    assert done.exit_code == 1, done.output
    tables = read(tmp_path / "tables")
    (row,) = tables["receipts"]
    assert (row["file"], row["outcome"], row["log"]) == ("bad.tlog-proof", "unreadable", None)
    assert {row["log"] for row in tables["statements"]} == {"verifier-1.example"}


def test_without_the_library_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str) -> object:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr("brakeline.audit.tables.importlib.import_module", absent)
    pin = (LOGS / "pin").read_text().strip()
    command = ["replay", str(LOGS / "verifier-1.example"), "--treaty", str(LOGS / "treaty.json"), "--pin", pin]
    done = CliRunner().invoke(app, [*command, "--tables", str(tmp_path / "tables")])
    assert "tables-missing" in str(done.exception)
    assert "brakeline[tables]" in str(done.exception)
