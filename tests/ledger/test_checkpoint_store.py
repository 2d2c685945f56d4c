"""The checkpoint store: compare-and-swap, one writer, apart from the log."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from brakeline.ledger.checkpoint_store import CheckpointStore, read_slot
from brakeline.ledger.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.sqlite"


def test_a_swap_replaces_exactly_what_the_writer_believes(path: Path) -> None:
    store = CheckpointStore(path)
    assert store.read("signed") is None
    store.compare_and_swap("signed", None, b"one")
    store.compare_and_swap("signed", b"one", b"two")
    for believed in (None, b"one", b"three", b""):
        with pytest.raises(StoreError, match="store-swap"):
            store.compare_and_swap("signed", believed, b"four")
        assert store.read("signed") == b"two"
    store.close()


def test_slots_are_apart(path: Path) -> None:
    store = CheckpointStore(path)
    store.compare_and_swap("signed", None, b"one")
    assert store.read("published") is None
    store.compare_and_swap("published", None, b"other")
    assert (store.read("signed"), store.read("published")) == (b"one", b"other")
    store.close()


def test_what_was_swapped_is_there_after_opening_again_and_for_readers_meanwhile(path: Path) -> None:
    store = CheckpointStore(path)
    store.compare_and_swap("signed", None, b"one")
    assert read_slot(path, "signed") == b"one"
    assert read_slot(path, "published") is None
    store.close()
    store = CheckpointStore(path)
    assert store.read("signed") == b"one"
    store.close()


def test_a_second_writer_is_refused_until_the_first_closes(path: Path) -> None:
    store = CheckpointStore(path)
    with pytest.raises(StoreError, match="store-locked"):
        CheckpointStore(path)
    store.close()
    CheckpointStore(path).close()


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
