"""The plot of a demo: which lab does what, and when, drawn from a seed and written down before anything runs.

Pure: a :class:`Plan` is a function of (seed, labs, cheats, evidence) alone. It is the *planted truth*: after the run
an auditor who has never seen it must come to the same conclusions, no more and no fewer.

==========  =========================================================================================================
role        what the lab does
==========  =========================================================================================================
trainer     really trains, books it, obeys the brake within one step, saves and acknowledges
idle        does next to nothing, honestly
clumsy      really trains; one period's books do not balance; signs two versions of another; trains on after the order
hidden      really trains, and books it as idle: balanced, plausible, and seen only by the energy meter
==========  =========================================================================================================

>>> [lab.role.value for lab in draw(seed=1, labs=4, cheats=0, evidence=True).labs]
['trainer', 'idle', 'idle', 'idle']
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

PERIODS = 10
"""Periods a demo lasts."""

ORDER_PERIODS = (4, 5)
"""The order is signed during one of these periods and takes effect in the next."""


class Role(StrEnum):
    """What a lab does in a demo."""

    TRAINER = "trainer"
    IDLE = "idle"
    CLUMSY = "clumsy"
    HIDDEN = "hidden"


@dataclass(frozen=True)
class LabPlan:
    """One lab's part; periods are indexes on the treaty's grid, None where the role has no such act."""

    number: int
    role: Role
    imbalance_period: int | None = None
    second_version_period: int | None = None
    hidden_from_period: int | None = None

    @property
    def name(self) -> str:
        """The lab's name: odd numbers belong to party a, even ones to party b."""
        return f"lab-{self.number}.party-{'a' if self.number % 2 else 'b'}.example"

    @property
    def site(self) -> str:
        """The name of the lab's one site."""
        return f"{self.name}/site-1"


@dataclass(frozen=True)
class Expected:
    """A conclusion the audit must reach: a rule, whom it is about, and the period where the plan fixes it."""

    rule: str
    about: str
    period: int | None = None


@dataclass(frozen=True)
class Plan:
    """A whole demo."""

    seed: int
    evidence: bool
    order_period: int
    labs: tuple[LabPlan, ...]

    def expected(self) -> tuple[Expected, ...]:
        """What the audit must find, given whether the meter's evidence exists."""
        found: list[Expected] = []
        for lab in self.labs:
            if lab.role is Role.CLUMSY:
                found.append(Expected("imbalance", lab.site, lab.imbalance_period))
                found.append(Expected("equivocation", lab.site))
                found.append(Expected("brake-breach", lab.site))
            if lab.role is Role.HIDDEN and self.evidence:
                found.append(Expected("energy-gap", lab.site))
        return tuple(found)

    def not_detectable(self) -> tuple[LabPlan, ...]:
        """Cheats that no log can show: hidden training when no meter reports."""
        return tuple(lab for lab in self.labs if lab.role is Role.HIDDEN and not self.evidence)


def draw(*, seed: int, labs: int, cheats: int, evidence: bool) -> Plan:
    """Draw a plan. Lab 1 always trains honestly; the others' roles, and the periods of their acts, are drawn.

    Raises:
        ValueError: fewer than 2 labs, or more cheats than there are labs beside lab 1.
    """
    if labs < 2 or not 0 <= cheats <= labs - 1:
        raise ValueError(f"need 2 or more labs and at most labs - 1 cheats, got {labs} labs and {cheats} cheats")
    rng = random.Random(f"brakeline demo {seed}")  # noqa: S311  no secret: the same plot for the same seed
    styles = [Role.CLUMSY, Role.HIDDEN]
    rng.shuffle(styles)
    roles = [styles[i % 2] for i in range(cheats)] + [Role.IDLE] * (labs - 1 - cheats)
    rng.shuffle(roles)
    plans = [LabPlan(1, Role.TRAINER)]
    for number, role in enumerate(roles, start=2):
        imbalance, second = rng.sample(range(1, ORDER_PERIODS[0]), 2)
        hidden = rng.randrange(1, 3)
        plans.append(
            LabPlan(
                number,
                role,
                imbalance_period=imbalance if role is Role.CLUMSY else None,
                second_version_period=second if role is Role.CLUMSY else None,
                hidden_from_period=hidden if role is Role.HIDDEN else None,
            )
        )
    return Plan(seed, evidence, rng.choice(ORDER_PERIODS), tuple(plans))
