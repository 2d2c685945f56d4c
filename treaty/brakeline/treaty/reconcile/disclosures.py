"""``undisclosed``: was what opens a sealed statement given to enough verifiers in time?

Sees: sealed statements that f + 1 logs hold, of which fewer verifiers than the treaty's ``sealing.holders`` said in
their logs, by the deadline, that they hold the disclosure.
Cannot see: what a verifier holds and does not say, or says and does not hold. So that f that deny accuse nobody, a
treaty asks for at most as many holders as there are disclosure keys, less f; so that f that pretend hide nothing, for
more than f.
Arithmetic: instants in Unix ms. Deadline: since f + 1 of the logs read hold the statement, plus ``disclosure_ms``. It
fires when (logs that said so by then) + (logs of verifiers with a disclosure key that were not read, or not that far)
is less than ``holders``.
Figures: ``leaves`` (sealed), ``holders``, ``needed``, ``due_ms``. About the author, in the period of the books, if they
are books; cites the statement.
Source: docs/spec/rules.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from brakeline.treaty.findings import Finding
from brakeline.treaty.opinion_log import SealedStatement
from brakeline.treaty.reconcile.logs import Logs
from brakeline.treaty.rules.board import make

RULE = "undisclosed"


class Disclosed(NamedTuple):
    """How far a sealed statement was disclosed by its deadline: holders known, and logs that may yet turn out to."""

    digest: str
    sealed: SealedStatement
    due_ms: int
    holders: int
    unknown: int


def undisclosed(logs: Logs, as_of_ms: int) -> Iterator[Finding]:
    """Yield the findings of ``undisclosed``."""
    terms, needed = logs.document.rule(RULE), logs.document.sealing.holders
    if terms is None:
        return
    for item in disclosures_due(logs, as_of_ms):
        if item.holders + item.unknown < needed:
            figures = {
                "leaves": item.sealed.leaves,
                "holders": item.holders,
                "needed": needed,
                "due_ms": item.due_ms,
            }
            period = None if item.sealed.period < 0 else item.sealed.period
            yield make(terms, item.sealed.author, period=period, statements=[item.digest], figures=figures)


def disclosures_due(logs: Logs, as_of_ms: int) -> Iterator[Disclosed]:
    """Yield every sealed statement whose disclosure was due before *as_of_ms*, in order of digest."""
    able = {item.origin for item in logs.document.verifiers if item.disclosure_key is not None}
    found = {digest: sealed for facts in logs.parts for digest, sealed in facts.sealed.items()}
    unread = len(able - {facts.origin for facts in logs.parts})
    for digest, sealed in sorted(found.items()):
        since = logs.held_since(digest)
        if since is None:
            continue
        due_ms = since + logs.document.deadlines.disclosure_ms.value
        if due_ms >= as_of_ms:
            continue
        parts = [facts for facts in logs.parts if facts.origin in able]
        holders = sum(facts.held.get(digest, due_ms + 1) <= due_ms for facts in parts)
        short = sum(digest not in facts.held and facts.newest_ms <= due_ms for facts in parts)
        yield Disclosed(digest, sealed, due_ms, holders, short + unread)
