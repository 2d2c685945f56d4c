"""Versions of one treaty: which names a log, whose quorum a checkpoint answers to, how a chain of them is checked."""

from __future__ import annotations

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import Admitted, Code, admit
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.judge import LogJudge
from brakeline.treaty.register import Register
from brakeline.treaty.statements import encode_statement
from brakeline.treaty.succession import Reign, Succession
from brakeline.treaty.version_admission import check_versions

from tests.support import cast
from tests.support.cast import SITE, Author
from tests.support.judging import judge_of
from tests.support.predicates import build

V1 = cast.document()
MOVED = cast.json_lines(V1.to_json()["verifier"])
V2 = cast.amended(V1, 4, verifier=[{**MOVED[0], "url": "http://127.0.0.1:9"}, *MOVED[1:]])
WITHOUT = cast.amended(V2, 8, verifier=[*cast.json_lines(V2.to_json()["verifier"])[:3]], quorum={
    "liars": 0, "witnesses": 2, "receipts": 2, "audit": 2, "orders": 2, "amendments": 2,
})  # fmt: skip
ORIGINS = [item.origin for item in V1.verifiers]


def at(period: int) -> int:
    return cast.START + period * cast.PERIOD


# which names a log ----------------------------------------------------------------------------------------------------


def test_a_log_is_named_by_the_newest_version_that_names_it() -> None:
    chain = Succession(V1, [WITHOUT, V2])
    assert chain.naming(ORIGINS[0]) == [V1, V2, WITHOUT]
    assert chain.naming(ORIGINS[3]) == [V1, V2]
    assert chain.naming("nobody.example") == []
    assert chain.verifier(ORIGINS[0]) == WITHOUT.verifier_by_origin(ORIGINS[0]) != V1.verifier_by_origin(ORIGINS[0])
    assert chain.verifier(ORIGINS[3]) == V2.verifier_by_origin(ORIGINS[3])
    assert chain.verifier("nobody.example") is None
    assert [item.origin for item in chain.verifiers()] == ORIGINS
    assert chain.verifiers()[0].url == "http://127.0.0.1:9"
    assert chain.chain() == (V1, V2, WITHOUT)
    assert chain.reigns == (Reign(V1, 0, 4), Reign(V2, 4, 8), Reign(WITHOUT, 8, None))


@pytest.mark.parametrize(
    ("origin", "at_ms", "version"),
    [
        (0, -1, V1), (0, at(0), V1), (0, at(4) - 1, V1), (0, at(4), V2), (0, at(8) - 1, V2), (0, at(8), WITHOUT),
        (3, at(4), V2), (3, at(8), V2), (3, at(99), V2),
    ],
)  # fmt: skip
def test_a_checkpoint_answers_to_the_version_of_its_time_or_the_last_that_names_its_log(
    origin: int, at_ms: int, version: TreatyDocument
) -> None:
    assert Succession(V1, [V2, WITHOUT]).over(ORIGINS[origin], at_ms) == version


@pytest.mark.parametrize(
    ("reign", "inside", "outside"),
    [(Reign(V1, 3, 5), (3, 4), (2, 5, None, "3")), (Reign(V1, 3, None), (3, 99), (2,)), (Reign(V1, 3, 3), (), (2, 3))],
)
def test_a_reign_holds_its_first_period_and_not_its_end(
    reign: Reign, inside: tuple[int, ...], outside: tuple[object, ...]
) -> None:
    assert all(period in reign for period in inside)
    assert not any(period in reign for period in outside)


# a chain of them ------------------------------------------------------------------------------------------------------

FIRST, SECOND, THIRD = cast.treaty_envelope(V1), cast.amendment_envelope(V2), cast.amendment_envelope(WITHOUT)


@pytest.mark.parametrize("pin", [V1, V2, WITHOUT])
def test_a_chain_is_held_by_any_pin_of_it(pin: TreatyDocument) -> None:
    chain = check_versions([THIRD, FIRST, SECOND], pin.digest)
    assert chain.chain() == (V1, V2, WITHOUT)


def test_a_chain_may_begin_with_the_version_that_was_pinned() -> None:
    assert check_versions([THIRD, SECOND], V2.digest).chain() == (V2, WITHOUT)


@pytest.mark.parametrize(
    ("envelopes", "pin", "code"),
    [
        ([FIRST, SECOND], WITHOUT, Code.TREATY_NOT_PINNED),
        ([FIRST, cast.order(V1)], V1, Code.TREATY_NOT_PINNED),
        ([FIRST, cast.amendment_envelope(V2, cast.signer(cast.PARTIES[0]))], V1, Code.SIGNATURES_TOO_FEW),
        ([FIRST, THIRD], V1, Code.TREATY_UNKNOWN),
        ([Envelope(FIRST.payload, FIRST.signatures[1:]), SECOND], V1, Code.SIGNATURES_TOO_FEW),
    ],
)
def test_a_chain_that_does_not_hold_says_why(envelopes: list[Envelope], pin: TreatyDocument, code: str) -> None:
    with pytest.raises(BrakelineError) as error:
        check_versions(envelopes, pin.digest)
    assert error.value.code == code


# what else is said of periods -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("expiry", "code"), [(3, None), (2, Code.ORDER_PERIODS), (1, Code.ORDER_PERIODS)])
def test_a_permission_expires_after_it_takes_effect(expiry: int, code: str | None) -> None:
    said = build("authorisation", {"treaty": V1.digest}, effective_period=2, expiry_period=expiry)
    outcome = admit(Register(V1), cast.envelope(encode_statement(said), *map(cast.signer, cast.PARTIES)), now_ms=at(0))
    assert getattr(outcome, "code", None) == code


def test_a_treaty_without_thresholds_in_force_knows_no_lineage() -> None:
    judge = LogJudge(cast.document(rule=[]))
    assert (judge.passed(), judge.lineages(), judge.standing(), judge.heartbeat()) == ({}, (), {}, [])


def test_a_treaty_is_known_once_its_log_holds_it() -> None:
    register = Register(V1)
    for index, envelope in enumerate((FIRST, SECOND)):
        new = admit(register, envelope, now_ms=at(0))
        assert isinstance(new, Admitted)
        assert not new.known
        register.record(new.statement, index)
        again = admit(register, envelope, now_ms=at(0))
        assert isinstance(again, Admitted)
        assert (again.known, again.index) == (True, index)


def test_what_was_said_before_any_period_is_judged_by_the_first_version() -> None:
    later = cast.amended(V1, 1, rule=cast.with_rule(V1, "equivocation", "note"))
    pair = [cast.read(Author(SITE, V1).hold(chips)) for chips in (2, 3)]
    judge = judge_of([cast.read(cast.amendment_envelope(later)), *pair], V1)
    assert [item.severity.value for item in judge.standing().values() if item.rule == "equivocation"] == ["referral"]
