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
        durable_ms: from the last step's end to the checkpoint's being durable and its digest known.
        freeze: digest of the saved weights.
    """

    site: str
    seen_ms: int
    stopped_ms: int
    step: int
    booked_steps: int | None
    durable_ms: int
    freeze: str


@dataclass(frozen=True)
class Back:
    """How that lab went on after the resume; instants in Unix ms.

    Attributes:
        resumed_ms: from the later of the resume's being seen and its taking effect to the moment before the next step.
        step: the last step before the pause, by what it says when it goes on.
        resumed: digest of what it goes on from.
        unbroken: whether the training's own record has every reported step once, in order, on both sides of the pause.
        losses: (step, loss in nats per byte) of that record.
    """

    resumed_ms: int
    step: int
    resumed: str
    unbroken: bool
    losses: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Outcome:
    """Everything worth telling: what ``--format json`` prints and what people see rendered.

    ``braked_in``: the period from which the pause was both in force and in every log; ``resumed_in``: from which it was
    lifted.
    """

    plan: Plan
    comparison: Comparison
    audit: Audit
    stop: Stop | None
    back: Back | None
    periods: int
    braked_in: int | None
    resumed_in: int | None
    training: Mapping[str, Mapping[int, int]]
    statements: Mapping[str, int]
    paths: Mapping[str, Path]
    seconds: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong besides rows of the comparison."""
        stopped = self.stop is not None and self.stop.booked_steps == self.stop.step
        brake = () if stopped else ("lab 1 did not stop, or its books show steps after the stop",)
        back = self.back
        same = back is not None and self.stop is not None and back.resumed == self.stop.freeze and back.unbroken
        resume = () if same else ("lab 1 did not go on from exactly its frozen weights, or not after that step",)
        return (*self.comparison.problems, *brake, *resume)

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
            "resume": None if self.back is None else {**vars(self.back), "losses": [list(p) for p in self.back.losses]},
            "order_report": self.audit.order,
            "periods": self.periods,
            "braked_in": self.braked_in,
            "resumed_in": self.resumed_in,
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
    site, observer = stage.plan.labs[0].site, stage.observer
    order, said = observer.order("pause"), observer.acknowledgements("pause").get(site)
    if order is None or said is None or not said.workloads:
        return None
    begun = stage.net.document.grid.start_of(stage.effective).value
    workload = said.workloads[0]
    paused = [flop for period, (_, flop) in observer.training(site).items() if period < (stage.resumes_in or 2**53)]
    counted = next((line.get("flop") for line in _said(stage) if line.get("stopped") == workload.step), 0)
    steps, rest = divmod(sum(paused) * workload.step, counted) if isinstance(counted, int) and counted else (0, 1)
    durable = workload.durable_at.value if workload.durable_at else 0
    return Stop(
        site=site,
        seen_ms=said.seen_at.value - observer.order_at[order],
        stopped_ms=said.stopped_at.value - max(said.seen_at.value, begun),
        step=workload.step,
        booked_steps=None if rest else steps,
        durable_ms=durable - said.stopped_at.value,
        freeze=workload.freeze or "",
    )


def back_of(stage: Stage) -> Back | None:
    """Return how lab 1 went on, from what it acknowledged and its training printed; None when it did not say so."""
    said = stage.observer.acknowledgements("resume").get(stage.plan.labs[0].site)
    workload = next(iter(said.workloads), None) if said is not None else None
    if said is None or workload is None or workload.resumed_at is None or stage.resumes_in is None:
        return None
    begun = stage.net.document.grid.start_of(stage.resumes_in).value
    losses = [(line["step"], line["loss"]) for line in _said(stage) if "loss" in line and "step" in line]
    record = tuple((step, loss) for step, loss in losses if isinstance(step, int) and isinstance(loss, float))
    steps = [step for step, _ in record]
    gap = steps[0] if steps else 0
    whole = steps == list(range(gap, gap * (len(steps) + 1), gap)) if gap else False
    return Back(
        resumed_ms=workload.resumed_at.value - max(said.seen_at.value, begun),
        step=workload.step,
        resumed=workload.resumed or "",
        unbroken=whole and steps[-1] > workload.step > gap,
        losses=record,
    )


def _said(stage: Stage) -> list[dict[str, object]]:
    """Return what lab 1's training itself has printed, line by line."""
    path = stage.troupe.output / f"{stage.plan.labs[0].name}-work.out"
    return [cast("dict[str, object]", json.loads(line)) for line in path.read_text("utf-8").splitlines()]


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
        back_of(stage),
        stage.periods,
        None if stage.held_in is None else max(stage.effective, stage.held_in),
        stage.resumes_in,
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
        **({} if audit.order_html is None else {"order": audit.order_html}),
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
