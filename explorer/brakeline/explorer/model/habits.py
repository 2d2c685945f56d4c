"""The numbers of the fast model: a site's habits, from the scenario, and the rules in force, from the treaty."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from typing import Literal, TypeAlias, get_args

from brakeline.explorer.scenario.load import DAY_MS, Scenario
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.findings import Severity

Rule: TypeAlias = Literal[
    "energy-gap",
    "muf",
    "activity-shape",
    "method-gap",
    "idle-compute",
    "undeclared-run",
    "contradiction",
    "equivocation",
    "missing-period",
]
RULES: tuple[Rule, ...] = get_args(Rule)
"""The rules that the fast model knows."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What a site does and how its evidence errs: members of the scenario's tables, as plain numbers.

    Attributes:
        chips: of the site; *peak*: dense, FLOP per second; *board_watts*, *idle_watts*: of a chip.
        period_s: seconds of a period; *day*: periods of a day; *periods*: of a world.
        hide_utilisation, hide_power: of hidden training.
    """

    chips: int
    peak: float
    board_watts: float
    idle_watts: float
    period_s: float
    day: int
    periods: int
    training: float
    serving: float
    evaluation: float
    repair: float
    serving_swing: float
    training_utilisation: float
    serving_utilisation: float
    training_power: float
    serving_power: float
    spread: float
    site_spread: float
    method_noise: float
    interruptions: float
    interruption_hours: float
    unplaced: float
    error: float
    correlation: float
    metered: float
    visits: float
    hide_utilisation: float
    hide_power: float

    @classmethod
    def of(cls, scenario: Scenario) -> Habits:
        """Return the habits of the sites that *scenario* looks at."""
        terms, fleet, length = scenario.terms, scenario.fleet, scenario.document.grid.period.value
        chip, work, meters, hiding = scenario.chip(fleet.chip_class), terms.work, terms.meters, terms.hiding
        return cls(
            chips=round(fleet.chips.value),
            peak=float(chip.peak_flop_per_s.value),
            board_watts=float(chip.board_watts),
            idle_watts=float(chip.idle_watts),
            period_s=length / 1000,
            day=DAY_MS // length,
            periods=terms.run.days * DAY_MS // length,
            training=work.training.value,
            serving=work.serving.value,
            evaluation=work.evaluation.value,
            repair=work.repair.value,
            serving_swing=work.serving_swing.value,
            training_utilisation=work.training_utilisation.value,
            serving_utilisation=work.serving_utilisation.value,
            training_power=work.training_power.value,
            serving_power=work.serving_power.value,
            spread=work.spread.value,
            site_spread=work.site_spread.value,
            method_noise=work.method_noise.value,
            interruptions=work.interruptions.value,
            interruption_hours=work.interruption_hours.value,
            unplaced=work.unplaced.value,
            error=meters.error.value,
            correlation=meters.correlation.value,
            metered=meters.metered.value,
            visits=meters.visits.value,
            hide_utilisation=hiding.utilisation.value,
            hide_power=hiding.power.value,
        )

    @property
    def capacity(self) -> float:
        """FLOP that all chips can do in a period at their dense peak."""
        return self.chips * self.peak * self.period_s

    @property
    def energy(self) -> float:
        """Joules that all boards draw in a period at full power."""
        return self.chips * self.board_watts * self.period_s

    @property
    def rest(self) -> float:
        """Idle watts over board watts."""
        return self.idle_watts / self.board_watts

    def joules(self, power: float) -> float:
        """Return what a share of chip time draws, *power* of the way from idle to full, over full power."""
        return self.rest + power * (1.0 - self.rest)


_RANK = {Severity.NOTE: 0, Severity.DISCREPANCY: 1, Severity.REFERRAL: 2}


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The rules in force, scaled as the arrays are; rules that are absent, or whose findings are mere notes, are off.

    Attributes:
        rules: in force, with severity discrepancy or above.
        pue: facility over chip energy; *metering*: whether the treaty names a meter; *inspecting*: an inspector.
        energy_k, energy_share, energy_h: of ``energy-gap``: joules of boards (over PUE), share, joules of boards.
        muf_share, muf_h: of ``muf``.
        work_flop, work_joules, train_flop, shape_flop, shape_joules: of ``activity-shape``.
        margin, method_h: of ``method-gap``.
        idle_limit, maintenance_limit: of ``idle-compute``, over idle watts.
        floor, scattered_share, scattered_h: of ``undeclared-run``; *presumed*: utilisation that ``threshold`` presumes.
        report: periods until books are due.
    """

    rules: frozenset[str]
    pue: float = 1.0
    metering: bool = True
    inspecting: bool = True
    energy_k: float = 0.0
    energy_share: float = 0.0
    energy_h: float = 0.0
    muf_share: float = 0.0
    muf_h: float = 0.0
    work_flop: float = 0.0
    work_joules: float = 0.0
    train_flop: float = 0.0
    shape_flop: float = 0.0
    shape_joules: float = 0.0
    margin: float = 0.0
    method_h: float = 0.0
    idle_limit: float = 1.0
    maintenance_limit: float = 1.0
    floor: float = 0.0
    scattered_share: float = 0.0
    scattered_h: float = 0.0
    presumed: float = 0.0
    report: int = 0

    @classmethod
    def of(cls, document: TreatyDocument, habits: Habits) -> RuleBook:
        """Return the rules of *document*, for sites with *habits*."""
        flop, joules, pue, margin = habits.capacity, habits.energy, document.counting.pue, document.counting.margin
        ratio = pue.numerator / pue.denominator
        kinds = {third.kind for third in document.third_parties}

        def value(rule: str, name: str, unit: float = 1.0) -> float:
            terms = document.rule(rule)
            return 0.0 if terms is None else terms.integer(name) / unit

        counted = (item for item in document.rules if _RANK[Severity(item.severity)] >= _RANK[Severity.DISCREPANCY])
        return cls(
            rules=frozenset(item.rule for item in counted) & frozenset[str](RULES),
            pue=ratio,
            metering="meter" in kinds,
            inspecting="inspector" in kinds,
            energy_k=value("energy-gap", "k_joules", joules * ratio),
            energy_share=value("energy-gap", "k_permille", 1000),
            energy_h=value("energy-gap", "h_joules", joules * ratio),
            muf_share=value("muf", "k_permille", 1000),
            muf_h=value("muf", "h_flop", flop),
            work_flop=value("activity-shape", "work_flop_permille", 1000),
            work_joules=value("activity-shape", "work_joules_permille", 1000),
            train_flop=value("activity-shape", "training_flop_permille", 1000),
            shape_flop=value("activity-shape", "h_flop", flop),
            shape_joules=value("activity-shape", "h_joules", joules),
            margin=margin.numerator / margin.denominator,
            method_h=value("method-gap", "h_flop", flop),
            idle_limit=value("idle-compute", "idle_percent", 100) if document.rule("idle-compute") else 1.0,
            maintenance_limit=value("idle-compute", "maintenance_percent", 100)
            if document.rule("idle-compute")
            else 1.0,
            floor=value("undeclared-run", "floor_flop", flop),
            scattered_share=value("undeclared-run", "k_permille", 1000),
            scattered_h=value("undeclared-run", "h_flop", flop),
            presumed=value("threshold", "presumed_permille", 1000),
            report=document.deadlines.report_ms.value // document.grid.period.value,
        )


def fingerprint(*parts: object) -> str:
    """Return a short digest of plain dataclasses and values: what a result is filed under."""
    words = [repr(astuple(part)) if isinstance(part, Habits | RuleBook) else repr(part) for part in parts]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
