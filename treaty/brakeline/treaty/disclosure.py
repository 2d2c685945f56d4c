"""Disclosures: what opens the sealed leaves of one statement, for whoever the author gives it to.

    {"author": name, "openings": [{"pointer": "/predicate/...", "salt": 64 hex digits, "value": ...}, ...],
     "sequence": n, "statement": digest}

in restricted canonical JSON, openings in order of pointer. It travels beside the attestation, in a sealed box to one
verifier's disclosure key, and never enters a log. It is good only whole: it opens every sealed leaf of the statement it
names, each against the commitment that stands there, and what results has the form of its predicate. So nobody can
disclose half, disclose another place's seal, or disclose what no rule could read.

What it is not: encryption, storage, or transport (the parties' rooms have them). Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.errors import StatementError
from brakeline.treaty.seal import SALT_BYTES, opens
from brakeline.treaty.sealing import Opened, Sealed, put_in
from brakeline.treaty.statements import Statement, parse_statement, read_statement
from brakeline.treaty.strictjson import JsonObject, JsonValue, canonical, parse_object

MAX_DISCLOSURE = 512 * 1024
"""Bytes of a disclosure. An opening is a few times longer than the commitment it opens, and a payload is bounded."""

_MEMBERS = {"author", "openings", "sequence", "statement"}
_SALTS = b"brakeline/disclosed-salts/v1\x00"


@dataclass(frozen=True)
class Disclosure:
    """What opens one statement: its digest, author and sequence, and every leaf's salt and value by pointer."""

    statement: str
    author: str
    sequence: int
    openings: tuple[Opened, ...]

    @cached_property
    def encoded(self) -> bytes:
        """The canonical JSON."""
        openings: list[JsonValue] = [
            {"pointer": item.pointer, "salt": item.salt.hex(), "value": item.value} for item in self.openings
        ]
        return canonical(
            {"author": self.author, "openings": openings, "sequence": self.sequence, "statement": self.statement}
        )

    @cached_property
    def secret(self) -> bytes:
        """32 bytes that only holders of this disclosure know: SHA-256 over all its salts, in order of pointer."""
        return hashlib.sha256(_SALTS + b"".join(item.salt for item in self.openings)).digest()


def commitments_of(sealed: Sealed) -> str:
    """Return the digest that names all commitments of a statement: SHA-256(canonical([[pointer, digest], ...])).

    In order of pointer; lowercase hex. Everybody who has the statement can compute it.
    """
    return hashlib.sha256(canonical([[leaf.pointer, leaf.digest] for leaf in sealed.leaves])).hexdigest()


def disclosure_of(payload: bytes, opened: Iterable[Opened]) -> Disclosure:
    """Return the disclosure of the sealed *payload* that its author made, checked as a verifier will check it.

    Raises:
        StatementError: as :func:`open_payload`.
    """
    statement = parse_statement(payload)
    authored = statement.authored
    author, sequence = ("", 0) if authored is None else (authored.author, authored.sequence)
    disclosure = Disclosure(statement.digest, author, sequence, tuple(opened))
    open_payload(payload, disclosure)
    return disclosure


def parse_disclosure(data: bytes) -> Disclosure:
    """Read a disclosure, strictly.

    Raises:
        StatementError: ``disclosure-malformed``. JsonError: ``json-*``.
    """
    value = parse_object(data, max_bytes=MAX_DISCLOSURE)
    author, sequence, statement = value.get("author"), value.get("sequence"), value.get("statement")
    openings = value.get("openings")
    if value.keys() != _MEMBERS or not isinstance(author, str) or not isinstance(statement, str):
        raise _malformed("author, openings, sequence, statement", ", ".join(sorted(value))[:100])
    if type(sequence) is not int or sequence < 0 or not isinstance(openings, list):
        raise _malformed("a sequence and a list of openings", repr(sequence)[:40])
    opened = tuple(_opening(item) for item in openings)
    if [item.pointer for item in opened] != sorted({item.pointer for item in opened}):
        raise _malformed("openings in order of pointer, each once", "another order")
    return Disclosure(statement, author, sequence, opened)


def _opening(value: JsonValue) -> Opened:
    if not isinstance(value, dict) or value.keys() != {"pointer", "salt", "value"}:
        raise _malformed("pointer, salt, value", repr(value)[:80])
    pointer, salt = value["pointer"], value["salt"]
    if not isinstance(pointer, str) or not isinstance(salt, str) or len(salt) != 2 * SALT_BYTES:
        raise _malformed("a pointer and 32 bytes of salt, lowercase hex", repr(pointer)[:80])
    try:
        raw = bytes.fromhex(salt)
    except ValueError:
        raw = b""
    if raw.hex() != salt:
        raise _malformed("32 bytes of salt, lowercase hex", repr(pointer)[:80])
    return Opened(pointer, raw, value["value"])


def open_payload(payload: bytes, disclosure: Disclosure) -> Statement:
    """Return the statement in *payload* as it reads open; its digest stays that of the payload that was signed.

    Raises:
        StatementError: ``disclosure-other`` (of another statement), ``disclosure-incomplete`` (not exactly its sealed
            leaves), ``disclosure-false`` (a value is not what was committed to), ``disclosure-unreadable`` (what
            results is not a statement); and those of :func:`~brakeline.treaty.statements.parse_statement`.
    """
    statement = parse_statement(payload)
    authored = statement.authored
    named = (disclosure.statement, disclosure.author, disclosure.sequence)
    if authored is None or named != (statement.digest, authored.author, authored.sequence):
        raise StatementError(
            code="disclosure-other",
            message="the disclosure is of another statement",
            expected=statement.digest,
            found=disclosure.statement[:64],
        )
    commitments = {leaf.pointer: leaf.digest for leaf in statement.sealed.leaves}
    if [item.pointer for item in disclosure.openings] != list(commitments):
        raise StatementError(
            code="disclosure-incomplete",
            message="a disclosure opens every sealed leaf of its statement, and nothing else",
            expected=f"{len(commitments)} leaves",
            found=f"{len(disclosure.openings)}",
        )
    for item in disclosure.openings:
        digest = commitments[item.pointer]
        if not opens(digest, item.salt, authored.author, authored.sequence, item.pointer, item.value):
            raise StatementError(
                code="disclosure-false",
                message="salt and value are not what the statement commits to",
                expected=digest,
                found=item.pointer,
                fix="disclose what was sealed, under the author, sequence and pointer it was sealed for",
            )
    return _read_open(parse_object(payload), statement, disclosure)


def _read_open(value: JsonObject, statement: Statement, disclosure: Disclosure) -> Statement:
    try:
        opened = read_statement(put_in(value, disclosure.openings), statement.digest)
    except BrakelineError as error:
        raise StatementError(
            code="disclosure-unreadable",
            message=f"what was sealed is not a {statement.name} statement: {error.message}",
            expected=error.expected,
            found=error.found,
        ) from None
    if opened.sealed:
        raise StatementError(
            code="disclosure-unreadable",
            message="a sealed value is itself a commitment",
            expected="values",
            found=opened.sealed.leaves[0].pointer,
        )
    return opened.signed(statement.signed_by)


def _malformed(expected: str, found: str) -> StatementError:
    return StatementError(
        code="disclosure-malformed", message="not a disclosure", expected=expected, found=found, fix=""
    )
