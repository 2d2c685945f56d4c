"""A mirror grows with its source, never goes back, keeps what it holds, and carries the evidence of a fork."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from brakeline.ledger.checkpoint import Checkpoint, sign_checkpoint
from brakeline.ledger.errors import DivergenceError, ForkError, LedgerError, NoteError, SourceError, StoreError
from brakeline.ledger.mirror import Mirror
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import DirectorySource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.logs import KEY, ORIGIN, SIGNER, WITNESSES, chain, cosigned, policy, write_log
from tests.support.cast import vkey
from tests.support.tamper import flip, log_files


def grow(directory: Path, size: int, word: str = "entry") -> DirectorySource:
    """The source: a log of *size* entries, written over what stands in *directory*."""
    shutil.rmtree(directory, ignore_errors=True)
    write_log(directory, [entry.encode() for entry in chain(size, word)])
    return DirectorySource(directory)


def held(directory: Path) -> list[int]:
    return [entry.index for entry in LogReader(DirectorySource(directory), KEY).entries()]


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(sizes=st.lists(st.integers(0, 600), min_size=1, max_size=5), restart=st.booleans())
def test_a_copy_grows_with_its_source_and_never_goes_back(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], restart: bool
) -> None:
    directory = tmp_path_factory.mktemp("mirror")
    mirror = Mirror(directory / "copy", KEY)
    most = 0
    for size in sizes:
        added = mirror.update(grow(directory / "source", size))
        assert added == max(0, size - most)
        most = max(most, size)
        if restart:
            mirror = Mirror(directory / "copy", KEY)
        assert mirror.size == most
        assert held(directory / "copy") == list(range(most))
        assert mirror.note == (directory / "copy" / "checkpoint").read_bytes()
    assert [e.index for e in mirror.entries(most // 3, most // 2)] == list(range(most // 3, most // 2))
    assert [e.index for e in mirror.entries(0, most + 9)] == list(range(most))


class Counting(DirectorySource):
    """Remembers what was read."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.asked: list[str] = []

    def read(self, path: str, limit: int) -> bytes | None:
        self.asked.append(path)
        return super().read(path, limit)


def test_only_what_is_new_is_fetched(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "copy", KEY)
    mirror.update(grow(tmp_path / "source", 1000))
    grow(tmp_path / "source", 1030)
    source = Counting(tmp_path / "source")
    mirror.update(source)
    assert [path for path in source.asked if "entries" in path] == ["tile/entries/003", "tile/entries/004.p/6"]
    source.asked.clear()
    assert mirror.update(source) == 0
    assert not [path for path in source.asked if "entries" in path]


class Failing(DirectorySource):
    """Fails at the n-th read."""

    def __init__(self, directory: Path, reads: int) -> None:
        super().__init__(directory)
        self._left = reads

    def read(self, path: str, limit: int) -> bytes | None:
        self._left -= 1
        if self._left < 0:
            raise SourceError(code="source-unreachable", message="the connection broke")
        return super().read(path, limit)


def test_an_update_that_breaks_anywhere_leaves_the_older_copy_and_is_taken_up_again(tmp_path: Path) -> None:
    source = grow(tmp_path / "source", 700)
    reads = 0
    while True:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        mirror = Mirror(tmp_path / "copy", KEY)
        mirror.update(grow(tmp_path / "older", 300))
        try:
            mirror.update(Failing(tmp_path / "source", reads))
        except SourceError:
            reads += 1
        else:
            break
        assert mirror.size == len(held(tmp_path / "copy")) == 300
        assert Mirror(tmp_path / "copy", KEY).size == 300
        assert mirror.update(source) == 400
        assert held(tmp_path / "copy") == list(range(700))
    assert reads >= 6


def test_a_first_copy_that_broke_off_is_continued_and_what_it_left_is_not_fetched_again(tmp_path: Path) -> None:
    grow(tmp_path / "source", 2_000)
    failed = Failing(tmp_path / "source", 12)
    with pytest.raises(SourceError):
        Mirror(tmp_path / "copy", KEY).update(failed)
    left = {path for path in log_files(tmp_path / "copy") if "entries" in path}
    assert len(left) >= 2
    source = Counting(tmp_path / "source")
    mirror = Mirror(tmp_path / "copy", KEY)
    assert (mirror.size, mirror.note) == (0, None)
    assert mirror.update(source) == 2_000
    assert not left & set(source.asked)
    assert held(tmp_path / "copy") == list(range(2_000))
    assert log_files(tmp_path / "copy") == log_files(tmp_path / "source")


@pytest.mark.parametrize("damage", ["flipped", "another history", "unreadable"])
def test_what_was_left_and_does_not_verify_is_fetched_again(tmp_path: Path, damage: str) -> None:
    source = grow(tmp_path / "source", 700)
    bundle = tmp_path / "copy" / "tile" / "entries" / "000"
    bundle.parent.mkdir(parents=True)
    if damage == "unreadable":
        bundle.write_bytes(bytes(20_000_000))
    else:
        grow(tmp_path / "other", 700, "entry" if damage == "flipped" else "forged")
        shutil.copy(tmp_path / "other" / "tile" / "entries" / "000", bundle)
        if damage == "flipped":
            data = bytearray(bundle.read_bytes())
            data[5_000] ^= 1
            bundle.write_bytes(data)
    assert Mirror(tmp_path / "copy", KEY).update(source) == 700
    assert held(tmp_path / "copy") == list(range(700))


