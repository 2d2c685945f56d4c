"""Entries and statement bodies, byte for byte."""

from __future__ import annotations

import hashlib

import pytest
from brakeline.ledger.entry import (
    MAX_ENTRY,
    Entry,
    Kind,
    RawSignature,
    client_source,
    decode_signed,
    encode_signed,
    first_previous,
    parse_source,
    peer_source,
)
from brakeline.ledger.errors import EntryError
from hypothesis import given
from hypothesis import strategies as st

names = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=40)
entries = st.builds(
    Entry,
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**63 - 1),
    st.sampled_from(Kind),
    st.binary(max_size=255),
    st.binary(max_size=300),
)
signatures = st.lists(st.builds(RawSignature, names, st.binary(max_size=80)), min_size=1, max_size=5)


def test_the_layout_is_big_endian_and_has_no_padding() -> None:
    entry = Entry(1, b"\xaa" * 32, 2, Kind.FINDING, b"peer", b"body")
    assert entry.encode().hex() == "0000000000000001" + "aa" * 32 + "0000000000000002" + "04" + "04" + (
        b"peerbody".hex()
    )
    assert entry.digest == hashlib.sha256(entry.encode()).digest()
    assert entry.leaf_hash == hashlib.sha256(b"\0" + entry.encode()).digest()


def test_entry_0_follows_the_origin_line_without_its_newline() -> None:
    assert first_previous("log.example") == hashlib.sha256(b"log.example").digest()


@given(entries)
def test_an_entry_survives_writing_and_reading(entry: Entry) -> None:
    decoded = Entry.decode(entry.encode())
    assert decoded == entry
    assert decoded.encode() == entry.encode()
    assert (decoded.digest, decoded.leaf_hash) == (entry.digest, entry.leaf_hash)


@given(entries, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_another_entry(entry: Entry, at: int, mask: int) -> None:
    data = bytearray(entry.encode())
    data[at % len(data)] ^= mask
    try:
        other = Entry.decode(bytes(data))
    except EntryError:
        return
    assert other != entry
    assert other.encode() == bytes(data)
    assert other.digest != entry.digest


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_entry_or_refused_with_a_code(data: bytes) -> None:
    try:
        entry = Entry.decode(data)
    except EntryError as error:
        assert error.code == "entry-malformed"  # noqa: PT017  it may also be an entry
    else:
        assert Entry(*(getattr(entry, name) for name in entry.__match_args__)).encode() == data


@pytest.mark.parametrize("size", [0, 1, 49])
def test_an_entry_that_is_too_short_is_refused(size: int) -> None:
    with pytest.raises(EntryError, match="entry-malformed"):
        Entry.decode(bytes(size))


def test_the_largest_entry_fits_and_one_byte_more_does_not() -> None:
    largest = Entry(0, bytes(32), 0, Kind.STATEMENT, b"", bytes(MAX_ENTRY - 50))
    assert len(largest.encode()) == MAX_ENTRY
    assert Entry.decode(largest.encode()) == largest
    with pytest.raises(EntryError, match="entry-too-large"):
        Entry(0, bytes(32), 0, Kind.STATEMENT, b"", bytes(MAX_ENTRY - 49)).encode()
    with pytest.raises(EntryError, match="entry-too-large"):
        Entry.decode(largest.encode() + b"\0")


@pytest.mark.parametrize(
    ("index", "previous", "time", "source"),
    [
        (-1, 32, 0, b""),
        (2**63, 32, 0, b""),
        (0, 31, 0, b""),
        (0, 32, -1, b""),
        (0, 32, 2**63, b""),
        (0, 32, 0, bytes(256)),
    ],
)
def test_fields_out_of_range_are_refused(index: int, previous: int, time: int, source: bytes) -> None:
    with pytest.raises(EntryError, match="entry-malformed"):
        Entry(index, bytes(previous), time, Kind.STATEMENT, source, b"").encode()


@pytest.mark.parametrize(("at", "value"), [(0, 0x80), (40, 0x80), (48, 0), (48, 8), (49, 5)])
def test_numbers_out_of_range_are_refused(at: int, value: int) -> None:
    data = bytearray(Entry(0, bytes(32), 0, Kind.STATEMENT, b"", b"body").encode())
    data[at] = value
    with pytest.raises(EntryError, match="entry-malformed"):
        Entry.decode(bytes(data))


@given(names, st.integers(0, 2**64 - 1))
def test_sources_survive_writing_and_reading(name: str, index: int) -> None:
    assert parse_source(client_source(name)) == (name, None)
    assert parse_source(peer_source(name, index)) == (name, index)


@pytest.mark.parametrize("source", [b"\xff", b"a\0", b"a\0" + bytes(7), b"a\0" + bytes(9)])
def test_what_is_not_a_source_is_refused(source: bytes) -> None:
    with pytest.raises(EntryError, match="entry-malformed"):
        parse_source(source)


@given(signatures, st.binary(max_size=100))
def test_a_statement_body_survives_writing_and_reading(signed: list[RawSignature], payload: bytes) -> None:
    body = encode_signed(signed, payload)
    assert decode_signed(body) == (tuple(signed), payload)


def test_a_statement_body_has_the_documented_layout() -> None:
    assert encode_signed([RawSignature("k1", b"sig")], b"{}") == b"\x01" + b"\x02k1" + b"\x00\x03sig" + b"{}"


def test_a_keyid_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(EntryError, match="ASCII keyid"):
        decode_signed(b"\x01\x01\xff\x00\x00{}")


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_body_or_refused_with_a_code(data: bytes) -> None:
    try:
        signed, payload = decode_signed(data)
    except EntryError as error:
        assert error.code == "entry-malformed"  # noqa: PT017  it may also be a body
    else:
        assert encode_signed(signed, payload) == data


@pytest.mark.parametrize(
    "signed",
    [
        [],
        [RawSignature("k", b"")] * 256,
        [RawSignature("k" * 256, b"")],
        [RawSignature("k", bytes(65_536))],
        [RawSignature("ü", b"")],
    ],
)
def test_signatures_out_of_range_are_refused(signed: list[RawSignature]) -> None:
    with pytest.raises(EntryError, match="entry-malformed"):
        encode_signed(signed, b"")
