"""Two readers of usage statements, one answer: the fast one takes nothing that the models refuse or read otherwise."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import cast as typed

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.counting import Precision, Purpose
from brakeline.treaty.statements import (
    PREDICATES,
    Activity,
    Statement,
    Usage,
    _parse,
    encode_statement,
    parse_statement,
)
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical, parse_object
from brakeline.treaty.usage import ReadUsage, read_usage
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast

Values = st.SearchStrategy[JsonValue]
TREATY = cast.document()


def record(members: dict[str, Values], optional: dict[str, Values] | None = None) -> Values:
    """JSON objects with these members."""
    return typed("Values", st.fixed_dictionaries(members, optional=optional or {}))


def many(items: Values, least: int = 0, most: int = 3) -> Values:
    """JSON lists."""
    return typed("Values", st.lists(items, min_size=least, max_size=most))


def one_of(words: type[StrEnum]) -> Values:
    """Words of a closed list."""
    return st.sampled_from([word.value for word in words])


HEX: Values = st.text("0123456789abcdef", min_size=64, max_size=64)
NAME: Values = st.from_regex(r"\A[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,20}\Z")
FIGURE: Values = st.integers(0, 10**40 - 1).map(str)
NUMBER: Values = st.integers(0, 2**53 - 1)
TIME = record({"class": NAME, "value": FIGURE})
LINE = record(
    {"workload": NAME, "activity": one_of(Activity), "chip_ms": many(TIME, 1)},
    {
        **dict.fromkeys(("flop_hardware", "flop_model", "tokens", "joules"), FIGURE),
        **dict.fromkeys(("model_out", "code", "data"), HEX),
        "parents": many(HEX),
        "meter": record({"name": NAME, "digest": HEX}),
        "purpose": one_of(Purpose),
        "precision": one_of(Precision),
    },
)
SUBJECT = record({"name": st.text(" abc~", min_size=1, max_size=5), "digest": record({"sha256": HEX})})


@st.composite
def statements(draw: st.DrawFn) -> JsonObject:
    """Well-formed usage statements as JSON objects, with every member that there is."""
    inventory = draw(HEX)
    first: JsonValue = {"name": "inventory", "digest": {"sha256": inventory}}
    predicate: JsonObject = {
        "author": cast.SITE,
        **{name: draw(NUMBER) for name in ("sequence", "start", "end")},
        **{name: draw(HEX) for name in ("previous", "treaty")},
        "inventory": inventory,
        "table": {"root": draw(HEX), "rows": draw(NUMBER)},
        "lines": draw(many(LINE, 1, 4)),
    }
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://brakeline.example/usage/v1",
        "subject": [first, *typed("list[JsonValue]", draw(many(SUBJECT, 0, 2)))],
        "predicate": predicate,
    }


def agree(payload: bytes) -> bool:
    """Hold both readers against each other; say whether the fast one was certain."""
    fast = read_usage(payload)
    try:
        slow = _parse(payload)
    except BrakelineError:
        assert fast is None
        return False
    if fast is None:
        return False
    assert isinstance(slow.predicate, Usage)
    assert fast == ReadUsage.of(slow.predicate)
    assert all(type(line.activity) is Activity for line in fast.lines)
    whole = Statement.of_books(payload, fast)
    assert (whole.predicate, whole.subject, whole.digest) == (slow.predicate, slow.subject, slow.digest)
    assert whole == slow == parse_statement(payload)
    return True


@given(statements())
def test_well_formed_books_are_certain(value: JsonObject) -> None:
    assert agree(canonical(value))


def places(value: JsonValue, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in *value*: objects' members and lists' items, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *places(item, (*path, key))]]


ODD: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([2**53, 2**63, 2**64, 10**30, 1.0, 0.5, -0.0, 1e300]),
    st.sampled_from(["", "0", "00", "01", "-1", "+1", "1_0", " 1", "1 ", "1,2", "1\n", "\u0661", "1" * 40, "1" * 41]),
    st.sampled_from(["A" * 64, "a" * 63, "a" * 64, "g" * 64, "a" * 64 + "\n", "\n" + "a" * 63, "idle", "Idle", "fp8"]),
    st.sampled_from([cast.SITE, cast.SITE + "\n", "lab.example", "a" * 129, "-a", "a b", "a\n", "inventory"]),
    st.text(max_size=3),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(0, 1), max_size=2),
    st.sampled_from(
        [["a" * 64], ["a" * 64] * 17, [{"class": "c", "value": "1"}], [{"class": "c"}], {"sha256": "a" * 64}]
    ),
)


@given(statements(), st.data())
def test_no_change_of_one_member_divides_the_readers(value: JsonObject, data: st.DataObject) -> None:
    *path, last = data.draw(st.sampled_from(places(value)))
    target: object = value
    for key in path:
        target = typed("dict[object, object]", target)[key]
    changed = typed("dict[object, object]", target)
    act = data.draw(st.sampled_from(["replace", "remove", "add", "rename"]))
    if act == "replace":
        changed[last] = data.draw(ODD)
    elif act == "remove":
        del changed[last]
    elif isinstance(target, dict):
        word = data.draw(st.sampled_from(["purpose", "zzz", "class", "sealed", "\u00e9", ""]))
        changed[word] = changed.pop(last) if act == "rename" else data.draw(ODD)
    agree(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


@given(statements(), st.data())
def test_no_change_of_one_byte_divides_the_readers(value: JsonObject, data: st.DataObject) -> None:
    payload = bytearray(canonical(value))
    at = data.draw(st.integers(0, len(payload) - 1))
    act = data.draw(st.sampled_from(["set", "insert", "cut"]))
    byte = data.draw(st.sampled_from(b'0a"\\ \n,:{}[]\x00\xff-.eE'))
    payload[at : at + (act != "insert")] = b"" if act == "cut" else bytes([byte])
    agree(bytes(payload))


@pytest.mark.parametrize("name", sorted(set(PREDICATES) - {"usage"}))
def test_what_is_no_books_is_left_to_the_models(name: str) -> None:
    value = parse_object(cast.Author(cast.SITE, TREATY).use(0, "2" * 64, (cast.line("idle", 8000),)).payload)
    value["predicateType"] = f"https://brakeline.example/{name}/v1"
    assert read_usage(canonical(value)) is None


def test_books_that_are_too_large_or_too_many_are_left_to_the_models() -> None:
    line = cast.line("idle", 8000)
    value = parse_object(cast.Author(cast.SITE, TREATY).use(0, "2" * 64, (line,)).payload)
    predicate = typed("JsonObject", value["predicate"])
    (first,) = typed("list[JsonValue]", predicate["lines"])
    predicate["lines"] = [first] * 256
    assert agree(canonical(value))
    predicate["lines"] = [first] * 257
    assert not agree(canonical(value))
    parents: list[JsonValue] = ["a" * 64]
    wide: JsonObject = {**typed("JsonObject", first), "parents": parents * 16}
    predicate["lines"] = [wide for _ in range(60)]
    assert not agree(canonical(value))


def test_the_models_of_books_are_made_when_they_are_asked_for() -> None:
    payload = cast.Author(cast.SITE, TREATY).use(0, "2" * 64, (cast.line("idle", 8000),)).payload
    statement = parse_statement(payload)
    signed = statement.signed(("a", "b"))
    assert (signed.signed_by, signed == statement, hash(signed)) == (("a", "b"), True, hash(statement))
    assert isinstance(statement.predicate, Usage)
    assert encode_statement(statement.predicate) == payload
    assert statement.predicate is statement.authored
    assert statement.signed(("c",)).predicate is statement.predicate
    assert (statement == payload) is False
    assert statement.digest in repr(statement)
