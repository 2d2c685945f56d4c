"""One source: open it, find out whose log it is, verify it, and hand every entry to the replay.

The steps that :class:`~brakeline.ledger.reader.LogReader` leaves to its caller are here: which log key and witnesses
(the treaty says), whether the cosignatures make the quorum, whether two copies of one log can both be true. What the
reader raises is sorted by who can have done it: a copy that differs from its checkpoint is *unreadable*; an entry that
stands under the log's own signed checkpoint and is not what it must be is *misconduct*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from brakeline.audit.report import LogReport, LogState, Problem
from brakeline.ledger.checkpoint import cosigned_at
from brakeline.ledger.entry import Entry
from brakeline.ledger.errors import BrakelineError, DivergenceError, SourceError
from brakeline.ledger.policy import MAX_POLICY, Policy
from brakeline.ledger.policy import parse as parse_policy
from brakeline.ledger.reader import LogReader, Progress
from brakeline.ledger.source import Source, read_checkpoint
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.replay import Facts
from brakeline.treaty.succession import Succession

UNKNOWN_LOG = "source-unknown-log"
SIGNED_BY_THE_LOG = frozenset({"replay-chain", "replay-malformed"})
"""Codes of the reader that only the holder of the log's key can cause."""


class LibrariesDisagree(BrakelineError):
    """Two signature libraries read one signature differently: the auditor's trouble, and no verifier's misconduct."""


Take = Callable[[Entry], None]
"""Takes one verified entry into the replay; raises BrakelineError where it diverges."""

Order = Callable[[Iterator[Entry]], Iterator[Entry]]
"""Hands verified entries on."""


@dataclass(slots=True)
class Copy:
    """A source as far as it was read.

    Attributes:
        reader: None when its checkpoint was unreadable.
        report: without staleness, which needs the other logs.
    """

    report: LogReport
    reader: LogReader | None = None
    counts: Counter[str] = field(default_factory=Counter[str])

    def fail(self, state: LogState, problem: Problem) -> None:
        """Record the first divergence; a second one is not reported."""
        if self.report.divergence is None:
            self.report = replace(self.report, state=state, divergence=problem)


@dataclass(slots=True)
class Replayed:
    """A copy and what its replay showed; ``facts`` is None when nothing of it could be read."""

    copy: Copy
    facts: Facts | None


def open_copy(source: Source, treaty: Succession) -> Copy:
    """Read and verify the checkpoint of *source* under the keys that the versions of *treaty* name."""
    copy = Copy(LogReport(source=source.name, quorum=treaty.root.quorum.witnesses))
    try:
        note = read_checkpoint(source)
        origin = note.split(b"\n", 1)[0].decode("utf-8", "replace")
        verifier, named = treaty.verifier(origin), treaty.verifiers()
        if verifier is None:
            raise BrakelineError(
                code=UNKNOWN_LOG,
                message="no version of the treaty that is known here names a log of this origin",
                expected=", ".join(item.origin for item in named)[:200],
                found=origin[:80],
                fix="give a log of this treaty, or the treaty of this log; pin the version that names it",
            )
        witnesses = [item.witness_key for item in named]
        reader = LogReader(source, verifier.log_key, witnesses, note)
    except BrakelineError as error:
        copy.fail(LogState.UNREADABLE, Problem.of(error))
        return copy
    cosigned = {key.name: seconds for key, seconds in reader.opened.cosignatures.items()}
    copy.reader = reader
    copy.report = replace(
        copy.report, origin=origin, size=reader.size, root=reader.checkpoint.root.hex(), cosigned=cosigned
    )
    return copy


def count_cosignatures(copy: Copy, document: TreatyDocument) -> None:
    """Say in the report which witnesses of *document*, the version that the checkpoint answers to, cosigned it."""
    if copy.reader is not None:
        witnesses = [item.witness_key for item in document.verifiers]
        cosigned = {key.name: seconds for key, seconds in cosigned_at(copy.reader.note, witnesses).items()}
        copy.report = replace(copy.report, cosigned=cosigned, quorum=document.quorum.witnesses)


