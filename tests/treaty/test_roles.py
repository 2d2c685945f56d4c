"""Who may sign what: the whole matrix of role and predicate; every wrong cell is refused."""

from __future__ import annotations

import pytest
from brakeline.ledger.vkey import TYPE_STATEMENT, VKey
from brakeline.treaty.admission import ROLES, Admitted, Code, NotYet, Refused, admit, said
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.register import Register, Role
from brakeline.treaty.statements import Enrolment, encode_statement, parse_statement
from brakeline.treaty.strictjson import JsonObject
from pydantic import ValidationError

from tests.support import cast, predicates

THIRD = {
    Role.METER: cast.METER,
    Role.PROVIDER: "provider.example",
    Role.VENDOR: "vendor.example",
    Role.INSPECTOR: "inspector.example",
    Role.EVALUATOR: "evaluator.example",
}
HOLDERS = {Role.PARTY: cast.PARTIES[0], Role.LAB_ROOT: cast.LABS[0], Role.SITE: cast.SITE, **THIRD}
TREATY = cast.document(
    third_party=[{"name": name, "kind": role.value, "key": str(cast.vkey(name))} for role, name in THIRD.items()]
)
NOW = cast.START + 10 * cast.PERIOD
ZERO: JsonObject = {"sequence": 0, "previous": cast.ZEROS, "treaty": TREATY.digest}


def register() -> Register:
    """A prefix in which the site is enrolled (by a first statement of its lab)."""
    memory = Register(TREATY)
    outcome = take(memory, cast.Author(cast.LABS[0], TREATY).enrol(cast.SITE))
    assert isinstance(outcome, Admitted)
    return memory


def take(memory: Register, envelope: Envelope) -> Admitted | NotYet | Refused:
    outcome = admit(memory, envelope, now_ms=NOW)
    if isinstance(outcome, Admitted):
        memory.record(outcome.statement, 0)
    return outcome


def test_everything_that_can_be_said_has_a_sample_and_a_role() -> None:
    assert {*predicates.SAMPLES, "enrolment"} == set(ROLES)


@pytest.mark.parametrize("what", predicates.SAMPLES)
def test_what_is_written_is_what_is_read(what: str) -> None:
    predicate = predicates.build(what, {"author": HOLDERS[ROLES[what]], **ZERO})
    payload = encode_statement(predicate)
    statement = parse_statement(payload)
    assert (statement.predicate, said(statement)) == (predicate, what)
    assert encode_statement(statement.predicate) == payload


@pytest.mark.parametrize("role", HOLDERS)
@pytest.mark.parametrize("what", predicates.SAMPLES)
def test_only_the_role_of_the_table_may_say_it(what: str, role: Role) -> None:
    memory, holder = register(), HOLDERS[role]
    position: JsonObject = {"author": holder, **ZERO}
    if role is Role.LAB_ROOT:
        sequence, previous = memory.heads(holder)[0]
        position |= {"sequence": sequence + 1, "previous": previous}
    try:
        payload = encode_statement(predicates.build(what, position))
    except ValidationError:  # what a site says cannot even bear a host's name, nor the other way round
        assert ROLES[what] is not role
        return
    signers = [cast.signer(holder)]
    if role is Role.PARTY and what != "withdrawal":
        signers = [cast.signer(name) for name in cast.PARTIES]
    outcome = take(memory, cast.envelope(payload, *signers))
    if role is ROLES[what]:
        assert isinstance(outcome, Admitted), outcome
    else:
        assert isinstance(outcome, Refused), outcome
        assert outcome.code in {Code.ROLE_FORBIDDEN, Code.SIGNER_NOT_ALLOWED, "statement-schema"}


@pytest.mark.parametrize("what", ["order", "authorisation", "determination"])
def test_parties_speak_by_quorum(what: str) -> None:
    payload = encode_statement(predicates.build(what, ZERO))
    one = take(register(), cast.envelope(payload, cast.signer(cast.PARTIES[0])))
    assert isinstance(one, Refused)
    assert one.code == Code.SIGNATURES_TOO_FEW
    site = take(register(), cast.envelope(payload, *(cast.signer(n) for n in (*cast.PARTIES, cast.SITE))))
    assert isinstance(site, Refused)
    assert site.code == Code.SIGNER_NOT_ALLOWED


