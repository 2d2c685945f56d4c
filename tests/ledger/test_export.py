"""An exported log is valid C2SP: read by a slow reader that was written from the specifications and shares no code."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pymerkle
import pytest
from brakeline.ledger.errors import StoreError
from brakeline.ledger.export import export
from brakeline.ledger.sequencer import Sequencer
from nacl.signing import VerifyKey

from tests.ledger import reference
from tests.ledger.logs import KEY, ORIGIN, SIGNER, TIME, candidates, filled, sequencer, write_log

SIZES = (0, 1, 255, 256, 257, 65_536, 65_537)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sequencer, dict[int, bytes], list[bytes]]]:
    """One log that has had every size, the checkpoint it signed at each, and its entries."""
    log = sequencer(tmp_path_factory.mktemp("log"))
    notes = {size: log.append(candidates(size - log.size, log.size), TIME).note for size in SIZES}
    yield log, notes, list(log.store.read_entries(0, log.size))
    log.close()


# --- the slow reader: signed-note, tlog-checkpoint, tlog-tiles


def number(n: int) -> str:
    elements = [f"{n % 1000:03d}"]
    while n >= 1000:
        n //= 1000
        elements.insert(0, f"x{n % 1000:03d}")
    return "/".join(elements)


def resources(size: int) -> dict[str, tuple[str, int, int]]:
    """Every path that a tree of *size* must serve: (what, number, width)."""
    found: dict[str, tuple[str, int, int]] = {}
    for level in range(64):
        count = size // 256**level
        for what in [str(level), "entries"] if level == 0 else [str(level)]:
            for n in range(count // 256):
                found[f"tile/{what}/{number(n)}"] = (what, n, 256)
            if count % 256:
                found[f"tile/{what}/{number(count // 256)}.p/{count % 256}"] = (what, count // 256, count % 256)
    return found


def verify(directory: Path, size: int) -> list[bytes]:
    """Check everything below *directory*; return the entries."""
    text, _, signature = (directory / "checkpoint").read_bytes().decode().partition("\n\n")
    origin, written, root = text.split("\n")
    assert (origin, written) == (ORIGIN, str(size))
    dash, name, blob = signature.rstrip("\n").split(" ")
    assert (dash, name) == ("—", ORIGIN)
    raw = base64.b64decode(blob)
    assert raw[:4] == hashlib.sha256(ORIGIN.encode() + b"\n\x01" + KEY.public_key).digest()[:4]
    VerifyKey(KEY.public_key).verify(f"{text}\n".encode(), raw[4:])

    expected = resources(size)
    present = {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}
    assert present == {"checkpoint", *expected}
    entries: list[bytes] = []
    for path, (what, n, width) in expected.items():
        if what == "entries":
            assert n * 256 == len(entries)
            data = (directory / path).read_bytes()
            at = 0
            for _ in range(width):
                length = int.from_bytes(data[at : at + 2], "big")
                entries.append(data[at + 2 : at + 2 + length])
                assert len(entries[-1]) == length
                at += 2 + length
            assert at == len(data)

    rows = [[reference.leaf(entry) for entry in entries]]
    while len(rows[-1]) >= 256:
        row = rows[-1]
        rows.append([reference.mth(row[i : i + 256]) for i in range(0, len(row) - 255, 256)])
    for path, (what, n, width) in expected.items():
        if what != "entries":
            assert (directory / path).read_bytes() == b"".join(rows[int(what)][n * 256 : n * 256 + width]), path
    assert base64.b64decode(root) == reference.mth(rows[0])
    return entries


@pytest.mark.parametrize("size", SIZES)
def test_the_exported_directory_is_valid_c2sp(
    grown: tuple[Sequencer, dict[int, bytes], list[bytes]], tmp_path: Path, size: int
) -> None:
    log, notes, entries = grown
    assert export(log.store, notes[size], tmp_path / "out") == size
    assert verify(tmp_path / "out", size) == entries[:size]


@pytest.mark.parametrize("size", [1, 255, 256, 257])
def test_the_root_is_the_one_that_another_implementation_computes(
    grown: tuple[Sequencer, dict[int, bytes], list[bytes]], size: int
) -> None:
    log, _, entries = grown
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries[:size]:
        oracle.append_entry(entry)
    assert log.root_at(size) == oracle.get_root(size)


def test_exporting_again_adds_what_is_new_and_keeps_what_is_full(
    grown: tuple[Sequencer, dict[int, bytes], list[bytes]], tmp_path: Path
) -> None:
    log, notes, _ = grown
    seen: list[tuple[int, int]] = []
    export(log.store, notes[256], tmp_path)
    full = tmp_path / "tile/entries/000"
    stamp = full.stat().st_ino
    export(log.store, notes[257], tmp_path, lambda done, total: seen.append((done, total)))
    assert full.stat().st_ino == stamp
    assert seen == [(256, 257), (257, 257)]
    (tmp_path / "tile/1/000.p/1").read_bytes()  # the old partial tile may stay: a reader of the old checkpoint needs it
    export(log.store, notes[257], tmp_path)


def test_an_interrupted_export_is_finished_by_the_next(
    grown: tuple[Sequencer, dict[int, bytes], list[bytes]], tmp_path: Path
) -> None:
    log, notes, _ = grown
    export(log.store, notes[257], tmp_path)
    (tmp_path / "checkpoint").unlink()
    (tmp_path / "tile/0/000").unlink()
    export(log.store, notes[257], tmp_path)
    verify(tmp_path, 257)


def test_two_logs_are_never_mixed_in_one_directory(
    grown: tuple[Sequencer, dict[int, bytes], list[bytes]], tmp_path: Path
) -> None:
    log, notes, _ = grown
    other_origin, fork, newer, junk, file = (tmp_path / name for name in ("origin", "fork", "newer", "junk", "file"))
    write_log(other_origin, [b"x"], origin="verifier-2.example")
    forked = filled(tmp_path / "forked", 3)
    forked.append(candidates(9, word="other"), TIME)
    assert forked.note is not None
    export(forked.store, forked.note, fork)
    forked.close()
    export(log.store, notes[257], newer)
    junk.mkdir()
    (junk / "letters.txt").write_text("mine")
    file.write_text("mine")
    for directory, note in (
        (other_origin, notes[256]),
        (fork, notes[256]),
        (newer, notes[256]),
        (junk, notes[1]),
        (file, notes[1]),
    ):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(StoreError, match="export-occupied"):
            export(log.store, note, directory)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_checkpoint_that_is_none_is_not_overwritten(
    grown: tuple[Sequencer, dict[int, bytes], list[bytes]], tmp_path: Path
) -> None:
    log, notes, _ = grown
    (tmp_path / "checkpoint").write_text("a file of somebody")
    with pytest.raises(StoreError, match="export-occupied"):
        export(log.store, notes[1], tmp_path)
    assert SIGNER.public_key == KEY.public_key
