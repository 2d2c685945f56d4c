"""The verdict over several logs: what was found, what could not be checked, and how far that carries.

A verdict is never a green light. It lists the findings that stand (log rules of every log together, and reconcile
rules), what is open (logs not read, arrivals that cannot be decided, logs that are stale or lack statements), and three
levels of assurance that are never mixed:

1. *run-correct*: what was declared about the runs is consistent with every piece of evidence in the logs;
2. *run-complete*: every period of every declared chip is accounted for;
3. *fleet-complete*: no compute exists outside the declared inventory; only outside evidence speaks to that.

A treaty that was amended is judged version by version: each by its own terms, about the periods that it governs. The
versions are those that any of the logs holds; what a log found while it lacked one of them does not count for periods
that this one governs.

Pure: the caller passes the time at which staleness is judged. Findings of a log that was replayed only in part count
for the part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from brakeline.treaty.docket import Item, docket
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding, Severity
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.reconcile.braking import acknowledgements_due, breaches, sealed_from_breaches, unacknowledged
from brakeline.treaty.reconcile.challenges import challenges_due, timings, unopened
from brakeline.treaty.reconcile.conduct import Dishonoured, History, Misjudged, conduct
from brakeline.treaty.reconcile.disclosures import disclosures_due, undisclosed
from brakeline.treaty.reconcile.logs import Logs, OpenedLogs, Timing
from brakeline.treaty.reconcile.reporting import Reported, reported_by, reporting, together
from brakeline.treaty.replay import Facts
from brakeline.treaty.rules.board import Unverifiable
from brakeline.treaty.succession import Reign, Succession

_GRAVEST_FIRST = (Severity.REFERRAL, Severity.DISCREPANCY, Severity.NOTE)
_COMPLETENESS = frozenset({"imbalance", "missing-period", "late"})
_CONDUCT = "verifier-conduct"


@dataclass(frozen=True, slots=True)
class Open:
    """One thing that could not be checked, is missing, or is stale (the code is stable)."""

    code: str
    message: str
    expected: str = ""
    found: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """One of the three levels: its state in a word or two, a sentence, and the figures in it."""

    name: str
    state: str
    sentence: str
    figures: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stands, what is open, and the levels. ``findings``: gravest first, then by rule, about and period.

    ``docket``: what became of each finding, in the same order, and of those that were cleared. ``opened``: what the
    rules find over values that the disclosures given open, in the same order; it stands in no log as a finding.
    """

    findings: tuple[Finding, ...]
    open: tuple[Open, ...]
    levels: tuple[Level, ...]
    docket: tuple[Item, ...] = ()
    opened: tuple[Finding, ...] = ()


def verdict(
    document: TreatyDocument,
    parts: Sequence[Facts],
    *,
    as_of_ms: int,
    histories: Mapping[str, History] | None = None,
    misjudged: Sequence[Misjudged] = (),
    dishonoured: Sequence[Dishonoured] = (),
) -> Verdict:
    """Judge *parts*, one a log read (also in part), at *as_of_ms* (Unix ms).

    Args:
        document: the pinned treaty, version 1; its amendments are in the logs.
        parts: the facts of each log, at most one an origin.
        as_of_ms: deadlines before it have passed, and a log older than the treaty allows is stale.
        histories: origin -> the history that was read, for the check for forks.
        misjudged: logs whose replay ended by their verifier's doing.
        dishonoured: receipts that the history of their log, as it was read, does not contain.
    """
    succession = succession_of(document, parts)
    found = {finding.digest: finding for finding in _logged(succession, parts)}
    reported: list[Reported] = []
    undecided: list[Open] = []
    unknown = _unverifiable(parts)
    concluded = {digest: item for facts in parts for digest, item in facts.concluded.items()}
    for reign in succession.reigns:
        logs = _under(reign.document, parts)
        reported.append(mine := reported_by(logs, as_of_ms, reign))
        kept = undisclosed(logs, as_of_ms)
        for rule in (reporting(logs, iter(mine.late)), breaches(logs), unopened(logs, as_of_ms), kept):
            found.update((finding.digest, finding) for finding in rule if finding.period in reign)
        found.update((item.digest, item) for item in unacknowledged(logs, as_of_ms, reign))
        undecided += _undecided(logs, mine, as_of_ms, reign)
        opened = OpenedLogs(reign.document, logs.parts)
        unknown += sealed_from_breaches(opened, reign)
        if opened.anything:
            concluded.update((item.digest, item) for item in breaches(opened) if item.period in reign)
    due = together(reported)
    now = succession.last(document.grid.period_of(InstantMs(max(as_of_ms, 0))))
    logs = _under(now, parts)
    found.update((item.digest, item) for item in conduct(logs, histories or {}, misjudged, now, dishonoured))
    findings = tuple(sorted(found.values(), key=_rank))
    gaps = (
        *_unread(logs),
        *_stale(logs, as_of_ms),
        *_lacking(logs),
        *_unsettled(succession),
        *undecided,
        *_shut(logs, as_of_ms),
    )
    listed = docket(logs, {finding.digest: finding for finding in findings}, as_of_ms)
    private = tuple(sorted((item for digest, item in concluded.items() if digest not in found), key=_rank))
    return Verdict(findings, gaps, _levels(logs, (*findings, *private), due, unknown), listed, private)


