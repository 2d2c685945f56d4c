"""What a play leaves behind: files to look at, and one value that says how it went.

The folder holds everything that somebody needs to check the demo without us: treaty and pin, the logs as static C2SP
directories, receipts, the audit's report, the plan that was drawn beforehand, and the comparison of both.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from brakeline.ledger.checkpoint_store import read_slot
from brakeline.ledger.export import export
from brakeline.ledger.sqlite_store import SqliteReader
from brakeline.testnet.build import METER, Testnet
from brakeline.testnet.compare import Comparison, Found, compare
from brakeline.testnet.observer import Observer
from brakeline.testnet.plan import Plan, Role
from brakeline.testnet.stage import Audit, Stage

FORMAT = "brakeline-demo/v1"


@dataclass(frozen=True)
class Stop:
    """How the brake worked at the lab that trains and obeys; instants in Unix ms.

    Attributes:
        site: where.
        seen_ms: from the order's arrival in the first log to the node's having verified it.
        stopped_ms: from the later of seeing it and its taking effect to the last step's end.
        step: the last optimiser step.
        booked_steps: how many steps the booked FLOP amount to, by the program's own count of the FLOP of its steps;
            None when they are no whole number of steps.
        freeze: digest of the saved weights.
    """

    site: str
    seen_ms: int
    stopped_ms: int
    step: int
    booked_steps: int | None
    freeze: str


@dataclass(frozen=True)
class Outcome:
    """Everything worth telling: what ``--format json`` prints and what people see rendered.

    ``braked_in``: the period from which the order was both in force and in every log.
    """

    plan: Plan
    comparison: Comparison
    audit: Audit
    stop: Stop | None
    periods: int
    braked_in: int | None
    training: Mapping[str, Mapping[int, int]]
    statements: Mapping[str, int]
    paths: Mapping[str, Path]
    seconds: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong besides rows of the comparison."""
        stopped = self.stop is not None and self.stop.booked_steps == self.stop.step
        brake = () if stopped else ("lab 1 did not stop, or its books show steps after the stop",)
        return (*self.comparison.problems, *brake)

    @property
    def matched(self) -> bool:
        """Whether the audit found exactly what was planted, and the brake stopped lab 1."""
        return self.comparison.matched and not self.problems

    def to_json(self) -> dict[str, object]:
        """Return what ``--format json`` prints."""
        stop = self.stop
        return {
            "format": FORMAT,
            "matched": self.matched,
            "seed": self.plan.seed,
            "evidence": self.plan.evidence,
            "labs": [{"site": lab.site, "role": lab.role.value} for lab in self.plan.labs],
            "comparison": [
                {"rule": r.rule, "about": r.about, "planted": r.planted, "found": list(r.found), "outcome": r.outcome}
                for r in self.comparison.rows
            ],
            "problems": list(self.problems),
            "audit_exit": self.audit.exit_code,
            "brake": None if stop is None else vars(stop),
            "periods": self.periods,
            "braked_in": self.braked_in,
            "training_chip_ms": {site: dict(by_period) for site, by_period in self.training.items()},
            "statements": dict(self.statements),
            "paths": {name: str(path) for name, path in self.paths.items()},
            "seconds": round(self.seconds, 1),
        }


def plan_json(plan: Plan) -> dict[str, object]:
    """Return the planted truth as ``plan.json`` holds it, written before anything runs."""
    return {
        "seed": plan.seed,
        "evidence": plan.evidence,
        "order_period": plan.order_period,
        "labs": [{"site": lab.site, **{k: v for k, v in vars(lab).items() if v is not None}} for lab in plan.labs],
        "expected": [vars(item) for item in plan.expected()],
        "not_detectable": [lab.site for lab in plan.not_detectable()],
    }


def found_in(report: Mapping[str, object]) -> list[Found]:
    """Return the findings of an audit's report (docs/spec/report.md)."""
    found: list[Found] = []
    for item in cast("Sequence[Mapping[str, object]]", report.get("findings", [])):
        body = cast("Mapping[str, object]", item["finding"])
        period = body.get("period")
        place = period if isinstance(period, int) else None
        found.append(Found(str(body["rule"]), str(body["about"]), place, str(item["sentence"])))
    return found


