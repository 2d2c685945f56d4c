"""The audit: from addresses of logs and a pinned treaty to a report. Everything is recomputed.

Order of work: the treaty against the pin; each source's checkpoint under the treaty's keys; every entry through
:class:`~brakeline.treaty.replay.LogReplay`; copies of one log against each other; all logs together through
:func:`~brakeline.treaty.verdict.verdict`. What fails is recorded and the rest goes on: a report always comes out.

Believed: the treaty whose digest the auditor gave. Not believed: sources, checkpoints' holders, labs, verifiers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from brakeline.audit.copies import (
    UNKNOWN_LOG,
    Copy,
    LibrariesDisagree,
    Replayed,
    compare_copies,
    count_cosignatures,
    open_copy,
    policy_gap,
    quorum_gap,
)
from brakeline.audit.evidence.bundle import Bundle
from brakeline.audit.evidence.make import CONDUCT, fork_of_copies, fork_of_note, make_bundle
from brakeline.audit.look import Look
from brakeline.audit.opinions import opinion_reports, sealed_reports
from brakeline.audit.pinned import load_pinned
from brakeline.audit.reading.ahead import Ahead
from brakeline.audit.reading.one import READ_ANEW, OneLog, Progress, Reading
from brakeline.audit.receipts import ReceiptsRead, read_receipts
from brakeline.audit.report import AuditReport, DocketReport, FindingReport, Level, LogReport, LogState, Problem
from brakeline.ledger import ed25519
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.policy import Policy
from brakeline.ledger.reader import LogReader
from brakeline.ledger.source import opened
from brakeline.treaty.docket import Item
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.reconcile.conduct import Dishonoured, History, Misjudged
from brakeline.treaty.replay import Facts
from brakeline.treaty.sentences import sentence
from brakeline.treaty.statements import to_json
from brakeline.treaty.succession import Succession
from brakeline.treaty.verdict import Open, Verdict, stale_ms, succession_of, verdict


def audit_sources(
    sources: Sequence[str],
    treaty: Path,
    pin: str,
    *,
    as_of_ms: int | None = None,
    paranoid: bool = False,
    progress: Progress | None = None,
    receipts: Path | None = None,
    evidence: list[Bundle] | None = None,
    tell: Callable[[Look], None] | None = None,
    how: Reading = READ_ANEW,
    policy: Policy | None = None,
) -> AuditReport:
    """Audit the logs at *sources* (directories or http(s) addresses) under the treaty file *treaty* with digest *pin*.

    Args:
        sources: several may be copies of one log; they are then compared.
        treaty: TOML, or the signed envelope.
        pin: 64 lowercase hex digits.
        as_of_ms: when staleness is judged and deadlines have passed; the newest entry of all logs by default.
        paranoid: verify every statement with both signature libraries, which must agree.
        progress: told after every bundle of entries.
        receipts: a folder of receipts (``*.tlog-proof``), each held against the log that gave it.
        evidence: what stands alone about misconduct is appended here, one bundle a misdeed.
        tell: is given the material of the report while the copies are still open.
        how: processes, a folder of states to go on from, checkpoints that were kept.
        policy: the auditor's own witness policy, beside the treaty's.

    Nothing is raised for what the logs or the treaty say: it is in the report.
    """
    try:
        pinned = load_pinned(treaty, pin)
    except BrakelineError as error:
        return AuditReport(pin=pin, problems=(Problem.of(error),))
    with ExitStack() as stack:
        document = pinned.root
        copies = read_sources(stack, sources, pinned, paranoid=paranoid, progress=progress, how=how)
        known = with_amendments(pinned, copies)
        given = None if receipts is None else read_receipts(receipts, copies, known)
        report, judged = weigh(copies, document, pin, as_of_ms=as_of_ms, receipts=given, policy=policy)
        if evidence is not None:
            lost = [*_forks(copies, known, how, evidence)]
            evidence += given.bundles if given is not None else ()
            lost += gather(judged.findings, copies, known, evidence)
            report = replace(report, unchecked=(*lost, *report.unchecked))
        if tell is not None:
            parts = tuple(largest(copies).values())
            tell(Look(document, report, judged.findings, copies, parts, given.rows if given is not None else ()))
        return report


def read_sources(
    stack: ExitStack,
    sources: Sequence[str],
    treaty: Succession,
    *,
    paranoid: bool = False,
    progress: Progress | None = None,
    how: Reading = READ_ANEW,
) -> list[Replayed]:
    """Open (until *stack* closes) and replay each of *sources*; what fails is in its copy's report. Never raises.

    A log that no version of *treaty* names waits until the others were read: an amendment in them may name it.
    """
    verify = both_libraries if paranoid else ed25519.verify
    opening = [_open(stack, source, treaty) for source in sources]
    replayed: dict[int, Replayed] = {}
    while True:
        now = {place: copy for place, copy in enumerate(opening) if place not in replayed and not _unknown(copy)}
        longest = max((copy.reader.size for copy in now.values() if copy.reader is not None), default=0)
        with Ahead(how.workers(longest), verify) as ahead:
            one = OneLog(treaty, ahead, how, paranoid=paranoid)
            replayed |= {place: one.replay(copy, progress) for place, copy in now.items()}
        known = with_amendments(treaty, replayed.values())
        if len(replayed) == len(opening) or known.known.keys() == treaty.known.keys():
            return [replayed.get(place, Replayed(copy, None)) for place, copy in enumerate(opening)]
        treaty = known
        waiting = [place for place in range(len(opening)) if place not in replayed]
        for place in waiting:
            opening[place] = _open(stack, sources[place], treaty)


def _open(stack: ExitStack, source: str, treaty: Succession) -> Copy:
    try:
        return open_copy(stack.enter_context(opened(source)), treaty)
    except BrakelineError as error:
        copy = Copy(LogReport(source=source, quorum=treaty.root.quorum.witnesses))
        copy.fail(LogState.UNREADABLE, Problem.of(error))
        return copy


def _unknown(copy: Copy) -> bool:
    found = copy.report.divergence
    return found is not None and found.code == UNKNOWN_LOG


def with_amendments(treaty: Succession, copies: Iterable[Replayed]) -> Succession:
    """Return *treaty* with the amendments that the logs hold: admission has asked for their signatures."""
    held = (version for item in copies if item.facts is not None for version in item.facts.amendments)
    return treaty.with_versions(held)


def both_libraries(key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify with libsodium and with OpenSSL.

    Raises:
        LibrariesDisagree: ``libraries-disagree``: under the strict rule they never should.
    """
    sodium = ed25519.verify(key, message, signature)
    openssl = ed25519.verify_openssl(key, message, signature)
    if sodium is not openssl:
        raise LibrariesDisagree(
            code="libraries-disagree",
            message="libsodium and OpenSSL disagree about a signature",
            expected="one answer",
            found=f"libsodium {sodium}, OpenSSL {openssl}, key {key.hex()}",
            fix="report this: a signature that two libraries read differently divides verifiers",
        )
    return sodium


