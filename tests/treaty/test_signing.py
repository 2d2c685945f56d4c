"""Many sign one file, one after the other: what is there, what is missing, what is wrong."""

from __future__ import annotations

import pytest
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.errors import EnvelopeError
from brakeline.treaty.signing import add_signature, order_state, treaty_state
from brakeline.treaty.statements import encode_statement
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import cast

TREATY = cast.document()
PAYLOAD = encode_statement(TREATY)


class LyingSigner:
    """A device that returns another key's signature."""

    @property
    def public_key(self) -> bytes:
        """The key it claims to sign with."""
        return cast.signer(cast.PARTIES[0]).public_key

    def sign(self, message: bytes) -> bytes:
        """Sign with another key."""
        return cast.signer(cast.PARTIES[1]).sign(message)


def test_nobody_has_signed_a_fresh_treaty() -> None:
    state = treaty_state(TREATY, None)
    assert not state.complete
    assert len(state.missing) == len(TREATY.all_statement_and_log_keys())


def test_a_treaty_signed_by_every_named_key_is_complete() -> None:
    assert treaty_state(TREATY, cast.treaty_envelope(TREATY)).complete


def test_parties_count_by_quorum_and_every_other_key_must_sign() -> None:
    quorum = {**cast.json_lines([cast.terms()["quorum"]])[0], "amendments": 2, "orders": 2}
    third = "party-c.example"
    names = (*cast.PARTIES, third)
    treaty = cast.document(party=[{"name": n, "key": str(cast.vkey(n))} for n in names], quorum=quorum)
    state = treaty_state(treaty, cast.treaty_envelope(treaty))
    assert state.complete
    assert [item.owner for item in state.missing] == [third]
    assert state.required == ()


@given(st.permutations(range(4)), st.integers(0, 4))
@settings(max_examples=20, deadline=None)
def test_the_order_of_signing_does_not_matter_and_repeats_change_nothing(order: list[int], stop: int) -> None:
    signers = [cast.signer(name, "log") for name in cast.VERIFIERS]
    envelope: Envelope | None = None
    for index in [*order[:stop], *order[:stop]]:
        envelope = add_signature(PAYLOAD, envelope, signers[index])
    signed = {item.owner for item in treaty_state(TREATY, envelope).signed}
    assert signed == {cast.VERIFIERS[index] for index in order[:stop]}


def test_a_wrong_signature_under_a_known_key_is_replaced_by_the_right_one() -> None:
    right = add_signature(PAYLOAD, None, cast.signer(cast.PARTIES[0]))
    wrong = Envelope(PAYLOAD, (right.signatures[0]._replace(sig=bytes(64)),))
    assert treaty_state(TREATY, wrong).invalid == (right.signatures[0].keyid,)
    assert add_signature(PAYLOAD, wrong, cast.signer(cast.PARTIES[0])) == right


def test_a_signer_whose_signature_does_not_verify_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="envelope-signer"):
        add_signature(PAYLOAD, None, LyingSigner())


def test_only_parties_count_on_an_order() -> None:
    order = cast.order(TREATY)
    assert order_state(TREATY, order).complete
    more = add_signature(order.payload, order, cast.signer(cast.LABS[0]))
    state = order_state(TREATY, more)
    assert not state.complete
    assert state.strangers == (cast.vkey(cast.LABS[0]).keyid,)
