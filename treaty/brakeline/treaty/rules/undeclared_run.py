"""``undeclared-run``: training that nobody announced, or that grew beyond what was announced.

Sees: a run above the floor whose site did not declare it before its first books; a declared run that spends more than
it planned, beyond the margin; a run cut into many small undeclared ones, once together they are more than the share of
a site's chips that the treaty leaves to undeclared work.
Cannot see: undeclared work within that share; a plan that was padded; training booked as something else.
Arithmetic: FLOP of a line as in ``threshold`` (:mod:`brakeline.treaty.rules.counted`), of what counts under a threshold
on training. Per site and workload the sum of the largest versions, in order of period; it fires in the first period at
whose end the sum exceeds ``floor_flop`` (not declared: ``undeclared``), or the larger of the floor and (1 + margin) x
the largest plan (declared: ``beyond-plan``). *Declared* means that the site's chain holds a declaration of the workload
as training, before (by sequence) the first books in which it counts (corrected ones too), that begins no later than
their earliest period. Together (``scattered``): Page's sum per site over x = FLOP of undeclared workloads -
(k_permille / 1000) x what all chips booked could have done; it fires where S > ``h_flop``.
Sealed: FLOP count as in ``threshold``, for what is known of them (``flop-sealed``); of ``scattered``, a period with
an opaque line has an unknown x, since the capacity is unknown (``line-sealed``).
Figures: ``reason``; ``workload``, ``total_flop`` and ``floor_flop`` or ``planned_flop``; or ``undeclared_flop`` and
``capacity_flop`` of the period, ``sum_flop``, ``k_permille``, ``h_flop``. About the site.
Keeps: per site and workload the first of its books, its declarations and a sum; per period its FLOP, in columns.
Source: declaration of training runs above a line, as in MIRI, arXiv:2511.10783, Article IV (1e22 FLOP).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, cast

from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import Declaration
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import Books, Said
from brakeline.treaty.rules.counted import Counted
from brakeline.treaty.rules.pool import Pool
from brakeline.treaty.rules.slots import Figures, Slots
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Activity
from brakeline.treaty.terms import RuleTerms

_TRAINING = (Activity.TRAINING,)


class _Plan(NamedTuple):
    """One declaration of a run."""

    sequence: int
    digest: str
    begins_period: int
    planned: int


class _Passage(NamedTuple):
    """Where a run passed its limit: the period, its sum up to there, the newest books counted."""

    period: int
    total: int
    cited: tuple[str, ...]


@dataclass(slots=True)
class _Run:
    """A workload of a site: FLOP by period and version; their sum; the first books (by sequence); the plans."""

    flop: Slots
    total: int = 0
    first: int | None = None
    begins: int = 0
    plans: list[_Plan] = field(default_factory=list[_Plan])
    passage: _Passage | None = None

    @property
    def declared(self) -> bool:
        """Whether it was announced before it began. A run without books is nobody's concern yet."""
        first = self.first
        return first is None or any(p.sequence < first and p.begins_period <= self.begins for p in self.plans)


