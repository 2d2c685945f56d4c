"""proto <-> domain for this party, and the only module that touches a message's fields. Missing fields are rejected.

What was signed never becomes protobuf: an attestation's payload stays the bytes its author signed. An item that is
malformed is refused by itself, so that one bad item does not hold up a batch; a malformed call raises
:class:`~brakeline.verifier.errors.CallError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from brakeline.ledger.entry import RawSignature
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import NotYet, Refused
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.errors import EnvelopeError
from brakeline.v1 import verifier_pb2 as pb
from brakeline.verifier.errors import CallError, Status
from brakeline.verifier.intake import MAX_BYTES, MAX_ITEMS
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from grpc import StatusCode

DOMAIN = "brakeline.example"
"""``domain`` of every ``google.rpc.ErrorInfo``; its ``reason`` is the stable code."""

_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Pending:
    """Accepted, and no published checkpoint covers it yet: a promise of nothing."""

    digest: str


Outcome: TypeAlias = bytes | Pending | NotYet | Refused
"""What became of one attestation; bytes are a receipt."""


@dataclass(frozen=True, slots=True)
class Undisclosed:
    """An outcome, and why the disclosure that came with the attestation is not held."""

    outcome: Outcome
    problem: Refused


Result: TypeAlias = Outcome | Undisclosed
"""What became of one attestation, and of its disclosure."""


@dataclass(frozen=True, slots=True)
class ReceiptQuery:
    """Which statement a receipt is asked for; ``author`` is empty for a statement without a chain."""

    digest: str
    author: str
    sequence: int


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Where this verifier's log stands."""

    origin: str
    checkpoint: bytes
    treaty: str
    heads: tuple[tuple[str, int, str], ...]


def batch_from_proto(request: pb.SubmitBatchRequest) -> list[Envelope | Refused]:
    """Return the envelopes of a batch within the bounds of the protocol.

    Raises:
        CallError: ``batch-empty``, ``batch-too-many``, ``batch-too-large`` (INVALID_ARGUMENT).
    """
    count, size = len(request.attestations), request.ByteSize()
    if not count:
        raise _invalid("batch-empty", "the batch holds nothing", "1 to 512 attestations", "0")
    if count > MAX_ITEMS:
        raise _invalid("batch-too-many", "the batch holds too many", f"at most {MAX_ITEMS}", str(count), "split it")
    if size > MAX_BYTES:
        raise _invalid("batch-too-large", "the batch is too large", f"at most {MAX_BYTES} bytes", f"{size}", "split it")
    return [_envelope(item) for item in request.attestations]


def _envelope(item: pb.Attestation) -> Envelope | Refused:
    if not item.payload:
        return Refused(
            "field-missing", "an attestation has no payload", expected="payload", fix="send the signed bytes"
        )
    try:
        return Envelope(item.payload, tuple(RawSignature(s.keyid, s.sig) for s in item.signatures))
    except EnvelopeError as error:
        return Refused(error.code, error.message, error.expected, error.found, error.fix)


def boxes_from_proto(request: pb.SubmitBatchRequest) -> list[bytes]:
    """Return the sealed boxes that came with the attestations of a batch, empty where none did."""
    return [item.disclosure for item in request.attestations]


def batch_to_proto(results: Iterable[Result]) -> pb.SubmitBatchResponse:
    """Return the answer to a batch, in the order of the request."""
    return pb.SubmitBatchResponse(results=[_result(item) for item in results])


def _result(item: Result) -> pb.SubmitResult:
    match item:
        case bytes():
            return pb.SubmitResult(receipt=item)
        case Pending():
            return pb.SubmitResult(pending=pb.Pending(digest=item.digest))
        case NotYet():
            return pb.SubmitResult(not_yet=_problem(item))
        case Refused():
            return pb.SubmitResult(refused=_problem(item))
        case Undisclosed():
            result = _result(item.outcome)
            result.disclosure.CopyFrom(_problem(item.problem))
            return result


def outcome_of(item: Result) -> str:
    """Return the metrics label of a result."""
    match item:
        case bytes():
            return "receipt"
        case Pending():
            return "pending"
        case NotYet():
            return "not_yet"
        case Refused():
            return "refused"
        case Undisclosed():
            return outcome_of(item.outcome)


def _problem(item: NotYet | Refused) -> pb.Problem:
    return pb.Problem(code=str(item.code), message=item.message, expected=item.expected, found=item.found, fix=item.fix)


def receipt_query(request: pb.GetReceiptRequest) -> ReceiptQuery:
    """Read a receipt request (``field-missing`` when it names no digest)."""
    if len(request.digest) != 64 or not _HEX.issuperset(request.digest):
        raise _invalid("field-missing", "no statement is named", "digest: 64 lowercase hex digits", request.digest[:70])
    return ReceiptQuery(request.digest, request.author, request.sequence)


def receipt_to_proto(result: bytes | Pending | NotYet) -> pb.GetReceiptResponse:
    """Return the answer to a receipt request."""
    match result:
        case bytes():
            return pb.GetReceiptResponse(receipt=result)
        case Pending():
            return pb.GetReceiptResponse(pending=pb.Pending(digest=result.digest))
        case NotYet():
            return pb.GetReceiptResponse(problem=_problem(result))


def status_author(request: pb.GetStatusRequest) -> str:
    """Return whose chain heads are asked for; empty for nobody's."""
    return request.author


def status_to_proto(report: StatusReport) -> pb.GetStatusResponse:
    """Return the answer to a status request."""
    heads = [pb.ChainHead(author=author, sequence=seq, digest=digest) for author, seq, digest in report.heads]
    return pb.GetStatusResponse(origin=report.origin, checkpoint=report.checkpoint, treaty=report.treaty, heads=heads)


def watch_from(request: pb.WatchRequest) -> int:
    """Return the first log index of interest."""
    return request.from_index


def event_to_proto(index: int, envelope: Envelope | bytes) -> pb.WatchEvent:
    """Return one event of a watch: a signed statement, or the body of a challenge."""
    if isinstance(envelope, bytes):
        return pb.WatchEvent(index=index, challenge=envelope)
    signatures = [pb.Signature(keyid=s.keyid, sig=s.sig) for s in envelope.signatures]
    return pb.WatchEvent(index=index, attestation=pb.Attestation(payload=envelope.payload, signatures=signatures))


def error_to_status(error: BrakelineError, code: StatusCode, retry_after_ms: int = 0) -> status_pb2.Status:
    """Return an error as ``google.rpc.Status``: ErrorInfo with the stable code, RetryInfo where a retry may help."""
    number: int = code.value[0]
    info = error_details_pb2.ErrorInfo(
        reason=error.code,
        domain=DOMAIN,
        metadata={"expected": error.expected, "found": error.found, "fix": error.fix},
    )
    details = [_any(info)]
    if retry_after_ms > 0:
        seconds, rest = divmod(retry_after_ms, 1000)
        delay = duration_pb2.Duration(seconds=seconds, nanos=rest * 1_000_000)
        details.append(_any(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=number, message=str(error), details=details)


def _any(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _invalid(code: str, message: str, expected: str, found: str, fix: str = "") -> CallError:
    return CallError(Status.INVALID_ARGUMENT, code=code, message=message, expected=expected, found=found, fix=fix)
