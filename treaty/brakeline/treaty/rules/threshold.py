"""``threshold``: compute accumulated over a lineage passes a line of the treaty. Splitting a run changes nothing.

Sees: one run under one workload name at several sites of a lab, over any number of periods; a run continued under
another name with the same code and data; a model trained from parents, whose compute (and their parents') counts too.
Cannot see: compute that was never booked, or booked under an activity that the threshold does not count; parents that
the books do not name; a lineage hidden by changing name, code and data at once.
Arithmetic (:mod:`brakeline.treaty.rules.lineage` says what a run is and whose compute counts): per site and period the
largest sum over the versions of its books; the finding names the first period in which the sum of all periods up to it
exceeds the line. Later periods do not change it. A run that descends from one that already passed the line is covered
by that finding. FLOP of a line: the larger of both counting methods, and never less than ``presumed_permille`` / 1000
of what its chips could do (rounded down): a figure left out, or made small, counts as that.
Figures: ``threshold``, ``line_flop``, ``total_flop`` (up to that period), ``workload`` (the first name, sorted),
``lineage_statements`` (books counted; the newest 64 are cited). About the lab; the article is the threshold's own.
Source: the cumulative compute of Regulation (EU) 2024/1689, article 51(2), and the guidelines on it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set
from typing import NamedTuple, TypeAlias

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import MILLI, PERMILLE, Said
from brakeline.treaty.rules.lineage import Lineages
from brakeline.treaty.terms import RuleTerms, Threshold

Slot: TypeAlias = tuple[int, str]
"""A period and a site."""
Passed: TypeAlias = dict[tuple[str, str], int]
"""(Lab, workload) -> the period in which its lineage passed a threshold."""
Versions: TypeAlias = dict[bytes, int]
"""Statement digest -> FLOP that this version of a slot's books gives to a run."""


class ThresholdRule:
    """Holds the runs, and for every threshold what was booked to each."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by every threshold of *document*."""
        self._presumed = terms.integer("presumed_permille")
        self._runs = Lineages()
        self._lines = [_Line(threshold, terms, board, self._runs) for threshold in document.thresholds]

    def add(self, said: Said) -> None:
        """Book every line to its run, then judge the runs it touched and what descends from them."""
        books = said.books
        if books is None:
            return
        touched: set[int] = set()
        restructured = False
        slot, digest = (books.period, books.site), bytes.fromhex(books.digest)
        for line in books.lines:
            run, joined, changed = self._runs.place(books.lab, line.source)
            flop = max(line.flop or 0, line.peak_mflop * self._presumed // (MILLI * PERMILLE))
            if not flop and not changed:
                continue
            touched.add(run)
            restructured |= changed
            for threshold in self._lines:
                threshold.join(run, joined)
                if flop and line.activity in threshold.terms.activities:
                    threshold.book(run, slot, digest, flop)
        if touched:
            current = {self._runs.find(run) for run in touched}
            for threshold in self._lines:
                threshold.judge(current, None if restructured else books.period)

    def passed(self) -> dict[str, Passed]:
        """Return, by threshold, which workloads' lineages have passed it, and in which period."""
        named = sorted(self._runs.named())
        return {line.terms.name: line.passed(named) for line in self._lines}


class _Passage(NamedTuple):
    """Where a lineage passes the line: the period, all FLOP up to its end, how many books, the newest of them."""

    period: int
    flop: int
    statements: int
    cited: tuple[str, ...]


class _Line:
    """One threshold: FLOP by run, slot and version, and where lineages passed."""

    def __init__(self, terms: Threshold, rule: RuleTerms, board: Board, runs: Lineages) -> None:
        self.terms = terms
        self._rule = rule
        self._board = board
        self._runs = runs
        self._booked: defaultdict[int, dict[Slot, Versions]] = defaultdict(dict)
        self._at_most: defaultdict[int, int] = defaultdict(int)  # all versions together: cheap, and never too small
        self._passages: dict[int, _Passage | None] = {}

    def join(self, run: int, joined: Set[int]) -> None:
        """Let *run* take over what was booked to the runs that turned out to be the same."""
        for other in joined:
            for slot, versions in self._booked.pop(other, {}).items():
                for digest, flop in versions.items():
                    self.book(run, slot, digest, flop)
            self._at_most.pop(other, None)
            self._passages.pop(other, None)
            self._board.put((self.terms.name, other), None)

    def book(self, run: int, slot: Slot, digest: bytes, flop: int) -> None:
        """Give *flop* to *run* in one version of a slot's books."""
        versions = self._booked[run].setdefault(slot, {})
        versions[digest] = versions.get(digest, 0) + flop
        self._at_most[run] += flop

    def judge(self, touched: set[int], period: int | None) -> None:
        """Judge *touched* and what descends from them; *period* is where figures were added, None if descent changed.

        A lineage that passed in an earlier period passed there still, so it is not added up again.
        """
        affected = self._runs.with_descendants(touched)
        for run in affected:
            passage = self._passages.get(run)
            if period is None or passage is None or passage.period >= period:
                self._passages[run] = self._measure(run)
        for run in affected:
            self._board.put((self.terms.name, run), self._finding(run))

    def passed(self, named: Iterable[tuple[str, str, int]]) -> Passed:
        """Return the period in which each of the *named* workloads' lineages passed; absent where it has not."""
        passages = ((lab, workload, self._passages.get(run)) for lab, workload, run in named)
        return {(lab, workload): passage.period for lab, workload, passage in passages if passage is not None}

    def _measure(self, run: int) -> _Passage | None:
        ancestry = self._runs.ancestry(run)
        if sum(self._at_most.get(item, 0) for item in ancestry) <= self.terms.flop.value:
            return None
        slots: defaultdict[Slot, defaultdict[bytes, int]] = defaultdict(lambda: defaultdict(int))
        for item in ancestry:
            for slot, versions in self._booked.get(item, {}).items():
                for digest, flop in versions.items():
                    slots[slot][digest] += flop
        total = 0
        counted: list[str] = []
        passed: int | None = None
        for slot in sorted(slots):
            if passed is not None and slot[0] > passed:
                break
            flop, digest = max((flop, digest) for digest, flop in slots[slot].items())
            total += flop
            counted.append(digest.hex())
            if total > self.terms.flop.value:
                passed = slot[0]
        return None if passed is None else _Passage(passed, total, len(counted), tuple(counted[-MAX_CITED:]))

    def _finding(self, run: int) -> Finding | None:
        passage = self._passages.get(run)
        if passage is None or self._covered(run):
            return None
        figures = {
            "threshold": self.terms.name,
            "line_flop": self.terms.flop,
            "total_flop": passage.flop,
            "workload": self._runs[run].workload,
            "lineage_statements": passage.statements,
        }
        return make(
            self._rule,
            self._runs[run].lab,
            period=passage.period,
            statements=passage.cited,
            figures=figures,
            article=self.terms.article,
        )

    def _covered(self, run: int) -> bool:
        """Say whether a run passed from which *run* descends (and which does not itself descend from *run*)."""
        return any(
            self._passages.get(other) is not None and run not in self._runs.ancestry(other)
            for other in self._runs.ancestry(run) - {run}
        )