class UndeclaredRun:
    """Holds the runs of every site, and how much each site trains undeclared."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by *terms* (``floor_flop``, ``k_permille``, ``h_flop``) and the margin of *document*."""
        self._counted = Counted(document)
        self._margin = document.counting.margin
        self._floor = terms.integer("floor_flop")
        self._terms = terms
        self._board = board
        self._runs: dict[str, dict[str, _Run]] = {}
        self._pool = Pool(terms, board, "undeclared_flop", {"reason": "scattered"})

    def add(self, said: Said) -> None:
        """Take in a declaration, or books."""
        declared, books = said.predicate, said.books
        if isinstance(declared, Declaration) and declared.activity is Activity.TRAINING:
            run = self._run(declared.author, declared.workload)
            was = run.declared
            plan = declared.planned_flop.value
            run.plans.append(_Plan(declared.sequence, said.statement.digest, declared.begins_period, plan))
            self._settle(declared.author, declared.workload, was)
        elif books is not None:
            self._book(books)

    def supersede(self, slot: Slot) -> None:
        """Take a version of a site's books back."""
        self._pool.drop(slot)
        for workload, run in self._runs.get(slot.site, {}).items():
            before = _largest(run.flop.get(slot.period))
            if run.flop.drop(slot) is not None:
                run.total += _largest(run.flop.get(slot.period)) - before
                self._judge(slot.site, workload, run, None)

    def _run(self, site: str, workload: str) -> _Run:
        runs = self._runs.setdefault(site, {})
        run = runs.get(workload)
        if run is None:
            run = runs[workload] = _Run(Slots(self._board.columns))
        return run

    def _book(self, books: Books) -> None:
        booked: dict[str, int] = {}
        self._board.unknown(self._terms.rule, books.site, "line-sealed", books.opaque)
        for line in books.lines:
            if self._counted.counts(line, _TRAINING):
                if line.flop_sealed:
                    self._board.unknown(self._terms.rule, books.site, "flop-sealed")
                booked[line.workload] = booked.get(line.workload, 0) + (self._counted.flop(line) or 0)
        for workload in [name for name, flop in booked.items() if not flop]:
            del booked[workload]
        self._pool.open(books)
        undeclared = 0
        for workload, flop in booked.items():
            run = self._run(books.site, workload)
            was = run.declared
            before = _largest(run.flop.get(books.period))
            run.flop.put(books.slot, (flop,))
            run.total += max(0, flop - before)
            earlier = run.first is None or books.sequence < run.first
            run.begins = books.period if run.first is None else min(run.begins, books.period)
            run.first = books.sequence if earlier else run.first
            if run.declared is was:
                undeclared += 0 if was else flop
                self._judge(books.site, workload, run, books.period)
            else:  # a run that had no books yet, or books that came before those it was declared for
                self._settle(books.site, workload, was)
        self._pool.add(books.slot, undeclared)

    def _settle(self, site: str, workload: str, was: bool) -> None:
        """Judge a run anew; where it *was* declared and is not, or the reverse, move its FLOP in or out of the pool."""
        run = self._runs[site][workload]
        if run.declared is not was:
            self._pool.move(site, run.flop, -1 if run.declared else 1)
        self._judge(site, workload, run, None)

    def _judge(self, site: str, workload: str, run: _Run, period: int | None) -> None:
        """Judge one run; *period* is where figures were added, None when anything may have changed."""
        limit = self._limit(run)
        if run.total <= limit:
            run.passage = None
        elif period is None or run.passage is None or run.passage.period >= period:
            run.passage = self._measure(site, run, limit)
        self._board.put((self._terms.rule, site, workload), self._finding(site, workload, run))

    def _limit(self, run: _Run) -> int:
        if not run.declared or not run.plans:
            return self._floor
        whole = self._margin.denominator + self._margin.numerator
        return max(self._floor, max(plan.planned for plan in run.plans) * whole // self._margin.denominator)

    def _measure(self, site: str, run: _Run, limit: int) -> _Passage | None:
        total = 0
        cited: list[str] = []
        for period, versions in run.flop.since(0):
            flop, digest = max(
                (cast("int", figures[0]), self._board.versions.digest(Slot(site, period, number)))
                for number, figures in versions.items()
            )
            total += flop
            cited.append(digest)
            if period >= self._board.since(self._terms.rule) and total > limit:
                return _Passage(period, total, tuple(cited[1 - MAX_CITED :]))
        return None

    def _finding(self, site: str, workload: str, run: _Run) -> Finding | None:
        if run.passage is None:
            return None
        cited = [*run.passage.cited]
        figures: dict[str, object] = {"workload": workload, "total_flop": run.passage.total}
        if run.declared:
            planned, digest = max((plan.planned, plan.digest) for plan in run.plans)
            figures |= {"reason": "beyond-plan", "planned_flop": planned}
            cited.append(digest)
        else:
            figures |= {"reason": "undeclared", "floor_flop": self._floor}
        return make(self._terms, site, period=run.passage.period, statements=cited, figures=figures)


def _largest(versions: dict[int, Figures]) -> int:
    return max((cast("int", figures[0]) for figures in versions.values()), default=0)
