"""The SQLite checkpoint store: the suite of every engine, and what is SQLite's own (readers, damage)."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from brakeline.ledger.checkpoint_store import CheckpointStore, read_slot
from brakeline.ledger.errors import StoreError
from brakeline.ledger.store import CheckpointSlots

from tests.ledger.store_conformance import CheckpointConformance


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.sqlite"


class TestSqliteCheckpoints(CheckpointConformance):
    def open(self, directory: Path) -> CheckpointSlots:
        return CheckpointStore(directory / "checkpoint.sqlite")


def test_what_was_swapped_is_there_for_readers_while_the_writer_has_the_store(path: Path) -> None:
    store = CheckpointStore(path)
    store.compare_and_swap("signed", None, b"one")
    assert read_slot(path, "signed") == b"one"
    assert read_slot(path, "published") is None
    store.close()


def test_a_missing_or_foreign_file_is_refused(path: Path) -> None:
    with pytest.raises(StoreError, match="store-io"):
        read_slot(path, "signed")
    path.write_bytes(b"this is no database" * 2_000)
    for _ in range(2):  # the lock is given back
        with pytest.raises(StoreError, match="store-corrupt"):
            CheckpointStore(path)


def test_a_note_of_another_type_is_damage_and_not_nothing_signed(path: Path) -> None:
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE checkpoint (slot TEXT PRIMARY KEY, note)")
    db.execute("INSERT INTO checkpoint VALUES ('signed', NULL)")
    db.close()
    store = CheckpointStore(path)
    with pytest.raises(StoreError, match="store-corrupt"):
        store.read("signed")
    with pytest.raises(StoreError, match="store-corrupt"):
        store.compare_and_swap("signed", None, b"one")
    store.close()
    with pytest.raises(StoreError, match="store-corrupt"):
        read_slot(path, "signed")