def unchecked_in(report: Mapping[str, object]) -> list[str]:
    """Return what an audit's report says it could not check, one sentence each."""
    problems = cast("Sequence[Mapping[str, object]]", report.get("unchecked", []))
    return [f"{item['code']}: {item['message']} (found {item.get('found', 'nothing')})" for item in problems]


def stop_of(stage: Stage) -> Stop | None:
    """Return how lab 1 stopped, from its own acknowledgement and books in the logs; None when it did not say so."""
    site = stage.plan.labs[0].site
    said = stage.observer.acknowledgements().get(site)
    if said is None or not said.workloads or stage.observer.order_at is None:
        return None
    begun = stage.net.document.grid.start_of(stage.effective).value
    workload = said.workloads[0]
    booked = sum(flop for _, flop in stage.observer.training(site).values())
    counted = _counted(stage.troupe.output / f"{stage.plan.labs[0].name}-work.out", workload.step)
    steps, rest = divmod(booked * workload.step, counted) if counted else (0, 1)
    return Stop(
        site=site,
        seen_ms=said.seen_at.value - stage.observer.order_at,
        stopped_ms=said.stopped_at.value - max(said.seen_at.value, begun),
        step=workload.step,
        booked_steps=None if rest else steps,
        freeze=workload.freeze or "",
    )


def _counted(said: Path, step: int) -> int:
    """Return the FLOP that the training itself says it had computed when it stopped after *step*; 0 if it did not."""
    for line in said.read_text("utf-8").splitlines():
        value = cast("dict[str, object]", json.loads(line))
        if value.get("stopped") == step and isinstance(flop := value.get("flop"), int):
            return flop
    return 0


def conclude(stage: Stage, audit: Audit, seconds: float) -> Outcome:
    """Compare, write everything out, and return how it went; the processes are gone by now."""
    comparison = compare(
        stage.plan, found_in(audit.value), exit_code=audit.exit_code, unchecked=unchecked_in(audit.value)
    )
    paths = _write_out(stage.net, stage.plan, audit)
    outcome = Outcome(
        stage.plan,
        comparison,
        audit,
        stop_of(stage),
        stage.periods,
        None if stage.held_in is None else max(stage.effective, stage.held_in),
        _training(stage.plan, stage.observer),
        {view.verifier.name: len(view.held) for view in stage.observer.views},
        paths,
        seconds,
    )
    text = json.dumps(outcome.to_json(), indent=2)
    paths["comparison"].write_text(text + "\n", encoding="utf-8")
    return outcome


def _training(plan: Plan, observer: Observer) -> dict[str, dict[int, int]]:
    roles = {Role.TRAINER, Role.CLUMSY, Role.HIDDEN}
    sites = [lab.site for lab in plan.labs if lab.role in roles]
    return {site: {period: ms for period, (ms, _) in observer.training(site).items()} for site in sites}


def _write_out(net: Testnet, plan: Plan, audit: Audit) -> dict[str, Path]:
    """Export logs, gather receipts; return what lies where."""
    logs, receipts = net.out / "logs", net.out / "receipts"
    for verifier in net.document.verifiers:
        _export(net.verifier(verifier.name), logs / verifier.name)
    for name, folder in [(lab.name, net.lab(lab.name)) for lab in plan.labs] + [(METER, net.meter)]:
        if (folder / "receipts").is_dir():
            shutil.copytree(folder / "receipts", receipts / name, dirs_exist_ok=True)
    return {
        "treaty": net.toml,
        "pin": net.out / "pin",
        "logs": logs,
        "receipts": receipts,
        "plan": net.out / "plan.json",
        "report": audit.report,
        "html": audit.html,
        "comparison": net.out / "comparison.json",
    }


def _export(verifier: Path, out: Path) -> None:
    """Do what ``brakeline ledger export`` does."""
    note = read_slot(verifier / "checkpoint.sqlite", "published")
    if note is None:
        return
    store = SqliteReader(verifier / "log.sqlite")
    try:
        export(store, note, out)
    finally:
        store.close()
