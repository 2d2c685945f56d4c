"""What each kind of case asks, and what this implementation answers: a word for the first thing that is wrong.

The words are the specification's (docs/spec/conformance/README.md), coarser than this package's own codes, so that an
implementation need not fail in the same function to give the same answer. An answer never raises for what is asked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from brakeline.audit.conformance.case import VALID
from brakeline.audit.evidence.bundle import parse as parse_bundle
from brakeline.audit.evidence.check import check
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import LogState
from brakeline.ledger import ed25519, policy
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.merkle import verify_consistency, verify_inclusion
from brakeline.ledger.proof import verify_receipt
from brakeline.ledger.tiles import decode_bundle, parse_path
from brakeline.ledger.vkey import VKey
from brakeline.treaty.admission import Admitted, Code, admit, check_treaty_statement
from brakeline.treaty.disclosure import open_payload, parse_disclosure
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.findings import parse_finding
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.treaty.register import Register
from brakeline.treaty.seal import opens
from brakeline.treaty.statements import parse_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue, parse_object
from brakeline.treaty.version_admission import check_versions

UNSUPPORTED = "unsupported"

WORDS: Mapping[str, str] = {
    "note-malformed": "note",
    "note-too-large": "note",
    "note-unsigned": "signature",
    "note-signature-invalid": "signature",
    "checkpoint-malformed": "note",
    "checkpoint-origin": "origin",
    "proof-malformed": "receipt",
    "proof-too-large": "receipt",
    "proof-no-entry": "receipt",
    "proof-index": "receipt",
    "proof-quorum": "quorum",
    "proof-range": "proof",
    "proof-length": "proof",
    "proof-hash-size": "proof",
    "proof-root-mismatch": "proof",
    "replay-chain": "link",
    "replay-malformed": "entry",
    "replay-inadmissible": "inadmissible",
    "replay-repeated": "repeated",
    "replay-heartbeat": "heartbeat",
    "replay-judgement": "judgement",
    "replay-challenge": "challenge",
    "replay-treaty": "treaty",
    "replay-kind": "kind",
    "disclosure-malformed": "malformed",
    "disclosure-other": "other",
    "disclosure-incomplete": "incomplete",
    "disclosure-false": "false",
    "disclosure-unreadable": "unreadable",
}
"""Codes of this package -> words. Other codes give their family, the part before the first dash, except admission's."""


def answer(kind: str, given: JsonObject) -> str:
    """Return the word for what is wrong with *given*, "" when nothing is, "unsupported" for an unknown kind."""
    judge = KINDS.get(kind)
    if judge is None:
        return UNSUPPORTED
    try:
        return judge(given)
    except BrakelineError as error:
        return WORDS.get(error.code, error.code.partition("-")[0])


def _signature(given: JsonObject) -> str:
    key, message, signature = (_hex(given, name) for name in ("public", "message", "signature"))
    return VALID if ed25519.verify(key, message, signature) else "signature"


def _key(given: JsonObject) -> str:
    ed25519.check_registrable(_hex(given, "public"))
    return VALID


def _vkey(given: JsonObject) -> str:
    VKey.parse(_text(given, "vkey"))
    return VALID


def _checkpoint(given: JsonObject) -> str:
    open_checkpoint(_text(given, "note").encode(), VKey.parse(_text(given, "log")), _keys(given))
    return VALID


def _policy(given: JsonObject) -> str:
    policy.parse(_text(given, "policy"))
    return VALID


def _inclusion(given: JsonObject) -> str:
    proof = [bytes.fromhex(item) for item in _texts(given, "proof")]
    index, size = _number(given, "index"), _number(given, "size")
    verify_inclusion(index, size, _hex(given, "leaf"), proof, _hex(given, "root"))
    return VALID


def _consistency(given: JsonObject) -> str:
    proof = [bytes.fromhex(item) for item in _texts(given, "proof")]
    sizes = _number(given, "size1"), _number(given, "size2")
    verify_consistency(*sizes, proof, _hex(given, "root1"), _hex(given, "root2"))
    return VALID


def _receipt(given: JsonObject) -> str:
    terms = policy.parse(_text(given, "policy"))
    verify_receipt(_text(given, "receipt").encode(), VKey.parse(_text(given, "log")), terms)
    return VALID


def _tile_path(given: JsonObject) -> str:
    parse_path(_text(given, "path"))
    return VALID


def _entries(given: JsonObject) -> str:
    decode_bundle(_hex(given, "bundle"), _number(given, "width"))
    return VALID


def _entry(given: JsonObject) -> str:
    Entry.decode(_hex(given, "entry"))
    return VALID


def _json(given: JsonObject) -> str:
    parse_object(_hex(given, "bytes"))
    return VALID


def _envelope(given: JsonObject) -> str:
    Envelope.from_dsse_json(_text(given, "envelope").encode())
    return VALID


def _statement(given: JsonObject) -> str:
    parse_statement(_text(given, "payload").encode())
    return VALID


