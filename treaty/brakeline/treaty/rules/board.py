"""The board: findings that stand, what changed since the last heartbeat, and what could not be judged.

Directly after a heartbeat a log holds the findings that are new for its prefix, and a withdrawal for each logged one
that no longer stands (docs/spec/findings.md). The board is that bookkeeping and nothing else: rules put
and take away findings under keys of their own, :meth:`Board.due` says what must be logged now. What a rule cannot
judge, because a figure is unknown, is no finding: it is counted (:meth:`Board.unknown`) and reported beside them.

It keeps the findings that stand, and a number for each rule, author and reason; rules keep their own past in its
columns (:mod:`brakeline.treaty.rules.columns`), and all of them know versions of books by one numbering
(:mod:`brakeline.treaty.rules.versions`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding, Severity, Withdrawn
from brakeline.treaty.rules.books import Said
from brakeline.treaty.rules.branches import Branches
from brakeline.treaty.rules.columns import Columns
from brakeline.treaty.rules.versions import Slot, Versions
from brakeline.treaty.terms import RuleTerms

MAX_CITED = 64
"""Statements that one finding cites (:class:`~brakeline.treaty.findings.Finding`)."""


PERIODLESS = frozenset({"resume-mismatch"})
"""Rules that count what they could not judge without a period."""


class Unverifiable(NamedTuple):
    """That a rule could not judge something of an author, and why.

    Attributes:
        rule: the rule.
        about: whose statements (a site, a lab).
        why: a stable word: ``joules-absent``, ``flop-absent``; ``flop-sealed``, ``joules-sealed``, ``line-sealed``,
            ``row-sealed`` where it is stated, and sealed.
    """

    rule: str
    about: str
    why: str


class Shared(NamedTuple):
    """What is the same under every version of a treaty: where the past is kept, versions of books, authors' trees."""

    columns: Columns
    versions: Versions
    branches: Branches

    @classmethod
    def new(cls, columns: Columns | None = None) -> Shared:
        """Return it for an empty prefix."""
        kept = Columns() if columns is None else columns
        return cls(kept, Versions(kept), Branches(kept.archive))


class Board:
    """What stands, by key. Keys are the rules' own: any hashable that names one possible finding."""

    def __init__(self, shared: Shared | None = None, since: Mapping[str, int] | None = None) -> None:
        """Start empty.

        Args:
            shared: where rules keep what they must remember of the past, and what all versions of a treaty share.
            since: rule -> the first period of its arithmetic, where that is not period 0 (:meth:`since`).
        """
        self.columns, self.versions, self.branches = Shared.new() if shared is None else shared
        self.muted = False
        self._since: Mapping[str, int] = {} if since is None else since
        self._of_books: dict[str, list[Hashable]] = {}
        self._standing: dict[Hashable, Finding] = {}
        self._changed: dict[Hashable, Finding | None] = {}
        self._unknown: Counter[Unverifiable] = Counter()

    def put(self, key: Hashable, finding: Finding | None, books: str = "") -> None:
        """Let *finding* stand under *key*, or nothing; *books* is the one usage statement that it is about, if so."""
        if books and finding is not None:
            self._of_books.setdefault(books, []).append(key)
        before = self._standing.get(key)
        if finding == before:
            return
        self._changed.setdefault(key, before)
        if finding is None:
            del self._standing[key]
        else:
            self._standing[key] = finding

    def withdraw(self, books: str) -> None:
        """Take away what stands about one usage statement: it was superseded."""
        for key in self._of_books.pop(books, ()):
            self.put(key, None)

    def since(self, rule: str) -> int:
        """Return the first period in which *rule* is in force as it is now, in this version of the treaty or before it.

        A sum of the rule's begins there, and what passes a line passes it there or later.
        """
        return self._since.get(rule, 0)

    def unknown(self, rule: str, about: str, why: str, by: int = 1) -> None:
        """Count *by* more things of *about* that *rule* could not judge; of no one period only, while it is muted."""
        if by and (not self.muted or rule in PERIODLESS):
            self._unknown[Unverifiable(rule, about, why)] += by

    def unverifiable(self) -> dict[Unverifiable, int]:
        """Return how many things each rule could not judge, by author and reason, sorted; none with 0."""
        return {key: number for key, number in sorted(self._unknown.items()) if number}

    def due(self) -> list[bytes]:
        """Return the bodies due after a heartbeat, sorted by their SHA-256; what they say is from now on logged.

        A finding that came and went between two heartbeats leaves no trace; one that moved to another key neither.
        """
        return differences(*self.changes())

    def changes(self) -> tuple[dict[str, Finding], dict[str, Finding]]:
        """Return what stood, and what stands now, under the keys that changed since this was last asked."""
        now = {finding.digest: finding for key in self._changed if (finding := self._standing.get(key)) is not None}
        before = {finding.digest: finding for finding in self._changed.values() if finding is not None}
        self._changed.clear()
        return before, now

    def stood(self) -> dict[str, Finding]:
        """Return what stood when the changes were last asked for, by digest."""
        before = {**self._standing, **self._changed}
        return {finding.digest: finding for finding in before.values() if finding is not None}

    def standing(self) -> dict[str, Finding]:
        """Return what stands now: digest -> finding, sorted by digest."""
        return dict(sorted((finding.digest, finding) for finding in self._standing.values()))


def differences(before: Mapping[str, Finding], now: Mapping[str, Finding]) -> list[bytes]:
    """Return the bodies of what is new in *now*, and of withdrawals of what is gone from *before*, by their SHA-256."""
    bodies = [finding.body for digest, finding in now.items() if digest not in before]
    bodies += [Withdrawn(withdrawn=digest).body for digest in before if digest not in now]
    return sorted(bodies, key=lambda body: hashlib.sha256(body).digest())


class LogRule(Protocol):
    """A rule over one prefix. A class; the judge makes one of each rule in force."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *document*; *terms* are the rule's own; findings go on *board*."""

    def add(self, said: Said) -> None:
        """Take an admitted statement that the log did not hold before."""


@runtime_checkable
class BooksRule(Protocol):
    """A rule that keeps figures of books, beyond findings that are about one usage statement alone."""

    def supersede(self, slot: Slot) -> None:
        """Let books that were taken count no more. What was put on the board about them alone is already gone."""


def make(
    terms: RuleTerms,
    about: str,
    *,
    statements: Iterable[str],
    figures: Mapping[str, object],
    period: int | None = None,
    article: str = "",
) -> Finding:
    """Return a finding of the rule that *terms* describe; *statements* are made sorted, unique and at most 64."""
    return Finding(
        rule=terms.rule,
        severity=Severity(terms.severity),
        article=article or terms.article,
        about=about,
        period=period,
        statements=tuple(sorted(set(statements))[:MAX_CITED]),
        figures={name: str(figure) for name, figure in figures.items()},
    )


def tally(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    """Return the sum by name of *pairs*.

    >>> tally([("a", 2), ("b", 1), ("a", 3)])["a"]
    5
    """
    total: Counter[str] = Counter()
    for name, number in pairs:
        total[name] += number
    return total
