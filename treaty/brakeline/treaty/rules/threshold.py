"""``threshold``: compute accumulated over a lineage passes a line of the treaty. Splitting a run changes nothing.

Sees: one run under one workload name at several sites of a lab, over any number of periods; a run continued under
another name with the same code and data; a model trained from parents, whose compute (and their parents') counts too.
Cannot see: compute that was never booked, or booked as something that does not count; parents that the books do not
name; a lineage hidden by changing name, code and data at once.
Arithmetic (:mod:`brakeline.treaty.rules.lineage` says what a run is and whose compute counts,
:mod:`brakeline.treaty.rules.counted` how many FLOP a line counts for under the treaty's profile): per site and period
the largest sum over the versions of its books; the finding names the first period in which the sum of all periods up to
it exceeds the line. Later periods do not change it. A run that descends from one that already passed the line is
covered by that finding.
Authorisations: of a run, by lab and workload, they raise the line in the periods in which they are in force; of a run
that it descends from they raise it in all, because that run may have used them. It is the first period at whose end the
sum exceeds what is allowed in it that is named.
Users: a run that books nothing that counts, and makes no model, adds nothing to its lineage (a service of models, each
with an authorisation of its own), and is not accused of what its parents add up to.
Modifications: where the profile says which part of the original's compute makes a modification a new model, a run that
descends from other labs' runs and spent no more than that part is nobody's new model and is left alone; one that spent
more is not covered by what the other labs' runs passed.
Figures: ``threshold``, ``profile``, ``line_flop``, ``total_flop`` (up to that period), ``workload`` (the first name,
sorted), ``lineage_statements`` (books counted; the newest 64 are cited). About the lab; the article is the threshold's
own. A line that counts and states no FLOP, where the treaty presumes none, is unverifiable (``flop-absent``).
Sealed: FLOP that are sealed count for what is known of them, at the least what the treaty presumes (``flop-sealed``,
``line-sealed``). So a total under seals is a lower bound, and no authorisation is ever found short because of a seal. A
modification of a run whose own compute is not all known is left alone.
Keeps: per run a number; per site, workload and period what was booked, in columns. Judging a statement looks at the
runs that it books to and those that descend from them; only a lineage that may have passed is added up.
Source: the cumulative compute of Regulation (EU) 2024/1689, article 51(2), and the guidelines on it.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple, TypeAlias, cast

from brakeline.treaty.counting import Purpose, passes_share
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import Authorisation
from brakeline.treaty.quantities import Flop
from brakeline.treaty.rules.board import MAX_CITED, Board, make
from brakeline.treaty.rules.books import Books, Said
from brakeline.treaty.rules.counted import Counted
from brakeline.treaty.rules.lineage import Lineages, Shown
from brakeline.treaty.rules.slots import Figures, Slots
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.statements import Activity
from brakeline.treaty.terms import RuleTerms, Threshold

Passed: TypeAlias = dict[tuple[str, str], int]
"""(Lab, workload) -> the period in which its lineage passed a threshold."""


class ThresholdRule:
    """Holds the runs, and for every threshold what was booked to each."""

    def __init__(self, document: TreatyDocument, terms: RuleTerms, board: Board) -> None:
        """Judge by every threshold of *document*."""
        self._counted = Counted(document)
        self._rule = terms.rule
        self._board = board
        self._runs = Lineages()
        shared = _Shared(terms, board, self._runs, self._counted)
        self._lines = [_Line(threshold, shared) for threshold in document.thresholds]
        self._counting: dict[tuple[Activity, Purpose | None], list[_Line]] = {}

    def add(self, said: Said) -> None:
        """Book every line to its run, then judge the runs it touched and what descends from them."""
        books, authorised = said.books, said.predicate
        if isinstance(authorised, Authorisation):
            for threshold in self._lines:
                threshold.authorise(authorised)
        if books is not None:
            self._take(books)

    def _take(self, books: Books) -> None:
        touched: set[int] = set()
        restructured: set[int] = set()
        self._board.unknown(self._rule, books.site, "line-sealed", books.opaque)
        for line in books.lines:
            run, joined, changed = self._runs.place(books.lab, line)
            if changed:
                restructured.add(run)
                for threshold in self._lines:
                    threshold.join(run, joined)
            kind = line.activity, line.purpose
            counting = self._counting.get(kind)
            if counting is None:
                counting = [item for item in self._lines if self._counted.counts(line, item.terms.activities)]
                self._counting[kind] = counting
            flop = self._counted.flop(line) if counting else 0
            sealed = bool(counting) and line.flop_sealed
            if sealed:
                self._board.unknown(self._rule, books.site, "flop-sealed")
            elif flop is None:
                self._board.unknown(self._rule, books.site, "flop-absent")
            if flop or sealed:
                touched.add(run)
                for threshold in counting:
                    threshold.book(run, books, line.workload, (flop or 0, int(sealed)))
        touched, restructured = ({self._runs.find(run) for run in runs} for runs in (touched, restructured))
        if touched or restructured:
            for threshold in self._lines:
                threshold.judge(touched, restructured, books.period)

    def supersede(self, slot: Slot) -> None:
        """Take back what a version of the books was counted for."""
        for threshold in self._lines:
            threshold.supersede(slot)

    def lineages(self) -> tuple[Shown, ...]:
        """Return every run with what it descends from, as this rule sees them."""
        return self._runs.shown()

    def passed(self) -> dict[str, Passed]:
        """Return, by threshold, which workloads' lineages have passed it, and in which period."""
        named = sorted(self._runs.named())
        return {line.terms.name: line.passed(named) for line in self._lines}


