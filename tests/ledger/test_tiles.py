"""Tile paths, bundles and the hashes inside tiles, by the letter of tlog-tiles."""

from __future__ import annotations

import hashlib

import pytest
from brakeline.ledger.errors import TileError
from brakeline.ledger.merkle import leaf_hash
from brakeline.ledger.tiles import (
    TileCache,
    TileHashReader,
    TileRef,
    bundles,
    decode_bundle,
    decode_tile,
    encode_bundle,
    entries_path,
    parse_path,
    tile_path,
    tree_edge,
    tree_tiles,
)
from brakeline.ledger.treebuilder import TileBuilder
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger import reference


@pytest.mark.parametrize(
    ("path", "ref"),
    [
        ("tile/0/000", TileRef(0, 0)),
        ("tile/0/067", TileRef(0, 67)),
        ("tile/0/x001/067", TileRef(0, 1067)),
        ("tile/3/x001/x234/067", TileRef(3, 1234067)),
        ("tile/1/x001/000", TileRef(1, 1000)),
        ("tile/0/999.p/255", TileRef(0, 999, 255)),
        ("tile/63/000.p/1", TileRef(63, 0, 1)),
        ("tile/entries/x001/x234/067.p/8", TileRef(None, 1234067, 8)),
        ("tile/entries/000", TileRef(None, 0)),
    ],
)
def test_paths_are_the_specifications(path: str, ref: TileRef) -> None:
    assert ref.path == path
    assert parse_path(path) == ref
    if ref.level is None:
        assert entries_path(ref.n, ref.width) == path
    else:
        assert tile_path(ref.level, ref.n, ref.width) == path


@given(st.none() | st.integers(0, 63), st.integers(0, 2**63), st.integers(1, 256))
def test_a_path_survives_writing_and_reading(level: int | None, n: int, width: int) -> None:
    ref = TileRef(level, n, width)
    assert parse_path(ref.path) == ref
    assert parse_path(ref.full.path) == TileRef(level, n)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/007",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/../../etc/passwd",
        "tile/0/٠٠٠",
        "tile/0/" + "x001/" * 30 + "001",
    ],
)
def test_other_spellings_of_paths_are_refused(path: str) -> None:
    with pytest.raises(TileError, match="tile-path"):
        parse_path(path)


@given(st.text(alphabet="tile/entrs0123456789x.p", max_size=40))
def test_a_path_is_refused_or_is_the_one_spelling(path: str) -> None:
    try:
        ref = parse_path(path)
    except TileError:
        return
    assert ref.path == path


def test_a_tree_of_70000_has_the_tiles_of_the_specifications_example() -> None:
    count = {(level, width): 0 for level in range(4) for width in (256, 112, 17, 1)}
    for ref in tree_tiles(70_000):
        assert ref.level is not None
        count[ref.level, ref.width] += 1
    assert {key: value for key, value in count.items() if value} == {
        (0, 256): 273,
        (0, 112): 1,
        (1, 256): 1,
        (1, 17): 1,
        (2, 1): 1,
    }
    assert list(tree_edge(70_000)) == [TileRef(0, 273, 112), TileRef(1, 1, 17), TileRef(2, 0, 1)]


def test_a_tree_of_256_has_a_full_tile_and_a_partial_one_above() -> None:
    assert list(tree_tiles(256)) == [TileRef(0, 0), TileRef(1, 0, 1)]
    assert list(tree_tiles(0)) == list(bundles(0)) == list(tree_edge(0)) == []


@given(st.integers(0, 200_000), st.integers(0, 1_000))
def test_what_differs_between_two_sizes_is_what_grew(before: int, more: int) -> None:
    old, new = set(tree_tiles(before)), set(tree_tiles(before + more))
    assert set(tree_tiles(before + more, before)) == new - old


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_bundles_begin_with_the_one_that_holds_the_start(size: int, start: int) -> None:
    start = min(start, size)
    refs = list(bundles(size, start))
    indices = [256 * ref.n for ref in refs]
    assert indices == list(range(start - start % 256, size, 256))
    assert all(ref.width == min(256, size - 256 * ref.n) for ref in refs)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=40))
def test_a_bundle_survives_writing_and_reading(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries
    for width in (len(entries) - 1, len(entries) + 1):
        with pytest.raises(TileError, match="tile-bundle"):
            decode_bundle(data, width)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=10), st.data())