def weigh(
    copies: Sequence[Replayed],
    document: TreatyDocument,
    pin: str,
    *,
    as_of_ms: int | None = None,
    receipts: ReceiptsRead | None = None,
    policy: Policy | None = None,
) -> tuple[AuditReport, Verdict]:
    """Judge *copies* together: the report, and the verdict in it as the rules gave it.

    Args: as :func:`audit_sources`; *receipts* have been held against the copies.
    """
    gaps: list[Problem] = []
    _compare(copies)
    kept = largest(copies)
    newest = max((facts.newest_ms for facts in kept.values()), default=-1)
    instant = newest if as_of_ms is None else as_of_ms
    treaty = succession_of(document, list(kept.values()))
    for item in copies:
        over = document
        if item.facts is not None:
            over = treaty.over(item.facts.origin, item.facts.newest_ms)
            stale = stale_ms(treaty.over(item.facts.origin, instant), item.facts.newest_ms, instant)
            item.copy.report = replace(item.copy.report, stale_ms=stale)
        count_cosignatures(item.copy, over)  # of that version alone: f liars are f of its witnesses
        found = quorum_gap(item.copy, over), None if policy is None else policy_gap(item.copy, policy)
        gaps += [gap for gap in found if gap is not None]
    judged, gone = _verdict(copies, kept, document, instant, receipts.dishonoured if receipts else ())
    gaps += gone
    gaps += _pin_lacking(document, pin, list(kept.values()))
    gaps += receipts.open if receipts is not None else ()
    report = AuditReport(
        pin=pin,
        treaty=(document.name, document.version),
        as_of_ms=None if instant < 0 else instant,
        as_of_given=as_of_ms is not None,
        logs=tuple(item.copy.report for item in copies),
        findings=tuple(_finding(finding) for finding in judged.findings),
        unchecked=(*gaps, *(_problem(item) for item in judged.open)),
        levels=tuple(Level(item.name, item.state, item.sentence, item.figures) for item in judged.levels),
        receipts=None if receipts is None else receipts.counts,
        docket=tuple(_docket(item) for item in judged.docket),
        opened=tuple(_finding(finding) for finding in judged.opened),
        opinions=tuple(opinion_reports(kept.values())),
        sealed=tuple(sealed_reports(kept.values())),
    )
    return report, judged


