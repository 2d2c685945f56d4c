"""A whole play in one call: build, live, audit, leave, compare. What the demo and the tests run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from brakeline.testnet.outcome import Outcome, conclude, plan_json
from brakeline.testnet.plan import Plan
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import Troupe
from brakeline.testnet.stage import Reporter, Stage, TooLate, measured_lead_ms

ATTEMPTS = 3
"""How often a play is begun anew when the machine is too busy to start it in time."""


def play_whole(
    plan: Plan, verifiers: int, out: Path, reporter: Reporter, tick: Callable[[Stage], None] | None = None
) -> Outcome:
    """Play *plan* with *verifiers* verifiers in the empty folder *out*; *tick* is called again and again meanwhile.

    Raises:
        BrakelineError: ``process-*``, ``demo-*``, and those of building.
    """
    began = time.monotonic()
    lead_ms = measured_lead_ms(verifiers + len(plan.labs) + 1)
    for _ in range(ATTEMPTS - 1):
        try:
            return _play_once(plan, verifiers, out, reporter, tick, lead_ms, began)
        except TooLate as late:
            lead_ms = late.needed_ms * 3 // 2
            reporter.event(f"this machine is busy: once more, with {lead_ms // 1000} s to start in")
            _clear(out)
    return _play_once(plan, verifiers, out, reporter, tick, lead_ms, began)


def _play_once(
    plan: Plan,
    verifiers: int,
    out: Path,
    reporter: Reporter,
    tick: Callable[[Stage], None] | None,
    lead_ms: int,
    began: float,
) -> Outcome:
    (out / "plan.json").write_text(json.dumps(plan_json(plan), indent=2) + "\n", encoding="utf-8")
    with Ports() as ports, Troupe(out / "output") as troupe:
        stage = Stage(out, plan, verifiers, troupe, reporter, lead_ms=lead_ms)
        stage.open(ports)
        stage.play(tick)
        audit = stage.audit()
        stage.close()
    return conclude(stage, audit, time.monotonic() - began)


def _clear(out: Path) -> None:
    """Remove what an attempt that came to nothing left in our own folder."""
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
