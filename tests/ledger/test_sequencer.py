"""The one writer: what it signs is durable, read back and follows what it signed before; otherwise it signs nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import apsw
import pytest
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.entry import first_previous
from brakeline.ledger.errors import LedgerError, StoreError
from brakeline.ledger.merkle import EMPTY_ROOT, verify_consistency, verify_inclusion
from brakeline.ledger.sequencer import SIGNED, Candidate, Sequencer
from brakeline.ledger.sqlite_store import SqliteStore
from brakeline.ledger.tiles import TileRef
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger import reference
from tests.ledger.logs import KEY, ORIGIN, SIGNER, TIME, candidates, filled, sequencer


def root_of(log: Sequencer) -> bytes:
    """The root over the stored bytes, computed by the definition."""
    return reference.mth([reference.leaf(data) for data in log.store.read_entries(0, log.size)])


def signed(log: Sequencer) -> tuple[int, bytes]:
    assert log.note is not None
    checkpoint = open_checkpoint(log.note, KEY).checkpoint
    return checkpoint.size, checkpoint.root


def test_an_empty_log_signs_the_empty_tree(tmp_path: Path) -> None:
    log = sequencer(tmp_path)
    assert (log.origin, log.size, log.note) == (ORIGIN, 0, None)
    appended = log.append([], TIME)
    assert (appended.entries, appended.size) == ((), 0)
    assert signed(log) == (0, EMPTY_ROOT)
    log.close()


def test_a_batch_becomes_entries_under_one_checkpoint(tmp_path: Path) -> None:
    log = sequencer(tmp_path)
    first = log.append(candidates(3), TIME)
    second = log.append(candidates(2, 3), TIME + 5)
    assert [entry.index for entry in (*first.entries, *second.entries)] == [0, 1, 2, 3, 4]
    assert [entry.received_at_ms for entry in second.entries] == [TIME + 5] * 2
    assert first.entries[0].previous == first_previous(ORIGIN)
    assert second.entries[0].previous == first.entries[2].digest
    assert list(log.store.read_entries(0, 5)) == [e.encode() for e in (*first.entries, *second.entries)]
    assert second.note == log.note
    assert signed(log) == (5, root_of(log))
    log.close()


def test_received_at_never_goes_back_when_the_clock_does_not_even_after_opening_again(tmp_path: Path) -> None:
    log = filled(tmp_path, 1)
    assert log.append(candidates(1, 1), TIME - 60_000).entries[0].received_at_ms == TIME
    log.close()
    log = sequencer(tmp_path)
    assert log.append(candidates(1, 2), 0).entries[0].received_at_ms == TIME
    assert log.append([], TIME + 9).entries == ()
    assert log.append(candidates(1, 3), TIME + 1).entries[0].received_at_ms == TIME + 1
    log.close()


def test_signing_again_what_is_signed_changes_nothing(tmp_path: Path) -> None:
    log = filled(tmp_path, 2)
    note = log.note
    assert log.append([], TIME).note == note
    log.close()
    log = sequencer(tmp_path)
    assert log.note == note
    assert log.append([], TIME).note == note
    log.close()


def test_every_proof_it_makes_verifies(tmp_path: Path) -> None:
    log = filled(tmp_path, 300)
    size, root = signed(log)
    for index in (0, 1, 255, 256, 299):
        leaf = reference.leaf(next(log.store.read_entries(index, index + 1)))
        verify_inclusion(index, size, leaf, log.inclusion(index, size), root)
    for smaller in (1, 255, 256, 257, 300):
        verify_consistency(smaller, size, log.consistency(smaller, size), log.root_at(smaller), root)
    assert log.root_at(0) == EMPTY_ROOT
    log.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(batches=st.lists(st.tuples(st.integers(0, 120), st.booleans()), min_size=1, max_size=6))
def test_any_batches_with_any_restarts_give_the_tree_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[int, bool]]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    log = sequencer(directory)
    for count, restart in batches:
        log.append(candidates(count, log.size), TIME)
        if restart:
            log.close()
            log = sequencer(directory)
        assert signed(log) == (log.size, root_of(log))
    log.close()


# --- what is on the disk is not what was signed


def test_a_log_restored_from_a_backup_is_behind_and_signs_nothing(tmp_path: Path) -> None:
    filled(tmp_path, 5).close()
    backup = shutil.copy(tmp_path / "log.sqlite", tmp_path / "backup")
    log = sequencer(tmp_path)
    note = log.append(candidates(3, 5), TIME).note
    log.close()
    for name in ("log.sqlite-wal", "log.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(backup, tmp_path / "log.sqlite")
    log = sequencer(tmp_path)
    for attempt in (log.reload, lambda: log.append(candidates(3, 5, "other"), TIME), lambda: log.append([], TIME)):
        with pytest.raises(StoreError, match=r"store-behind: .*expected at least 8 entries, found 5"):
            attempt()
    log.close()
    store = CheckpointStore(tmp_path / "checkpoint.sqlite")
    assert store.read(SIGNED) == note
    store.close()


def test_a_log_whose_checkpoint_store_is_gone_signs_nothing(tmp_path: Path) -> None:
    filled(tmp_path, 5).close()
    for file in tmp_path.glob("checkpoint.sqlite*"):
        file.unlink()
    log = sequencer(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreError, match="store-forgotten"):
            log.append(candidates(1), TIME)
    log.close()


def test_another_history_of_the_same_length_is_a_fork_and_signs_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "one", 5).close()
    other = sequencer(tmp_path / "other")
    other.append(candidates(7, word="another"), TIME)
    other.close()
    shutil.copy(tmp_path / "other" / "log.sqlite", tmp_path / "one" / "log.sqlite")
    log = sequencer(tmp_path / "one")
    for _ in range(2):
        with pytest.raises(StoreError, match="store-forked"):
            log.append(candidates(1), TIME)
    log.close()


def test_a_log_that_is_ahead_of_its_checkpoint_goes_on(tmp_path: Path) -> None:
    """A crash between the commit and the signature: nothing was acknowledged, nothing is lost."""
    log = filled(tmp_path, 300)
    log.close()
    before = shutil.copy(tmp_path / "checkpoint.sqlite", tmp_path / "backup")
    log = sequencer(tmp_path)
    log.append(candidates(300, 300), TIME)
    log.close()
    shutil.copy(before, tmp_path / "checkpoint.sqlite")
    log = sequencer(tmp_path)
    assert (log.size, signed(log)[0]) == (600, 300)
    log.append([], TIME)
    assert signed(log) == (600, root_of(log))
    log.close()


def change(path: Path, statement: str, *values: object) -> None:
    db = apsw.Connection(str(path))
    db.execute(statement, tuple(values))
    db.close()


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("UPDATE entry SET data = ? WHERE idx = 4", (b"damage",)),
        ("UPDATE entry SET data = (SELECT data FROM entry WHERE idx = 3) WHERE idx = 4", ()),
        ("DELETE FROM entry WHERE idx = 4", ()),
        ("UPDATE tile SET data = zeroblob(32 * 7) WHERE level = 0", ()),
        ("DELETE FROM tile", ()),
    ],
)
def test_damage_is_found_before_anything_is_signed_over_it(
    tmp_path: Path, statement: str, values: tuple[object, ...]
) -> None:
    filled(tmp_path, 7).close()
    change(tmp_path / "log.sqlite", statement, *values)
    log = sequencer(tmp_path)
    for _ in range(2):
        with pytest.raises(StoreError, match="store-corrupt"):
            log.append(candidates(1, 7), TIME)
    log.close()


# --- stores that fail on request: real ones, with one operation that goes wrong


class FlakyStore(SqliteStore):
    """Does what *fault* says at the next append, once."""

    fault: str = ""

    def append(self, first: int, entries: Sequence[bytes], tiles: Mapping[TileRef, bytes]) -> None:
        fault, self.fault = self.fault, ""
        if fault == "before":
            raise StoreError(code="store-io", message="the disk failed")
        if fault == "entry":
            entries = [*entries[:-1], entries[-1][:-1] + b"?"]
        if fault == "tile":
            tiles = {ref: data[:-1] + bytes([data[-1] ^ 1]) for ref, data in tiles.items()}
        super().append(first, entries, tiles)
        if fault == "after":
            raise StoreError(code="store-io", message="the disk failed")


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[tuple[FlakyStore, Sequencer]]:
    store = FlakyStore(tmp_path / "log.sqlite")
    log = Sequencer(store, CheckpointStore(tmp_path / "checkpoint.sqlite"), KEY, SIGNER)
    log.append(candidates(3), TIME)
    yield store, log
    log.close()


@pytest.mark.parametrize("fault", ["entry", "tile"])
def test_what_reads_back_differently_is_never_signed(flaky: tuple[FlakyStore, Sequencer], fault: str) -> None:
    store, log = flaky
    note = log.note
    store.fault = fault
    with pytest.raises(StoreError, match="store-corrupt"):
        log.append(candidates(2, 3), TIME)
    with pytest.raises(StoreError, match="store-corrupt"):  # and still after reading the whole log again
        log.append([], TIME)
    checkpoints = log.__dict__["_checkpoints"]
    assert checkpoints.read(SIGNED) == note


@pytest.mark.parametrize(("fault", "size"), [("before", 3), ("after", 5)])
def test_after_an_error_the_log_is_read_again_and_goes_on(
    flaky: tuple[FlakyStore, Sequencer], fault: str, size: int
) -> None:
    """Whether the write arrived is unknown; the next append finds out."""
    store, log = flaky
    store.fault = fault
    with pytest.raises(StoreError, match="store-io"):
        log.append(candidates(2, 3), TIME)
    assert log.size == size
    assert log.append(candidates(1, size), TIME).size == size + 1
    assert signed(log) == (size + 1, root_of(log))


def test_an_entry_that_cannot_be_encoded_is_refused_and_the_log_goes_on(tmp_path: Path) -> None:
    log = filled(tmp_path, 2)
    item = candidates(1)[0]
    for bad in (Candidate(item.kind, item.source, bytes(65_536)), Candidate(item.kind, bytes(300), b"")):
        with pytest.raises(LedgerError, match="entry-"):
            log.append([item, bad], TIME)
        assert log.size == 2
    assert log.append([item], TIME).size == 3
    log.close()


def test_a_checkpoint_store_that_somebody_else_wrote_stops_the_writer(tmp_path: Path) -> None:
    log = filled(tmp_path, 2)
    checkpoints: CheckpointStore = log.__dict__["_checkpoints"]
    other = filled(tmp_path / "other", 9)
    assert other.note is not None
    checkpoints.compare_and_swap(SIGNED, log.note, other.note)
    other.close()
    with pytest.raises(StoreError, match="store-swap"):
        log.append(candidates(1, 2), TIME)
    with pytest.raises(StoreError, match="store-behind"):
        log.append(candidates(1, 2), TIME)
    log.close()
