"""The report of an audit: stable, documented values, and the exit code that sums them up.

What it is: plain frozen values (docs/spec/report.md describes their JSON), filled by :mod:`brakeline.audit.replay`.
What it is not: judgement; nothing here decides what is a finding. It decides one thing, the exit code, by a table:

====  ==========================================================================================================
 3    something was unreadable: a treaty that is not the pinned one, a source that cannot be read, a copy that differs
      from its checkpoint, a checkpoint that the log has not signed
 2    a verifier's misconduct: what its own signed checkpoint covers is inadmissible, unlinked or misjudged; a fork
 1    findings stand
 4    reproduced, but something could not be checked, is missing or is stale
 0    reproduced, nothing found, nothing open
====  ==========================================================================================================

Where several apply: 3 before 2 before 1 before 4. The line between 3 and 2 is who can have done it: anybody on the way
can alter a copy, only the holder of the log's key can sign a checkpoint over bytes that break the rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.strictjson import JsonObject, JsonValue

FORMAT = "brakeline-audit/v1"


class Exit(IntEnum):
    """Exit codes of ``brakeline audit replay``."""

    REPRODUCED = 0
    FINDINGS = 1
    MISCONDUCT = 2
    UNREADABLE = 3
    OPEN = 4


PRECEDENCE = (Exit.UNREADABLE, Exit.MISCONDUCT, Exit.FINDINGS, Exit.OPEN)
"""Gravest first; the first that applies is the exit code."""


class LogState(StrEnum):
    """What became of one source."""

    REPRODUCED = "reproduced"
    MISCONDUCT = "misconduct"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it must be.

    Attributes:
        code: stable, kebab-case.
        index: of the log entry, when there is one.
    """

    code: str
    message: str
    expected: str = ""
    found: str = ""
    fix: str = ""
    index: int | None = None

    @classmethod
    def of(cls, error: BrakelineError, index: int | None = None) -> Problem:
        """Return the problem that *error* reports."""
        return cls(error.code, error.message, error.expected, error.found, error.fix, index)

    def to_json(self) -> JsonObject:
        """Return the JSON object of docs/spec/report.md; empty members are absent."""
        texts = {"expected": self.expected, "found": self.found, "fix": self.fix}
        value: JsonObject = {"code": self.code, "message": self.message}
        value.update({name: text for name, text in texts.items() if text})
        if self.index is not None:
            value["index"] = self.index
        return value

    def sentence(self) -> str:
        """Return it as one line for a person."""
        where = "" if self.index is None else f" at entry {self.index}"
        detail = "".join(
            f", {name} {text}" for name, text in (("expected", self.expected), ("found", self.found)) if text
        )
        return f"{self.code}{where}: {self.message}{detail}" + (f". {self.fix}" if self.fix else "")


@dataclass(frozen=True, slots=True)
class LogReport:
    """One source of one log.

    Attributes:
        source: the directory or URL as given.
        origin: the log's origin line; "" when its checkpoint was unreadable.
        size, root: of the checkpoint that was checked (root: 64 hex digits).
        cosigned: witness name -> timestamp (POSIX seconds) of each verified cosignature.
        quorum: cosignatures the treaty demands.
        entries: entries replayed, by kind ("statement").
        divergence: the first entry, tile or note that is not as it must be.
        newest_ms: ``received_at_ms`` of the newest entry, None for an empty or unread log.
        stale_ms: how much older than it may be the log is at the audit's time, 0 when it is fresh.
        since: the size up to which the auditor had checked signatures before; they were not verified again.
    """

    source: str
    origin: str = ""
    state: LogState = LogState.REPRODUCED
    size: int = 0
    root: str = ""
    cosigned: Mapping[str, int] = field(default_factory=dict[str, int])
    quorum: int = 0
    entries: Mapping[str, int] = field(default_factory=dict[str, int])
    divergence: Problem | None = None
    newest_ms: int | None = None
    stale_ms: int = 0
    since: int = 0

    def to_json(self) -> JsonObject:
        """Return the JSON object of docs/spec/report.md."""
        value: JsonObject = {
            "source": self.source,
            "origin": self.origin,
            "state": self.state.value,
            "size": self.size,
            "root": self.root,
            "cosigned": dict(sorted(self.cosigned.items())),
            "quorum": self.quorum,
            "entries": dict(sorted(self.entries.items())),
            "stale_ms": self.stale_ms,
        }
        if self.divergence is not None:
            value["divergence"] = self.divergence.to_json()
        if self.newest_ms is not None:
            value["newest_ms"] = self.newest_ms
        if self.since:
            value["since"] = self.since
        return value


