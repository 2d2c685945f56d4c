"""A whole play in one call: build, live, audit, leave, compare. What the demo and the tests run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from brakeline.testnet.outcome import Outcome, conclude, plan_json
from brakeline.testnet.plan import Plan
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import Troupe
from brakeline.testnet.stage import Reporter, Stage


def play_whole(
    plan: Plan, verifiers: int, out: Path, reporter: Reporter, tick: Callable[[Stage], None] | None = None
) -> Outcome:
    """Play *plan* with *verifiers* verifiers in the empty folder *out*; *tick* is called again and again meanwhile.

    Raises:
        BrakelineError: ``process-*``, ``demo-*``, and those of building.
    """
    began = time.monotonic()
    (out / "plan.json").write_text(json.dumps(plan_json(plan), indent=2) + "\n", encoding="utf-8")
    with Ports() as ports, Troupe(out / "output") as troupe:
        stage = Stage(out, plan, verifiers, troupe, reporter)
        stage.open(ports)
        stage.play(tick)
        audit = stage.audit()
        stage.close()
    return conclude(stage, audit, time.monotonic() - began)