def succession_of(document: TreatyDocument, parts: Sequence[Facts]) -> Succession:
    """Return the versions that any of the logs holds, after *document*, in order."""
    return Succession(document, (item for facts in parts for item in facts.amendments))


def _under(document: TreatyDocument, parts: Sequence[Facts]) -> Logs:
    """Return the logs that *document* names, under it."""
    return Logs(document, [item for item in parts if document.verifier_by_origin(item.origin) is not None])


def _logged(succession: Succession, parts: Sequence[Facts]) -> Iterator[Finding]:
    """Yield what the log rules of every log found, as far as it judged by the versions that all of them show."""
    whole = [item.digest for item in succession.chain()]
    for facts in parts:
        own = Succession(succession.root, facts.amendments)
        same = [item.digest for item in own.chain()] == whole and own.rivals == succession.rivals
        for finding in facts.standing.values():
            if same or (finding.period is not None and _agree(own, succession, finding.period)):
                yield finding


def _agree(one: Succession, other: Succession, period: int) -> bool:
    first, second = one.at(period), other.at(period)
    return first is not None and second is not None and first.digest == second.digest


def _unsettled(succession: Succession) -> Iterator[Open]:
    """Say that nobody knows which version governs."""
    if succession.rivals:
        yield Open(
            "treaty-unsettled",
            f"versions of the treaty contend for the periods from {succession.unsettled_from} on; nothing in them is "
            "judged",
            "one version after the one before it, or a later one that settles which of them holds",
            ", ".join(succession.rivals)[:400],
            "the parties sign an amendment that follows from one of them and lists the others under `settles`",
        )


def stale_ms(document: TreatyDocument, newest_ms: int, as_of_ms: int) -> int:
    """Return how much older than it may be a log is whose newest entry came at *newest_ms*; 0 when it is fresh.

    A log speaks at least once a heartbeat, publishes within the checkpoint interval, and its clock may be off by skew.
    """
    times = document.deadlines
    allowed = times.heartbeat_ms.value + times.checkpoint_ms.value + times.skew_ms.value
    return max(0, as_of_ms - newest_ms - allowed)


def _rank(finding: Finding) -> tuple[int, str, str, int, str]:
    gravity = _GRAVEST_FIRST.index(finding.severity)
    return gravity, finding.rule, finding.about, -1 if finding.period is None else finding.period, finding.digest


def _unread(logs: Logs) -> Iterator[Open]:
    read = {facts.origin for facts in logs.parts}
    for verifier in logs.document.verifiers:
        if verifier.origin not in read:
            yield Open("log-not-read", f"the log {verifier.origin} was not read", fix=f"it is at {verifier.url}")
    need = logs.document.quorum.audit
    if len(read) < need:
        yield Open(
            "audit-quorum",
            "too few logs were read to rule out that a statement with a receipt quorum is missing from all of them",
            f"{need} of {len(logs.document.verifiers)} logs",
            str(len(read)),
            "read further logs of the treaty",
        )


def _stale(logs: Logs, as_of_ms: int) -> Iterator[Open]:
    for facts in logs.parts:
        late = stale_ms(logs.document, facts.newest_ms, as_of_ms)
        if late:
            yield Open(
                "log-stale",
                f"the log {facts.origin} is older than the treaty allows",
                "a heartbeat in time",
                f"{late} ms too old at the time of the audit",
                "fetch it again; a log that stays silent is worth a question to its operator",
            )


def _lacking(logs: Logs) -> Iterator[Open]:
    """Name statements that a log lacks though another has had them for longer than the take-over grace."""
    grace = logs.document.deadlines.takeover_ms.value
    for facts in logs.parts:
        lacking: set[bytes] = set()
        oldest = facts.newest_ms
        old = facts.newest_ms - grace
        for other in logs.parts:
            if other is not facts:
                absent = other.arrivals.absent_from(facts.arrivals)
                late = {digest: arrival.at_ms for digest, arrival in absent if arrival.at_ms < old}
                lacking |= late.keys()
                oldest = min([oldest, *late.values()])
        if lacking:
            yield Open(
                "statements-lacking",
                f"the log {facts.origin} lacks statements that others have held for longer than the take-over grace",
                "none",
                f"{len(lacking)}, the oldest held since {oldest} ms, the first by digest {min(lacking).hex()}",
                "ask its verifier; this is provable only where its heartbeats say that it mirrored them (an omission)",
            )


