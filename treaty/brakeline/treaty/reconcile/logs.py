"""Several logs of one treaty, seen together: who has what since when, and what cannot be known.

n is the number of logs the treaty names, f how many verifiers may lie. Something is *in time* when f + 1 logs appended
it by the deadline, so that one honest log did, whatever the others say (protocol: "on time iff f + 1 logs").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from functools import cached_property
from typing import TypeVar

from brakeline.treaty.bookshelf import Books
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.replay import Facts
from brakeline.treaty.rules.threshold import Passed
from brakeline.treaty.statements import Order

_Key = TypeVar("_Key", str, tuple[str, str])


class Timing(Enum):
    """Whether something came by a deadline."""

    IN_TIME = "in time"
    TOO_LATE = "too late"
    UNKNOWN = "unknown"


class Logs:
    """The logs that were read, at most one a verifier."""

    def __init__(self, document: TreatyDocument, parts: Sequence[Facts]) -> None:
        """See *parts* together under *document* (two parts of one origin are a caller's mistake)."""
        self.document = document
        self.parts = sorted(parts, key=lambda facts: facts.origin)
        self.enough = document.quorum.liars + 1
        if len({facts.origin for facts in parts}) != len(parts):
            raise ValueError("two parts of one log")

    @cached_property
    def owing(self) -> dict[str, int]:
        """Site -> the first period it owes books for, sites in order of name.

        That is where both its enrolment and its first inventory have taken effect, or its enrolment alone while no log
        holds an inventory: a site that never says what it holds owes books all the same.
        """
        holding = _least(item for facts in self.parts for item in facts.holding.items())
        enrolled = _least(item for facts in self.parts for item in facts.enrolled.items())
        return {site: max(period, holding.get(site, period)) for site, period in sorted(enrolled.items())}

    @cached_property
    def enrolled(self) -> dict[str, int]:
        """Site -> the first period its key is enrolled for."""
        return _least(item for facts in self.parts for item in facts.enrolled.items())

    @cached_property
    def orders(self) -> dict[str, Order]:
        """Every order that some log admitted, by digest."""
        return dict(sorted({digest: order for facts in self.parts for digest, order in facts.orders.items()}.items()))

    def digests(self, site: str, period: int) -> list[str]:
        """Return the versions of a site's books of *period* that any log holds."""
        return list(self.versions(site, period))

    def timing(self, arrivals: Iterable[int | None], deadline_ms: int) -> Timing:
        """Say whether what arrived at *arrivals* (one a part, None where it is absent) came by *deadline_ms*.

        A log that holds it in time is known even where the log ends before the deadline.
        """
        came = list(arrivals)
        by_then = sum(1 for arrival in came if arrival is not None and arrival <= deadline_ms)
        if by_then >= self.enough:
            return Timing.IN_TIME
        open_still = sum(
            1
            for arrival, facts in zip(came, self.parts, strict=True)
            if arrival is None and facts.newest_ms <= deadline_ms
        )
        unread = len(self.document.verifiers) - len(self.parts)
        return Timing.TOO_LATE if by_then + open_still + unread < self.enough else Timing.UNKNOWN

    def held_since(self, digest: str) -> int | None:
        """Return the instant (ms) from which f + 1 of the logs read hold *digest*; None while fewer do.

        An unread log can only have made it earlier, so that a bound from here never accuses too soon.
        """
        raw = bytes.fromhex(digest)
        found = (facts.arrivals.get(raw) for facts in self.parts)
        came = sorted(arrival.at_ms for arrival in found if arrival is not None)
        return came[self.enough - 1] if len(came) >= self.enough else None

    @cached_property
    def passed(self) -> dict[str, Passed]:
        """Threshold -> workloads whose lineages have passed it, by the earliest period that a log shows."""
        names = {name for facts in self.parts for name in facts.passed}
        return {
            name: _least(item for facts in self.parts for item in facts.passed.get(name, {}).items()) for name in names
        }

    def acknowledged(self, site: str, order: str) -> list[int | None]:
        """Return, for each part, when the first acknowledgement of *order* by *site* arrived."""
        came = [facts.acknowledged.get((site, order), ()) for facts in self.parts]
        return [min((item.received_at_ms for item in heard), default=None) for heard in came]

    def versions(self, site: str, period: int) -> dict[str, Books]:
        """Return the versions of a site's books of *period*, by digest, that any log holds."""
        found = {books.digest: books for facts in self.parts for books in facts.books.get((site, period), ())}
        return dict(sorted(found.items()))

    def counted(self, site: str, period: int) -> dict[str, Books]:
        """Return the versions that no correction in any log supersedes, by digest (docs/spec/rules.md, Corrections)."""
        found = self.versions(site, period)
        return {digest: books for digest, books in found.items() if (site, period, digest) not in self._corrected}

    @cached_property
    def _corrected(self) -> set[tuple[str, int, str]]:
        return {key for facts in self.parts for key in facts.corrected}

    def reported(self, site: str, period: int) -> Iterator[int | None]:
        """Yield, for each part, when the first version of a site's books of *period* arrived."""
        for facts in self.parts:
            yield min(facts.books.arrivals(site, period), default=None)


class OpenedLogs(Logs):
    """The same logs, with sealed books as they read where they were opened: what whoever has the disclosures sees."""

    def versions(self, site: str, period: int) -> dict[str, Books]:
        """Return the versions of a site's books of *period*, by digest, opened as far as any log's were."""
        found = super().versions(site, period)
        opened = (books for facts in self.parts for books in facts.opened_books.get((site, period), ()))
        return found | {books.digest: books for books in opened}

    @cached_property
    def passed(self) -> dict[str, Passed]:
        """As :attr:`Logs.passed`, over opened values too."""
        rows = [passed for facts in self.parts for passed in (facts.passed, facts.opened_passed)]
        names = {name for row in rows for name in row}
        return {name: _least(item for row in rows for item in row.get(name, {}).items()) for name in names}

    @property
    def anything(self) -> bool:
        """Whether any books were opened."""
        return any(facts.opened_books.sites for facts in self.parts)


def _least(items: Iterable[tuple[_Key, int]]) -> dict[_Key, int]:
    least: dict[_Key, int] = {}
    for key, value in items:
        least[key] = min(least.get(key, value), value)
    return least