class _Shared(NamedTuple):
    """What all thresholds have in common."""

    rule: RuleTerms
    board: Board
    runs: Lineages
    counted: Counted


class _Strand(NamedTuple):
    """One workload at one site: by period, the FLOP that each version of the books gives it."""

    site: str
    flop: Slots


class _Passage(NamedTuple):
    """Where a lineage passes the line: the period, all FLOP up to its end, how many books, the newest of them."""

    period: int
    flop: int
    statements: int
    cited: tuple[str, ...]


class _Allowance(NamedTuple):
    """What was authorised: FLOP, from a period until before another (None: whenever)."""

    flop: int
    begins: int
    ends: int | None

    def covers(self, period: int) -> bool:
        """Say whether it is in force in *period*."""
        return self.begins <= period and (self.ends is None or period < self.ends)


_Row: TypeAlias = tuple[tuple[int, str], dict[int, int]]
"""(Period, site), and version of the books -> FLOP."""


class _Look:
    """What was found out while figures and the graph of runs stand still, by circle: its runs have one lineage."""

    def __init__(self) -> None:
        self.rows: dict[int, list[_Row]] = {}
        self.passages: dict[int, _Passage | None] = {}
        self.allowances: dict[int, list[tuple[int, _Allowance]]] = {}


_SOMEWHERE = _Passage(-1, 0, 0, ())
"""The passage of a lineage that holds another which passes: it passes as well, and nobody asks where."""