def _undecided(logs: Logs, due: Reported, as_of_ms: int, reign: Reign) -> Iterator[Open]:
    books = due.unknown
    if books:
        yield Open(
            "arrival-undecided",
            f"whether the books of {books} periods came in time cannot be decided from the logs read",
            f"{logs.enough} logs that have them, or enough that reach past the deadline",
            fix="read further logs, or newer copies",
        )
    orders = sum(
        1
        for digest, site, at in acknowledgements_due(logs, as_of_ms, reign)
        if logs.timing(logs.acknowledged(site, digest), at) is Timing.UNKNOWN
    )
    if orders:
        yield Open(
            "acknowledgement-undecided",
            f"whether {orders} acknowledgements of orders came in time cannot be decided from the logs read",
            f"{logs.enough} logs that have them, or enough that reach past the deadline",
            fix="read further logs, or newer copies",
        )

    challenges = sum(
        1
        for challenge, at in challenges_due(logs, as_of_ms)
        if challenge.period in reign and any(timing is Timing.UNKNOWN for _, timing in timings(logs, challenge, at))
    )
    if challenges:
        yield Open(
            "opening-undecided",
            f"whether the rows that {challenges} challenges drew were opened in time cannot be decided from the logs "
            "read",
            f"{logs.enough} logs that have the openings, or enough that reach past the deadline",
            fix="read further logs, or newer copies",
        )


def _shut(logs: Logs, as_of_ms: int) -> Iterator[Open]:
    """Name what is sealed and was not opened here, opinions nobody reproduced, and disclosures that are undecided."""
    sealed = {digest: item for facts in logs.parts for digest, item in facts.sealed.items()}
    opened = {digest for facts in logs.parts if facts.reproduced for digest in facts.held}
    shut = [item for digest, item in sealed.items() if digest not in opened]
    if shut:
        yield Open(
            "sealed-unopened",
            f"{len(shut)} statements of {len({item.author for item in shut})} authors have sealed values that were not "
            "opened here: rules that need them could not judge",
            "the disclosures of all that the logs say is held",
            f"{sum(item.leaves for item in shut)} sealed leaves",
            "ask a verifier or the author for the disclosures; the report lists the statements",
        )
    for facts in logs.parts:
        if facts.opinions and not facts.reproduced:
            yield Open(
                "opinions-not-reproduced",
                f"the log {facts.origin} states {len(facts.opinions)} opinions over sealed values; they were not "
                "reproduced",
                "the disclosures of all that it says is held",
                f"{len(facts.unopened)} of {len(facts.held)} missing" if facts.unopened else "none given",
                "its verifier alone stands for them until somebody opens what they cite",
            )
    needed = logs.document.sealing.holders
    open_still = [
        item
        for item in (disclosures_due(logs, as_of_ms) if logs.document.rule("undisclosed") is not None else ())
        if item.holders < needed <= item.holders + item.unknown
    ]
    if open_still:
        yield Open(
            "disclosure-undecided",
            f"whether {len(open_still)} disclosures came in time cannot be decided from the logs read",
            f"{needed} logs that say so, or enough that reach past the deadline",
            fix="read further logs, or newer copies",
        )


def _unverifiable(parts: Sequence[Facts]) -> Counter[Unverifiable]:
    """Return what log rules could not judge, by the log that shows most of each."""
    most: Counter[Unverifiable] = Counter()
    for facts in parts:
        for key, number in facts.unverifiable.items():
            most[key] = max(most[key], number)
    return most


_NOT_DUE = "nothing due yet"


def _levels(
    logs: Logs, findings: Sequence[Finding], due: Reported, unverifiable: Mapping[Unverifiable, int]
) -> tuple[Level, ...]:
    if not logs.parts:
        nothing = "No log could be read, so nothing can be said."
        return tuple(Level(name, "not judged", nothing) for name in ("run-correct", "run-complete", "fleet-complete"))
    content = [item for item in findings if item.rule not in _COMPLETENESS and item.rule != _CONDUCT]
    gaps = [item for item in findings if item.rule in _COMPLETENESS and item.rule != "late"]
    metered = {site for facts in logs.parts for site in facts.metered}
    unknown = sum(unverifiable.values())
    correct = Level(
        "run-correct",
        "contradicted" if content else "not contradicted",
        f"Findings that contradict what was declared: {len(content)}. Evidence that is in no log was not weighed. "
        f"Figures that a rule in force needed and nobody stated: {unknown}.",
        {"findings": len(content), "unverifiable": unknown},
    )
    complete = Level(
        "run-complete",
        "incomplete"
        if gaps or due.unknown or due.held < due.periods
        else "complete"
        if due.periods
        else "nothing due yet",
        f"Of {due.periods} periods due from {len(logs.owing)} sites, {due.held} are in the logs. "
        f"Findings of missing or unbalanced books: {len(gaps)}.",
        {"due": due.periods, "findings": len(gaps), "reported": due.held, "sites": len(logs.owing)},
    )
    fleet = Level(
        "fleet-complete",
        "outside evidence only",
        f"A third party metered {len(metered)} of {len(logs.owing)} sites. Compute that is on no declared inventory "
        "and at no metered site leaves no trace here.",
        {"metered": len(metered), "sites": len(logs.owing)},
    )
    return correct, complete, fleet