def _pin_lacking(document: TreatyDocument, pin: str, parts: Sequence[Facts]) -> Iterator[Problem]:
    """Say that no log holds the version that was pinned, where that is a later one than the first."""
    held = {document.digest, *(version.digest for facts in parts for version in facts.amendments)}
    if pin not in held:
        yield Problem(
            "treaty-version-lacking",
            "no log that was read holds the version of the treaty that was pinned: its periods are judged by another",
            pin,
            ", ".join(sorted(held))[:400],
            "submit that version; read further logs",
        )


def gather(
    findings: Sequence[Finding], copies: Sequence[Replayed], treaty: Succession, evidence: list[Bundle]
) -> Iterator[Problem]:
    """Append the bundles of *findings* to *evidence*; yield what could not be made."""
    for finding in findings:
        try:
            bundle = make_bundle(finding, copies, treaty)
        except BrakelineError as error:
            yield _not_made(finding.about, error)
        else:
            evidence += () if bundle is None else (bundle,)


def _pairs(copies: Sequence[Replayed]) -> Iterator[tuple[Copy, Copy]]:
    """Yield every two copies of one log."""
    for place, first in enumerate(copies):
        for second in copies[place + 1 :]:
            if first.copy.report.origin == second.copy.report.origin:
                yield first.copy, second.copy


def _compare(copies: Sequence[Replayed]) -> None:
    """Hold copies of one log against each other: one must be a prefix of the other."""
    for first, second in _pairs(copies):
        fork = compare_copies(first, second)
        if fork is not None:
            first.fail(LogState.MISCONDUCT, fork)
            second.fail(LogState.MISCONDUCT, fork)


def _forks(copies: Sequence[Replayed], treaty: Succession, how: Reading, evidence: list[Bundle]) -> Iterator[Problem]:
    """Append the evidence that copies of one log, and checkpoints of it that were kept, cannot all be true.

    Yield what could not be made.
    """
    made: list[tuple[str, Callable[[], Bundle | None]]] = []
    for first, second in _pairs(copies):
        if first.reader is not None and second.reader is not None and compare_copies(first, second) is not None:
            made.append((first.report.origin, partial(fork_of_copies, first.reader, second.reader, treaty)))
    for item in copies:
        reader, origin = item.copy.reader, item.copy.report.origin
        if reader is not None and origin in how.since and item.copy.report.state is LogState.MISCONDUCT:
            made.append((origin, partial(fork_of_note, how.since[origin], reader, treaty)))
    for origin, make in made:
        try:
            bundle = make()
        except BrakelineError as error:
            yield _not_made(origin, error)
        else:
            evidence += () if bundle is None else (bundle,)


