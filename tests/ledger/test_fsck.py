"""fsck: every bit of a store or a copy that is read is checked, and damage is told from absence."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest
from brakeline.ledger.checkpoint_store import read_slot
from brakeline.ledger.errors import SourceError, StoreError
from brakeline.ledger.fsck import Health, check_source, check_store
from brakeline.ledger.sequencer import SIGNED, Sequencer
from brakeline.ledger.source import DirectorySource
from brakeline.ledger.sqlite_store import SqliteReader
from brakeline.ledger.tiles import tree_tiles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.logs import KEY, TIME, candidates, exported, filled, sequencer
from tests.support.tamper import flip, log_files

SIZE = 300


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("live")
    filled(directory, SIZE).close()
    return directory


def check(directory: Path, note: bytes | None = None) -> Health:
    store = SqliteReader(directory / "log.sqlite")
    try:
        return check_store(store, note or read_slot(directory / "checkpoint.sqlite", SIGNED), KEY)
    finally:
        store.close()


def test_a_sound_store_is_sound(live: Path) -> None:
    log = sequencer(live)
    root = log.root_at(SIZE)
    log.close()
    assert check(live) == Health(SIZE, root, None)


def test_a_sound_copy_is_sound(tmp_path: Path) -> None:
    health = check_source(DirectorySource(exported(tmp_path, SIZE)), KEY)
    assert (health.size, health.problem) == (SIZE, None)


def content(path: Path) -> list[bytes]:
    """All that a store says about the log."""
    store = SqliteReader(path)
    try:
        size = store.size()
        return [*store.read_entries(0, size), *(store.read_tile(ref) for ref in tree_tiles(size))]
    finally:
        store.close()


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_of_the_stores_file_is_found_or_changes_nothing_that_is_read(
    live: Path, tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    before = content(live / "log.sqlite")
    directory = tmp_path_factory.mktemp("flip")
    data = bytearray((live / "log.sqlite").read_bytes())
    data[at % len(data)] ^= 1 << bit
    (directory / "log.sqlite").write_bytes(data)
    shutil.copy(live / "checkpoint.sqlite", directory)
    try:
        health = check(directory)
        found = health.problem is not None
    except StoreError:
        found = True
    if not found:
        assert content(directory / "log.sqlite") == before
    log = sequencer_or_none(directory)
    if log is not None:
        try:
            log.reload()
        except StoreError:
            assert found
        else:
            assert not found
        log.close()
    shutil.rmtree(directory)


def sequencer_or_none(directory: Path) -> Sequencer | None:
    try:
        return sequencer(directory)
    except StoreError:
        return None


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM entry WHERE idx = 299", "holds less"),
        ("DELETE FROM entry WHERE idx = 7", "missing"),
        ("UPDATE entry SET data = x'00' WHERE idx = 7", "not an entry"),
        ("UPDATE entry SET data = (SELECT data FROM entry WHERE idx = 8) WHERE idx = 7", "does not follow"),
        ("UPDATE tile SET data = zeroblob(8192) WHERE level = 0 AND n = 0", "tile/0/000 differs"),
        ("DELETE FROM tile WHERE level = 1", "tile/1/000.p/1 differs"),
    ],
)
def test_damage_is_named(live: Path, tmp_path: Path, statement: str, message: str) -> None:
    copy = shutil.copytree(live, tmp_path / "copy")
    db = apsw.Connection(str(copy / "log.sqlite"))
    db.execute(statement)
    db.close()
    assert message in str(check(copy).problem)


def test_another_history_than_the_signed_one_is_named(live: Path, tmp_path: Path) -> None:
    other = sequencer(tmp_path)
    other.append(candidates(SIZE, word="other"), TIME)
    other.close()
    assert "signed root" in str(check(tmp_path, read_slot(live / "checkpoint.sqlite", SIGNED)).problem)


def test_a_log_that_has_signed_nothing_yet_is_checked_too(live: Path) -> None:
    store = SqliteReader(live / "log.sqlite")
    steps: list[tuple[int, int]] = []
    assert check_store(store, None, KEY, lambda at, total: steps.append((at, total))).problem is None
    assert steps == [(SIZE, SIZE)]
    store.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mask=st.integers(1, 255))
def test_any_flipped_byte_of_a_copy_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, mask: int
) -> None:
    directory = tmp_path_factory.mktemp("copy")
    log = exported(directory, 260)
    file = data.draw(st.sampled_from(log_files(log)))
    flip(log, directory / "flipped", file, data.draw(st.integers(0, 100_000)), mask)
    assert check_source(DirectorySource(directory / "flipped"), KEY).problem is not None


def test_a_missing_tile_is_damage_and_a_missing_log_is_not(tmp_path: Path) -> None:
    log = exported(tmp_path, 3)
    (log / "tile/entries/000.p/3").unlink()
    problem = check_source(DirectorySource(log), KEY).problem
    assert problem is not None
    assert problem.code == "source-missing-tile"
    with pytest.raises(SourceError, match="source-no-checkpoint"):
        check_source(DirectorySource(tmp_path / "nowhere"), KEY)