class _Line:
    """One threshold: FLOP by run, and where lineages passed.

    ``_own`` is what a run's strands were booked with, the largest version of each; ``_most`` is at least what the
    whole lineage adds up to: kept up without walking it, and tightened whenever it is added up. ``_near`` are the runs
    whose ``_most`` is beyond the line, and those not yet judged since it was: of all others there is nothing to say.
    ``_veiled`` counts the books of a run that seal FLOP.
    """

    def __init__(self, terms: Threshold, shared: _Shared) -> None:
        self.terms = terms
        self._limit = terms.flop.value
        self._shared = shared
        self._runs = shared.runs
        self._strands: defaultdict[int, dict[tuple[str, str], _Strand]] = defaultdict(dict)
        self._of_site: defaultdict[str, list[tuple[int, _Strand]]] = defaultdict(list)
        self._own: defaultdict[int, int] = defaultdict(int)
        self._most: defaultdict[int, int] = defaultdict(int)
        self._near: set[int] = set()
        self._passages: dict[int, _Passage] = {}
        self._authorised: dict[tuple[str, str], list[_Allowance]] = {}
        self._breaches: dict[int, _Passage] = {}
        self._clear: dict[int, int] = {}
        self._veiled: Counter[int] = Counter()
        self._made: dict[int, tuple[_Passage, str, Finding]] = {}
        self._look = _Look()

    def authorise(self, said: Authorisation) -> None:
        """Take in a permission, if it is about this threshold."""
        if said.threshold != self.terms.name:
            return
        allowance = _Allowance(said.flop.value, said.effective_period, said.expiry_period)
        self._authorised.setdefault((said.lab, said.workload), []).append(allowance)
        run = self._runs.known(said.lab, said.workload)
        if run is not None:
            self.judge(set(), {run}, 0)

    def join(self, run: int, joined: Set[int]) -> None:
        """Let *run* take over what was booked to the runs that turned out to be the same, and bound anew."""
        for other in joined:
            for key, strand in self._strands.pop(other, {}).items():
                self._strands[run][key] = strand  # a workload of a site is in one run only, so nothing is overwritten
            self._own[run] += self._own.pop(other, 0)
            self._veiled[run] += self._veiled.pop(other, 0)
            for kept in (self._most, self._passages, self._breaches, self._clear, self._made):
                kept.pop(other, None)
            self._near.discard(other)
            self._shared.board.put((self.terms.name, other), None)
        circle = self._runs.circle(run)
        if len(circle) == 1:
            most = self._own[run] + sum(self._most[parent] for parent in self._runs.parents(run) - {run})
        else:
            most = sum(self._own.get(item, 0) for item in self._runs.ancestry(run))
        for item in circle:
            self._bound(item, most)
        for item in self._runs.with_descendants({run}) - circle:
            self._bound(item, self._most[item] + most)

    def book(self, run: int, books: Books, workload: str, counted: tuple[int, int]) -> None:
        """Give a workload of *run*, in a version of the books, FLOP, and 1 where more may be sealed, else 0."""
        strands = self._strands[run]
        strand = strands.get((books.site, workload))
        if strand is None:
            strand = strands[books.site, workload] = _Strand(books.site, Slots(self._shared.board.columns))
            self._of_site[books.site].append((run, strand))
        kept = strand.flop.get(books.period)
        versions = _flop(kept)
        flop, sealed = counted
        mine = versions.get(books.slot.version, 0) + flop
        was = cast("int", kept[books.slot.version][1]) if books.slot.version in kept else 0
        strand.flop.put(books.slot, (mine, sealed | was))
        self._veiled[run] += (sealed | was) - was
        self._change(run, max(0, mine - max(versions.values(), default=0)))

    def supersede(self, slot: Slot) -> None:
        """Let a version of a site's books give nothing to any run."""
        lost: set[int] = set()
        for run, strand in self._of_site.get(slot.site, ()):
            before = _flop(strand.flop.get(slot.period))
            gone = strand.flop.drop(slot)
            if gone is not None:
                self._veiled[self._runs.find(run)] -= cast("int", gone[1])
                left = max((flop for version, flop in before.items() if version != slot.version), default=0)
                lost.add(self._runs.find(run))
                self._change(self._runs.find(run), left - max(before.values()))
        if lost:
            self.judge(set(), lost, slot.period)

    def _change(self, run: int, by: int) -> None:
        """Let *run* have *by* more, and every lineage that holds it."""
        self._own[run] += by
        for item in self._runs.descendants(run) if by > 0 else ():
            self._bound(item, self._most[item] + by)

    def _bound(self, run: int, most: int) -> None:
        """Note that the lineage of *run* adds up to *most* at most."""
        self._most[run] = most
        if most > self._limit:
            self._near.add(run)

    def judge(self, touched: Set[int], restructured: Set[int], period: int) -> None:
        """Judge what figures of *period* were added to, and all whose descent may have changed.

        A lineage that passed in an earlier period passed there still, so it is not added up again.
        """
        self._look = _Look()
        changed = self._runs.with_descendants(restructured)
        near = (self._runs.with_descendants(touched) | changed) & self._near
        for run in self._runs.ancestors_first({run for run in near if run in changed or self._is_open(run, period)}):
            self._passages.pop(run, None)
            if self._most[run] > self._limit:
                known = _SOMEWHERE if self._runs.above(run) & self._passages.keys() else self._measure(run)
                if known is not None:
                    self._passages[run] = known
        for run in near:
            if self._spends(run):
                self._judge_breach(run, period, changed=run in changed)
            else:
                self._breaches.pop(run, None)
                self._clear.pop(run, None)
        for run in near:
            self._shared.board.put((self.terms.name, run), self._finding(run))
        self._near.difference_update([run for run in near if self._most[run] <= self._limit])
        self._look = _Look()

    def _is_open(self, run: int, period: int) -> bool:
        """Say whether figures of *period* may change where the lineage of *run* passes."""
        known = self._passages.get(run)
        return known is None or known.period >= period

    def _judge_breach(self, run: int, period: int, *, changed: bool) -> None:
        """Say where a lineage that passed the line did so beyond what was authorised: everywhere, if nothing was.

        A lineage found clear up to a period is clear still, if all that it may have by now is allowed in a later one.
        """
        known, clear = self._breaches.pop(run, None), self._clear.pop(run, None)
        passage = self._passages.get(run)
        if passage is None:
            return
        allowances = self._allowances(run)
        if not allowances:
            known = passage
        elif changed or (known is not None and known.period >= period) or (known is None and clear is None):
            known = self._measure(run, allowances)
        elif known is None and clear is not None:
            fine = period >= clear and self._most[run] <= self._allowed(allowances, period)
            known = None if fine else self._measure(run, allowances)
        if known is not None:
            self._breaches[run] = known
        else:
            self._clear[run] = max(period, self._newest(run) if clear is None or changed else clear)

    def _allowances(self, run: int) -> list[_Allowance]:
        """Return what is authorised of *run*, and of the runs that it descends from, which may have used it."""
        if not self._authorised:
            return []
        key = id(self._runs.circle(run))
        known = self._look.allowances.get(key)
        if known is None:
            known = self._look.allowances[key] = [
                (item, allowance)
                for item in self._runs.ancestry(run)
                for name in self._runs.names(item)
                for allowance in self._authorised.get(name, ())
            ]
        return [item if holder == run else item._replace(begins=0, ends=None) for holder, item in known]

    def _allowed(self, allowances: Iterable[_Allowance], period: int) -> int:
        """Return how much a lineage may have at the end of *period*."""
        return max([self._limit, *(item.flop for item in allowances if item.covers(period))])

    def _newest(self, run: int) -> int:
        """Return the newest period in which the lineage of *run* has a figure."""
        rows = self._rows(run)
        return rows[-1][0][0] if rows else 0

    def passed(self, named: Iterable[tuple[str, str, int]]) -> Passed:
        """Return the period in which each of the *named* workloads' lineages passed; absent where it has not."""
        self._look = _Look()
        passages = ((lab, workload, self._where(run)) for lab, workload, run in named)
        return {(lab, workload): passage.period for lab, workload, passage in passages if passage is not None}

    def _where(self, run: int) -> _Passage | None:
        """Return where the lineage of *run* passed, added up if nobody has asked before."""
        passage = self._passages.get(run)
        if passage is _SOMEWHERE:
            passage = self._passages[run] = self._measure(run) or _SOMEWHERE
        return passage

    def _covered(self, run: int, lab: str = "") -> bool:
        """Say whether a run passed beyond what was authorised, from which *run* descends and which not from *run*.

        A lineage holds those of its parents, so only the nearest need be asked; *lab* asks for runs of that lab only.
        """
        above = self._runs.above(run)
        return any(parent in self._breaches and (not lab or self._runs[parent].lab == lab) for parent in above)

    def _measure(self, run: int, allowances: Sequence[_Allowance] = ()) -> _Passage | None:
        """Add the lineage of *run* up, to where it has more than the line, or than is allowed."""
        circle = self._runs.circle(run)
        if not allowances and id(circle) in self._look.passages:
            return self._look.passages[id(circle)]
        found = self._add_up(run, allowances)
        if found is None:
            most = sum(self._own.get(item, 0) for item in self._runs.ancestry(run))
            self._most.update(dict.fromkeys(circle, most))
        if not allowances:
            self._look.passages[id(circle)] = found
        return found

    def _add_up(self, run: int, allowances: Sequence[_Allowance]) -> _Passage | None:
        total = count = 0
        newest: deque[tuple[int, str, dict[int, int]]] = deque(maxlen=MAX_CITED)
        since = self._shared.board.since(self._shared.rule.rule)
        passed: int | None = None
        for (period, site), versions in self._rows(run):
            if passed is not None and period > passed:
                break
            total += max(versions.values())
            count += 1
            newest.append((period, site, versions))
            if passed is None and period >= since and total > self._allowed(allowances, period):
                passed = period
        if passed is None:
            return None
        return _Passage(passed, total, count, tuple(self._cited(*item) for item in newest))

    def _rows(self, run: int) -> list[_Row]:
        """Return what the lineage of *run* booked, by period and site, in order: version -> FLOP."""
        key = id(self._runs.circle(run))
        rows = self._look.rows.get(key)
        if rows is None:
            slots: defaultdict[tuple[int, str], defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
            for item in self._runs.ancestry(run):
                for strand in self._strands.get(item, {}).values():
                    for period, booked in strand.flop.since(0):
                        for version, flop in _flop(booked).items():
                            slots[period, strand.site][version] += flop
            rows = self._look.rows[key] = sorted(slots.items())
        return rows

    def _cited(self, period: int, site: str, versions: Mapping[int, int]) -> str:
        """Return the digest of the version of a period's books that counts: the largest, of equals by digest."""
        most = max(versions.values())
        digest_of = self._shared.board.versions.digest
        return max(digest_of(Slot(site, period, number)) for number, flop in versions.items() if flop == most)

    def _finding(self, run: int) -> Finding | None:
        accused = run in self._breaches and self._spends(run) and not self._excused(run)
        passage = self._breaches[run] if accused else None
        if passage is _SOMEWHERE:
            passage = self._breaches[run] = self._where(run) or _SOMEWHERE
        if passage is None:
            return None
        workload = self._runs[run].workload
        made = self._made.get(run)
        if made is None or made[:2] != (passage, workload):
            made = self._made[run] = passage, workload, self._accuse(run, passage, workload)
        return made[2]

    def _accuse(self, run: int, passage: _Passage, workload: str) -> Finding:
        figures = {
            "threshold": self.terms.name,
            "profile": self._shared.counted.profile.name,
            "line_flop": self.terms.flop,
            "total_flop": passage.flop,
            "workload": workload,
            "lineage_statements": passage.statements,
        }
        return make(
            self._shared.rule,
            self._runs[run].lab,
            period=passage.period,
            statements=passage.cited,
            figures=figures,
            article=self.terms.article,
        )

    def _spends(self, run: int) -> bool:
        """Say whether *run* adds compute to its lineage, or makes a model of it: who serves models does neither."""
        return bool(self._own.get(run)) or bool(self._runs[run].models)

    def _excused(self, run: int) -> bool:
        """Say whether a run above covers *run*, or it is a modification of other labs' runs, too small to be new."""
        lab, part = self._runs[run].lab, self._shared.counted.profile.modification
        if part is None:
            return self._covered(run)
        if any(self._veiled[item] for item in self._runs.ancestry(run)):
            return True
        spent = original = 0
        for item in self._runs.ancestry(run):
            if self._runs[item].lab == lab:
                spent += self._own.get(item, 0)
            else:
                original += self._own.get(item, 0)
        if original and not passes_share(Flop(spent), Flop(original), part):
            return True
        return self._covered(run, lab)


def _flop(versions: dict[int, Figures]) -> dict[int, int]:
    """Return version -> FLOP of what a strand holds of a period."""
    return {version: cast("int", figures[0]) for version, figures in versions.items()}
