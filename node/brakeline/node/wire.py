"""proto <-> domain for the node, and the only module that touches a message's fields. Missing fields are rejected.

What arrives here was sent by a verifier, which nobody has to believe: a malformed answer raises :class:`WireError` and
changes nothing; receipts are verified by :mod:`brakeline.node.sender`, orders by :mod:`brakeline.node.watch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc
from brakeline.ledger.entry import RawSignature
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.envelope import Envelope
from brakeline.v1 import verifier_pb2 as pb
from google.rpc import error_details_pb2
from grpc_status import rpc_status

if TYPE_CHECKING:
    from google.protobuf import any_pb2
    from google.rpc import status_pb2


class WireError(BrakelineError):
    """A verifier's answer that is not of the protocol (code ``wire-malformed``)."""


@dataclass(frozen=True, slots=True)
class GotReceipt:
    """tlog-proof text, not yet verified."""

    data: bytes


@dataclass(frozen=True, slots=True)
class GotPending:
    """Taken, not yet covered by a checkpoint: a promise of nothing."""


@dataclass(frozen=True, slots=True)
class GotProblem:
    """Why not; ``final``: these bytes will never be taken."""

    code: str
    text: str
    final: bool


Result: TypeAlias = GotReceipt | GotPending | GotProblem


def to_attestation(envelope: Envelope) -> pb.Attestation:
    """Return an envelope as the message that carries it."""
    signatures = [pb.Signature(keyid=s.keyid, sig=s.sig) for s in envelope.signatures]
    return pb.Attestation(payload=envelope.payload, signatures=signatures)


def to_batch(envelopes: Iterable[Envelope], boxes: Iterable[bytes] = ()) -> pb.SubmitBatchRequest:
    """Return a batch to submit, with the sealed box of a disclosure beside each envelope that has one."""
    attestations = [to_attestation(envelope) for envelope in envelopes]
    for attestation, box in zip(attestations, boxes, strict=False):
        attestation.disclosure = box
    return pb.SubmitBatchRequest(attestations=attestations)


def undisclosed(response: pb.SubmitBatchResponse) -> list[tuple[int, str]]:
    """Return place in the batch, and why, of every disclosure that the verifier does not hold."""
    return [
        (place, _problem(item.disclosure, final=True).text)
        for place, item in enumerate(response.results)
        if item.HasField("disclosure")
    ]


def to_status(author: str = "") -> pb.GetStatusRequest:
    """Return the question whether a verifier is there, and with which statements its log ends the chain of *author*."""
    return pb.GetStatusRequest(author=author)


def origin_of(response: pb.GetStatusResponse) -> str:
    """Return the name of the log that answers, whatever else it leaves out."""
    return response.origin


@dataclass(frozen=True, slots=True)
class Status:
    """What a verifier says of itself; nothing of it is verified yet.

    Attributes:
        origin: the name of its log.
        checkpoint: its newest published checkpoint, a signed note.
        treaty: digest of the treaty version it runs under.
    """

    origin: str
    checkpoint: bytes
    treaty: str


def from_status(response: pb.GetStatusResponse) -> Status:
    """Return what a verifier says of itself (``wire-malformed`` when it leaves something out)."""
    if not response.checkpoint:
        raise _malformed("checkpoint", "a signed note", "none")
    return Status(response.origin, response.checkpoint, response.treaty)


def from_heads(response: pb.GetStatusResponse, origin: str, author: str) -> list[tuple[int, str]]:
    """Return (sequence, digest) of every statement of *author* without a child in the log *origin*.

    Raises:
        WireError: ``wire-malformed``: another log answers, or about another author.
    """
    if response.origin != origin:
        raise _malformed("origin", origin, ascii(response.origin[:80]))
    heads = [(head.sequence, head.digest) for head in response.heads if head.author == author]
    if len(heads) != len(response.heads) or any(sequence >= 2**63 for sequence, _ in heads):
        raise _malformed("heads", f"heads of {author}", "others")
    return heads


def from_batch(response: pb.SubmitBatchResponse, count: int) -> list[Result]:
    """Return what became of each of *count* attestations, in order (``wire-malformed``)."""
    if len(response.results) != count:
        raise _malformed("results", f"{count} results", str(len(response.results)))
    return [_result(item) for item in response.results]


def _result(item: pb.SubmitResult) -> Result:
    match item.WhichOneof("outcome"):
        case "receipt":
            return GotReceipt(item.receipt)
        case "pending":
            return GotPending()
        case "not_yet":
            return _problem(item.not_yet, final=False)
        case "refused":
            return _problem(item.refused, final=True)
        case _:
            raise _malformed("outcome", "receipt, pending, not_yet or refused", "none")


def to_receipt_request(digest: str, author: str, sequence: int) -> pb.GetReceiptRequest:
    """Ask for the receipt of a statement; *author* empty and *sequence* -1 for one without a chain."""
    return pb.GetReceiptRequest(digest=digest, author=author, sequence=max(0, sequence))


def from_receipt_response(response: pb.GetReceiptResponse) -> Result:
    """Return what became of the statement that was asked for (``wire-malformed``)."""
    match response.WhichOneof("outcome"):
        case "receipt":
            return GotReceipt(response.receipt)
        case "pending":
            return GotPending()
        case "problem":
            return _problem(response.problem, final=False)
        case _:
            raise _malformed("outcome", "receipt, pending or problem", "none")


def to_watch(from_index: int) -> pb.WatchRequest:
    """Ask for orders and treaty versions from a log index on."""
    return pb.WatchRequest(from_index=from_index)


def from_event(event: pb.WatchEvent) -> tuple[int, Envelope | bytes]:
    """Return log index and envelope, or body of a challenge, of an event (``wire-malformed``, ``envelope-*``)."""
    if event.challenge:
        return event.index, event.challenge
    if not event.HasField("attestation") or not event.attestation.payload:
        raise _malformed("attestation.payload", "the signed bytes", "none")
    return event.index, from_attestation(event.attestation)


def from_attestation(item: pb.Attestation) -> Envelope:
    """Return the envelope a message carries (``envelope-*``)."""
    return Envelope(item.payload, tuple(RawSignature(s.keyid, s.sig) for s in item.signatures))


def retry_after_s(error: grpc.aio.AioRpcError) -> float | None:
    """Return the delay that the verifier asks for in a ``RetryInfo`` detail, at most a minute; None without one."""
    for detail in _details(error):
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            delay = float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
            return min(60.0, max(0.0, delay))
    return None


def reason(error: grpc.aio.AioRpcError) -> str:
    """Return the stable code and text of a failed call."""
    for detail in _details(error):
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return f"{info.reason}: {error.details()}"
    return f"{error.code().name.lower()}: {error.details()}"


def _details(error: grpc.aio.AioRpcError) -> Sequence[any_pb2.Any]:
    try:
        # from_call is typed for synchronous calls only; it needs code(), details() and trailing_metadata()
        status = cast("status_pb2.Status | None", rpc_status.from_call(cast("Any", error)))
    except ValueError:  # code and details of the trailer disagree: treat it as without details
        return ()
    return () if status is None else list(status.details)


def _problem(item: pb.Problem, *, final: bool) -> GotProblem:
    if not item.code:
        raise _malformed("problem.code", "a stable code", "none")
    return GotProblem(item.code, f"{item.code}: {item.message} (expected {item.expected}, found {item.found})", final)


def _malformed(field: str, expected: str, found: str) -> WireError:
    return WireError(
        code="wire-malformed", message=f"a verifier's answer lacks {field}", expected=expected, found=found
    )