def quorum_gap(copy: Copy, document: TreatyDocument) -> Problem | None:
    """Return the problem of a checkpoint that too few witnesses of *document* cosigned, else None."""
    if copy.reader is None or len(copy.report.cosigned) >= document.quorum.witnesses:
        return None
    return Problem(
        "quorum-missing",
        f"too few witnesses cosigned the checkpoint of {copy.report.origin}",
        f"{document.quorum.witnesses} of {len(document.verifiers)}",
        ", ".join(sorted(copy.report.cosigned)) or "none",
        "fetch the log again; without the quorum this may be one of two histories",
    )


def policy_gap(copy: Copy, policy: Policy) -> Problem | None:
    """Return the problem of a checkpoint that does not satisfy a *policy* of the auditor's own, else None.

    The policy's witnesses need not be the treaty's. Where it names logs, it speaks of those only.
    """
    reader, origin = copy.reader, copy.report.origin
    if reader is None:
        return None
    cosigned = cosigned_at(reader.note, policy.witnesses.values())
    named = not policy.logs or reader.log_key in policy.logs
    if named and policy.satisfied(cosigned):
        return None
    return Problem(
        "policy-missing",
        f"the checkpoint of {origin} does not satisfy the auditor's own policy",
        f"the quorum {policy.quorum}" if named else "a log that the policy names",
        ", ".join(sorted(key.name for key in cosigned)) or "no cosignature of its witnesses",
        "fetch the log again, or ask those witnesses; the treaty's own quorum is judged apart (quorum-missing)",
    )


def read_policy(path: Path) -> Policy:
    """Return the witness policy (C2SP tlog-policy) in *path*.

    Raises:
        PolicyError: ``policy-*``. BrakelineError: ``policy-unreadable``.
    """
    try:
        text = path.read_bytes()[: MAX_POLICY + 1].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrakelineError(
            code="policy-unreadable",
            message=f"the policy {path} cannot be read",
            expected="a text file (C2SP tlog-policy)",
            found=str(error)[:120],
        ) from None
    return parse_policy(text)


def read_copy(
    copy: Copy,
    take: Take,
    progress: Progress | None = None,
    *,
    start: int = 0,
    previous: bytes | None = None,
    stop: int | None = None,
    order: Order = iter,
) -> None:
    """Verify every entry of *copy* and pass it to *take*; stops at the first divergence, which the copy then names.

    Reading goes on at *start* where *previous* is the digest of the entry before, which was read earlier, and ends
    before *stop* when that is given. *order* hands the entries on, in the same order.
    """
    if copy.reader is None:
        return
    index, newest = start - 1, copy.report.newest_ms
    try:
        entries = copy.reader.entries(start, previous=previous, received_at_ms=newest or 0, progress=progress)
        for entry in order(entries):
            if entry.index == stop:
                break
            index, newest = entry.index, entry.received_at_ms
            copy.counts[entry.kind.name.lower()] += 1
            take(entry)
    except DivergenceError as error:
        mine = error.code in SIGNED_BY_THE_LOG
        copy.fail(LogState.MISCONDUCT if mine else LogState.UNREADABLE, Problem.of(error, error.index))
    except SourceError as error:
        copy.fail(LogState.UNREADABLE, Problem.of(error))
    except LibrariesDisagree as error:
        copy.fail(LogState.UNREADABLE, Problem.of(error, index))
    except BrakelineError as error:
        copy.fail(LogState.MISCONDUCT, Problem.of(error, index))
    copy.report = replace(copy.report, entries=dict(copy.counts), newest_ms=newest)


def compare_copies(first: Copy, second: Copy) -> Problem | None:
    """Return the fork that two copies of one log show, else None: the smaller must be a prefix of the larger."""
    if first.reader is None or second.reader is None:
        return None
    small, large = sorted((first.reader, second.reader), key=lambda reader: reader.size)
    try:
        root = large.root_at(small.size)
    except BrakelineError:
        return None  # the larger copy is damaged, which its own report says
    if root == small.checkpoint.root:
        return None
    return Problem(
        "log-forked",
        f"{first.report.origin} signed two histories, shown by {first.report.source} and {second.report.source}",
        f"one root at size {small.size}",
        f"{small.checkpoint.root.hex()} and {root.hex()}",
        "keep both copies: the two signed checkpoints are the evidence",
    )
