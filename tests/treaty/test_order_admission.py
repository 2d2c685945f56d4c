"""Orders that must touch nobody: refused, waiting, or admitted and inert; each says why by a stable code."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

import pytest
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.admission import Admitted, Code, NotYet, Outcome, Refused, Register, admit
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.orders import Standing, limit, standing
from brakeline.treaty.statements import Activity, Order, encode_statement

from tests.support import cast

TREATY = cast.document()
NOW = cast.START + 6 * cast.PERIOD
QUORUM = tuple(cast.signer(name) for name in cast.PARTIES)


def world(document: TreatyDocument = TREATY) -> Register:
    """Return the memory of a log that holds the treaty and an enrolled site."""
    register = Register(document)
    enrolment = cast.read(cast.Author(cast.LABS[0], document).enrol(cast.SITE))
    register.record(enrolment, 1)
    return register


def order(document: TreatyDocument = TREATY, **changes: object) -> Order:
    found = cast.read(cast.order(document)).predicate
    assert isinstance(found, Order)
    return Order.model_validate({**found.model_dump(), **changes})


def signed(predicate: Order, signers: Sequence[Signer] = QUORUM) -> Envelope:
    return cast.envelope(encode_statement(predicate), *signers)


def take(register: Register, envelope: Envelope, now_ms: int = NOW) -> Outcome:
    return admit(register, envelope, now_ms=now_ms)


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, NotYet | Refused)
    return outcome.code


def test_the_quorum_of_parties_admits_it() -> None:
    assert isinstance(take(world(), signed(order())), Admitted)


EVERYBODY: dict[str, Signer] = {
    **{name: cast.signer(name) for name in (*cast.PARTIES, cast.LABS[0], cast.SITE, cast.METER)},
    **{f"{name}'s log": cast.signer(name, "log") for name in cast.VERIFIERS},
    "a witness": cast.signer(cast.VERIFIERS[0], "witness"),
}
HANDS = [who for size in (1, 2, 3) for who in combinations(EVERYBODY, size) if set(who) != set(cast.PARTIES)]


def test_no_other_hands_admit_it_however_they_join() -> None:
    """One signature too few, none of a party's, or one too many: of every role, and of all verifiers together."""
    register, predicate = world(), order()
    verifiers = tuple(name for name in EVERYBODY if name.endswith("log"))
    for who in (*HANDS, verifiers, (*cast.PARTIES[:1], *verifiers), (*cast.PARTIES, *verifiers)):
        outcome = take(register, signed(predicate, [EVERYBODY[name] for name in who]))
        known = [name for name in who if name in (*cast.PARTIES, cast.LABS[0], cast.SITE, cast.METER)]
        if not known:
            assert code(outcome) == Code.KEY_UNKNOWN, who
        elif set(who) <= set(cast.PARTIES):
            assert code(outcome) == Code.SIGNATURES_TOO_FEW, who
        else:
            assert code(outcome) == Code.SIGNER_NOT_ALLOWED, who


def test_all_verifiers_together_cannot_pass_for_the_parties() -> None:
    """They know the parties' key ids, and can put any bytes under them."""
    honest = signed(order())
    forged = signed(order(), [cast.signer(name, "log") for name in cast.VERIFIERS])
    under_their_ids = tuple(
        RawSignature(real.keyid, made.sig) for real, made in zip(honest.signatures, forged.signatures, strict=False)
    )
    assert code(take(world(), Envelope(honest.payload, under_their_ids))) == Code.SIGNATURE_INVALID


def test_signatures_under_one_order_do_not_carry_to_another() -> None:
    harmless, grave = signed(order(exercise=True)), signed(order())
    assert code(take(world(), Envelope(grave.payload, harmless.signatures))) == Code.SIGNATURE_INVALID


def test_a_key_that_is_no_longer_a_partys_signs_no_order() -> None:
    """A party changed its key: the treaty names the new one, and the old one is nobody's."""
    new = cast.signer(cast.PARTIES[0], "new")
    key = str(VKey(cast.PARTIES[0], TYPE_STATEMENT, new.public_key))
    first, second = cast.json_lines(cast.terms()["party"])
    later = cast.document(party=[{**first, "key": key}, second])
    register, predicate = world(later), order(later)
    assert isinstance(take(register, signed(predicate, [new, QUORUM[1]])), Admitted)
    assert code(take(register, signed(predicate))) == Code.SIGNER_NOT_ALLOWED
    assert code(take(register, signed(predicate, QUORUM[:1]))) == Code.KEY_UNKNOWN
    assert code(take(register, signed(order(TREATY), [new, QUORUM[1]]))) == Code.TREATY_UNKNOWN


def test_an_order_under_another_treaty_waits_for_ever() -> None:
    other = cast.document(name="other.treaty.example")
    assert code(take(world(), signed(order(other)))) == Code.TREATY_UNKNOWN


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"scope": {"who": ("nobody.example",), "activities": ("training",)}}, Code.ORDER_SCOPE),
        ({"scope": {"who": ("everyone",), "activities": ("training",), "above": "nowhere"}}, Code.ORDER_SCOPE),
        ({"expiry_period": 5}, Code.ORDER_PERIODS),
        ({"kind": "slow"}, Code.ORDER_CEILING),
        ({"ceiling": {"numerator": 1, "denominator": 2}}, Code.ORDER_CEILING),
    ],
)
def test_an_order_that_could_never_be_obeyed_is_refused(changes: dict[str, object], expected: str) -> None:
    outcome = take(world(), signed(order(TREATY, **changes)))
    assert code(outcome) == expected
    assert isinstance(outcome, Refused)
    assert outcome.expected
    assert outcome.found


def test_a_refusal_does_not_depend_on_when_it_is_asked() -> None:
    envelope = signed(order(scope={"who": ("nobody.example",), "activities": ("training",)}))
    assert take(world(), envelope, now_ms=0) == take(world(), envelope, now_ms=NOW + 10**9)


def test_an_expired_order_is_admitted_and_inert() -> None:
    expired = signed(order(effective_period=2, expiry_period=4))
    outcome = take(world(), expired)
    assert isinstance(outcome, Admitted)
    predicate = outcome.statement.predicate
    assert isinstance(predicate, Order)
    orders = {expired.digest: predicate}
    assert standing(orders, expired.digest, cast.SITE, 6, TREATY) is Standing.EXPIRED
    assert limit(orders, cast.SITE, 6, Activity.TRAINING, TREATY) is None


def test_an_order_sent_again_is_the_same_order_and_stays_lifted() -> None:
    register, pause = world(), signed(order())
    first = take(register, pause)
    assert isinstance(first, Admitted)
    register.record(first.statement, 2)
    again = take(register, pause)
    assert isinstance(again, Admitted)
    assert (again.known, again.index) == (True, 2)
    fewer = Envelope(pause.payload, pause.signatures[:1])
    assert code(take(register, fewer)) == Code.SIGNATURES_TOO_FEW
    resume = order(kind="resume", effective_period=6, lifts=(pause.digest,))
    orders = {pause.digest: order(), hashlib.sha256(encode_statement(resume)).hexdigest(): resume}
    assert standing(orders, pause.digest, cast.SITE, 6, TREATY) is Standing.LIFTED
    assert limit(orders, cast.SITE, 6, Activity.TRAINING, TREATY) is None