def _not_made(about: str, error: BrakelineError) -> Problem:
    message = f"no bundle could be made about {about}: {error.message}"
    return Problem("evidence-not-made", message, error.expected, error.found, error.fix)


def largest(copies: Sequence[Replayed]) -> dict[str, Facts]:
    """Return origin -> the facts of its copy that reaches furthest."""
    kept: dict[str, Facts] = {}
    for item in copies:
        facts = item.facts
        if facts is not None and (facts.origin not in kept or kept[facts.origin].newest_ms < facts.newest_ms):
            kept[facts.origin] = facts
    return kept


class _Gone(Exception):
    """A source that was read through, and did not answer when its log was compared with the others'."""

    def __init__(self, origin: str, error: BrakelineError) -> None:
        super().__init__(origin)
        self.origin, self.error = origin, error


def _verdict(
    copies: Sequence[Replayed],
    kept: dict[str, Facts],
    document: TreatyDocument,
    instant: int,
    dishonoured: Sequence[Dishonoured],
) -> tuple[Verdict, list[Problem]]:
    """Judge all logs together; a source that is gone by now is judged by what was read, and that is said."""
    misjudged: list[Misjudged] = []
    for item in copies:
        report, problem = item.copy.report, item.copy.report.divergence
        if report.state is LogState.MISCONDUCT and problem is not None and problem.index is not None:
            misjudged.append(Misjudged(report.origin, problem.code, problem.index))
    histories, gone = _histories(copies), list[Problem]()
    while True:
        try:
            judged = verdict(
                document,
                list(kept.values()),
                as_of_ms=instant,
                histories=histories,
                misjudged=sorted(set(misjudged)),
                dishonoured=dishonoured,
            )
        except _Gone as lost:
            del histories[lost.origin]
            gone.append(_gone(lost))
        else:
            return judged, gone


def _histories(copies: Sequence[Replayed]) -> dict[str, History]:
    """Return origin -> the history of its largest copy that was read whole."""
    found: dict[str, History] = {}
    for item in copies:
        report, reader = item.copy.report, item.copy.reader
        known = found.get(report.origin)
        if reader is not None and report.state is LogState.REPRODUCED and (known is None or known.size < reader.size):
            found[report.origin] = History(reader.size, partial(_root_at, report.origin, reader))
    return found


def _root_at(origin: str, reader: LogReader, size: int) -> bytes:
    try:
        return reader.root_at(size)
    except BrakelineError as error:
        raise _Gone(origin, error) from None


def _gone(lost: _Gone) -> Problem:
    error = lost.error
    return Problem(
        "log-not-compared",
        f"{lost.origin} was read and replayed, and could not be read again to compare it with what other logs say of "
        f"it: {error.message}",
        error.expected or "the same tiles once more",
        error.found,
        "mirror the log (`brakeline ledger mirror`) and audit the mirror: forks and omissions are not ruled out",
    )


def _finding(finding: Finding) -> FindingReport:
    return FindingReport(finding.digest, to_json(finding), sentence(finding), misconduct=finding.rule == CONDUCT)


def _docket(item: Item) -> DocketReport:
    return DocketReport(
        finding=item.digest,
        state=item.state.value,
        sentence="" if item.finding is None else sentence(item.finding),
        opened_ms=item.opened_ms,
        reply_due_ms=item.reply_due_ms,
        replies=tuple(reply.digest for reply in item.replies),
        determination=item.determination or "",
        conclusion=item.conclusion or "",
    )


def _problem(item: Open) -> Problem:
    return Problem(item.code, item.message, item.expected, item.found, item.fix)
