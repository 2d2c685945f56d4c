"""The witness: C2SP tlog-witness ``add-checkpoint``, as a function from request bytes to an answer.

Source: https://c2sp.org/tlog-witness. Every verifier is a witness of every log its treaty names, its own included. A
cosignature says: of this log, the largest consistent tree I have seen is this one. So the witness signs only what
extends what it signed before, and it stores before it answers.

=====  =================================================================================================
200    cosigned: one signature line
400    not a request (malformed, old size above the checkpoint's)
403    the log's own signature is missing or does not verify
404    the treaty names no log of this origin
409    the old size is not what this witness remembers; the body is the size it does remember
422    the checkpoint is not consistent with what this witness remembers
=====  =================================================================================================

This module knows no HTTP (see :mod:`brakeline.verifier.http`); its clock is passed in, in Unix milliseconds.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from brakeline.ledger import merkle
from brakeline.ledger import note as notes
from brakeline.ledger.checkpoint import Checkpoint, add_signatures, cosign, open_checkpoint
from brakeline.ledger.ed25519 import Signer
from brakeline.ledger.errors import LedgerError
from brakeline.ledger.note import MAX_NOTE, Note
from brakeline.ledger.vkey import VKey
from brakeline.verifier.witness_store import Witnessed, WitnessStore

MAX_PROOF = 63
MAX_REQUEST = 32 + MAX_PROOF * 45 + MAX_NOTE
"""Bytes of one request: the old size, 63 proof lines, and any checkpoint that is a note at all."""

TYPE_SIZE = "text/x.tlog.size"
TYPE_TEXT = "text/plain; charset=utf-8"
_OLD = re.compile(rb"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, body and content type."""

    status: int
    body: bytes
    content_type: str = TYPE_TEXT


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed ``add-checkpoint`` request."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes


class _Reject(Exception):
    """Ends a request with an answer; rolls the store's transaction back."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Witness:
    """One witness key over a store, for the logs that the treaty names."""

    def __init__(
        self, store: WitnessStore, logs: Mapping[str, VKey], key: VKey, signer: Signer, now_ms: Callable[[], int]
    ) -> None:
        """Witness the logs *logs* (origin -> log key) with *key*, whose private half is *signer*."""
        self._store = store
        self._logs = logs
        self.key = key
        self._signer = signer
        self._now_ms = now_ms

    def follow(self, logs: Mapping[str, VKey]) -> None:
        """Witness the logs *logs* from now on; what was remembered of others stays."""
        self._logs = logs

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one request. Blocking: it writes durably before it returns a 200."""
        try:
            request = parse_request(body)
            checkpoint, note = self._open(request)
            lines: list[bytes] = []

            def decide(before: Witnessed | None) -> Witnessed:
                check_consistent(request, checkpoint, before)
                line, after = self._cosign(checkpoint, note)
                lines.append(line)
                return after

            self._store.swap(checkpoint.origin, decide)
        except _Reject as reject:
            return reject.answer
        return Answer(200, lines[0])

    def remembers(self, origin: str) -> Witnessed | None:
        """Return the latest checkpoint of *origin* this witness cosigned, with both signatures."""
        return self._store.get(origin)

    def _open(self, request: Request) -> tuple[Checkpoint, bytes]:
        """Return the checkpoint and its note reduced to the log's own signature."""
        try:
            named = Checkpoint.parse_text(notes.parse(request.note).text)
        except LedgerError as error:
            raise _Reject(_plain(400, str(error))) from None
        log_key = self._logs.get(named.origin)
        if log_key is None:
            raise _Reject(_plain(404, "unknown origin: the treaty names no such log"))
        try:
            opened = open_checkpoint(request.note, log_key)
        except LedgerError as error:
            raise _Reject(_plain(403, str(error))) from None
        own = [s for s in opened.note.signatures if s.name == log_key.name and s.id == log_key.id]
        return opened.checkpoint, Note(opened.note.text, tuple(own[:1])).render()

    def _cosign(self, checkpoint: Checkpoint, note: bytes) -> tuple[bytes, Witnessed]:
        cosignature = cosign(note, self.key, self._signer, self._now_ms() // 1000)
        both = add_signatures(note, [cosignature])
        return cosignature.render().encode(), Witnessed(checkpoint.size, checkpoint.root, both)


def check_consistent(request: Request, checkpoint: Checkpoint, before: Witnessed | None) -> None:
    """Check a signed checkpoint against the witness's memory, in the order of the specification."""
    if request.old_size > checkpoint.size:
        raise _Reject(_plain(400, "the old size is above the checkpoint's size"))
    remembered = 0 if before is None else before.size
    if request.old_size != remembered:
        raise _Reject(Answer(409, b"%d\n" % remembered, TYPE_SIZE))
    if checkpoint.size == 0 and checkpoint.root != merkle.EMPTY_ROOT:
        raise _Reject(_plain(422, "a checkpoint of size zero must have the root of the empty tree"))
    if request.old_size == 0 or before is None:
        if request.proof:
            raise _Reject(_plain(422, "the proof from size zero must be empty"))
        return
    try:
        merkle.verify_consistency(before.size, checkpoint.size, request.proof, before.root, checkpoint.root)
    except LedgerError as error:
        raise _Reject(_plain(422, str(error))) from None


def parse_request(body: bytes) -> Request:
    """Read a request body strictly; anything else ends as 400."""
    head, separator, note = body.partition(b"\n\n")
    old, *proof = head.split(b"\n")
    match = _OLD.fullmatch(old)
    if len(body) > MAX_REQUEST or not separator or match is None or len(proof) > MAX_PROOF:
        raise _Reject(_plain(400, "expected an old size line, at most 63 proof lines, an empty line, a checkpoint"))
    return Request(int(match[1]), tuple(_hash(line) for line in proof), note)


def render_request(request: Request) -> bytes:
    r"""Return the body of a request: what :func:`parse_request` reads.

    >>> render_request(Request(0, (), b"note"))
    b'old 0\n\nnote'
    """
    lines = [b"old %d" % request.old_size, *(base64.b64encode(item) for item in request.proof)]
    return b"\n".join(lines) + b"\n\n" + request.note


def _hash(line: bytes) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except binascii.Error:
        value = b""
    if len(value) != 32 or base64.b64encode(value) != line:
        raise _Reject(_plain(400, "a proof line is not the base64 of a SHA-256 hash"))
    return value


def _plain(status: int, text: str) -> Answer:
    return Answer(status, text.encode("utf-8", "replace")[:400] + b"\n")
