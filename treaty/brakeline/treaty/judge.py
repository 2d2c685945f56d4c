"""The judge of one log: the log rules that the treaty puts in force, over a growing prefix.

What it is: the one place where verifier, auditor and tests get the findings of a log from, so that all judge alike.
Judging entry n + 1 does not read the log again. What it is not: admission (its statements were admitted), a judge of
arrival or of verifiers (:mod:`brakeline.treaty.reconcile`), a store.

    judge = LogJudge(document)
    judge.add(index, kind, statement)     # in log order
    bodies = judge.heartbeat()            # directly after a heartbeat: what the log must say now
"""

from __future__ import annotations

from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Finding
from brakeline.treaty.oversight import Correction
from brakeline.treaty.rules.activity_shape import ActivityShape
from brakeline.treaty.rules.autonomy_tripwire import AutonomyTripwire
from brakeline.treaty.rules.board import Board, BooksRule, LogRule, Unverifiable
from brakeline.treaty.rules.books import BookReader
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
from brakeline.treaty.statements import Statement

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
}
"""Rule identifier -> its class; the identifiers are those of scope "log" in :mod:`brakeline.treaty.rule_table`."""


class LogJudge:
    """The log rules in force over one prefix. Equal statements give equal findings, in whatever order they came."""

    def __init__(self, document: TreatyDocument, archive: Archive | None = None) -> None:
        """Judge by *document*, from the empty prefix; a rule that it does not name does not run.

        Args:
            document: the treaty.
            archive: where the rules' past goes, by default memory.
        """
        self._size = 0
        self._board = Board(Columns(archive))
        self._reader = BookReader(document, self._board.versions)
        self._rules = [
            rule(document, terms, self._board)
            for name, rule in LOG_RULES.items()
            if (terms := document.rule(name)) is not None
        ]
        self._keep_books = [rule for rule in self._rules if isinstance(rule, BooksRule)]

    def add(self, index: int, kind: Kind, statement: Statement | None) -> None:
        """Take the entry at *index* in; *statement* is None for the log's own kinds, which no log rule reads.

        Entries of the log's own kinds may be left out.

        Raises:
            ValueError: the entry was taken in before, or comes before one that was: the caller has lost its place.
        """
        if index < self._size:
            raise ValueError(f"the judge has taken in {self._size} entries; entry {index} comes too late")
        self._size = index + 1
        if kind is not Kind.STATEMENT or statement is None:
            return
        said = self._reader.said(statement, self._board.branches.add(statement))
        for rule in self._rules:
            rule.add(said)
        correction = said.predicate
        if said.books is not None and self._board.versions.superseded(said.books.slot):
            self._supersede(said.books.slot)
        elif isinstance(correction, Correction):
            slot = self._board.versions.supersede(correction.author, correction.period, correction.corrects)
            if slot is not None:
                self._supersede(slot)

    def _supersede(self, slot: Slot) -> None:
        """Let books count no more, in any rule."""
        self._board.withdraw(self._board.versions.digest(slot))
        for rule in self._keep_books:
            rule.supersede(slot)

    def heartbeat(self) -> list[bytes]:
        """Return the bodies of the finding entries due directly after a heartbeat, in log order."""
        return self._board.due()

    def lineages(self) -> tuple[Shown, ...]:
        """Return the runs in the books and what they descend from (none while ``threshold`` is not in force)."""
        rule = next((rule for rule in self._rules if isinstance(rule, ThresholdRule)), None)
        return rule.lineages() if rule is not None else ()

    def passed(self) -> dict[str, Passed]:
        """Return, by threshold, the workloads whose lineages have passed it (nothing while ``threshold`` is not in
        force): whom an order on runs above that line is about.
        """
        rule = next((rule for rule in self._rules if isinstance(rule, ThresholdRule)), None)
        return rule.passed() if rule is not None else {}

    def standing(self) -> dict[str, Finding]:
        """Return what stands for the prefix so far, also what no heartbeat has logged yet: digest -> finding."""
        return self._board.standing()

    def unverifiable(self) -> dict[Unverifiable, int]:
        """Return what the rules could not judge because a figure is unknown, and how many times, sorted."""
        return self._board.unverifiable()
