"""Succession: which version of a treaty governs which periods, as a function of the set of versions that are known.

What it is: version 1 and its amendments, put in order. Each version names the digest of the one before it and the first
period that it governs; it governs until the next one does. Equal sets give equal answers, in whatever order the
versions came. What it is not: admission (the versions were admitted), or a judge of periods.

*Rivals* are versions with one and the same predecessor. Nobody can say which of them holds, so periods from the first
that any of them would govern are governed by none, until one of them is the predecessor, near or far, of a version
whose ``settles`` names all the others. That one then holds, from its own first period on.

    succession = Succession(document, amendments)
    succession.at(7)                  # the version that governs period 7, None while rivals contend for it
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.terms import VerifierTerms


class Reign(NamedTuple):
    """A version and the periods it governs: from ``begins`` until before ``ends`` (None: without end)."""

    document: TreatyDocument
    begins: int
    ends: int | None

    def __contains__(self, period: object) -> bool:
        """Say whether it governs *period*."""
        return isinstance(period, int) and self.begins <= period and (self.ends is None or period < self.ends)


class Succession:
    """The versions of one treaty that are known somewhere.

    Attributes:
        root: the first of them: version 1 (or, for a node that was pinned to a later one, that one).
        reigns: the versions that govern, in order; at least one.
        rivals: digests of the versions that contend for all later periods, sorted; empty where none do.
    """

    def __init__(self, root: TreatyDocument, amendments: Iterable[TreatyDocument] = ()) -> None:
        """Put *amendments*, in any order, behind *root*; what does not descend from it governs nothing."""
        self.root = root
        self.known = {root.digest: root, **{item.digest: item for item in amendments}}
        self._heirs: defaultdict[str, list[TreatyDocument]] = defaultdict(list)
        for document in self.known.values():
            self._heirs[document.previous].append(document)
        chain = [root]
        while (heir := self._heir(chain[-1])) is not None:
            chain.append(heir)
        contenders = self._heirs[chain[-1].digest]
        self.rivals = tuple(sorted(item.digest for item in contenders))
        end = min((item.effective_period for item in contenders), default=None)
        begins = [0, *(item.effective_period for item in chain[1:])]
        self.reigns = tuple(map(Reign, chain, begins, (*begins[1:], end)))

    @property
    def newest(self) -> TreatyDocument:
        """The version that governs last."""
        return self.reigns[-1].document

    @property
    def unsettled_from(self) -> int | None:
        """The first period that rivals contend for, None where none do."""
        return self.reigns[-1].ends

    def at(self, period: int) -> TreatyDocument | None:
        """Return the version that governs *period* (before the grid: the first); None while rivals contend for it."""
        asked = max(period, 0)
        return next((reign.document for reign in reversed(self.reigns) if asked in reign), None)

    def last(self, period: int) -> TreatyDocument:
        """Return the version that governs *period*, or, while rivals contend for it, the one that governed last."""
        return self.at(period) or self.newest

    def chain(self) -> tuple[TreatyDocument, ...]:
        """Return the versions that govern, in order."""
        return tuple(reign.document for reign in self.reigns)

    def naming(self, origin: str) -> list[TreatyDocument]:
        """Return the versions known that name the log *origin*, oldest first."""
        naming = (item for item in self.known.values() if item.verifier_by_origin(origin) is not None)
        return sorted(naming, key=lambda item: item.version)

    def verifier(self, origin: str) -> VerifierTerms | None:
        """Return the lines of the log *origin* in the newest version known that names it; a log keeps its keys."""
        naming = self.naming(origin)
        return naming[-1].verifier_by_origin(origin) if naming else None

    def verifiers(self) -> tuple[VerifierTerms, ...]:
        """Return whatever verifiers the versions known name, each as :meth:`verifier` gives it."""
        origins = dict.fromkeys(item.origin for known in self.known.values() for item in known.verifiers)
        return tuple(found for origin in origins if (found := self.verifier(origin)) is not None)

    def over(self, origin: str, at_ms: int) -> TreatyDocument:
        """Return the version whose quorums a checkpoint of the log *origin* answers to at *at_ms* (Unix ms).

        That is the version that governs then, or, where it does not name the log, the last one known that does.
        """
        governing = self.last(self.root.grid.period_of(InstantMs(max(at_ms, 0))))
        naming = self.naming(origin)
        return governing if governing in naming or not naming else naming[-1]

    def with_versions(self, further: Iterable[TreatyDocument]) -> Succession:
        """Return the succession of the versions known and *further* ones."""
        return Succession(self.root, (*self.known.values(), *further))

    def _heir(self, document: TreatyDocument) -> TreatyDocument | None:
        heirs = self._heirs[document.digest]
        holding = [heir for heir in heirs if {item.digest for item in heirs} - {heir.digest} <= self._settled(heir)]
        return holding[0] if len(holding) == 1 else None

    def _settled(self, document: TreatyDocument) -> set[str]:
        """Return what *document* and all that descends from it say no longer counts."""
        found: set[str] = set()
        waiting = [document]
        while waiting:
            item = waiting.pop()
            found |= set(item.settles or ())
            waiting += self._heirs[item.digest]
        return found


def check_chain(documents: Sequence[TreatyDocument]) -> tuple[TreatyDocument, ...]:
    """Return *documents* in order of version, each the one before the next (ValueError where they are not)."""
    ordered = sorted(documents, key=lambda item: item.version)
    for before, after in pairwise(ordered):
        if after.previous != before.digest:
            raise ValueError(f"version {after.version} does not follow from version {before.version} as given")
    return tuple(ordered)
