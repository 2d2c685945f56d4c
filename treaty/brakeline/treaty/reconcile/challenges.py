"""``unopened-challenge``: did a site open the rows that the logs drew?

Sees: books that f + 1 logs or more challenged, in each of which some drawn row stood in no opening of the site for that
challenge in f + 1 logs by the challenge's time + ``open_ms``. One log's challenge accuses nobody: a verifier that lies
may keep what it drew to itself.
Cannot see: whether opened rows are true (``false-opening``). A site may leave the draws of f logs unanswered, so
those of the other logs are what it cannot refuse; an opening that goes to too few logs opens nothing.
Arithmetic: instants in Unix ms, integers. Figures: ``usage``, ``challenges`` (unanswered), ``drawn`` and ``unopened``
(rows, over these), ``due_ms`` (of the one due first).
Source: docs/spec/spotchecks.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from brakeline.treaty.findings import Finding
from brakeline.treaty.reconcile.logs import Logs, Timing
from brakeline.treaty.rules.board import make
from brakeline.treaty.spotcheck.challenge import RULE, Drawn


class _Unanswered(NamedTuple):
    """A challenge of which rows were not opened in time."""

    digest: str
    due_ms: int
    drawn: int
    unopened: int


def unopened(logs: Logs, as_of_ms: int) -> Iterator[Finding]:
    """Yield the findings of ``unopened-challenge``."""
    terms = logs.document.rule(RULE)
    if terms is None:
        return
    found: defaultdict[tuple[str, int, str], list[_Unanswered]] = defaultdict(list)
    for challenge, due_ms in challenges_due(logs, as_of_ms):
        came = [timing for _, timing in timings(logs, challenge, due_ms)]
        missing = came.count(Timing.TOO_LATE)
        if missing:
            item = _Unanswered(challenge.digest, due_ms, len(came), missing)
            found[challenge.site, challenge.period, challenge.usage].append(item)
    for (site, period, usage), items in sorted(found.items()):
        if len(items) < logs.enough:
            continue
        figures = {
            "usage": usage,
            "challenges": len(items),
            "drawn": sum(item.drawn for item in items),
            "unopened": sum(item.unopened for item in items),
            "due_ms": min(item.due_ms for item in items),
        }
        yield make(terms, site, period=period, statements=[usage], figures=figures)


def challenges_due(logs: Logs, as_of_ms: int) -> Iterator[tuple[Drawn, int]]:
    """Yield every challenge whose deadline (ms) is before *as_of_ms*, with it, by log."""
    terms = logs.document.rule(RULE)
    if terms is None:
        return
    for facts in logs.parts:
        for challenge in facts.challenges:
            due_ms = challenge.at_ms + terms.integer("open_ms")
            if due_ms < as_of_ms:
                yield challenge, due_ms


def timings(logs: Logs, challenge: Drawn, due_ms: int) -> Iterator[tuple[int, Timing]]:
    """Yield every row that *challenge* drew, with whether it was opened by *due_ms*."""
    opened = [facts.opened.of(challenge) for facts in logs.parts]
    for row in challenge.drawn:
        yield row, logs.timing((rows.get(row) for rows in opened), due_ms)
