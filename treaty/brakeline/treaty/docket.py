"""The docket: what became of each finding. Query, reply, referral, determination; nothing is ever taken off it.

What it is: a pure fold over what the logs show, so that the whole docket replays: same logs, same instant, same docket.
What it is not: a judge of replies. Software does not weigh words: a finding that still stands when the time for a reply
is over goes to the parties, with whatever was replied; what they conclude is theirs (:class:`Determination`).

A finding of severity ``discrepancy`` is itself the query: it names the statements, the figures and the article, and
every log words it alike. Its time begins when f + 1 logs have logged it (one log's word opens nothing), or, for a
reconcile finding, which no log writes, when the deadline that was missed had passed (figure ``due_ms``).

==========  ==========================================================================================================
state       meaning, in the order in which they are decided
==========  ==========================================================================================================
determined  a determination by the parties names the finding
cleared     it was logged and no longer stands (a further statement came); it stays on the docket
noted       of severity note: nothing is asked
referred    of severity referral; or a discrepancy that still stands after the time for a reply
replied     a discrepancy with a reply, while the time runs
open        a discrepancy without one, while the time runs (or its beginning is not known from the logs read)
==========  ==========================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from brakeline.treaty.findings import Finding, Severity
from brakeline.treaty.names import lab_of
from brakeline.treaty.reconcile.logs import Logs

Conclusion: TypeAlias = Literal["compliant", "non-compliant", "closed"]


class State(StrEnum):
    """Where a finding stands on the docket (see the module's table)."""

    OPEN = "open"
    REPLIED = "replied"
    REFERRED = "referred"
    DETERMINED = "determined"
    CLEARED = "cleared"
    NOTED = "noted"


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply: its statement, who gave it, and the first instant at which f + 1 logs had it (None: fewer do)."""

    digest: str
    author: str
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class Item:
    """One finding's way.

    Attributes:
        digest: of the finding.
        finding: None when it is cleared and only its digest is known from the logs.
        opened_ms: when its time began (Unix ms), None where the logs read do not say.
        reply_due_ms: until when a reply is asked; None unless a discrepancy with a known beginning.
        replies: in order of digest.
        determination: digest of the statement that determines it.
        conclusion: what that says.
    """

    digest: str
    finding: Finding | None
    state: State
    opened_ms: int | None
    reply_due_ms: int | None
    replies: tuple[Answer, ...]
    determination: str | None
    conclusion: Conclusion | None

    @property
    def referred_unanswered(self) -> bool:
        """Whether it went to the parties without a word from whom it is about."""
        return self.state is State.REFERRED and self.reply_due_ms is not None and not self.replies


def docket(logs: Logs, standing: Mapping[str, Finding], as_of_ms: int) -> tuple[Item, ...]:
    """Return the docket at *as_of_ms*: what stands (digest -> finding, of all rules), then what was cleared."""
    opened = {digest: _since(logs, digest) for digest in _logged(logs)}
    items = [_standing(logs, digest, finding, opened.get(digest), as_of_ms) for digest, finding in standing.items()]
    gone = [_cleared(logs, digest, since) for digest, since in opened.items() if digest not in standing]
    return (*items, *gone)


def _standing(logs: Logs, digest: str, finding: Finding, since: int | None, as_of_ms: int) -> Item:
    begins = since if since is not None else _missed(finding)
    due = None
    if finding.severity is Severity.DISCREPANCY and begins is not None:
        due = begins + logs.document.deadlines.reply_ms.value
    replies = tuple(_replies(logs, digest, finding.about))
    determination = _determination(logs, digest)
    if determination is not None:
        state = State.DETERMINED
    elif finding.severity is Severity.NOTE:
        state = State.NOTED
    elif finding.severity is Severity.REFERRAL or (due is not None and as_of_ms > due):
        state = State.REFERRED
    else:
        state = State.REPLIED if replies else State.OPEN
    named, conclusion = determination or (None, None)
    return Item(digest, finding, state, begins, due, replies, named, conclusion)


def _cleared(logs: Logs, digest: str, since: int | None) -> Item:
    determination = _determination(logs, digest)
    named, conclusion = determination or (None, None)
    state = State.CLEARED if determination is None else State.DETERMINED
    finding = next((f for facts in logs.parts if (f := facts.cleared.get(digest)) is not None), None)
    replies = tuple(_replies(logs, digest, "" if finding is None else finding.about))
    return Item(digest, finding, state, since, None, replies, named, conclusion)


def _logged(logs: Logs) -> list[str]:
    """Return the findings that any log has written, sorted by digest."""
    return sorted({digest for facts in logs.parts for digest in facts.found})


def _since(logs: Logs, digest: str) -> int | None:
    """Return the instant (ms) from which f + 1 of the logs read had written the finding; None while fewer have."""
    came = sorted(facts.found[digest].at_ms for facts in logs.parts if digest in facts.found)
    return came[logs.enough - 1] if len(came) >= logs.enough else None


def _missed(finding: Finding) -> int | None:
    """Return the deadline that a reconcile finding says was missed."""
    due = finding.figures.get("due_ms", "")
    return int(due) if due.isascii() and due.isdigit() else None


def _replies(logs: Logs, digest: str, about: str) -> Iterator[Answer]:
    """Yield the replies of whom the finding is about (a site, or any site of that lab); nobody answers for another."""
    authors = {reply: author for facts in logs.parts for reply, author in facts.replies.get(digest, {}).items()}
    for reply, author in sorted(authors.items()):
        if about in (author, lab_of(author)):
            yield Answer(reply, author, logs.held_since(reply))


def _determination(logs: Logs, digest: str) -> tuple[str, Conclusion] | None:
    """Return the determination that names the finding: of several, the last by the instant f + 1 logs had it."""
    named: dict[str, Conclusion] = {
        statement: said.conclusion
        for facts in logs.parts
        for statement, said in facts.determinations.items()
        if digest in said.findings
    }
    held = [(since, statement) for statement in named if (since := logs.held_since(statement)) is not None]
    if not held:
        return None
    _, newest = max(held)
    return newest, named[newest]
