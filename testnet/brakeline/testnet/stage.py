"""The play: everything is built, started, lived through period by period, ended and audited.

    build -> verifiers, nodes, meter -> trainings -> (periods; hidden training begins; the brake is pressed)
          -> every log holds everything -> trainings end -> the audit, while the logs are up -> everybody leaves

Nothing here knows how a lab cheats beyond starting the process that does; nothing here judges. The brake goes the way it
would between states: one party drafts, each signs with its own key, anybody submits; all by the commands that a party
would type. The audit is a process that is given the treaty, its digest and the logs' addresses, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from brakeline.ledger.errors import BrakelineError
from brakeline.testnet.build import PARTIES, Testnet, build
from brakeline.testnet.observer import Observer
from brakeline.testnet.plan import PERIODS, LabPlan, Plan, Role
from brakeline.testnet.ports import Ports
from brakeline.testnet.processes import BRAKELINE, ProcessError, Troupe

TRAINING = Path(__file__).resolve().parents[3] / "examples" / "train_stdlib.py"
METER = "meter"
TICK_S = 0.25
PRESS_LEAD_MS = 3_000
"""Drafting and signing begin this long before the period in which the order is submitted."""
SETTLE_S = 60.0
"""How long after the last period statements may take to stand in every log."""
SHARE = {Role.TRAINER: "0.3", Role.CLUMSY: "0.25", Role.HIDDEN: "0.5"}
"""Share of time for which a role's training computes: two cores carry a whole treaty."""
HOUSEKEEPING = "import hashlib,time\nwhile True: hashlib.sha256(bytes(10**6)).digest(); time.sleep(1)"
"""What a mostly idle lab does: a little, and not training."""


def now_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Reporter(Protocol):
    """Who is told how the play goes on."""

    def event(self, text: str) -> None:
        """Something happened."""
        ...

    def tick(self, stage: Stage, period: int) -> None:
        """A moment has passed; *period* is negative before the play."""
        ...


@dataclass
class Audit:
    """What the audit said."""

    exit_code: int
    report: Path
    html: Path
    command: Sequence[str]
    value: dict[str, object] = field(default_factory=dict[str, object])