def test_a_bundle_that_is_cut_or_grown_is_refused(entries: list[bytes], data: st.DataObject) -> None:
    encoded = encode_bundle(entries)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for other in (encoded[:cut], encoded + data.draw(st.binary(min_size=1, max_size=9))):
        with pytest.raises(TileError, match="tile-bundle"):
            decode_bundle(other, len(entries))


def test_a_bundle_is_a_u16_length_before_each_entry() -> None:
    assert encode_bundle([b"ab", b""]) == b"\0\2ab\0\0"
    assert len(encode_bundle([bytes(65_535)] * 256)) == 256 * 65_537
    for entries in ([], [b""] * 257, [bytes(65_536)]):
        with pytest.raises(ValueError, match="bundle"):
            encode_bundle(entries)


def test_a_tile_has_exactly_its_width() -> None:
    hashes = [hashlib.sha256(bytes([i])).digest() for i in range(3)]
    assert decode_tile(b"".join(hashes), 3) == hashes
    for data in (b"", b"".join(hashes)[:-1], b"".join(hashes) + b"\0"):
        with pytest.raises(TileError, match="tile-size"):
            decode_tile(data, 3)


SIZE = 256 * 256 + 300
LEAVES = [leaf_hash(i.to_bytes(4, "big")) for i in range(SIZE)]


@pytest.fixture(scope="module")
def tiles() -> dict[TileRef, bytes]:
    """The tiles of the tree, grown in unequal steps; the last width of each wins."""
    builder, newest = TileBuilder(), dict[TileRef, bytes]()
    at = 0
    for step in (1, 254, 1, 1, 255, 70, 40_000, SIZE):
        for ref, data in builder.extend(LEAVES[at : at + step]).items():
            newest[ref] = data
        at += step
    assert builder.size == SIZE
    return newest


def test_tiles_are_the_same_however_the_tree_grew(tiles: dict[TileRef, bytes]) -> None:
    at_once = TileBuilder()
    for ref, data in at_once.extend(LEAVES).items():
        assert tiles[ref] == data
    assert set(at_once.partial()) == set(tree_edge(SIZE))
    assert all(tiles[ref] == data for ref, data in at_once.partial().items())
    copy = at_once.copy()
    copy.extend([LEAVES[0]])
    assert (at_once.size, copy.size) == (SIZE, SIZE + 1)


@pytest.mark.parametrize(
    ("level", "index"),
    [(0, 0), (0, SIZE - 1), (7, 1), (8, 0), (8, 256), (9, 127), (15, 1), (16, 0), (3, 8200), (2, SIZE // 4 - 1)],
)
def test_hashes_inside_tiles_are_those_of_the_definition(tiles: dict[TileRef, bytes], level: int, index: int) -> None:
    read = TileHashReader(tiles.__getitem__, SIZE)
    assert read(level, index) == reference.mth(LEAVES[index << level : (index + 1) << level])


def test_a_reader_of_many_tiles_keeps_few_of_them(tiles: dict[TileRef, bytes]) -> None:
    asked: list[TileRef] = []

    def read_tile(ref: TileRef) -> bytes:
        asked.append(ref)
        return tiles[ref]

    read = TileHashReader(read_tile, SIZE)
    for _ in range(2):
        for index in range(0, SIZE, 256):
            assert read(0, index) == LEAVES[index]
    assert len([ref for ref in asked if ref.width == 256]) == 2 * (SIZE // 256)


def test_readers_of_a_growing_log_share_its_full_tiles_and_never_a_partial_one(tiles: dict[TileRef, bytes]) -> None:
    asked: list[TileRef] = []

    def read_tile(ref: TileRef) -> bytes:
        asked.append(ref)
        full = tiles[ref.full] if ref.full in tiles else tiles[ref]
        return full[: ref.width * 32]

    cache = TileCache()
    for size in (300, 301, 512, 515):
        read = TileHashReader(read_tile, size, cache)
        assert [read(0, index) for index in range(size)] == LEAVES[:size]
        assert read(8, 0) == reference.mth(LEAVES[:256])
    assert [ref.path for ref in asked] == [
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/0/001.p/45",
        "tile/1/000.p/1",
        "tile/0/001",
        "tile/1/000.p/2",
        "tile/0/002.p/3",
        "tile/1/000.p/2",
    ]


@pytest.mark.parametrize(("level", "index"), [(0, SIZE), (8, 257), (16, 1), (17, 0), (63, 0), (0, -1)])
def test_subtrees_that_are_not_complete_are_refused(level: int, index: int) -> None:
    with pytest.raises(TileError, match="tile-range"):
        TileHashReader(lambda _: b"", SIZE)(level, index)