@dataclass(frozen=True, slots=True)
class DocketReport:
    """What became of one finding, standing or cleared (:mod:`brakeline.treaty.docket`).

    Attributes:
        finding: its digest; ``sentence`` says it in words where the logs hold it.
        state: ``open``, ``replied``, ``referred``, ``determined``, ``cleared`` or ``noted``.
        opened_ms, reply_due_ms: when its time began and until when a reply is asked (Unix ms), None where unknown.
        replies: digests of reply statements.
        determination, conclusion: the statement of the parties that determines it, "" where there is none.
    """

    finding: str
    state: str
    sentence: str = ""
    opened_ms: int | None = None
    reply_due_ms: int | None = None
    replies: tuple[str, ...] = ()
    determination: str = ""
    conclusion: str = ""

    def to_json(self) -> JsonObject:
        """Return the JSON object of docs/spec/report.md."""
        value: JsonObject = {"finding": self.finding, "state": self.state, "replies": list(self.replies)}
        texts = {"sentence": self.sentence, "determination": self.determination, "conclusion": self.conclusion}
        value.update({name: text for name, text in texts.items() if text})
        times = {"opened_ms": self.opened_ms, "reply_due_ms": self.reply_due_ms}
        value.update({name: at for name, at in times.items() if at is not None})
        return value


@dataclass(slots=True)
class ReceiptCounts:
    """How many receipts were read, and how many of them the logs honour or do not; the rest is undecided."""

    read: int = 0
    honoured: int = 0
    dishonoured: int = 0


@dataclass(frozen=True, slots=True)
class FindingReport:
    """One standing finding: its body (docs/spec/findings.md), its digest, and a sentence for people.

    ``misconduct`` marks findings about a verifier's conduct.
    """

    digest: str
    body: JsonObject
    sentence: str
    misconduct: bool = False

    def to_json(self) -> JsonObject:
        """Return the JSON object of docs/spec/report.md."""
        return {"digest": self.digest, "finding": self.body, "sentence": self.sentence, "misconduct": self.misconduct}


@dataclass(frozen=True, slots=True)
class OpinionReport:
    """One opinion over sealed values that stands in a log: its body, its digest, and whether it was reproduced here."""

    log: str
    digest: str
    body: JsonObject
    reproduced: bool

    def to_json(self) -> JsonObject:
        """Return the JSON object of docs/spec/report.md."""
        return {"log": self.log, "digest": self.digest, "opinion": self.body, "reproduced": self.reproduced}


@dataclass(frozen=True, slots=True)
class SealedReport:
    """One statement with sealed values that were not opened here.

    Attributes:
        period: of the books; -1 where it is not about one.
        leaves: how many values are sealed.
        holders: logs whose verifier says it holds the disclosure.
    """

    statement: str
    author: str
    period: int
    leaves: int
    holders: tuple[str, ...]

    def to_json(self) -> JsonObject:
        """Return the JSON object of docs/spec/report.md."""
        value: JsonObject = {"statement": self.statement, "author": self.author, "leaves": self.leaves}
        if self.period >= 0:
            value["period"] = self.period
        value["holders"] = list(self.holders)
        return value


