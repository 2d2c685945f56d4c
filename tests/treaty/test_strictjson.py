"""The one JSON reader: what is not restricted canonical JSON never becomes a value."""

from __future__ import annotations

import json

import pytest
from brakeline.treaty.errors import JsonError
from brakeline.treaty.strictjson import MAX_SAFE_INTEGER, JsonValue, canonical, parse, parse_any, parse_object
from hypothesis import given
from hypothesis import strategies as st

values: st.SearchStrategy[JsonValue] = st.recursive(
    st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(values)
def test_what_is_written_is_read_back(value: JsonValue) -> None:
    assert parse(canonical(value)) == value


@given(values)
def test_the_writer_agrees_with_a_second_one(value: JsonValue) -> None:
    second = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(value).decode() == second


@given(values, st.data())
def test_any_changed_byte_is_another_value_or_refused(value: JsonValue, data: st.DataObject) -> None:
    text = bytearray(canonical(value))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    try:
        other = parse(bytes(text))
    except JsonError:
        return
    assert type(other) is not type(value) or other != value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"a":1,"a":2}', "json-not-canonical"),
        (b'{"b":1,"a":2}', "json-not-canonical"),
        (b'{"a": 1}', "json-not-canonical"),
        (b'"\\u0041"', "json-not-canonical"),
        (b"1.0", "json-float"),
        (b"1e400", "json-malformed"),
        (b"1e5", "json-float"),
        (b"NaN", "json-malformed"),
        (b"-0", "json-not-canonical"),
        (b"1_000", "json-malformed"),
        ("٣".encode(), "json-malformed"),
        (b"null", "json-null"),
        (b"9007199254740992", "json-integer-range"),
        (b"123456789012345678901234567890", "json-float"),
        (b'"\\ud800"', "json-malformed"),
        (b'{"\xc3\xa9":1}', "json-key"),
        (b"\xff", "json-malformed"),
        (b"", "json-malformed"),
        (b"[" * 17 + b"]" * 17, "json-too-deep"),
    ],
)
def test_traps_have_their_codes(text: bytes, code: str) -> None:
    with pytest.raises(JsonError) as error:
        parse(text)
    assert error.value.code == code


def test_brackets_inside_strings_are_no_depth() -> None:
    assert parse(b'"' + b"[" * 100 + b'"') == "[" * 100


def test_size_is_bounded_before_anything_is_parsed() -> None:
    with pytest.raises(JsonError) as error:
        parse(b"[" * 100_000, max_bytes=99_999)
    assert error.value.code == "json-too-large"


def test_an_object_is_asked_for() -> None:
    with pytest.raises(JsonError) as error:
        parse_object(b"[]")
    assert error.value.code == "json-not-object"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"a":1,"a":1}', "json-not-canonical"),
        (b"[NaN]", "json-float"),
        (b"[1e400]", "json-float"),
        (b"[null]", "json-null"),
        (b"[" + b"9" * 5000 + b"]", "json-integer-range"),
        (b"\xff", "json-malformed"),
        (b"{", "json-malformed"),
    ],
)
def test_the_lenient_reader_keeps_the_restrictions(text: bytes, code: str) -> None:
    with pytest.raises(JsonError) as error:
        parse_any(text, max_bytes=10_000)
    assert error.value.code == code


def test_the_lenient_reader_takes_any_layout() -> None:
    assert parse_any(b'{"b": [1, true],\n "a": "x"}', max_bytes=100) == {"a": "x", "b": [1, True]}
