"""The judge of one log: the log rules that the treaty puts in force, over a growing prefix.

What it is: the one place where verifier, auditor and tests get the findings of a log from, so that all judge alike.
Judging entry n + 1 does not read the log again. What it is not: admission (its statements were admitted), a judge of
arrival or of verifiers (:mod:`brakeline.treaty.reconcile`), a store.

An amendment has a bench of its own: the rules of every version over the whole past, each heard about the periods that
its version governs (docs/decisions/0027). What has no period is judged by the version that governs the newest period of
which anything was said. When a version comes, all is judged anew from the log: its time of arrival shows nowhere.

    judge = LogJudge(document)
    judge.add(index, kind, statement)     # in log order
    bodies = judge.heartbeat()            # directly after a heartbeat: what the log must say now
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import Correction, Opening
from brakeline.treaty.rules.activity_shape import ActivityShape
from brakeline.treaty.rules.autonomy_tripwire import AutonomyTripwire
from brakeline.treaty.rules.board import PERIODLESS, Board, BooksRule, LogRule, Shared, Unverifiable, differences
from brakeline.treaty.rules.books import BookReader
from brakeline.treaty.rules.branches import Touched
from brakeline.treaty.rules.columns import Archive, Columns
from brakeline.treaty.rules.contradiction import Contradiction
from brakeline.treaty.rules.disowned import Disowned
from brakeline.treaty.rules.energy_gap import EnergyGap
from brakeline.treaty.rules.equivocation import Equivocation
from brakeline.treaty.rules.false_opening import FalseOpening
from brakeline.treaty.rules.idle_compute import IdleCompute
from brakeline.treaty.rules.imbalance import Imbalance
from brakeline.treaty.rules.inventory_continuity import InventoryContinuity
from brakeline.treaty.rules.lineage import Shown
from brakeline.treaty.rules.method_gap import MethodGap
from brakeline.treaty.rules.muf import Muf
from brakeline.treaty.rules.peak_exceeded import PeakExceeded
from brakeline.treaty.rules.resume_mismatch import ResumeMismatch
from brakeline.treaty.rules.sandbagging_order import SandbaggingOrder
from brakeline.treaty.rules.threshold import Passed, ThresholdRule
from brakeline.treaty.rules.undeclared_run import UndeclaredRun
from brakeline.treaty.rules.unlinked_runs import UnlinkedRuns
from brakeline.treaty.rules.versions import Slot
from brakeline.treaty.rules.wrong_version import WrongVersion, period_of
from brakeline.treaty.statements import Statement
from brakeline.treaty.succession import Reign, Succession

LOG_RULES: dict[str, type[LogRule]] = {
    "equivocation": Equivocation,
    "disowned": Disowned,
    "imbalance": Imbalance,
    "peak-exceeded": PeakExceeded,
    "threshold": ThresholdRule,
    "idle-compute": IdleCompute,
    "activity-shape": ActivityShape,
    "method-gap": MethodGap,
    "muf": Muf,
    "energy-gap": EnergyGap,
    "resume-mismatch": ResumeMismatch,
    "inventory-continuity": InventoryContinuity,
    "undeclared-run": UndeclaredRun,
    "unlinked-runs": UnlinkedRuns,
    "contradiction": Contradiction,
    "sandbagging-order": SandbaggingOrder,
    "autonomy-tripwire": AutonomyTripwire,
    "false-opening": FalseOpening,
    "wrong-version": WrongVersion,
}
"""Rule identifier -> its class; the identifiers are those of scope "log" in :mod:`brakeline.treaty.rule_table`."""


Past: TypeAlias = Callable[[], Iterable[Statement]]
"""Every statement that the judge has taken, again and in order: the log is where they are read from."""


class _Bench:
    """The rules of one version of the treaty, over what was said of the periods until it ends."""

    def __init__(self, reign: Reign, shared: Shared, since: Mapping[str, int]) -> None:
        document = reign.document
        self.reign = reign
        self.board = Board(shared, since)
        self._reader = BookReader(document, shared.versions)
        self._rules = [
            rule(document, terms, self.board)
            for name, rule in LOG_RULES.items()
            if (terms := document.rule(name)) is not None
        ]
        self._keep_books = [rule for rule in self._rules if isinstance(rule, BooksRule)]

    def reads(self, period: int | None) -> bool:
        """Say whether what is said of *period* (None: of no one period) is read here."""
        return period is None or self.reign.ends is None or period < self.reign.ends

    def add(self, statement: Statement, touched: Sequence[Touched], period: int | None) -> Slot | None:
        """Take a statement; return the slot of the books in it."""
        said = self._reader.said(statement, touched)
        about = said.predicate.period if isinstance(said.predicate, Opening) else period
        self.board.muted = about is not None and about not in self.reign
        for rule in self._rules:
            rule.add(said)
        return None if said.books is None else said.books.slot

    def supersede(self, slot: Slot, digest: str) -> None:
        """Let the books *digest* count no more, in any rule."""
        self.board.withdraw(digest)
        for rule in self._keep_books:
            rule.supersede(slot)

    @property
    def threshold(self) -> ThresholdRule | None:
        """The rule ``threshold`` of this version, None where it is not in force."""
        return next((rule for rule in self._rules if isinstance(rule, ThresholdRule)), None)


class LogJudge:
    """The log rules in force over one prefix. Equal statements give equal findings, in whatever order they came."""

    def __init__(self, document: TreatyDocument, archive: Archive | None = None, past: Past | None = None) -> None:
        """Judge by *document* and its amendments, from the empty prefix; a rule that none names does not run.

        Args:
            document: the treaty: version 1.
            archive: where the rules' past goes, by default memory.
            past: where to read again what was said, when an amendment comes after it.
        """
        self._size = 0
        self._archive, self._past = archive, past
        self._taken = 0
        self._stale = False
        self._before: dict[str, Finding] | None = None
        self._succession = Succession(document)
        self._begin()

    def __getstate__(self) -> dict[str, object]:
        """Return what a copy needs: all but ``past``, which its maker lent it (:meth:`lend` gives it another)."""
        return {**self.__dict__, "_past": None}

    def lend(self, past: Past | None) -> None:
        """Go on with this *past* (see the constructor)."""
        self._past = past

    def _begin(self) -> None:
        """Seat a bench for every version, with nothing said yet."""
        self._shared = Shared.new(Columns(self._archive))
        self._newest = -1
        reigns = self._succession.reigns
        since = spans([reign.document for reign in reigns], [reign.begins for reign in reigns])
        self._benches = [_Bench(reign, self._shared, item) for reign, item in zip(reigns, since, strict=True)]

    def add(self, index: int, kind: Kind, statement: Statement | None) -> None:
        """Take the entry at *index* in; *statement* is None for the log's own kinds, which no log rule reads.

        Entries of the log's own kinds may be left out.

        Raises:
            ValueError: the entry was taken in before, or comes before one that was: the caller has lost its place.
        """
        if index < self._size:
            raise ValueError(f"the judge has taken in {self._size} entries; entry {index} comes too late")
        self._size = index + 1
        if statement is None:
            return
        version = statement.predicate if statement.placed is None else None
        if isinstance(version, TreatyDocument):
            self._amend(version)
        elif kind is Kind.STATEMENT:
            self._taken += 1
            if not self._stale:
                self._take(statement)

    def _amend(self, document: TreatyDocument) -> None:
        """Take a version in: whatever was judged by another than it is judged anew, when it is next asked for."""
        if document.digest in self._succession.known:
            return
        before = self._succession.reigns
        self._succession = Succession(self._succession.root, (*self._succession.known.values(), document))
        if self._succession.reigns == before:
            return
        if not self._taken:
            self._begin()
            return
        self._remember()
        self._stale = True

    def _take(self, statement: Statement) -> None:
        touched = self._shared.branches.add(statement)
        period = period_of(self._succession.root.grid, statement)
        if period is not None and period > self._newest:
            self._pass_on(period)
        slot: Slot | None = None
        for bench in self._benches:
            if bench.reads(period):
                slot = bench.add(statement, touched, period) or slot
        versions, correction = self._shared.versions, None if statement.usage is not None else statement.predicate
        if isinstance(correction, Correction):
            slot = versions.supersede(correction.author, correction.period, correction.corrects)
        elif slot is not None and not versions.superseded(slot):
            slot = None
        if slot is not None:
            for bench in self._benches:
                if bench.reads(slot.period):
                    bench.supersede(slot, versions.digest(slot))

    def _pass_on(self, period: int) -> None:
        """Let *period* be the newest that anything was said of: what has no period may have another judge."""
        before = self._current
        was, self._newest = self._newest, period
        if self._current is not before:
            self._newest = was
            self._remember()
            self._newest = period

    @property
    def _current(self) -> _Bench:
        """The bench that judges what has no period: that of the newest period of which anything was said."""
        begun = [bench for bench in self._benches if bench.reign.begins <= self._newest]
        return begun[-1] if begun else self._benches[0]

    def _remember(self) -> None:
        """Keep what the log says stands, because the benches will not be able to tell."""
        if self._before is None:
            self._before = self._heard(bench.board.stood() for bench in self._benches)

    def _heard(self, told: Iterable[dict[str, Finding]]) -> dict[str, Finding]:
        """Return what counts of what each bench has *told*: of its own periods; of no period if it is the current."""
        current = self._current
        return {
            digest: finding
            for bench, findings in zip(self._benches, told, strict=True)
            for digest, finding in findings.items()
            if (bench is current if finding.period is None else finding.period in bench.reign)
        }

    def _settled(self) -> list[_Bench]:
        """Return the benches, after whatever has to be judged anew."""
        if self._stale:
            self._stale = False
            self._begin()
            if self._past is None:
                raise ValueError("an amendment came, and this judge was not told where to read the past again")
            again = 0
            for statement in self._past():
                again += 1
                self._take(statement)
            if again != self._taken:
                raise ValueError(f"the past has {again} statements, and {self._taken} were taken")
        return self._benches

    def heartbeat(self) -> list[bytes]:
        """Return the bodies of the finding entries due directly after a heartbeat, in log order."""
        benches = self._settled()
        if self._before is not None:
            before, self._before = self._before, None
            for bench in benches:
                bench.board.changes()
            return differences(before, self.standing())
        if len(benches) == 1:
            return benches[0].board.due()
        changes = [bench.board.changes() for bench in benches]
        return differences(*(self._heard(side) for side in zip(*changes, strict=True)))

    def lineages(self) -> tuple[Shown, ...]:
        """Return the runs in the books and what they descend from (none while ``threshold`` is not in force)."""
        told = (bench.threshold for bench in reversed(self._settled()))
        rule = next((rule for rule in told if rule is not None), None)
        return rule.lineages() if rule is not None else ()

    def passed(self) -> dict[str, Passed]:
        """Return, by threshold, the workloads whose lineages have passed it (nothing while ``threshold`` is not in
        force): whom an order on runs above that line is about.
        """
        found: dict[str, Passed] = {}
        for bench in self._settled():
            rule = bench.threshold
            for name, passed in (rule.passed() if rule is not None else {}).items():
                known = found.setdefault(name, {})
                for workload, period in passed.items():
                    known[workload] = min(known.get(workload, period), period)
        return found

    def standing(self) -> dict[str, Finding]:
        """Return what stands for the prefix so far, also what no heartbeat has logged yet: digest -> finding."""
        return dict(sorted(self._heard(bench.board.standing() for bench in self._settled()).items()))

    def unverifiable(self) -> dict[Unverifiable, int]:
        """Return what the rules could not judge because a figure is unknown, and how many times, sorted."""
        found: Counter[Unverifiable] = Counter()
        for bench in self._settled():
            for key, number in bench.board.unverifiable().items():
                if key.rule not in PERIODLESS or bench is self._current:
                    found[key] += number
        return dict(sorted(found.items()))


def spans(documents: Sequence[TreatyDocument], begins: Sequence[int]) -> list[dict[str, int]]:
    """Return, for each of *documents*, rule -> the first period from which it has been in force with the same figures.

    What a rule computes with: its parameters, chip classes, counting terms, thresholds. Severity and article are not
    among them: a rule that only changes its words goes on summing.
    """
    found: list[dict[str, int]] = []
    for place, document in enumerate(documents):
        found.append({})
        for terms in document.rules:
            same = place > 0 and _basis(document, terms.rule) == _basis(documents[place - 1], terms.rule)
            found[-1][terms.rule] = found[-2][terms.rule] if same else begins[place]
    return found


def _basis(document: TreatyDocument, rule: str) -> tuple[object, ...] | None:
    terms = document.rule(rule)
    if terms is None:
        return None
    return terms.parameters, document.chip_classes, document.counting, document.thresholds
