"""The play: everything is built, started, lived through period by period, ended and audited.

    build -> verifiers, nodes, meter -> (periods: trainings begin, hidden ones later; the brake is pressed, and
    released)
          -> every log holds everything -> trainings end -> the audit, while the logs are up -> everybody leaves

Nothing here knows how a lab cheats beyond starting the process that does; nothing here judges. The brake goes the way
it would between states: one party drafts, each signs with its own key, anybody submits; all by the commands that a
party would type. The audit is a process that is given the treaty, its digest and the logs' addresses, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from brakeline.ledger.errors import BrakelineError
from brakeline.testnet.build import PARTIES, Testnet, build
from brakeline.testnet.observer import Observer
from brakeline.testnet.plan import PERIODS, LabPlan, Plan, Role
from brakeline.testnet.ports import Ports
from brakeline.testnet.pressing import Press
from brakeline.testnet.processes import BRAKELINE, Errands, ProcessError, Troupe
from brakeline.testnet.terms import BRISK, Pace
from brakeline.treaty.quantities import InstantMs

TRAINING = Path(__file__).resolve().parents[3] / "examples" / "train_stdlib.py"
METER = "meter"
TICK_S = 0.25
LOOK_S = 1.0
JUDGED, AFTER_RESUME = 1, 2
"""Periods that the pause binds before it ends, and that the play goes on after that."""
AFTER_HIDDEN = 7
"""Periods that the play goes on at least after hidden training began."""
RELEASE_LEAD_MS = 2_500
"""The resume is submitted this long before its effective period."""
SETTLE_S = 60.0
"""How long after the last period statements may take to stand in every log."""
SHARE = {Role.TRAINER: "0.25", Role.CLUMSY: "0.2", Role.HIDDEN: "0.7"}
"""Share of time for which a role's training computes: two cores carry a whole treaty."""
HOUSEKEEPING = "import hashlib,time\nwhile True: hashlib.sha256(bytes(10**6)).digest(); time.sleep(1)"
"""What a mostly idle lab does: a little, and not training."""


def _pause(effective: int) -> Press:
    return Press("pause", effective, "Article 20: a pause, pressed for the demo")


def now_ms() -> int:
    """Return the wall clock in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def measured_lead_ms(processes: int) -> int:
    """Return how long starting *processes* takes here and now: one cold start is measured; at most 20 s."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import brakeline.verifier.server, brakeline.node.service"], check=True)
    once = time.monotonic() - began
    return round(1000 * min(20.0, 3.0 + 0.7 * once * processes))


class TooLate(Exception):
    """Starting took longer than planned: periods were over before anybody could book them."""

    def __init__(self, needed_ms: int) -> None:
        """Say that *needed_ms* would have been needed."""
        self.needed_ms = needed_ms
        super().__init__(f"starting took {needed_ms} ms")


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
    order: dict[str, object] = field(default_factory=dict[str, object])
    """The report of the order (docs/spec/report.md); empty when no log was seen to hold one."""
    order_html: Path | None = None


