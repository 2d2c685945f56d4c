"""A play's logs read by tools that share no code with us: DSSE and in-toto libraries, and the independent checker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from brakeline.ledger.entry import Kind
from brakeline.ledger.vkey import VKey
from brakeline.testnet.outcome import Outcome
from brakeline.testnet.plan import Role
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.statements import Enrolment, parse_statement
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib import dsse
from securesystemslib.signer._key import Key

from tests.testnet.aftermath import document_of, logs_of

CHECKER = Path(__file__).parents[2] / "examples" / "check_log.py"


def every_envelope_is_read_by_libraries_nobody_here_wrote(outcome: Outcome) -> int:
    """securesystemslib verifies every signature, in-toto-attestation validates every payload; return how many."""
    envelopes = _envelopes(outcome)
    keys = _keys(outcome, envelopes)
    for digest, envelope in envelopes.items():
        theirs = dsse.Envelope.from_dict(json.loads(envelope.to_dsse_json()))
        assert theirs.pae() == envelope.pae(), digest
        signers = [_their_key(keys[keyid]) for keyid, _ in envelope.signatures]
        assert len(theirs.verify(signers, len(signers))) == len(envelope.signatures), digest
        message = json_format.Parse(envelope.payload, statement_pb2.Statement())
        statement = Statement.copy_from_pb(message)
        statement.validate()
        assert statement.pb.predicate_type.startswith("https://brakeline.example/"), digest
    return len(envelopes)


def the_independent_checker_agrees(outcome: Outcome) -> None:
    """It reproduces every exported log, by the treaty as TOML and as signed, and finds the lies that it can see."""
    liars = {lab.site for lab in outcome.plan.labs if lab.role is Role.CLUMSY}
    expected = {(code, site) for code in ("imbalance", "equivocation") for site in liars}
    pin = outcome.paths["pin"].read_text("ascii").strip()
    toml = outcome.paths["treaty"]
    for log in sorted(outcome.paths["logs"].iterdir()):
        for treaty in (toml, toml.with_name("treaty.dsse.json")):
            command = [sys.executable, str(CHECKER), str(log), "--treaty", str(treaty), "--pin", pin]
            done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)
            assert done.returncode == (1 if liars else 0), done.stdout + done.stderr
            report = json.loads(done.stdout)
            assert {problem["level"] for problem in report["problems"]} <= {"finding"}, done.stdout
            found = {(p["code"], site) for p in report["problems"] for site in _sites(outcome) if site in p["message"]}
            assert found == expected, done.stdout
            assert report["checked"]["open books"] > 0


def _sites(outcome: Outcome) -> list[str]:
    return [lab.site for lab in outcome.plan.labs]


def _envelopes(outcome: Outcome) -> dict[str, Envelope]:
    """Every envelope of every log; the same statement in two logs may carry other signatures, so both are kept."""
    return {
        f"{name}: {entry.index}": Envelope.from_body(entry.body)
        for name, entries in logs_of(outcome).items()
        for entry in entries
        if entry.kind in (Kind.TREATY, Kind.STATEMENT)
    }


def _keys(outcome: Outcome, envelopes: Mapping[str, Envelope]) -> dict[str, VKey]:
    """Every key that signs: those the treaty names, and those that labs enrolled for their sites."""
    keys = {keyid: named.key for keyid, named in document_of(outcome).all_statement_and_log_keys().items()}
    for envelope in envelopes.values():
        predicate = parse_statement(envelope.payload).predicate
        if isinstance(predicate, Enrolment):
            key = VKey.parse(predicate.key)
            keys[key.keyid] = key
    return keys


def _their_key(key: VKey) -> Key:
    value = {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": key.public_key.hex()}}
    return Key.from_dict(key.keyid, value)
