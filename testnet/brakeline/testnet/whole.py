"""A whole play in one call: build, live, audit, leave, compare. What the demo and the tests run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.testnet.outcome import Outcome, conclude, plan_json
from brakeline.testnet.plan import Plan
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import Troupe
from brakeline.testnet.stage import Reporter, Stage, TooLate, measured_lead_ms
from brakeline.testnet.terms import BRISK, Pace

ATTEMPTS = 3
"""How often a play is begun anew when the machine is too busy to start it in time."""


def play_whole(
    plan: Plan,
    verifiers: int,
    out: Path,
    reporter: Reporter,
    tick: Callable[[Stage], None] | None = None,
    pace: Pace = BRISK,
) -> Outcome:
    """Play *plan* with *verifiers* verifiers in the empty folder *out*; *tick* is called again and again meanwhile.

    Raises:
        BrakelineError: ``process-*``, ``demo-*``, and those of building.
    """
    began = time.monotonic()
    lead_ms = measured_lead_ms(verifiers + len(plan.labs) + 1)
    for attempt in range(1, ATTEMPTS + 1):
        (out / "plan.json").write_text(json.dumps(plan_json(plan), indent=2) + "\n", encoding="utf-8")
        try:
            with Ports() as ports, Troupe(out / "output") as troupe:
                stage = Stage(out, plan, verifiers, troupe, reporter, lead_ms=lead_ms, pace=pace)
                stage.open(ports)
                stage.play(tick)
                audit = stage.audit()
                stage.close()
            return conclude(stage, audit, time.monotonic() - began)
        except TooLate as late:
            if attempt == ATTEMPTS:
                raise _too_busy(late) from None
            lead_ms = late.needed_ms * 3 // 2
            reporter.event(f"this machine is busy: once more, with {lead_ms // 1000} s to start in")
            _clear(out)
    raise AssertionError("the last attempt returns or raises")


def _too_busy(late: TooLate) -> BrakelineError:
    return BrakelineError(
        code="demo-too-busy",
        message="this machine is too busy: periods are over before the processes have started",
        found=f"starting took {late.needed_ms} ms",
        fix="try again when less else is running, or with fewer --labs and --verifiers",
    )


def _clear(out: Path) -> None:
    """Remove what an attempt that came to nothing left in our own folder."""
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