class Stage:
    """One testnet being played. Use as: ``with Troupe(...) as troupe, Ports() as ports: Stage(...).play()``."""

    def __init__(
        self,
        out: Path,
        plan: Plan,
        verifiers: int,
        troupe: Troupe,
        reporter: Reporter,
        *,
        lead_ms: int,
        pace: Pace = BRISK,
    ) -> None:
        """Play *plan* in the folder *out*; period 0 begins *lead_ms* after :meth:`open` has begun."""
        self._pace = pace
        self.out, self.plan, self.troupe = out, plan, troupe
        self._verifiers, self._reporter, self.lead_ms = verifiers, reporter, lead_ms
        self._sites = [lab.site for lab in plan.labs]
        self.net: Testnet
        self.observer: Observer
        self.periods = PERIODS
        """Periods that the play lasts: as planned, or longer on a busy machine."""
        self.work: list[str] = []
        """Processes that labs compute with."""
        self._untapped: dict[str, str] = {}
        self.held_in: int | None = None
        """The period in which every log was seen to hold the pause."""
        self.resumes_in: int | None = None
        """The period from which the resume is in force, once that is known."""
        self._resume_held = False
        self._pressed: dict[str, Press] = {}
        self._errands: list[Errands] = []
        self._looked = 0.0
        self._work_due = list(plan.labs)
        self._hidden_due = [lab for lab in plan.labs if lab.role is Role.HIDDEN]

    # -- before ------------------------------------------------------------------------------------------------------

    def open(self, ports: Ports) -> None:
        """Build the testnet and start verifiers, nodes and meter; returns when all are ready.

        Raises:
            TooLate: period 0 was over before they were.
            ProcessError: ``process-*``, ``demo-training``.
        """
        if not TRAINING.is_file():
            raise ProcessError(
                code="demo-training",
                message="the training that the demo meters is not there",
                expected=str(TRAINING),
                found="no such file",
                fix="run the demo from a checkout of the repository",
            )
        self._reporter.event("building: keys, certificates, a treaty signed by every key it names")
        self.net = build(self.out, self.plan, self._verifiers, now_ms, ports, lead_ms=self.lead_ms, pace=self._pace)
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
        late_ms = now_ms() - self.net.document.grid.start_of(1).value
        if late_ms > 0:
            raise TooLate(self.lead_ms + late_ms)

    @property
    def servers(self) -> list[str]:
        """The verifiers' names, as processes are called too."""
        return [verifier.name for verifier in self.net.document.verifiers]

    @property
    def nodes(self) -> list[str]:
        """The labs' names, as their nodes' processes are called too."""
        return [lab.name for lab in self.plan.labs]

    def _node_command(self, lab: LabPlan) -> list[str]:
        folder = str(self.net.lab(lab.name))
        if lab.role is not Role.CLUMSY:
            return [*BRAKELINE, "node", "run", "--dir", folder]
        lies = ["--imbalance", str(lab.imbalance_period), "--second", str(lab.second_version_period)]
        return [sys.executable, "-m", "brakeline.testnet.cheat", "--dir", folder, *lies]

    def _start_work(self, lab: LabPlan) -> None:
        """Start what the lab's node meters; hidden training is started later, and metered by no node."""
        name = f"{lab.name}-work"
        folder = str(self.net.lab(lab.name))
        meter = [*BRAKELINE, "node", "meter", "--dir", folder]
        if lab.role in (Role.TRAINER, Role.CLUMSY):
            self.troupe.start(name, [*meter, "--", *self._training_command(lab)])
        else:
            chores = ["--workload", "housekeeping", "--activity", "other", "--", sys.executable, "-c", HOUSEKEEPING]
            self.troupe.start(name, [*meter, *chores])
        self.work.append(name)
        self._untapped[name] = lab.site

    def _training_command(self, lab: LabPlan) -> list[str]:
        checkpoint = self.net.lab(lab.name) / "checkpoint.npz"
        options = ["--steps", "0", "--throttle", SHARE[lab.role], "--checkpoint", str(checkpoint), "--every", "50"]
        ignoring = ["--ignore-brake"] if lab.role is Role.HIDDEN else []
        return [sys.executable, str(TRAINING), *options, *ignoring]

    def _tap(self) -> None:
        """Tell the metering third party of the processes at every site, once they are there."""
        for name, site in list(self._untapped.items()):
            pid = self.troupe.child_of(name) if name.endswith("-work") else self.troupe[name].process.pid
            if pid is not None:
                del self._untapped[name]
                if self.plan.evidence:
                    self.troupe.tell(METER, json.dumps({"site": site, "pid": pid}))

    # -- the periods -------------------------------------------------------------------------------------------------

    def play(self, tick: Callable[[Stage], None] | None = None) -> None:
        """Live through every period, then until all logs hold everything; *tick* is called again and again.

        On a busy machine things begin later than planned, and the play lasts until what it shows has had its time.
        """
        self._press(_pause(self.effective), self.net.document.grid.start_of(self.plan.order_period).value)
        while now_ms() < self.net.document.grid.start_of(self.periods).value or not self._orders_done():
            self._begin_work()
            self._tap()
            for errands in self._errands:
                self._narrate(errands.go_on(now_ms()))
            self._release()
            self._moment(tick)
        self._reporter.event("the last period is over; waiting until every log holds everything")
        deadline = time.monotonic() + SETTLE_S
        while not self.observer.settled(self._sites, self.periods, metered=self.plan.evidence):
            if time.monotonic() > deadline:
                self._reporter.event("not everything has arrived everywhere; the audit will say what is missing")
                break
            self._moment(tick)

    def _orders_done(self) -> bool:
        """Say whether both orders were brought to the verifiers, and every log was seen to hold them."""
        return self._resume_held and all(errands.done for errands in self._errands)

    def period(self) -> int:
        """Return the period that now is in; negative before the play."""
        return self.net.document.grid.period_of(InstantMs(now_ms()))

    def _moment(self, tick: Callable[[Stage], None] | None) -> None:
        if time.monotonic() - self._looked >= LOOK_S:
            self.observer.look()
            self._looked = time.monotonic()
        self._reporter.tick(self, self.period())
        if tick is not None:
            tick(self)
        self.troupe.check()
        time.sleep(TICK_S)

    def _begin_work(self) -> None:
        """Start what every lab's node meters in period 0, and hidden trainings when their period has come."""
        if self.period() >= 0:
            for lab in self._work_due:
                self._start_work(lab)
            self._work_due.clear()
        for lab in [lab for lab in self._hidden_due if (lab.hidden_from_period or 0) <= self.period()]:
            self._hidden_due.remove(lab)
            name = f"{lab.name}-hidden"
            self.troupe.start(name, self._training_command(lab))
            self.work.append(name)
            self._untapped[name] = lab.site
            self.periods = max(self.periods, self.period() + AFTER_HIDDEN)

    # -- the brake ---------------------------------------------------------------------------------------------------

    @property
    def effective(self) -> int:
        """The period from which the pause is in force."""
        return self.plan.order_period + 1

    def _press(self, press: Press, submit_at: int) -> None:
        self._pressed[press.kind] = press
        self._errands.append(Errands(self.troupe, press.errands(self.net, self.out, submit_at)))

    def _release(self) -> None:
        """Resume when the books of a period have shown who obeys the pause and who does not; then let it train on."""
        if not self._resume_held and self.observer.order_held("resume") is not None:
            self._resume_held = True
            self.periods = max(self.periods, self.period() + AFTER_RESUME)
        held = self.observer.order_held("pause")
        if self.held_in is not None or held is None:
            return
        self.held_in = self.period()
        document = self.net.document
        notice = -(-document.deadlines.notice_ms.value // document.grid.period.value)
        bound = max(self.effective, self.held_in) + notice + 1
        self.resumes_in = bound + JUDGED
        self.periods = max(self.periods, self.resumes_in + AFTER_RESUME)
        submit_at = document.grid.start_of(self.resumes_in).value - RELEASE_LEAD_MS
        self._press(Press("resume", self.resumes_in, "Article 21: the pause of the demo ends", (held,)), submit_at)

    def _narrate(self, started: str) -> None:
        for press in self._pressed.values():
            if started == press.draft:
                what = "everybody pauses training" if press.kind == "pause" else "training may go on"
                self._reporter.event(f"the parties draft and sign an order: {what} from period {press.effective} on")
            elif started == press.submit:
                signed = f"signed by {len(PARTIES)} of {len(PARTIES)} parties"
                self._reporter.event(f"{PARTIES[0]} submits the order to {press.kind}, {signed}")

    # -- after -------------------------------------------------------------------------------------------------------

    def audit(self) -> Audit:
        """End the labs' work, then let an auditor who knows only treaty, pin and addresses replay the logs."""
        self.troupe.stop(self.work)
        self._reporter.event("the audit: a process that knows the pinned treaty and the logs' addresses, nothing else")
        html, report = self.out / "report.html", self.out / "report.json"
        urls = [verifier.url for verifier in self.net.document.verifiers]
        terms = ["--treaty", str(self.net.toml), "--pin", self.net.pin, "--as-of", str(now_ms())]
        arguments = ["audit", "replay", *urls, *terms, "--format", "json", "--html", str(html)]
        code, value = self._told("audit", arguments, report)
        made = Audit(code, report, html, ["brakeline", *arguments], value)
        digest = self.observer.order("pause")
        if digest is not None:
            made.order_html = self.out / "order-report.html"
            about = ["audit", "order", digest, *urls, *terms, "--format", "json", "--html", str(made.order_html)]
            _, made.order = self._told("audit-order", about, self.out / "order-report.json")
        return made

    def _told(self, name: str, arguments: Sequence[str], file: Path) -> tuple[int, dict[str, object]]:
        """Run a command that prints a JSON object; keep that in *file*, and return it with the exit code."""
        code, said = self.troupe.run(name, [*BRAKELINE, *arguments])
        file.write_bytes(said)
        try:
            value = cast("dict[str, object] | None", json.loads(said))
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise BrakelineError(
                code="demo-audit",
                message="the audit gave no report",
                expected="a JSON object (docs/spec/report.md)",
                found=f"exit {code}, {len(said)} bytes",
                fix=f"see {self.out / 'output' / name}.err",
            )
        return code, value

    def close(self) -> None:
        """Let everybody leave in order: nodes and the meter send what they have, then the verifiers."""
        self._reporter.event("everybody leaves; logs and receipts are written out")
        self.troupe.stop([*self.nodes, METER])
        self.observer.look()
        self.observer.close()
        self.troupe.stop(self.servers)
