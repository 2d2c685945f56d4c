"""Versions: which statements speak of one period of one site, and which of them no longer count.

A site's books of a period are one statement, as long as it is honest and makes no mistake. Then there may be more: a
correction puts another in its place, or the site signed two. Rules keep figures by *slot* (site, period, version); a
version is numbered as it comes, and the number is only a handle that never enters a finding.

A version is *superseded* when an admitted correction by the same site names its digest and its period, whichever of
the two came first. It then counts in no rule that speaks of what the books say; it stays in the log, and in
``equivocation``. What belongs together (:mod:`brakeline.treaty.rules.lineage`) is read from superseded books too.

Keeps: per site and period the digests of its versions, in columns; a digest for every correction.
"""

from __future__ import annotations

from typing import NamedTuple

from brakeline.treaty.rules.columns import Column, Columns


class Slot(NamedTuple):
    """One version of a site's books of a period."""

    site: str
    period: int
    version: int


class Versions:
    """Numbers versions, and knows which are superseded."""

    def __init__(self, columns: Columns) -> None:
        """Start with none; digests go to *columns*."""
        self._columns = columns
        self._digests: dict[str, Column[tuple[str, ...]]] = {}
        self._superseded: set[tuple[str, int, str]] = set()

    def number(self, site: str, period: int, digest: str) -> Slot:
        """Return the slot of the books *digest*, numbered now if they are new."""
        column = self._digests.get(site)
        if column is None:
            column = self._digests[site] = self._columns.new()
        known = column.get(period) or ()
        if digest in known:
            return Slot(site, period, known.index(digest))
        column.put(period, (*known, digest))
        return Slot(site, period, len(known))

    def digest(self, slot: Slot) -> str:
        """Return the digest of the books in *slot*, which has been numbered."""
        return self.digests(slot.site, slot.period)[slot.version]

    def digests(self, site: str, period: int) -> tuple[str, ...]:
        """Return the digests of all versions of the books of *site* for *period*, in order of number."""
        column = self._digests.get(site)
        return () if column is None else column.get(period) or ()

    def supersede(self, site: str, period: int, digest: str) -> Slot | None:
        """Let the books *digest* count no more; return their slot if they are here and counted until now."""
        if (site, period, digest) in self._superseded:
            return None
        self._superseded.add((site, period, digest))
        known = self.digests(site, period)
        return Slot(site, period, known.index(digest)) if digest in known else None

    def superseded(self, slot: Slot) -> bool:
        """Say whether the books in *slot* no longer count."""
        return bool(self._superseded) and (slot.site, slot.period, self.digest(slot)) in self._superseded

    def live(self, site: str, period: int) -> bool:
        """Say whether any version of the books of *site* for *period* still counts."""
        known = self.digests(site, period)
        return any((site, period, digest) not in self._superseded for digest in known)
