"""The record of what was signed last: one payload a sequence, whatever asks, whatever crashes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.node.keys.guard import FRESH, Guard, GuardError, LastSigned
from hypothesis import given
from hypothesis import strategies as st

SITE, KEY = "lab-1.party-a.example/site-1", "k" * 64


def last(sequence: int, what: str = "a") -> LastSigned:
    return LastSigned(sequence, (what * 64)[:64])


def refused(guard: Guard, item: LastSigned) -> str:
    with pytest.raises(GuardError) as error:
        guard.permit(SITE, KEY, item)
    return error.value.code


def test_one_payload_a_sequence_the_same_again_and_nothing_below(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "apart" / "last.json")
    guard.begin(SITE, KEY)
    for item in (last(0), last(0), last(1), last(1)):
        guard.permit(SITE, KEY, item)
    assert refused(guard, last(1, "b")) == "guard-double"
    assert refused(guard, last(0)) == "guard-double"
    assert Guard(tmp_path / "apart" / "last.json").last(KEY) == last(1)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc")), max_size=25))
def test_whatever_is_asked_in_whatever_order_no_sequence_is_consented_to_twice(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, str]]
) -> None:
    path = tmp_path_factory.mktemp("guard") / "last.json"
    Guard(path).begin(SITE, KEY)
    consented: dict[int, set[str]] = {}
    for sequence, what in asked:
        guard = Guard(path)  # as after a crash
        with contextlib.suppress(GuardError):
            guard.permit(SITE, KEY, last(sequence, what))
            consented.setdefault(sequence, set()).add(what)
    assert all(len(payloads) == 1 for payloads in consented.values())
    assert list(consented) == sorted(consented)


def test_without_a_record_and_with_a_damaged_one_nothing_is_signed(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    assert refused(Guard(path), last(0)) == "guard-missing"
    for text in ('{"a":1', "[]", json.dumps({KEY: {"digest": 3, "sequence": 1}}, separators=(",", ":"))):
        path.write_text(text)
        assert refused(Guard(path), last(7)) == "guard-damaged"


def test_a_second_process_that_signs_with_the_same_key_stops_the_first(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    first, second = Guard(path), Guard(path)
    first.begin(SITE, KEY)
    first.permit(SITE, KEY, last(0))
    second.permit(SITE, KEY, last(1, "b"))
    assert refused(first, last(2)) == "guard-moved"


def test_a_key_begins_once_and_a_record_is_brought_forward_only(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "last.json")
    guard.begin(SITE, KEY)
    guard.begin(SITE, KEY)
    guard.permit(SITE, KEY, last(4))
    with pytest.raises(GuardError) as again:
        guard.begin(SITE, KEY)
    assert again.value.code == "guard-begun"
    for older in (FRESH, last(3), last(4, "b")):
        with pytest.raises(GuardError) as error:
            guard.advance(SITE, KEY, older)
        assert error.value.code == "guard-ahead"
    guard.advance(SITE, KEY, last(9))
    assert guard.last(KEY) == last(9)


def test_a_record_that_cannot_be_written_consents_to_nothing(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "last.json")
    guard.begin(SITE, KEY)
    (tmp_path / ".last.json.part").mkdir()  # in the way of the new file
    assert refused(guard, last(0)) == "guard-io"
    assert guard.last(KEY) == FRESH


def test_it_is_known_whether_the_record_lies_on_the_disk_of_the_journal(tmp_path: Path) -> None:
    assert Guard(tmp_path / "not" / "made" / "last.json").same_disk(tmp_path)
    other = Path("/dev/shm")
    if other.stat().st_dev != tmp_path.stat().st_dev:
        assert not Guard(other / "last.json").same_disk(tmp_path)


def test_a_record_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from brakeline.ledger import sqlite_store

    mounts = {line.split(" ")[2] for line in Path("/proc/self/mounts").read_text().splitlines()}
    monkeypatch.setattr(sqlite_store, "NETWORK_FILE_SYSTEMS", frozenset(mounts))
    with pytest.raises(BrakelineError) as error:
        Guard(tmp_path / "last.json").begin(SITE, KEY)
    assert error.value.code == "store-network"
