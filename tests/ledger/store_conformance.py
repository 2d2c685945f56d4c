"""What every engine of a log must do: suites that its tests subclass, saying only how to open a store.

    class TestMyStore(StoreConformance): ...                # entries and tiles
    class TestMyCheckpoints(CheckpointConformance): ...     # what was signed last
    class TestMyEngine(EngineConformance): ...              # a sequencer over both

The suites ask only for what the protocols (brakeline.ledger.store) promise. That what was promised survives the death
of its process is asked here; power cuts need the engine's own means of failing: see the crash tests.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.errors import StoreError
from brakeline.ledger.merkle import leaf_hash
from brakeline.ledger.sequencer import SIGNED, Sequencer
from brakeline.ledger.store import CheckpointSlots, LogStore, LogView
from brakeline.ledger.tiles import TILE_WIDTH, TileRef
from brakeline.ledger.treebuilder import TileBuilder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger import logs, reference

DIES = """
import os, sys
from pathlib import Path
from brakeline.ledger.tiles import TileRef
from {module} import {name}
store = {name}().open(Path(sys.argv[1]))
{work}
print("done", flush=True)
os._exit(9)
"""


def in_a_process_that_dies(suite: object, directory: Path, work: str) -> subprocess.CompletedProcess[str]:
    """Open the suite's store in another process, do *work* with it, and end without closing or flushing anything."""
    code = DIES.format(module=type(suite).__module__, name=type(suite).__name__, work=work)
    return subprocess.run([sys.executable, "-c", code, directory], capture_output=True, text=True, check=False)


def hashes(*items: bytes) -> bytes:
    return b"".join(leaf_hash(item) for item in items)


