"""What every store of a log must do. An engine's tests subclass :class:`StoreConformance` and say how to open one.

The suite asks only for what the protocol (brakeline.ledger.store) promises. Durability against power cuts and kills
needs the engine's own means of failing; see the crash tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from brakeline.ledger.errors import StoreError
from brakeline.ledger.merkle import leaf_hash
from brakeline.ledger.store import LogStore
from brakeline.ledger.tiles import TileRef
from brakeline.ledger.treebuilder import TileBuilder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def hashes(*items: bytes) -> bytes:
    return b"".join(leaf_hash(item) for item in items)


class StoreConformance:
    """Subclass it as ``class TestMyStore(StoreConformance)`` with :meth:`open`."""

    def open(self, directory: Path) -> LogStore:
        """Open the store in *directory*, new or as it was left."""
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