@pytest.mark.parametrize("point", ["bundles", "tiles"])
def test_a_crash_before_the_checkpoint_leaves_the_older_copy(tmp_path: Path, point: str) -> None:
    """What a kill leaves: new files beside the old checkpoint."""
    Mirror(tmp_path / "copy", KEY).update(grow(tmp_path / "source", 300))
    older = (tmp_path / "copy" / "checkpoint").read_bytes()
    newer = Mirror(shutil.copytree(tmp_path / "copy", tmp_path / "newer"), KEY)
    newer.update(grow(tmp_path / "source", 700))
    for file in log_files(tmp_path / "newer"):
        if file.startswith("tile/entries/" if point == "bundles" else "tile/"):
            (tmp_path / "copy" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "newer" / file, tmp_path / "copy" / file)
    mirror = Mirror(tmp_path / "copy", KEY)
    assert (mirror.size, mirror.note) == (300, older)
    assert mirror.update(DirectorySource(tmp_path / "source")) == 400
    assert held(tmp_path / "copy") == list(range(700))


@pytest.mark.parametrize(("mine", "theirs"), [(300, 500), (300, 300), (300, 200), (256, 257), (5, 1)])
def test_a_fork_is_evidence_of_two_signed_checkpoints(tmp_path: Path, mine: int, theirs: int) -> None:
    mirror = Mirror(tmp_path / "copy", KEY)
    mirror.update(grow(tmp_path / "source", mine))
    note = mirror.note
    with pytest.raises(ForkError, match="log-forked") as caught:
        mirror.update(grow(tmp_path / "source", theirs, "forked"))
    assert caught.value.first == note
    assert caught.value.second == (tmp_path / "source" / "checkpoint").read_bytes()
    assert (mirror.size, mirror.note, len(held(tmp_path / "copy"))) == (mine, note, mine)


def test_two_roots_of_one_size_are_a_fork_whatever_the_tiles_say(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "copy", KEY)
    mirror.update(grow(tmp_path / "source", 30))
    (tmp_path / "source" / "checkpoint").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, 30, bytes(32)), KEY, SIGNER))
    with pytest.raises(ForkError):
        mirror.update(DirectorySource(tmp_path / "source"))


def test_a_source_that_cannot_prove_what_it_shows_is_unreadable_and_accuses_nobody(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "copy", KEY)
    mirror.update(grow(tmp_path / "source", 30))
    (tmp_path / "source" / "checkpoint").write_bytes(sign_checkpoint(Checkpoint(ORIGIN, 40, bytes(32)), KEY, SIGNER))
    with pytest.raises(SourceError, match="source-missing-tile"):
        mirror.update(DirectorySource(tmp_path / "source"))
    assert mirror.size == 30


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mask=st.integers(1, 255))
def test_a_damaged_source_adds_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, mask: int
) -> None:
    directory = tmp_path_factory.mktemp("damaged")
    mirror = Mirror(directory / "copy", KEY)
    mirror.update(grow(directory / "source", 100))
    grow(directory / "source", 300)
    file = data.draw(st.sampled_from(log_files(directory / "source")))
    flip(directory / "source", directory / "flipped", file, data.draw(st.integers(0, 100_000)), mask)
    try:
        mirror.update(DirectorySource(directory / "flipped"))
    except LedgerError:
        assert len(held(directory / "copy")) == mirror.size == 100
    else:  # the part of a bundle that is held already is not believed twice
        assert held(directory / "copy") == list(range(300))


def test_below_the_witness_quorum_nothing_is_taken(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "copy", KEY, policy(3))
    source = grow(tmp_path / "source", 10)
    note = read(source)
    for names in ((), tuple(WITNESSES[:2])):
        (tmp_path / "source" / "checkpoint").write_bytes(cosigned(note, *names) if names else note)
        with pytest.raises(NoteError, match="checkpoint-quorum"):
            mirror.update(source)
        assert mirror.size == 0
    (tmp_path / "source" / "checkpoint").write_bytes(cosigned(note, *WITNESSES[:3]))
    assert mirror.update(source) == 10
    (tmp_path / "source" / "checkpoint").write_bytes(cosigned(note))
    assert mirror.update(source) == 0
    assert mirror.note == cosigned(note)


def read(source: DirectorySource) -> bytes:
    data = source.read("checkpoint", 10_000)
    assert data is not None
    return data


def test_another_logs_checkpoint_is_refused(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "copy", vkey("verifier-2.example", "log"))
    with pytest.raises(NoteError, match="note-unsigned"):
        mirror.update(grow(tmp_path / "source", 3))


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), mask=st.integers(1, 255))
def test_a_copy_that_was_damaged_on_this_disk_is_not_opened(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, mask: int
) -> None:
    directory = tmp_path_factory.mktemp("held")
    Mirror(directory / "copy", KEY).update(grow(directory / "source", 300))
    file = data.draw(st.sampled_from(log_files(directory / "copy")))
    flip(directory / "copy", directory / "flipped", file, data.draw(st.integers(0, 100_000)), mask)
    with pytest.raises(StoreError, match="store-corrupt"):
        Mirror(directory / "flipped", KEY)


def test_a_copy_with_a_missing_file_is_not_opened(tmp_path: Path) -> None:
    Mirror(tmp_path / "copy", KEY).update(grow(tmp_path / "source", 300))
    (tmp_path / "copy" / "tile/0/000").unlink()
    with pytest.raises(StoreError, match="store-corrupt"):
        Mirror(tmp_path / "copy", KEY)


def test_a_broken_chain_under_a_valid_checkpoint_is_not_taken(tmp_path: Path) -> None:
    entries = chain(20)
    write_log(tmp_path / "source", [entry.encode() for entry in (*entries[:9], *entries[10:])])
    mirror = Mirror(tmp_path / "copy", KEY)
    with pytest.raises(DivergenceError, match="replay-chain"):
        mirror.update(DirectorySource(tmp_path / "source"))
    assert mirror.size == 0