class StoreConformance:
    """Subclass it as ``class TestMyStore(StoreConformance)`` with :meth:`open` and :meth:`view`."""

    def open(self, directory: Path) -> LogStore:
        """Open the store in *directory* for writing, new or as it was left."""
        raise NotImplementedError

    def view(self, directory: Path) -> LogView:
        """Open the store in *directory*, which may have a writer, for reading."""
        raise NotImplementedError

    def test_a_new_store_is_empty(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        assert store.size() == 0
        assert list(store.read_entries(0, 0)) == []
        assert store.read_tile(TileRef(0, 0, 1)) == b""
        store.close()

    def test_what_was_appended_is_read_now_and_after_opening_again(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.append(0, [b"a", b"", b"c" * 65_535], {TileRef(0, 0, 3): hashes(b"a", b"", b"c")})
        store.append(3, [b"d"], {TileRef(0, 0, 4): hashes(b"a", b"", b"c", b"d")})
        for _ in range(2):
            assert store.size() == 4
            assert list(store.read_entries(0, 4)) == [b"a", b"", b"c" * 65_535, b"d"]
            assert list(store.read_entries(1, 2)) == [b""]
            store.close()
            store = self.open(tmp_path)
        store.close()

    def test_a_tile_is_read_at_any_width_it_has_grown_beyond(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.append(0, [b"a"], {TileRef(0, 0, 1): hashes(b"a"), TileRef(3, 7, 1): bytes(32)})
        store.append(1, [b"b"], {TileRef(0, 0, 2): hashes(b"a", b"b")})
        assert store.read_tile(TileRef(0, 0, 1)) == hashes(b"a")
        assert store.read_tile(TileRef(0, 0, 2)) == hashes(b"a", b"b")
        assert store.read_tile(TileRef(0, 0)) == hashes(b"a", b"b")
        assert store.read_tile(TileRef(3, 7, 1)) == bytes(32)
        assert store.read_tile(TileRef(3, 8, 1)) == b""
        store.close()

    @pytest.mark.parametrize("first", [0, 1, 3, 100])
    def test_an_append_elsewhere_than_at_the_end_changes_nothing(self, tmp_path: Path, first: int) -> None:
        store = self.open(tmp_path)
        store.append(0, [b"a", b"b"], {TileRef(0, 0, 2): hashes(b"a", b"b")})
        with pytest.raises(StoreError, match="store-position"):
            store.append(first, [b"x"], {TileRef(0, 0, 3): bytes(96)})
        assert list(store.read_entries(0, 2)) == [b"a", b"b"]
        assert store.read_tile(TileRef(0, 0, 3)) == hashes(b"a", b"b")
        store.append(2, [b"c"], {})
        assert store.size() == 3
        store.close()

    def test_an_append_that_fails_half_way_changes_nothing(self, tmp_path: Path) -> None:
        class Broken(Exception):
            pass

        class Entries(list[bytes]):
            def __iter__(self) -> Iterable[bytes]:  # type: ignore[override]
                yield b"x"
                raise Broken

        store = self.open(tmp_path)
        store.append(0, [b"a"], {TileRef(0, 0, 1): hashes(b"a")})
        with pytest.raises(Broken):
            store.append(1, Entries(), {TileRef(0, 0, 2): bytes(64)})
        assert store.size() == 1
        store.append(1, [b"b"], {TileRef(0, 0, 2): hashes(b"a", b"b")})
        assert list(store.read_entries(0, 2)) == [b"a", b"b"]
        store.close()

    def test_entries_beyond_the_end_are_missing_and_said_to_be(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.append(0, [b"a", b"b"], {})
        with pytest.raises(StoreError, match="store-corrupt"):
            list(store.read_entries(0, 3))
        with pytest.raises(StoreError, match="store-corrupt"):
            list(store.read_entries(5, 6))
        store.close()

    def test_a_second_writer_is_refused_until_the_first_closes(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        with pytest.raises(StoreError, match="store-locked"):
            self.open(tmp_path)
        store.append(0, [b"a"], {})
        store.close()
        again = self.open(tmp_path)
        assert again.size() == 1
        again.close()

    def test_what_an_append_returned_from_survives_the_death_of_its_process(self, tmp_path: Path) -> None:
        append = (
            "from brakeline.ledger.tiles import TileRef\nstore.append(0, [b'a', b'b'], {TileRef(0, 0, 2): bytes(64)})"
        )
        done = in_a_process_that_dies(self, tmp_path, append)
        assert (done.returncode, done.stdout) == (9, "done\n"), done.stderr
        store = self.open(tmp_path)  # nor does a dead writer's lock outlive it
        assert list(store.read_entries(0, 2)) == [b"a", b"b"]
        assert store.read_tile(TileRef(0, 0, 2)) == bytes(64)
        store.close()

    def test_a_second_process_is_refused(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.append(0, [b"a"], {})
        done = in_a_process_that_dies(self, tmp_path, "")
        assert done.returncode == 1
        assert "store-locked" in done.stderr
        store.append(1, [b"b"], {})
        store.close()

    def test_after_a_refused_append_the_same_store_goes_on(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        for first in range(5):
            with pytest.raises(StoreError, match="store-position"):
                store.append(first + 1, [b"x"], {TileRef(0, 0, 1): bytes(32)})
            store.append(first, [b"a%d" % first], {})
        assert list(store.read_entries(0, 5)) == [b"a%d" % i for i in range(5)]
        assert store.read_tile(TileRef(0, 0, 1)) == b""
        store.close()

    def test_a_long_range_is_read_in_bounded_memory_and_an_abandoned_one_holds_nobody_up(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        for first in range(0, 512, 64):
            store.append(first, [bytes([first // 64]) * 32_768] * 64, {})
        tracemalloc.start()
        try:
            count = sum(len(entry) == 32_768 for entry in store.read_entries(0, 512))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert count == 512
        assert peak < 4 * 1024 * 1024  # of 16 MiB
        abandoned = store.read_entries(0, 512)
        assert next(abandoned)[0] == 0
        store.append(512, [b"more"], {})
        assert store.size() == 513
        assert next(store.read_entries(512, 513)) == b"more"
        assert next(abandoned)[0] == 0
        store.close()

    def test_a_reader_never_sees_half_an_append(self, tmp_path: Path) -> None:
        """Every size that a view tells has all its entries and the tile that covers them, while a writer writes."""
        store, view, builder = self.open(tmp_path), self.view(tmp_path), TileBuilder()
        ended = threading.Event()
        seen: list[tuple[int, list[bytes], bytes]] = []

        def look() -> None:
            while not ended.is_set() or len(seen) < 3:
                size = view.size()
                tile = view.read_tile(TileRef(0, 0, min(size, TILE_WIDTH))) if size else b""
                seen.append((size, list(view.read_entries(0, size)), tile))

        reader = threading.Thread(target=look)
        reader.start()
        for first in range(0, 240, 8):
            batch = [b"entry %d" % i for i in range(first, first + 8)]
            store.append(first, batch, builder.extend([leaf_hash(item) for item in batch]))
        ended.set()
        reader.join()
        sizes = [size for size, _, _ in seen]
        assert sizes == sorted(sizes)
        for size, entries, tile in seen:
            assert size % 8 == 0
            assert entries == [b"entry %d" % i for i in range(size)]
            assert tile == b"".join(leaf_hash(item) for item in entries)
        view.close()
        store.close()

    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(batches=st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=300), max_size=6), data=st.data())
    def test_any_batches_give_one_log(
        self, tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], data: st.DataObject
    ) -> None:
        directory = tmp_path_factory.mktemp("store")
        store, builder, model = self.open(directory), TileBuilder(), list[bytes]()
        for batch in batches:
            store.append(len(model), batch, builder.extend([leaf_hash(item) for item in batch]))
            model += batch
            if data.draw(st.booleans()):
                store.close()
                store = self.open(directory)
        start = data.draw(st.integers(0, len(model)))
        stop = data.draw(st.integers(start, len(model)))
        assert store.size() == len(model)
        assert list(store.read_entries(start, stop)) == model[start:stop]
        for ref, expected in TileBuilder().extend([leaf_hash(item) for item in model]).items():
            assert store.read_tile(ref) == expected
        store.close()


class CheckpointConformance:
    """Subclass it as ``class TestMyCheckpoints(CheckpointConformance)`` with :meth:`open`."""

    def open(self, directory: Path) -> CheckpointSlots:
        """Open the store in *directory* for writing, new or as it was left."""
        raise NotImplementedError

    def test_a_swap_replaces_exactly_what_the_writer_believes(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        assert store.read("signed") is None
        store.compare_and_swap("signed", None, b"one")
        store.compare_and_swap("signed", b"one", b"two")
        for believed in (None, b"one", b"three", b"", b"two\n"):
            with pytest.raises(StoreError, match="store-swap"):
                store.compare_and_swap("signed", believed, b"four")
            assert store.read("signed") == b"two"
        store.compare_and_swap("signed", b"two", b"two")
        assert store.read("signed") == b"two"
        store.close()

    def test_slots_are_apart(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        store.compare_and_swap("signed", None, b"one")
        assert store.read("published") is None
        store.compare_and_swap("published", None, b"other")
        assert (store.read("signed"), store.read("published")) == (b"one", b"other")
        store.close()

    def test_any_bytes_of_any_size_come_back_after_opening_again(self, tmp_path: Path) -> None:
        note = bytes(range(256)) * 512
        store = self.open(tmp_path)
        store.compare_and_swap("signed", None, note)
        store.compare_and_swap("empty", None, b"")
        store.close()
        store = self.open(tmp_path)
        assert (store.read("signed"), store.read("empty"), store.read("none")) == (note, b"", None)
        with pytest.raises(StoreError, match="store-swap"):
            store.compare_and_swap("empty", None, b"an empty note is a note")
        store.close()

    def test_a_swap_that_returned_survives_the_death_of_its_process(self, tmp_path: Path) -> None:
        done = in_a_process_that_dies(self, tmp_path, "store.compare_and_swap('signed', None, b'one')")
        assert (done.returncode, done.stdout) == (9, "done\n"), done.stderr
        store = self.open(tmp_path)
        with pytest.raises(StoreError, match="store-swap"):
            store.compare_and_swap("signed", None, b"a fork")
        assert store.read("signed") == b"one"
        store.close()

    def test_a_second_writer_is_refused_in_this_process_and_in_another(self, tmp_path: Path) -> None:
        store = self.open(tmp_path)
        with pytest.raises(StoreError, match="store-locked"):
            self.open(tmp_path)
        assert "store-locked" in in_a_process_that_dies(self, tmp_path, "").stderr
        store.compare_and_swap("signed", None, b"one")
        store.close()
        again = self.open(tmp_path)
        assert again.read("signed") == b"one"
        again.close()


class Faulty:
    """A real store, one of whose appends goes wrong: before it is done, or after."""

    def __init__(self, inner: LogStore) -> None:
        """Write to *inner*."""
        self.inner = inner
        self.fault = ""
        self.size, self.read_entries, self.read_tile = inner.size, inner.read_entries, inner.read_tile
        self.close = inner.close

    def append(self, first: int, entries: Sequence[bytes], tiles: Mapping[TileRef, bytes]) -> None:
        """Append, or fail as :attr:`fault` says, once."""
        fault, self.fault = self.fault, ""
        if fault != "before":
            self.inner.append(first, entries, tiles)
        if fault:
            raise StoreError(code="store-io", message="the outcome is unknown")


class EngineConformance:
    """A sequencer over both stores of an engine. Subclass it with :meth:`open_log` and :meth:`open_checkpoints`."""

    def open_log(self, directory: Path) -> LogStore:
        """Open the log's store in *directory*."""
        raise NotImplementedError

    def open_checkpoints(self, directory: Path) -> CheckpointSlots:
        """Open the checkpoints' store in *directory*, where it is apart from the log's."""
        raise NotImplementedError

    @pytest.fixture
    def faulty(self, tmp_path: Path) -> Iterator[tuple[Faulty, Sequencer]]:
        """A sequencer of five entries, over a store that fails on request."""
        store = Faulty(self.open_log(tmp_path))
        log = Sequencer(store, self.open_checkpoints(tmp_path), logs.KEY, logs.SIGNER)
        log.append(logs.candidates(5), logs.TIME)
        yield store, log
        log.close()

    def test_what_is_signed_is_what_is_stored_after_any_number_of_starts(self, tmp_path: Path) -> None:
        size = 0
        for count in (3, 0, 300, 1):
            log = Sequencer(self.open_log(tmp_path), self.open_checkpoints(tmp_path), logs.KEY, logs.SIGNER)
            size += count
            note = log.append(logs.candidates(count, log.size), logs.TIME).note
            stored = [reference.leaf(data) for data in log.store.read_entries(0, size)]
            checkpoint = open_checkpoint(note, logs.KEY).checkpoint
            assert (checkpoint.size, checkpoint.root) == (size, reference.mth(stored))
            log.close()

    @pytest.mark.parametrize(("fault", "size"), [("before", 5), ("after", 7)])
    def test_after_an_error_the_log_is_read_again_before_the_next_write(
        self, faulty: tuple[Faulty, Sequencer], fault: str, size: int
    ) -> None:
        store, log = faulty
        store.fault = fault
        with pytest.raises(StoreError, match="store-io"):
            log.append(logs.candidates(2, 5), logs.TIME)
        assert log.size == size
        appended = log.append(logs.candidates(1, size), logs.TIME)
        assert appended.size == size + 1
        stored = [reference.leaf(data) for data in store.read_entries(0, size + 1)]
        assert open_checkpoint(appended.note, logs.KEY).checkpoint.root == reference.mth(stored)

    def test_a_log_without_its_checkpoints_signs_nothing(self, tmp_path: Path) -> None:
        here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
        here.mkdir()
        elsewhere.mkdir()
        log = Sequencer(self.open_log(here), self.open_checkpoints(here), logs.KEY, logs.SIGNER)
        log.append(logs.candidates(3), logs.TIME)
        log.close()
        empty = self.open_checkpoints(elsewhere)
        log = Sequencer(self.open_log(here), empty, logs.KEY, logs.SIGNER)
        with pytest.raises(StoreError, match="store-forgotten"):
            log.append(logs.candidates(1, 3), logs.TIME)
        assert empty.read(SIGNED) is None
        log.close()
