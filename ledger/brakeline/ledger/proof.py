"""Receipts: a C2SP tlog-proof@v1 that stands alone.

    c2sp.org/tlog-proof@v1
    extra <base64 of the whole entry>
    index <decimal>
    <base64 inclusion hash>                                     (zero or more lines, leaf's sibling first)
    <empty line>
    <the checkpoint note, verbatim>

The specification does not authenticate ``extra``; here the leaf hash does, because it is computed from it. A receipt is
judged offline by a log key and a witness policy; nobody is asked. Source: https://c2sp.org/tlog-proof.
Reading is canonical: bound, parse, re-render, compare.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from brakeline.ledger.checkpoint import Checkpoint, open_checkpoint
from brakeline.ledger.entry import MAX_ENTRY, Entry
from brakeline.ledger.errors import ProofError
from brakeline.ledger.merkle import HASH_SIZE, verify_inclusion
from brakeline.ledger.note import MAX_NOTE
from brakeline.ledger.policy import Policy
from brakeline.ledger.vkey import VKey

HEADER = "c2sp.org/tlog-proof@v1"
MAX_RECEIPT = 4 * (MAX_ENTRY + 2) // 3 + 64 * 46 + MAX_NOTE + 256
_INDEX = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True)
class Receipt:
    """A tlog-proof as text, not verified.

    Attributes:
        index: of the entry in the log.
        extra: the entry's bytes (None when the proof carries none; an empty extra line is not written).
        proof: 32-byte hashes, leaf's sibling first, at most 63.
        checkpoint: the signed note's bytes.
    """

    index: int
    extra: bytes | None
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def render(self) -> bytes:
        """Return the receipt's bytes."""
        lines = [HEADER]
        if self.extra:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(item).decode() for item in self.proof]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> Receipt:
        """Read a receipt (:class:`ProofError` ``proof-too-large``, ``proof-malformed``)."""
        if len(data) > MAX_RECEIPT:
            raise ProofError(
                code="proof-too-large",
                message="the receipt is too large",
                expected=f"at most {MAX_RECEIPT} bytes",
                found=str(len(data)),
            )
        head, separator, checkpoint = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise _malformed("ASCII before the checkpoint") from None
        if not separator or lines.pop(0) != HEADER:
            raise _malformed(HEADER)
        extra = _base64(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
        index = lines.pop(0).removeprefix("index ") if lines else ""
        if not _INDEX.fullmatch(index) or len(lines) > 63:
            raise _malformed("index <decimal>, then at most 63 hashes")
        receipt = cls(int(index), extra, tuple(_base64(line) for line in lines), checkpoint)
        if any(len(item) != HASH_SIZE for item in receipt.proof) or receipt.render() != data:
            raise _malformed("the one rendering of this receipt")
        return receipt


@dataclass(frozen=True)
class VerifiedReceipt:
    """What a receipt proves: this entry stands in this log under a checkpoint that these witnesses have seen."""

    entry: Entry
    checkpoint: Checkpoint
    cosignatures: Mapping[VKey, int]


def verify_receipt(data: bytes, log_key: VKey, policy: Policy) -> VerifiedReceipt:
    """Check a receipt offline: log signature, cosignatures, quorum, inclusion, and the entry's own index.

    Raises:
        ProofError: ``proof-malformed``, ``proof-no-entry``, ``proof-index``, ``proof-quorum``, ``proof-*`` (inclusion).
        NoteError: ``note-*``, ``checkpoint-*``. EntryError: ``entry-malformed``.
    """
    receipt = Receipt.parse(data)
    opened = open_checkpoint(receipt.checkpoint, log_key, tuple(policy.witnesses.values()))
    if not policy.satisfied(opened.cosignatures):
        raise ProofError(
            code="proof-quorum",
            message="too few witnesses cosigned the receipt's checkpoint",
            expected=f"the quorum {policy.quorum!r} of {len(policy.witnesses)} witnesses",
            found=", ".join(sorted(key.name for key in opened.cosignatures)) or "none",
            fix="ask the verifier for a fresh receipt",
        )
    if receipt.extra is None:
        raise ProofError(
            code="proof-no-entry", message="the receipt does not carry its entry", expected="an extra line"
        )
    entry = Entry.decode(receipt.extra)
    if entry.index != receipt.index:
        raise ProofError(
            code="proof-index",
            message="the receipt's entry says another index",
            expected=str(receipt.index),
            found=str(entry.index),
        )
    verify_inclusion(receipt.index, opened.checkpoint.size, entry.leaf_hash, receipt.proof, opened.checkpoint.root)
    return VerifiedReceipt(entry, opened.checkpoint, opened.cosignatures)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("standard base64") from None


def _malformed(expected: str) -> ProofError:
    return ProofError(
        code="proof-malformed",
        message="this is not a receipt (tlog-proof@v1)",
        expected=expected,
        found="something else",
    )