@pytest.mark.parametrize("signers", [cast.PARTIES, cast.PARTIES[1:]])
def test_a_party_leaves_by_its_own_signature_alone(signers: tuple[str, ...]) -> None:
    payload = encode_statement(predicates.build("withdrawal", ZERO))
    outcome = take(register(), cast.envelope(payload, *(cast.signer(name) for name in signers)))
    assert isinstance(outcome, Refused)
    assert outcome.code == Code.SIGNER_NOT_ALLOWED


@pytest.mark.parametrize("what", ["evidence:capacity", "evidence:shipment", "evidence:inspection"])
def test_evidence_is_about_a_period_of_the_grid_that_is_over(what: str) -> None:
    holder = HOLDERS[ROLES[what]]
    off = predicates.build(what, {"author": holder, **ZERO}, start=cast.START + 1)
    outcome = take(register(), cast.envelope(encode_statement(off), cast.signer(holder)))
    assert isinstance(outcome, Refused)
    assert outcome.code == Code.OFF_GRID
    start = cast.START + 10 * cast.PERIOD
    early = predicates.build(what, {"author": holder, **ZERO}, start=start, end=start + cast.PERIOD)
    waits = take(register(), cast.envelope(encode_statement(early), cast.signer(holder)))
    assert isinstance(waits, NotYet)
    assert waits.code == Code.FUTURE_DATED


# keys that end -------------------------------------------------------------------------------------------------------


def enrolment(memory: Register, action: str, key: str, **more: object) -> Enrolment:
    sequence, previous = memory.heads(cast.LABS[0])[0]
    position = {"author": cast.LABS[0], "sequence": sequence + 1, "previous": previous, "treaty": TREATY.digest}
    return Enrolment.model_validate(
        {**position, "site": cast.SITE, "action": action, "key": key, "effective_period": 4, **more}
    )


HONOURS = {"sequence": 0, "digest": cast.ZEROS}


def test_the_root_key_alone_ends_a_key_which_is_still_admitted() -> None:
    """A revocation never affects admission: what the key signs afterwards is judged."""
    memory = register()
    end = enrolment(memory, "end", str(cast.vkey(cast.SITE)), honours=HONOURS)
    both = cast.envelope(encode_statement(end), cast.signer(cast.LABS[0]), cast.signer(cast.SITE))
    refused = take(memory, both)
    assert isinstance(refused, Refused)
    assert refused.code == Code.SIGNER_NOT_ALLOWED
    assert isinstance(take(memory, cast.envelope(encode_statement(end), cast.signer(cast.LABS[0]))), Admitted)
    assert isinstance(take(memory, cast.Author(cast.SITE, TREATY).hold()), Admitted)


def test_a_replacing_key_signs_too_and_then_speaks_for_the_site() -> None:
    memory = register()
    new = cast.signer("another key")
    fresh = VKey(cast.SITE, TYPE_STATEMENT, new.public_key)
    said_so = enrolment(memory, "replace", str(fresh), replaced=str(cast.vkey(cast.SITE)), honours=HONOURS)
    alone = take(memory, cast.envelope(encode_statement(said_so), cast.signer(cast.LABS[0])))
    assert isinstance(alone, Refused)
    assert isinstance(take(memory, cast.envelope(encode_statement(said_so), cast.signer(cast.LABS[0]), new)), Admitted)
    assert isinstance(take(memory, cast.Author(cast.SITE, TREATY, new).hold()), Admitted)


@pytest.mark.parametrize(
    "more",
    [
        {"action": "begin", "honours": HONOURS},
        {"action": "end"},
        {"action": "replace", "honours": HONOURS},
        {"action": "end", "honours": HONOURS, "replaced": "x"},
    ],
)
def test_an_enrolment_says_what_its_action_needs_and_no_more(more: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        enrolment(register(), str(more.pop("action")), str(cast.vkey(cast.SITE)), **more)