class Stage:
    """One testnet being played. Use as: ``with Troupe(...) as troupe, Ports() as ports: Stage(...).play()``."""

    def __init__(self, out: Path, plan: Plan, verifiers: int, troupe: Troupe, reporter: Reporter) -> None:
        """Play *plan* in the folder *out*."""
        self.out, self.plan, self.troupe = out, plan, troupe
        self._verifiers, self._reporter = verifiers, reporter
        self._sites = [lab.site for lab in plan.labs]
        self.net: Testnet
        self.observer: Observer
        self.submitted_at = 0
        self._hidden_due = [lab for lab in plan.labs if lab.role is Role.HIDDEN]
        self.trainings: list[str] = []

    # -- before ------------------------------------------------------------------------------------------------------

    def open(self, ports: Ports) -> None:
        """Build the testnet and start everybody; returns when all are ready (``process-*``)."""
        if not TRAINING.is_file():
            raise ProcessError(
                code="demo-training",
                message="the training that the demo meters is not there",
                expected=str(TRAINING),
                found="no such file",
                fix="run the demo from a checkout of the repository",
            )
        self._reporter.event("building: keys, certificates, a treaty signed by every key it names")
        self.net = build(self.out, self.plan, self._verifiers, now_ms, ports, lead_ms=self._lead_ms())
        self.observer = Observer(self.net.document)
        self._reporter.event(f"starting {len(self.servers)} verifiers, {len(self.nodes)} nodes and what they meter")
        for name in self.servers:
            self.troupe.start(name, [*BRAKELINE, "verifier", "serve", "--dir", str(self.net.verifier(name))])
        for lab in self.plan.labs:
            self.troupe.start(lab.name, self._node_command(lab))
        if self.plan.evidence:
            command = [sys.executable, "-m", "brakeline.testnet.meter", "--dir", str(self.net.meter)]
            self.troupe.start(METER, command, talk=True)
        self.troupe.await_ready([*self.servers, *self.nodes, *([METER] if self.plan.evidence else [])])
        for lab in self.plan.labs:
            self._start_training(lab)

    @property
    def servers(self) -> list[str]:
        """The verifiers' names, as processes are called too."""
        return [verifier.name for verifier in self.net.document.verifiers]

    @property
    def nodes(self) -> list[str]:
        """The labs' names, as their nodes' processes are called too."""
        return [lab.name for lab in self.plan.labs]

    def _lead_ms(self) -> int:
        """Return how long starting will take here and now: one cold start, measured, times the processes, on two cores."""
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import brakeline.verifier.server, brakeline.node.service"], check=True)
        once = time.monotonic() - began
        processes = self._verifiers + 2 * len(self.plan.labs) + 1
        return round(1000 * min(60.0, 4.0 + 0.6 * once * processes))

    def _node_command(self, lab: LabPlan) -> list[str]:
        folder = str(self.net.lab(lab.name))
        if lab.role is not Role.CLUMSY:
            return [*BRAKELINE, "node", "run", "--dir", folder]
        lies = ["--imbalance", str(lab.imbalance_period), "--second", str(lab.second_version_period)]
        return [sys.executable, "-m", "brakeline.testnet.cheat", "--dir", folder, *lies]

    def _start_training(self, lab: LabPlan) -> None:
        """Start what the lab's node meters; hidden training is started later, and metered by no node."""
        name = f"{lab.name}-work"
        folder = str(self.net.lab(lab.name))
        meter = [*BRAKELINE, "node", "meter", "--dir", folder]
        if lab.role in (Role.TRAINER, Role.CLUMSY):
            self.troupe.start(name, [*meter, "--", *self._training_command(lab)])
        else:
            chores = ["--workload", "housekeeping", "--activity", "other", "--", sys.executable, "-c", HOUSEKEEPING]
            self.troupe.start(name, [*meter, *chores])
        self.trainings.append(name)
        self._tap(lab, self.troupe.child_of(name))

    def _training_command(self, lab: LabPlan) -> list[str]:
        checkpoint = self.net.lab(lab.name) / "checkpoint.npz"
        options = ["--steps", "0", "--throttle", SHARE[lab.role], "--checkpoint", str(checkpoint), "--every", "200"]
        ignoring = ["--ignore-brake"] if lab.role is Role.HIDDEN else []
        return [sys.executable, str(TRAINING), *options, *ignoring]

    def _tap(self, lab: LabPlan, pid: int) -> None:
        """Tell the metering third party of a process at a site: of every process, at every site."""
        if self.plan.evidence:
            self.troupe.tell(METER, json.dumps({"site": lab.site, "pid": pid}))

    # -- the periods -------------------------------------------------------------------------------------------------

    def play(self, tick: Callable[[Stage], None] | None = None) -> None:
        """Live through every period, then until all logs hold everything; *tick* is called again and again."""
        grid = self.net.document.grid
        submit_at = grid.start_of(self.plan.order_period).value
        end = grid.start_of(PERIODS).value
        pressed = False
        while now_ms() < end:
            if not pressed and now_ms() >= submit_at - PRESS_LEAD_MS:
                self._press(submit_at)
                pressed = True
            self._begin_hidden()
            self._moment(tick)
        self._reporter.event("the last period is over; waiting until every log holds everything")
        deadline = time.monotonic() + SETTLE_S
        while not self.observer.settled(self._sites, metered=self.plan.evidence):
            if time.monotonic() > deadline:
                self._reporter.event("not everything has arrived everywhere; the audit will say what is missing")
                break
            self._moment(tick)

    def period(self) -> int:
        """Return the period that now is in; negative before the play."""
        from brakeline.treaty.quantities import InstantMs

        return self.net.document.grid.period_of(InstantMs(now_ms()))

    def _moment(self, tick: Callable[[Stage], None] | None) -> None:
        self.observer.look()
        self._reporter.tick(self, self.period())
        if tick is not None:
            tick(self)
        self.troupe.check()
        time.sleep(TICK_S)

    def _begin_hidden(self) -> None:
        """Start hidden trainings whose period has come."""
        for lab in [lab for lab in self._hidden_due if (lab.hidden_from_period or 0) <= self.period()]:
            self._hidden_due.remove(lab)
            name = f"{lab.name}-hidden"
            actor = self.troupe.start(name, self._training_command(lab))
            self.trainings.append(name)
            self._tap(lab, actor.process.pid)

    # -- the brake ---------------------------------------------------------------------------------------------------

    def _press(self, submit_at: int) -> None:
        """Draft, sign with both parties' keys, submit: each by the command that a party would type."""
        effective = self.plan.order_period + 1
        folder = self.out / "order"
        folder.mkdir(exist_ok=True)
        payload, envelope = folder / "order.json", folder / "order.dsse.json"
        treaty = ["--treaty", str(self.net.toml)]
        self._reporter.event(
            f"the parties draft and sign an order: everybody pauses training from period {effective} on"
        )
        when = ["--effective-period", str(effective), "--expiry-period", str(effective + 1_000)]
        reason = ["--reason", "Article 20: a pause, pressed for the demo"]
        self._command(["brake", "draft", *treaty, "--kind", "pause", *when, *reason, "--out", str(payload)])
        for party in PARTIES:
            key = ["--key", str(self.net.keys / f"{party}.pem")]
            self._command(["brake", "sign", str(payload), *treaty, *key, "--out", str(envelope)])
        while now_ms() < submit_at:
            time.sleep(0.02)
        terms = ["--treaty", str(self.net.treaty), "--pin", self.net.pin, "--tls-dir", str(self.net.tls)]
        where = ["--receipts", str(self.out / "receipts" / "order"), "--timeout", "8"]
        self._reporter.event(f"{PARTIES[0]} submits the order, signed by {len(PARTIES)} of {len(PARTIES)} parties")
        self.submitted_at = now_ms()
        self._command(["node", "submit", str(envelope), *terms, *where], tries=3)

    def _command(self, arguments: Sequence[str], tries: int = 1) -> None:
        """Run a ``brakeline`` command that must end well (``demo-command``)."""
        name = "-".join(arguments[:2])
        for left in reversed(range(tries)):
            code, said = self.troupe.run(name, [*BRAKELINE, *arguments])
            if code == 0:
                return
            if not left:
                raise BrakelineError(
                    code="demo-command",
                    message=f"`brakeline {' '.join(arguments[:2])}` failed",
                    expected="exit 0",
                    found=f"exit {code}: {said[-300:].decode('utf-8', 'replace')}",
                    fix=f"see {self.out / 'output' / name}.err",
                )

    # -- after -------------------------------------------------------------------------------------------------------

    def audit(self) -> Audit:
        """End the trainings, then let an auditor who knows only treaty, pin and addresses replay the logs."""
        self.troupe.stop(self.trainings)
        self._reporter.event("the audit: a process that knows the pinned treaty and the logs' addresses, nothing else")
        html, report = self.out / "report.html", self.out / "report.json"
        urls = [verifier.url for verifier in self.net.document.verifiers]
        terms = ["--treaty", str(self.net.toml), "--pin", self.net.pin, "--as-of", str(now_ms())]
        arguments = ["audit", "replay", *urls, *terms, "--format", "json", "--html", str(html)]
        code, said = self.troupe.run("audit", [*BRAKELINE, *arguments])
        report.write_bytes(said)
        try:
            value: object = json.loads(said)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise BrakelineError(
                code="demo-audit",
                message="the audit gave no report",
                expected="a JSON object (docs/spec/report.md)",
                found=f"exit {code}, {len(said)} bytes",
                fix=f"see {self.out / 'output' / 'audit'}.err",
            )
        return Audit(code, report, html, ["brakeline", *arguments], value)

    def close(self) -> None:
        """Let everybody leave in order: nodes and the meter send what they have, then the verifiers."""
        self._reporter.event("everybody leaves; logs and receipts are written out")
        self.troupe.stop([*self.nodes, METER])
        self.observer.look()
        self.observer.close()
        self.troupe.stop(self.servers)