@dataclass(frozen=True, slots=True)
class Level:
    """One of the three levels of assurance, kept apart: what it says, in a sentence with its figures.

    Attributes:
        name: ``run-correct``, ``run-complete`` or ``fleet-complete``.
        state: ``contradicted``, ``not contradicted``, ``incomplete``, ``complete``, ``outside evidence only``.
    """

    name: str
    state: str
    sentence: str
    figures: Mapping[str, int] = field(default_factory=dict[str, int])

    def to_json(self) -> JsonObject:
        """Return the JSON object of docs/spec/report.md."""
        figures: JsonObject = dict(sorted(self.figures.items()))
        return {"name": self.name, "state": self.state, "sentence": self.sentence, "figures": figures}


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All of an audit.

    Attributes:
        treaty: name and version, "" and 0 when it could not be read.
        pin: the digest the auditor gave.
        as_of_ms: the time at which staleness was judged, and whether the auditor gave it.
        logs: one a source, in the order given.
        findings: standing findings, of log rules and reconcile rules, gravest first.
        unchecked: what could not be checked, is missing or is stale.
        problems: what was unreadable besides logs (the treaty).
        levels: the three levels.
        receipts: what became of the receipts that were given, None when none were.
        docket: what became of each finding, in the order of ``findings``, then of those that were cleared.
        opened: what the rules find over the sealed values that were opened, and nobody finds in public.
        opinions: what verifiers' logs conclude from sealed values.
        sealed: what is sealed and was not opened here.
    """

    pin: str
    treaty: tuple[str, int] = ("", 0)
    as_of_ms: int | None = None
    as_of_given: bool = False
    logs: tuple[LogReport, ...] = ()
    findings: tuple[FindingReport, ...] = ()
    unchecked: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    levels: tuple[Level, ...] = ()
    receipts: ReceiptCounts | None = None
    docket: tuple[DocketReport, ...] = ()
    opened: tuple[FindingReport, ...] = ()
    opinions: tuple[OpinionReport, ...] = ()
    sealed: tuple[SealedReport, ...] = ()

    def reasons(self) -> dict[Exit, list[str]]:
        """Return every exit code that applies, gravest first, with the reasons for it."""
        states = {state: [log for log in self.logs if log.state is state] for state in LogState}
        conduct = [item for item in self.findings if item.misconduct]
        found: dict[Exit, list[str]] = {
            Exit.UNREADABLE: [problem.sentence() for problem in self.problems]
            + [_divergence(log) for log in states[LogState.UNREADABLE]],
            Exit.MISCONDUCT: [_divergence(log) for log in states[LogState.MISCONDUCT]]
            + [item.sentence for item in conduct],
            Exit.FINDINGS: [item.sentence for item in (*self.findings, *self.opened) if not item.misconduct],
            Exit.OPEN: [problem.sentence() for problem in self.unchecked],
        }
        return {code: found[code] for code in PRECEDENCE if found[code]}

    @property
    def exit(self) -> Exit:
        """The exit code, by the precedence of the module's table."""
        return next(iter(self.reasons()), Exit.REPRODUCED)

    @property
    def findings_digest(self) -> str:
        """SHA-256 (lowercase hex) over the digests of all standing findings, sorted, each with a newline: two audits
        that found the same have the same, whoever ran them on whatever machine.
        """
        digests = sorted(item.digest for item in self.findings)
        return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()

    def to_json(self) -> JsonObject:
        """Return the JSON object of docs/spec/report.md; restricted JSON, stable within ``brakeline-audit/v1``."""
        reasons: JsonObject = {str(int(code)): _strings(texts) for code, texts in self.reasons().items()}
        value: JsonObject = {
            "format": FORMAT,
            "pin": self.pin,
            "treaty": {"name": self.treaty[0], "version": self.treaty[1]},
            "logs": [log.to_json() for log in self.logs],
            "findings": [item.to_json() for item in self.findings],
            "findings_digest": self.findings_digest,
            "unchecked": [problem.to_json() for problem in self.unchecked],
            "problems": [problem.to_json() for problem in self.problems],
            "levels": [level.to_json() for level in self.levels],
            "docket": [item.to_json() for item in self.docket],
            "opened": [item.to_json() for item in self.opened],
            "opinions": [item.to_json() for item in self.opinions],
            "sealed": [item.to_json() for item in self.sealed],
            "exit": int(self.exit),
            "reasons": reasons,
        }
        if self.as_of_ms is not None:
            value["as_of"] = {"instant_ms": self.as_of_ms, "given": self.as_of_given}
        if self.receipts is not None:
            counts = self.receipts
            value["receipts"] = {"read": counts.read, "honoured": counts.honoured, "dishonoured": counts.dishonoured}
        return value


def _divergence(log: LogReport) -> str:
    what = log.divergence.sentence() if log.divergence else "no reason recorded"
    return f"{log.origin or log.source}: {what}"


def _strings(texts: list[str]) -> list[JsonValue]:
    return list(texts)
