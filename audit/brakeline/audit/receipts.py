"""Hold receipts against the logs they were given for: does each log still contain what it promised?

A receipt is a promise under a log's own signature. It is honoured when the copy that was read has the receipt's root at
the receipt's size; the inclusion proof then puts the entry where it says. One that is not honoured convicts the log's
verifier, with a bundle that stands alone. A copy that ends before the receipt's checkpoint shows nothing either way:
that is listed, and is provable only once the log shows a checkpoint that reaches so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from brakeline.audit.copies import Replayed
from brakeline.audit.evidence.bundle import FORMAT, DishonouredReceipt
from brakeline.audit.evidence.check import Stated, open_stated
from brakeline.audit.evidence.make import rests_on
from brakeline.audit.report import Problem, ReceiptCounts
from brakeline.ledger.checkpoint import Checkpoint
from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.merkle import consistency_proof
from brakeline.ledger.note import parse as parse_note
from brakeline.ledger.proof import MAX_RECEIPT, Receipt
from brakeline.ledger.reader import LogReader
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.reconcile.conduct import Dishonoured
from brakeline.treaty.succession import Succession

PATTERN = "*.tlog-proof"


class ReceiptRow(NamedTuple):
    """What became of one receipt: ``honoured``, ``dishonoured``, ``undecided`` or ``unreadable``.

    *file* is its path in the folder; the other members are None where it could not be read.
    """

    file: str
    outcome: str
    log: str | None = None
    entry: int | None = None
    size: int | None = None
    statement: str | None = None


@dataclass(slots=True)
class ReceiptsRead:
    """What became of a folder of receipts.

    Attributes:
        counts: for the report.
        dishonoured: what ``verifier-conduct`` judges.
        bundles: one for each dishonoured receipt.
        open: receipts that could not be read or decided.
        rows: one a receipt.
    """

    counts: ReceiptCounts = field(default_factory=ReceiptCounts)
    dishonoured: list[Dishonoured] = field(default_factory=list[Dishonoured])
    bundles: list[DishonouredReceipt] = field(default_factory=list[DishonouredReceipt])
    open: list[Problem] = field(default_factory=list[Problem])
    rows: list[ReceiptRow] = field(default_factory=list[ReceiptRow])


def read_receipts(directory: Path, copies: Sequence[Replayed], treaty: Succession) -> ReceiptsRead:
    """Hold every ``*.tlog-proof`` below *directory* against the *copies* (a folder without any is a problem)."""
    result = ReceiptsRead()
    for path in sorted(directory.rglob(PATTERN)):
        result.counts.read += 1
        name = path.relative_to(directory).as_posix()
        try:
            _hold(name, _bytes(path), copies, treaty, result)
        except BrakelineError as error:
            result.rows.append(ReceiptRow(name, "unreadable"))
            problem = Problem.of(error)
            result.open.append(
                Problem(problem.code, f"{path.name}: {problem.message}", problem.expected, problem.found, problem.fix)
            )
    if not result.counts.read:
        result.open.append(
            Problem("receipts-none", "the folder holds no receipt", f"files named {PATTERN}", str(directory))
        )
    return result


def _hold(name: str, data: bytes, copies: Sequence[Replayed], treaty: Succession, result: ReceiptsRead) -> None:
    origin = Checkpoint.parse_text(parse_note(Receipt.parse(data).checkpoint).text).origin
    verifier = treaty.verifier(origin)
    if verifier is None:
        raise BrakelineError(
            code="receipt-unknown-log",
            message="the treaty names no log of the receipt's origin",
            expected=", ".join(item.origin for item in treaty.verifiers())[:200],
            found=origin[:80],
        )
    stated = open_stated(data, verifier.log_key, [item.witness_key for item in treaty.verifiers()])
    document = treaty.over(origin, _received_ms(stated))
    if not document.witness_policy(origin).satisfied(stated.opened.cosignatures):
        result.open.append(
            Problem(
                "receipt-quorum",
                f"{name}: too few witnesses cosigned the receipt's checkpoint",
                f"{document.quorum.witnesses} of {len(document.verifiers)}",
                str(len(stated.opened.cosignatures)),
                "the log's own signature still binds the log; a lab asks for a fresh receipt",
            )
        )
    readers = [item.copy.reader for item in copies if item.copy.report.origin == origin]
    able = [reader for reader in readers if reader is not None and reader.size >= stated.checkpoint.size]

    def note(outcome: str) -> None:
        digest = _digest(stated) or None
        result.rows.append(ReceiptRow(name, outcome, origin, stated.index, stated.checkpoint.size, digest))

    if not able:
        note("undecided")
        result.open.append(_ahead(name, stated, [reader.size for reader in readers if reader is not None]))
        return
    roots = [(reader, reader.root_at(stated.checkpoint.size)) for reader in able]
    wrong = next(((reader, root) for reader, root in roots if root != stated.checkpoint.root), None)
    if wrong is None:
        result.counts.honoured += 1
        note("honoured")
        return
    note("dishonoured")
    result.counts.dishonoured += 1
    reader, root = wrong
    here = stated.checkpoint
    result.dishonoured.append(Dishonoured(origin, stated.index, here.size, here.root, root, _digest(stated)))
    result.bundles.append(_bundle(data, stated, reader, root, treaty))


def _bundle(data: bytes, stated: Stated, reader: LogReader, root: bytes, treaty: Succession) -> DishonouredReceipt:
    size = stated.checkpoint.size
    same = size == reader.size
    proof = () if same else tuple(item.hex() for item in consistency_proof(size, reader.size, reader.hash_at))
    return DishonouredReceipt(
        format=FORMAT,
        treaty=rests_on(treaty, stated.checkpoint.origin),
        about=stated.checkpoint.origin,
        receipt=data.decode(),
        checkpoint=reader.note.decode(),
        root=None if same else root.hex(),
        proof=proof,
    )


def _digest(stated: Stated) -> str:
    """Return the digest of the statement that a receipt is for, "" for anything else."""
    try:
        entry = stated.entry()
        return Envelope.from_body(entry.body).digest if entry.kind in (Kind.TREATY, Kind.STATEMENT) else ""
    except BrakelineError:
        return ""  # the log signed over bytes that are no entry; the receipt convicts it all the same


def _received_ms(stated: Stated) -> int:
    """Return when the log says that it took the entry (ms), 0 where the bytes are no entry."""
    try:
        return stated.entry().received_at_ms
    except BrakelineError:
        return 0


def _ahead(name: str, stated: Stated, sizes: Sequence[int]) -> Problem:
    found = f"copies of {', '.join(str(size) for size in sizes)} entries" if sizes else "no copy of that log"
    return Problem(
        "receipt-undecided",
        f"{name}: whether {stated.checkpoint.origin} honours the receipt for entry {stated.index} cannot be decided",
        f"a copy of at least {stated.checkpoint.size} entries",
        found,
        "read the log again; a log that never shows what it signed cannot be proven wrong, only reported",
    )


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_RECEIPT + 1)
    except OSError as error:
        raise BrakelineError(
            code="receipt-unreadable",
            message="the receipt cannot be read",
            expected="a readable file",
            found=error.strerror or "an error",
        ) from None
