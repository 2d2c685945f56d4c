"""A copy of a log is believed only under its checkpoint, and the first divergence has a name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from brakeline.ledger.checkpoint import Checkpoint, sign_checkpoint
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import DivergenceError, LedgerError, NoteError, SourceError
from brakeline.ledger.merkle import consistency_proof, inclusion_proof, verify_consistency, verify_inclusion
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import DirectorySource
from brakeline.ledger.tiles import decode_bundle, encode_bundle
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.ledger import reference
from tests.ledger.logs import KEY, ORIGIN, SIGNER, TIME, chain, cosigned, exported, policy, write_log
from tests.support.cast import vkey
from tests.support.tamper import flip, log_files

SIZE = 700
WITNESSES = tuple(policy().witnesses.values())


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = exported(tmp_path_factory.mktemp("reader"), SIZE)
    (directory / "checkpoint").write_bytes(cosigned((directory / "checkpoint").read_bytes()))
    return directory


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flipped") / "log"


def reader(directory: Path, note: bytes | None = None) -> LogReader:
    return LogReader(DirectorySource(directory), KEY, WITNESSES, note)


def divergence(directory: Path) -> DivergenceError:
    with pytest.raises(DivergenceError) as caught:
        list(reader(directory).entries())
    return caught.value


def test_every_entry_comes_out_verified_and_in_order(log: Path) -> None:
    done: list[tuple[int, int]] = []
    entries = list(reader(log).entries(progress=lambda at, total: done.append((at, total))))
    assert [entry.index for entry in entries] == list(range(SIZE))
    assert [entry.previous for entry in entries[1:]] == [entry.digest for entry in entries[:-1]]
    assert done == [(256, SIZE), (512, SIZE), (SIZE, SIZE)]


@pytest.mark.parametrize("start", [1, 255, 256, 300, SIZE - 1, SIZE])
def test_reading_can_begin_in_the_middle(log: Path, start: int) -> None:
    whole = list(reader(log).entries())
    assert list(reader(log).entries(start, previous=whole[start - 1].digest)) == whole[start:]
    if start < SIZE:
        with pytest.raises(DivergenceError, match="replay-chain"):
            next(reader(log).entries(start, previous=bytes(32)))
    with pytest.raises(ValueError, match="entry before"):
        next(reader(log).entries(start))


def test_roots_and_proofs_come_from_verified_hashes(log: Path) -> None:
    opened = reader(log)
    leaves = [entry.leaf_hash for entry in opened.entries()]
    for size in (0, 1, 255, 256, 257, 512, SIZE):
        assert opened.root_at(size) == reference.mth(leaves[:size])
    verify_inclusion(300, SIZE, leaves[300], inclusion_proof(300, SIZE, opened.hash_at), opened.checkpoint.root)
    verify_consistency(
        257, SIZE, consistency_proof(257, SIZE, opened.hash_at), opened.root_at(257), opened.checkpoint.root
    )
    for size in (-1, SIZE + 1):
        with pytest.raises(ValueError, match="not within"):
            opened.root_at(size)


def test_an_empty_log_has_no_entries(tmp_path: Path) -> None:
    write_log(tmp_path, [])
    assert list(reader(tmp_path).entries()) == []
    note = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), KEY, SIGNER)
    with pytest.raises(DivergenceError, match="replay-root"):
        list(reader(tmp_path, note).entries())


def test_tiles_of_a_long_log_are_verified_again_when_they_are_read_again(tmp_path: Path) -> None:
    """More tiles than are kept: what was dropped is believed no more than the first time."""
    size = 80 * 256 + 1
    write_log(tmp_path, [entry.encode() for entry in chain(size)])
    opened = reader(tmp_path)
    leaves = [opened.hash_at(0, index) for index in range(0, size, 256)]
    assert len(set(leaves)) == 81
    proof = inclusion_proof(1, size, opened.hash_at)
    verify_inclusion(1, size, opened.hash_at(0, 1), proof, opened.checkpoint.root)
    tile = tmp_path / "tile/0/000"
    tile.write_bytes(bytes(8192))
    for index in range(256, size, 256):
        opened.hash_at(0, index)
    with pytest.raises(DivergenceError, match="tile/0/000"):
        opened.hash_at(0, 0)


# --- one flipped byte


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mask=st.integers(1, 255))
def test_a_flipped_byte_is_named(log: Path, scratch: Path, data: st.DataObject, mask: int) -> None:
    file = data.draw(st.sampled_from([name for name in log_files(log) if name != "checkpoint"]))
    at = data.draw(st.integers(0, (log / file).stat().st_size - 1))
    hit = flip(log, scratch, file, at, mask)
    error = divergence(scratch)
    if file.startswith("tile/entries/"):
        assert (error.code, error.index) == ("replay-entry", hit.index)
    else:
        assert (error.code, error.path) == ("replay-tile", file)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(0, 10_000), mask=st.integers(1, 255))
def test_a_flipped_byte_of_the_checkpoint_is_rejected_or_costs_a_cosignature(
    log: Path, scratch: Path, at: int, mask: int
) -> None:
    flip(log, scratch, "checkpoint", at, mask)
    try:
        opened = reader(scratch)
    except NoteError:
        return
    assert len(opened.opened.cosignatures) == 3
    assert len(list(opened.entries())) == SIZE


# --- files that are cut, gone, or too large


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_truncated_file_is_named(log: Path, scratch: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from([name for name in log_files(log) if name != "checkpoint"]))
    content = (log / file).read_bytes()
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(log, scratch)
    (scratch / file).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    error = divergence(scratch)
    assert error.path == file
    assert error.code == ("replay-entry" if "entries" in file else "replay-tile")


def test_a_bundle_with_more_than_its_entries_is_damaged(log: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(log, tmp_path / "log")
    path = copy / "tile/entries/001"
    path.write_bytes(path.read_bytes() + b"\0\0")
    error = divergence(copy)
    assert (error.code, error.index, error.path) == ("replay-entry", 511, "tile/entries/001")


def test_a_missing_file_is_named(log: Path, tmp_path: Path) -> None:
    for file in log_files(log):
        copy = shutil.copytree(log, tmp_path / "log", dirs_exist_ok=True)
        (copy / file).unlink()
        with pytest.raises(SourceError, match=file) as caught:
            list(reader(copy).entries())
        assert caught.value.code == ("source-no-checkpoint" if file == "checkpoint" else "source-missing-tile")


def test_a_file_that_is_too_large_is_not_read(log: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(log, tmp_path / "log")
    (copy / "tile/0/000").write_bytes(bytes(8_193))
    with pytest.raises(SourceError, match="source-too-large"):
        list(reader(copy).entries())


def test_an_older_checkpoint_reads_from_full_tiles_when_the_partial_ones_are_gone(log: Path) -> None:
    leaves = [entry.leaf_hash for entry in reader(log).entries()]
    for size in (1, 200, 255):
        note = sign_checkpoint(Checkpoint(ORIGIN, size, reference.mth(leaves[:size])), KEY, SIGNER)
        assert len(list(reader(log, note).entries())) == size


# --- what the log's own operator may have written


def rewritten(tmp_path: Path, change: Callable[[list[Entry]], list[bytes]]) -> DivergenceError:
    write_log(tmp_path, change(chain(300)))
    return divergence(tmp_path)


def test_a_broken_link_under_a_valid_checkpoint_is_named(tmp_path: Path) -> None:
    def change(entries: list[Entry]) -> list[bytes]:
        entries[270] = replace(entries[270], body=b"put in later")
        return [entry.encode() for entry in entries]

    error = rewritten(tmp_path, change)
    assert (error.code, error.index) == ("replay-chain", 271)


@pytest.mark.parametrize("at", [0, 299])
def test_a_wrong_index_or_a_time_that_goes_back_is_named(tmp_path: Path, at: int) -> None:
    def wrong_index(entries: list[Entry]) -> list[bytes]:
        entries[at] = replace(entries[at], index=at + 1)
        return [entry.encode() for entry in entries]

    def back(entries: list[Entry]) -> list[bytes]:
        entries[299] = replace(entries[299], received_at_ms=TIME)
        return [entry.encode() for entry in entries]

    error = rewritten(tmp_path / "index", wrong_index)
    assert (error.code, error.index) == ("replay-chain", at)
    error = rewritten(tmp_path / "time", back)
    assert (error.code, error.index) == ("replay-chain", 299)


def test_what_is_no_entry_under_a_valid_checkpoint_is_named(tmp_path: Path) -> None:
    error = rewritten(tmp_path, lambda entries: [*(entry.encode() for entry in entries[:280]), b"no entry"])
    assert (error.code, error.index) == ("replay-malformed", 280)


def test_a_log_that_does_not_lead_to_its_checkpoint_is_named(tmp_path: Path) -> None:
    write_log(tmp_path, [entry.encode() for entry in chain(300)])
    note = sign_checkpoint(Checkpoint(ORIGIN, 300, bytes(32)), KEY, SIGNER)
    (tmp_path / "checkpoint").write_bytes(note)
    assert divergence(tmp_path).code == "replay-root"


def test_two_damages_at_once_are_still_named(log: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(log, tmp_path / "log")
    edge = copy / "tile/0/002.p/188"
    edge.write_bytes(bytes(len(edge.read_bytes())))
    (copy / "tile/entries/001").write_bytes(b"\xff")
    error = divergence(copy)
    assert (error.code, error.index) == ("replay-entry", 256)


def test_another_logs_checkpoint_is_refused(log: Path) -> None:
    with pytest.raises(NoteError, match="note-unsigned"):
        LogReader(DirectorySource(log), vkey("verifier-2.example", "log"))


# --- a source that changes its answers


class TwoFaced(DirectorySource):
    """Serves the honest copy the first time that a path is asked for, the forged one afterwards."""

    def __init__(self, honest: Path, forged: Path) -> None:
        super().__init__(honest)
        self._forged = DirectorySource(forged)
        self._asked: set[str] = set()

    def read(self, path: str, limit: int) -> bytes | None:
        known = path in self._asked
        self._asked.add(path)
        # A forger shows the true hashes to the one who checks the root, and false entries throughout.
        if path.startswith("tile/entries/") or known:
            return self._forged.read(path, limit)
        return super().read(path, limit)


@pytest.mark.parametrize("size", [5, 256, 300])
def test_a_source_that_answers_differently_the_second_time_gains_nothing(tmp_path: Path, size: int) -> None:
    write_log(tmp_path / "honest", [entry.encode() for entry in chain(size)])
    write_log(tmp_path / "forged", [entry.encode() for entry in chain(size, "forged")])
    opened = LogReader(TwoFaced(tmp_path / "honest", tmp_path / "forged"), KEY)
    believed: list[Entry] = []
    with pytest.raises(DivergenceError, match="replay-entry"):
        believed.extend(opened.entries())
    assert believed == []


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_entries_that_are_swapped_or_moved_are_refused(log: Path, scratch: Path, data: st.DataObject) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(log, scratch)
    path = scratch / "tile/entries/001"
    entries = decode_bundle(path.read_bytes(), 256)
    one, two = data.draw(st.integers(0, 255)), data.draw(st.integers(0, 255))
    assume(one != two)
    entries[one], entries[two] = entries[two], entries[one]
    path.write_bytes(encode_bundle(entries))
    assert divergence(scratch).index == 256 + min(one, two)


def test_what_is_read_is_bounded(log: Path) -> None:
    with pytest.raises(LedgerError, match="source-too-large"):
        DirectorySource(log).read("checkpoint", 10)
