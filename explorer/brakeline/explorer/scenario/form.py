"""The form of a scenario file: one frozen model per table; every number with how it is known.

What it is: form only, types and ranges of one member. What must hold between members is in
:mod:`brakeline.explorer.scenario.load`. A number is a table, ``{ value = 0.38, grade = "published", source = "..." }``:
*measured* and *published* need a source, *assumed* may give a reason there. ``low`` and ``high`` are how far off it may
be; they drive the sensitivity of the last answer. Costs and staffing have no default: what is not given is not asked.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from brakeline.treaty.terms import LISTED, Text
from pydantic import BaseModel, ConfigDict, Field


class Grade(StrEnum):
    """How a number is known."""

    MEASURED = "measured"
    PUBLISHED = "published"
    ASSUMED = "assumed"
    DERIVED = "derived"
    """Computed from other numbers; no input is."""


Known: TypeAlias = Literal["measured", "published", "assumed"]
Label: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class Table(BaseModel):
    """Base of every table: frozen, closed to unknown members, nothing coerced (an integer may stand for a float)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Named(Table):
    """Base of the rows of a list: each has a name of its own there."""

    name: Label


class Given(Table):
    """An input: its value, how it is known, by whom or why; *low* and *high*, between which it may lie."""

    value: float
    grade: Known
    source: Annotated[str, Field(max_length=500)] = ""
    low: float | None = None
    high: float | None = None

    @property
    def graded(self) -> Grade:
        """The grade, for figures."""
        return Grade(self.grade)


class Share(Given):
    """A probability or a part of a whole, 0 to 1."""

    value: Annotated[float, Field(ge=0, le=1)]


class Amount(Given):
    """A finite number, 0 or more."""

    value: Annotated[float, Field(ge=0, le=1e40, allow_inf_nan=False)]


class Positive(Given):
    """A finite number above 0."""

    value: Annotated[float, Field(gt=0, le=1e40, allow_inf_nan=False)]


class Run(Table):
    """``[run]``: how it is computed.

    Attributes:
        seed: of all random numbers.
        trials: worlds of the fast model.
        days: length of every world.
    """

    seed: Annotated[int, Field(ge=0, lt=2**53)]
    trials: Annotated[int, Field(ge=10, le=1_000_000)]
    days: Annotated[int, Field(ge=4, le=1_830)]


class Fleet(Named):
    """``[[lab]]``: labs of one size.

    Attributes:
        name: of the class.
        count: labs; *sites*: of each; *chips*: of each site.
        chip_class: one of the treaty's.
        utilisation: of the dense peak, in training.
        growth: factor by which chips grow in a year.
        joins: share of these labs under the treaty.
        largest_run: share of a lab's year of training that its largest run takes.
    """

    count: Positive
    sites: Positive
    chips: Positive
    chip_class: str
    utilisation: Share
    growth: Positive
    joins: Share
    largest_run: Share


class Outsider(Named):
    """``[[outsider]]``: chips of those who did not sign.

    Attributes:
        name: of the group.
        chips: all together; *chip_class*, *utilisation*, *growth*: as of a lab.
    """

    chips: Amount
    chip_class: str
    utilisation: Share
    growth: Positive


class Work(Table):
    """``[work]``: what an honest site does; shares are of its chip time.

    Attributes:
        training, serving, evaluation, repair: shares.
        serving_swing: how far serving swings between night and day, of its mean.
        training_utilisation, serving_utilisation: of the dense peak.
        training_power, serving_power: of the way from idle to full power.
        spread: how far shares, utilisation and power of one period may be from their means (of the mean, uniform).
        site_spread: the same between sites, for the whole of a world.
        method_noise: how far the two methods of counting differ (uniform).
        interruptions: in a day.
        interruption_hours: of all training of a site, that one costs.
        unplaced: share of that which nobody can place.
    """

    training: Share
    serving: Share
    evaluation: Share
    repair: Share
    serving_swing: Share
    training_utilisation: Share
    serving_utilisation: Share
    training_power: Share
    serving_power: Share
    spread: Share
    site_spread: Share
    method_noise: Share
    interruptions: Amount
    interruption_hours: Amount
    unplaced: Share


class Meters(Table):
    """``[meters]``: how evidence errs.

    Attributes:
        error: standard deviation of a reading, of the reading.
        correlation: share of that variance which a site's readings have in common, 0 to 1.
        metered: share of sites with a meter.
        visits: of inspectors, to a site, in a year.
        row_sensitivity: probability that an opened false row is recognised by what stands beside it.
    """

    error: Share
    correlation: Share
    metered: Share
    visits: Amount
    row_sensitivity: Share


class Hint(Named):
    """``[[hint]]``: outside evidence of chips that nobody declared, in a year.

    Attributes:
        name: what.
        seen: probability of it when there are such chips; *false*: when there are none.
        group: what it shares a cause with.
    """

    seen: Share
    false: Share
    group: Label


class Group(Named):
    """``[[group]]``: how much the hints of a group say the same thing: 0 independent, 1 one hint many times."""

    correlation: Share


class Adversary(Named):
    """``[[adversary]]``: somebody who hides training: how, and (optionally) in which of the strategy's ways."""

    strategy: str
    way: str | None = None


class Hiding(Table):
    """``[hiding]``: how hidden training runs.

    Attributes:
        fleet: name of the class of labs whose sites are looked at.
        utilisation: of hidden training; *power*: of the way from idle to full power.
        flop: magnitudes to be shown, FLOP.
    """

    fleet: Label
    utilisation: Share
    power: Share
    flop: Annotated[tuple[Annotated[float, Field(gt=0, le=1e40)], ...], LISTED, Field(min_length=1, max_length=24)]


class Response(Table):
    """``[response]``: what happens once something is found.

    Attributes:
        decide_days: until the parties have signed an order.
        willing: probability that a party signs when it should.
        pause_days: how long a pause is looked at.
    """

    decide_days: Amount | None = None
    willing: Share
    pause_days: Positive


class Resources(Table):
    """``[resources]``: staffing and money. Nothing here has a default: what is absent is not asked."""

    inspectors: Amount | None = None
    visits_per_inspector: Amount | None = None
    rows_per_year: Amount | None = None
    cost_per_inspector: Amount | None = None
    cost_per_visit: Amount | None = None
    cost_per_row: Amount | None = None
    currency: Annotated[str, Field(max_length=8)] | None = None


class ScenarioFile(Table):
    """The whole file. ``treaty`` names the treaty's TOML file, beside this one."""

    name: Label
    title: Text
    about: Text
    treaty: Text
    run: Run
    labs: Annotated[tuple[Fleet, ...], LISTED, Field(alias="lab", min_length=1, max_length=32)]
    outsiders: Annotated[tuple[Outsider, ...], LISTED, Field(alias="outsider", max_length=32)] = ()
    work: Work
    meters: Meters
    hints: Annotated[tuple[Hint, ...], LISTED, Field(alias="hint", max_length=32)] = ()
    groups: Annotated[tuple[Group, ...], LISTED, Field(alias="group", max_length=32)] = ()
    adversaries: Annotated[tuple[Adversary, ...], LISTED, Field(alias="adversary", min_length=1, max_length=32)]
    hiding: Hiding
    response: Response
    resources: Resources = Resources()
