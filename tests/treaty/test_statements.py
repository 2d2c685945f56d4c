"""Statements are read strictly: one spelling, closed schemas, the subject they are about."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.errors import StatementError
from brakeline.treaty.findings import Finding, Severity, Withdrawn, parse_finding
from brakeline.treaty.logbody import Heartbeat, Mirrored, parse_heartbeat
from brakeline.treaty.statements import PREDICATES, Usage, encode_statement, parse_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical, parse_object
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast

TREATY = cast.document()


def books() -> bytes:
    lines = (
        cast.line("training", 3000, flop_model="123", tokens="7", joules="9", parents=["1" * 64]),
        cast.line("idle", 5000),
    )
    return cast.Author(cast.SITE, TREATY).use(0, "2" * 64, lines).payload


def edited(payload: bytes, edit: Callable[[JsonObject], None]) -> bytes:
    value = parse_object(payload)
    edit(value)
    return canonical(value)


def retyped(uri: str) -> Callable[[JsonObject], None]:
    return lambda value: value.update(predicateType=uri)


def predicate(value: JsonObject) -> JsonObject:
    item = value["predicate"]
    assert isinstance(item, dict)
    return item


def first_line(value: JsonObject) -> JsonObject:
    lines = predicate(value)["lines"]
    assert isinstance(lines, list)
    assert isinstance(lines[0], dict)
    return lines[0]


def test_reading_and_writing_agree() -> None:
    payload = books()
    statement = parse_statement(payload)
    assert isinstance(statement.predicate, Usage)
    assert encode_statement(statement.predicate) == payload
    assert statement.predicate.lines[0].flop_hardware is None
    assert b"flop_hardware" not in payload


def test_every_predicate_has_its_own_type_uri() -> None:
    for name in PREDICATES:
        with pytest.raises(StatementError) as error:
            parse_statement(edited(books(), retyped(f"x/{name}")))
        assert error.value.code == "statement-predicate-unknown"


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda v: v.update(extra=1), "statement-malformed"),
        (lambda v: v.pop("subject"), "statement-malformed"),
        (lambda v: v.update(_type="https://in-toto.io/Statement/v0.1"), "statement-type"),
        (lambda v: v.update(subject=[]), "statement-subject"),
        (lambda v: v.update(subject=[{"name": "inventory", "digest": {"sha256": "3" * 64}}]), "statement-subject"),
        (lambda v: v.update(subject=[{"name": "inventory", "digest": {"sha512": "3" * 64}}]), "statement-schema"),
        (lambda v: predicate(v).update(extra=1), "statement-schema"),
        (lambda v: predicate(v).update(sequence="0"), "statement-schema"),
        (lambda v: predicate(v).update(sequence=True), "statement-schema"),
        (lambda v: predicate(v).update(sequence=-1), "statement-schema"),
        (lambda v: predicate(v).update(author="Lab.example/site"), "statement-schema"),
        (lambda v: predicate(v).update(previous="A" * 64), "statement-schema"),
        (lambda v: predicate(v).update(previous="0" * 64 + "\n"), "statement-schema"),
        (lambda v: predicate(v).update(start="0"), "statement-schema"),
        (lambda v: predicate(v).update(lines=[]), "statement-schema"),
        (lambda v: first_line(v).update(activity="thinking"), "statement-schema"),
        (lambda v: first_line(v).update(flop_model=123), "statement-schema"),
        (lambda v: first_line(v).update(flop_model="0123"), "statement-schema"),
        (lambda v: first_line(v).update(flop_model="-1"), "statement-schema"),
        (lambda v: first_line(v).update(flop_model="9" * 41), "statement-schema"),
        (lambda v: first_line(v).update(chip_ms=[{"chip_class": "cpu-core", "value": "1"}]), "statement-schema"),
        (lambda v: first_line(v).update(workload="naïve"), "statement-schema"),
    ],
)
def test_other_spellings_are_refused(edit: Callable[[JsonObject], None], code: str) -> None:
    with pytest.raises(StatementError) as error:
        parse_statement(edited(books(), edit))
    assert error.value.code == code


@given(st.data())
def test_damaged_payloads_never_crash_the_reader(data: st.DataObject) -> None:
    payload = bytearray(books())
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        statement = parse_statement(bytes(payload))
    except BrakelineError as error:
        assert error.code  # noqa: PT017  (whatever is refused has a code)
    else:
        assert encode_statement(statement.predicate) == bytes(payload)


def finding(**changes: JsonValue) -> Finding:
    value: dict[str, JsonValue | tuple[str, ...]] = {
        "rule": "imbalance",
        "severity": "discrepancy",
        "article": "Art. 1",
        "about": cast.SITE,
        "period": 3,
        "statements": ("1" * 64,),
        "figures": {"missing": "12"},
    }
    return Finding.model_validate({**value, **changes})


def test_findings_round_trip_and_are_named_by_their_bytes() -> None:
    item = finding()
    assert parse_finding(item.body) == item
    assert item.severity is Severity.DISCREPANCY
    assert finding(period=4).digest != item.digest
    gone = Withdrawn(withdrawn=item.digest)
    assert parse_finding(gone.body) == gone


@pytest.mark.parametrize("statements", [["2" * 64, "1" * 64], ["1" * 64, "1" * 64]])
def test_findings_name_statements_in_one_order(statements: list[str]) -> None:
    with pytest.raises(StatementError) as error:
        parse_finding(canonical({**parse_object(finding().body), "statements": list(statements)}))
    assert error.value.code == "finding-schema"


def test_heartbeats_name_each_peer_once_in_order() -> None:
    good = Heartbeat(checkpoint="x", mirrored=(Mirrored(origin="a.b", checkpoint="y"),))
    assert parse_heartbeat(good.body) == good
    assert parse_heartbeat(Heartbeat(mirrored=()).body).checkpoint is None
    twice = Heartbeat(mirrored=(Mirrored(origin="b.b", checkpoint="y"), Mirrored(origin="a.b", checkpoint="y")))
    for body in (twice.body, b'{"mirrored":1}', b"{}"):
        with pytest.raises(StatementError) as error:
            parse_heartbeat(body)
        assert error.value.code == "heartbeat-schema"
