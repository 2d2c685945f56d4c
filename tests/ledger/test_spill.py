"""The scratch file: what was put is got, dropped space comes back, and nothing is left behind."""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path

import pytest
from brakeline.ledger import spill
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.spill import Spill
from hypothesis import given
from hypothesis import strategies as st

OPERATIONS = st.lists(st.tuples(st.sampled_from(["put", "put", "drop"]), st.binary(max_size=50), st.integers(0, 99)))


@given(OPERATIONS, st.integers(0, 60))
def test_it_keeps_what_a_dictionary_keeps(operations: list[tuple[str, bytes, int]], small: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill, "_SMALL", small)
        kept: dict[int, bytes] = {}
        file = Spill()
        for kind, data, number in operations:
            if kind == "put":
                handle = file.put(data)
                assert handle not in kept
                kept[handle] = data
            elif kept:
                handle = sorted(kept)[number % len(kept)]
                file.drop(handle)
                del kept[handle]
            assert {handle: file.get(handle) for handle in kept} == kept


def test_the_file_does_not_grow_with_what_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_SMALL", 1000)
    file = Spill()
    stays = [file.put(bytes([n]) * 100) for n in range(5)]
    for n in range(500):
        file.drop(file.put(bytes([n % 251]) * 100))
    assert file.bytes_used < 4000
    assert [file.get(handle)[:1] for handle in stays] == [bytes([n]) for n in range(5)]


def test_nothing_is_left_behind_and_the_file_is_closed(tmp_path: Path) -> None:
    file = Spill(tmp_path)
    file.put(b"x")
    assert list(tmp_path.iterdir()) == []
    assert len(_open_below(tmp_path)) == (1 if FILES.exists() else 0)
    del file
    gc.collect()
    assert _open_below(tmp_path) == []


FILES = Path("/proc/self/fd")


def _open_below(folder: Path) -> list[str]:
    """Return the files below *folder* that this process has open; none where the system does not tell."""
    found: list[str] = []
    for link in FILES.iterdir() if FILES.exists() else ():
        with contextlib.suppress(OSError):  # closed meanwhile, by somebody else
            found.append(os.readlink(link))
    return [name for name in found if name.startswith(str(folder))]


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LedgerError, match="spill-io"):
        Spill(tmp_path / "nowhere")
    file = Spill(tmp_path)
    handle = file.put(b"data")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(LedgerError, match=r"spill-io.*No space"):
        file.put(b"more")
    assert file.get(handle) == b"data"
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    with pytest.raises(LedgerError, match="short"):
        file.get(handle)
