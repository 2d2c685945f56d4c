"""The SQLite engine: the suite of every store, and what is SQLite's own (full disks, damage, settings, locks)."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from brakeline.ledger import sqlite_store
from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.errors import StoreError
from brakeline.ledger.sqlite_store import SqliteReader, SqliteStore, connect, connect_writer
from brakeline.ledger.store import CheckpointSlots, LogStore, LogView

from tests.ledger.logs import TIME, candidates, filled, sequencer
from tests.ledger.store_conformance import EngineConformance, StoreConformance


class TestSqliteStore(StoreConformance):
    def open(self, directory: Path) -> LogStore:
        return SqliteStore(directory / "log.sqlite")

    def view(self, directory: Path) -> LogView:
        return SqliteReader(directory / "log.sqlite")


class TestSqliteEngine(EngineConformance):
    def open_log(self, directory: Path) -> LogStore:
        return SqliteStore(directory / "log.sqlite")

    def open_checkpoints(self, directory: Path) -> CheckpointSlots:
        return CheckpointStore(directory / "checkpoint.sqlite")


@contextmanager
def pages(most: int) -> Generator[None]:
    """Every SQLite file opened in this block can grow to *most* pages: a disk that is full."""

    def limit(db: apsw.Connection) -> None:
        db.pragma("max_page_count", most)

    apsw.connection_hooks.append(limit)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(limit)


def test_settings_are_those_that_survive_a_power_cut(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "log.sqlite")
    other = apsw.Connection(str(tmp_path / "log.sqlite"))
    assert (other.pragma("journal_mode"), other.pragma("page_size")) == ("wal", 65_536)
    other.close()
    store.close()
    with pytest.raises(StoreError, match="store-settings"):
        connect_writer(Path(":memory:"), "")


def test_a_full_disk_acknowledges_nothing_and_the_log_goes_on_when_there_is_room(tmp_path: Path) -> None:
    acknowledged = 0
    with pages(12):
        log = sequencer(tmp_path)
        with contextlib.suppress(StoreError):
            while True:
                acknowledged = log.append(candidates(20, acknowledged), TIME).size
        assert 0 < log.size == acknowledged
        assert log.note is not None
        with pytest.raises(StoreError, match="store-disk-full"):
            log.append(candidates(400, acknowledged), TIME)
        log.close()
    log = sequencer(tmp_path)
    assert log.size == acknowledged
    assert log.append(candidates(400, acknowledged), TIME).size == acknowledged + 400
    assert [entry[-len(str(i)) :] for i, entry in enumerate(log.store.read_entries(0, log.size))] == [
        str(i).encode() for i in range(acknowledged + 400)
    ]
    log.close()


FULL = """
import resource, sys
from pathlib import Path
from brakeline.ledger.errors import StoreError
from tests.ledger.logs import TIME, candidates, sequencer

log = sequencer(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
acknowledged = log.size
try:
    while True:
        acknowledged = log.append(candidates(50, acknowledged), TIME).size
except StoreError as error:
    print(acknowledged, error.code)
"""


def test_writes_that_the_system_refuses_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    acknowledged, code = done.stdout.split()
    assert code in ("store-disk-full", "store-io")
    log = sequencer(tmp_path)
    assert log.size >= int(acknowledged) > 0
    assert log.append(candidates(50, log.size), TIME).note == log.note
    log.close()


def test_a_second_process_on_one_log_is_refused(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    code = "from tests.ledger.logs import sequencer\nimport sys, pathlib\nsequencer(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "store-locked" in done.stderr
    log.append(candidates(1, 3), TIME)
    log.close()


def test_a_reader_follows_a_writer(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    reader = SqliteReader(tmp_path / "log.sqlite")
    assert reader.size() == 3
    log.append(candidates(300, 3), TIME)
    assert reader.size() == 303
    assert list(reader.read_entries(0, 303)) == list(log.store.read_entries(0, 303))
    reader.close()
    log.close()


def test_a_store_that_another_program_holds_is_said_to_be_locked(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "log.sqlite")
    stranger = connect(tmp_path / "log.sqlite")
    stranger.execute("BEGIN IMMEDIATE")
    store_db = store.__dict__["_db"]
    store_db.set_busy_timeout(0)
    with pytest.raises(StoreError, match="store-locked"):
        store.append(0, [b"a"], {})
    stranger.execute("ROLLBACK")
    stranger.close()
    store.append(0, [b"a"], {})
    store.close()


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="store-io"):
        SqliteReader(tmp_path / "none.sqlite")
    with pytest.raises(StoreError, match="store-io"):
        SqliteStore(tmp_path / "no-directory" / "log.sqlite")
    (tmp_path / "log.sqlite").write_bytes(b"this is no database" * 2_000)
    for _ in range(2):  # the lock is given back
        with pytest.raises(StoreError, match="store-corrupt"):
            SqliteStore(tmp_path / "log.sqlite")


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    monkeypatch.setattr(sqlite_store, "NETWORK_FILE_SYSTEMS", {fields[2] for fields in mounts})
    with pytest.raises(StoreError, match=r"store-network.*local disk"):
        SqliteStore(tmp_path / "log.sqlite")


@pytest.mark.parametrize("damage", ["NULL", "5", "'text'", "1.5"])
def test_a_column_of_another_type_is_damage(tmp_path: Path, damage: str) -> None:
    filled(tmp_path, 3).close()
    db = apsw.Connection(str(tmp_path / "log.sqlite"))
    db.pragma("writable_schema", True)
    db.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), ') \n', ')') WHERE name = 'entry'")
    db.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'entry'")
    db.close()
    db = apsw.Connection(str(tmp_path / "log.sqlite"))
    db.execute(f"UPDATE entry SET data = {damage} WHERE idx = 1")
    db.close()
    store = SqliteStore(tmp_path / "log.sqlite")
    with pytest.raises(StoreError, match="store-corrupt"):
        list(store.read_entries(0, 3))
    store.close()
