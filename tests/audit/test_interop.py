"""Tools nobody here wrote read our envelopes: securesystemslib verifies them, in-toto-attestation validates them."""

from __future__ import annotations

import json

import pytest
from brakeline.ledger.entry import Kind
from brakeline.ledger.vkey import VKey
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Enrolment, parse_statement
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib import dsse, exceptions
from securesystemslib.signer._key import Key

from tests.support import worlds

WORLD = worlds.cheating()
ENVELOPES = {
    envelope.digest: envelope
    for log in WORLD.logs
    for entry in log.entries
    if entry.kind in (Kind.TREATY, Kind.STATEMENT)
    for envelope in [Envelope.from_body(entry.body)]
}


def _keys() -> dict[str, VKey]:
    """Every key that signs in the world, by keyid."""
    keys = {keyid: named.key for keyid, named in WORLD.document.all_statement_and_log_keys().items()}
    for envelope in ENVELOPES.values():
        predicate = parse_statement(envelope.payload).predicate
        if isinstance(predicate, Enrolment):
            key = VKey.parse(predicate.key)
            keys[key.keyid] = key
    return keys


KEYS = _keys()


def _their_key(keyid: str) -> Key:
    value = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": KEYS[keyid].public_key.hex()}}
    return Key.from_dict(keyid, value)


@pytest.mark.parametrize("digest", sorted(ENVELOPES))
def test_every_envelope_verifies_with_securesystemslib(digest: str) -> None:
    envelope = ENVELOPES[digest]
    theirs = dsse.Envelope.from_dict(json.loads(envelope.to_dsse_json()))
    keys = [_their_key(keyid) for keyid, _ in envelope.signatures]
    assert theirs.pae() == envelope.pae()
    assert len(theirs.verify(keys, len(keys))) == len(envelope.signatures)


@pytest.mark.parametrize("digest", sorted(ENVELOPES))
def test_every_payload_is_an_in_toto_statement(digest: str) -> None:
    message = json_format.Parse(ENVELOPES[digest].payload, statement_pb2.Statement())
    statement = Statement.copy_from_pb(message)
    statement.validate()
    assert statement.pb.predicate_type.startswith("https://brakeline.example/")


def test_a_forged_signature_fails_there_too() -> None:
    envelope = next(iter(ENVELOPES.values()))
    keyid, sig = envelope.signatures[0]
    forged = Envelope(envelope.payload, (type(envelope.signatures[0])(keyid, bytes([sig[0] ^ 1]) + sig[1:]),))
    theirs = dsse.Envelope.from_dict(json.loads(forged.to_dsse_json()))
    with pytest.raises(exceptions.VerificationError):
        theirs.verify([_their_key(keyid)], 1)


def test_a_statement_without_subject_fails_there_too() -> None:
    value = json.loads(next(iter(ENVELOPES.values())).payload)
    value["subject"] = []
    message = json_format.Parse(json.dumps(value), statement_pb2.Statement())
    with pytest.raises(ValueError, match="subject"):
        Statement.copy_from_pb(message).validate()