def _treaty(given: JsonObject) -> str:
    envelope = Envelope.from_dsse_json(_text(given, "envelope").encode())
    try:
        check_treaty_statement(envelope, _text(given, "pin"))
    except BrakelineError as error:  # admission's codes are the specification's own
        return error.code if error.code in _SIGNING else WORDS.get(error.code, error.code.partition("-")[0])
    return VALID


_SIGNING = frozenset(
    {"signature-invalid", "signatures-too-few", "signer-not-allowed", "key-unregistrable", "treaty-not-pinned"}
)


def _admission(given: JsonObject) -> str:
    """Admit the prefix, then the one in question; its code is the answer, as docs/spec/admission.md has it."""
    treaty = parse_statement(Envelope.from_dsse_json(_text(given, "treaty").encode()).payload).predicate
    if not isinstance(treaty, TreatyDocument):
        return "statement"
    register = Register(treaty)
    now_ms = _number(given, "now_ms")
    for number, text in enumerate(_texts(given, "prefix")):
        before = admit(register, Envelope.from_dsse_json(text.encode()), now_ms=now_ms, from_peer=True)
        if not isinstance(before, Admitted):
            return before.code
        register.record(before.statement, number)
    outcome = admit(register, Envelope.from_dsse_json(_text(given, "envelope").encode()), now_ms=now_ms)
    return VALID if isinstance(outcome, Admitted) else outcome.code


def _heartbeat(given: JsonObject) -> str:
    parse_heartbeat(_text(given, "body").encode())
    return VALID


def _finding(given: JsonObject) -> str:
    parse_finding(_text(given, "body").encode())
    return VALID


def _seal(given: JsonObject) -> str:
    digest, salt = _text(given, "sealed"), _hex(given, "salt")
    place = _text(given, "author"), _number(given, "sequence"), _text(given, "pointer")
    return VALID if opens(digest, salt, *place, given["value"]) else "seal"


def _log(given: JsonObject) -> str:
    """Replay a copy of a log: ``copy`` when the copy differs from its checkpoint, else what its verifier did."""
    with tempfile.TemporaryDirectory(prefix="brakeline-case-") as folder:
        root = Path(folder)
        for path, data in _object(given, "files").items():
            target = root / "log" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bytes.fromhex(data) if isinstance(data, str) else b"")
        (root / "treaty.json").write_text(_text(given, "treaty"), encoding="utf-8")
        report = audit_sources([str(root / "log")], root / "treaty.json", _text(given, "pin"))
    problem = report.logs[0].divergence
    if problem is None:
        return VALID
    return "copy" if report.logs[0].state is LogState.UNREADABLE else WORDS.get(problem.code, problem.code)


def _evidence(given: JsonObject) -> str:
    shown = [_text(given, "treaty"), *(_texts(given, "versions") if "versions" in given else ())]
    treaty = check_versions([Envelope.from_dsse_json(text.encode()) for text in shown], _text(given, "pin"))
    try:
        check(parse_bundle(_text(given, "bundle").encode()), treaty)
    except BrakelineError as error:
        if error.code == Code.SIGNER_NOT_ALLOWED:  # admission's own word
            return error.code
        raise
    return VALID


def _disclosure(given: JsonObject) -> str:
    disclosure = parse_disclosure(_text(given, "disclosure").encode())
    open_payload(_text(given, "payload").encode(), disclosure)
    return VALID


def _text(given: JsonObject, name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise _case(name, "a string")
    return value


def _hex(given: JsonObject, name: str) -> bytes:
    return bytes.fromhex(_text(given, name))


def _number(given: JsonObject, name: str) -> int:
    """Return a number; those beyond 2^53 are decimal strings in the file."""
    value = given.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if not isinstance(value, int):
        raise _case(name, "a number")
    return value


def _texts(given: JsonObject, name: str) -> list[str]:
    value = given.get(name)
    if not isinstance(value, list):
        raise _case(name, "a list of strings")
    return [item for item in value if isinstance(item, str)]


def _object(given: JsonObject, name: str) -> dict[str, JsonValue]:
    value = given.get(name)
    if not isinstance(value, dict):
        raise _case(name, "an object")
    return value


def _keys(given: JsonObject) -> list[VKey]:
    return [VKey.parse(text) for text in _texts(given, "witnesses")]


def _case(name: str, expected: str) -> BrakelineError:
    return BrakelineError(code="case-malformed", message=f"the case lacks {name}", expected=expected)


KINDS: Mapping[str, Callable[[JsonObject], str]] = {
    "signature": _signature,
    "key": _key,
    "vkey": _vkey,
    "checkpoint": _checkpoint,
    "policy": _policy,
    "inclusion": _inclusion,
    "consistency": _consistency,
    "receipt": _receipt,
    "tile-path": _tile_path,
    "bundle": _entries,
    "entry": _entry,
    "json": _json,
    "envelope": _envelope,
    "statement": _statement,
    "treaty": _treaty,
    "admission": _admission,
    "heartbeat": _heartbeat,
    "finding": _finding,
    "seal": _seal,
    "disclosure": _disclosure,
    "log": _log,
    "judgement": _log,
    "evidence": _evidence,
}
"""Kind -> our judge of it."""
