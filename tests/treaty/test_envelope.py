"""Envelopes frame; other tools read the same bytes."""

from __future__ import annotations

import json

import pytest
from brakeline.ledger.entry import RawSignature
from brakeline.treaty.envelope import PAYLOAD_TYPE, Envelope, pae
from brakeline.treaty.errors import EnvelopeError, TreatyError
from brakeline.treaty.statements import parse_statement
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast

signatures = st.lists(
    st.builds(RawSignature, st.text("0123456789abcdef", min_size=64, max_size=64), st.binary(min_size=64, max_size=64)),
    min_size=1,
    max_size=4,
    unique_by=lambda item: item.keyid,
)
envelopes = st.builds(lambda payload, sigs: Envelope(payload, tuple(sigs)), st.binary(max_size=300), signatures)


@given(envelopes)
def test_both_forms_round_trip(envelope: Envelope) -> None:
    assert Envelope.from_dsse_json(envelope.to_dsse_json()) == envelope
    assert Envelope.from_body(envelope.to_body()) == envelope


@given(envelopes, st.data())
def test_a_damaged_envelope_never_crashes_the_reader(envelope: Envelope, data: st.DataObject) -> None:
    text = bytearray(envelope.to_dsse_json())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        Envelope.from_dsse_json(bytes(text))
    except TreatyError as error:
        assert error.code  # noqa: PT017  (whatever is refused has a code)


def test_securesystemslib_and_in_toto_agree() -> None:
    from in_toto_attestation.v1.statement import Statement as InTotoStatement
    from securesystemslib.dsse import Envelope as TheirEnvelope
    from securesystemslib.signer._key import SSlibKey

    treaty = cast.document()
    item = cast.Author(cast.SITE, treaty).hold()
    theirs = TheirEnvelope.from_dict(json.loads(item.to_dsse_json()))
    assert theirs.pae() == item.pae()
    key = SSlibKey(item.signatures[0].keyid, "ed25519", "ed25519", {"public": cast.signer(cast.SITE).public_key.hex()})
    theirs.verify([key], 1)
    statement = InTotoStatement.copy_from_pb(
        InTotoStatement(subjects=[], predicate_type="", predicate={}).pb.FromString(b"")
    )
    from google.protobuf.json_format import Parse

    Parse(item.payload, statement.pb)
    statement.validate()
    assert parse_statement(item.payload).digest == item.digest


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payloadType": "text/plain"}, "envelope-payload-type"),
        ({"payload": "YQ"}, "envelope-malformed"),
        ({"payload": "YR=="}, "envelope-malformed"),
        ({"extra": "x"}, "envelope-malformed"),
        ({"signatures": []}, "envelope-signatures"),
        ({"signatures": "x"}, "envelope-malformed"),
        ({"signatures": ["x"]}, "envelope-malformed"),
        ({"signatures": [{"keyid": "x", "sig": "AA=="}]}, "envelope-keyid"),
        ({"signatures": [{"keyid": "0" * 64, "sig": "AA=="}]}, "envelope-signature-size"),
        ({"signatures": [{"keyid": 1, "sig": "AA=="}]}, "envelope-malformed"),
    ],
)
def test_mistakes_have_their_codes(change: dict[str, object], code: str) -> None:
    good = {"payload": "YQ==", "payloadType": PAYLOAD_TYPE, "signatures": [{"keyid": "0" * 64, "sig": "A" * 86 + "=="}]}
    Envelope.from_dsse_json(json.dumps(good).encode())
    with pytest.raises(EnvelopeError) as error:
        Envelope.from_dsse_json(json.dumps({**good, **change}).encode())
    assert error.value.code == code


def test_sizes_are_bounded() -> None:
    with pytest.raises(EnvelopeError) as error:
        Envelope(b"x" * (60 * 1024 + 1), (RawSignature("0" * 64, bytes(64)),))
    assert error.value.code == "envelope-too-large"


def test_merging_adds_only_new_signatures_over_the_same_bytes() -> None:
    treaty = cast.document()
    a = cast.order(treaty, cast.signer(cast.PARTIES[0]))
    b = cast.order(treaty, cast.signer(cast.PARTIES[1]))
    assert a.merged(b).merged(b).signatures == a.signatures + b.signatures
    with pytest.raises(EnvelopeError) as error:
        a.merged(cast.order(treaty, expiry=99))
    assert error.value.code == "envelope-payload-differs"


def test_pae_is_the_published_form() -> None:
    assert pae(b"") == b"DSSEv1 28 application/vnd.in-toto+json 0 "
