"""Am I covered? What a treaty asks of a lab with so many chips and such plans, in sentences with arithmetic. Pure.

What it is: the lines of the treaty that a plan passes or stays below, each with its article, and how far it stays. What
it is not: advice, nor a promise: what somebody did is judged from the logs, over lineages (a run, what it descends
from, and what shares its code, data or chips). All arithmetic is in integers; days are rounded down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from brakeline.treaty.counting import PROFILES
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.errors import DocumentError
from brakeline.treaty.quantities import Rational
from brakeline.treaty.terms import ChipClass

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a lab has and means to do.

    Attributes:
        lab: its name; "" where it is not asked whether the treaty names it.
        chips: class of the treaty -> how many.
        training_flop: of the largest training, with everything it descends from.
        serving_flop: of the model that serves most.
        days: how long chips run, for what they could compute at most.
    """

    lab: str = ""
    chips: Mapping[str, int] = field(default_factory=dict[str, int])
    training_flop: int | None = None
    serving_flop: int | None = None
    days: int = 365


@dataclass(frozen=True, slots=True)
class Duty:
    """One line of the treaty, held against a plan.

    Attributes:
        name: stable, kebab-case.
        owed: whether the plan owes what the line asks for; None: that depends on what was not said.
        sentence: in plain words.
        arithmetic: the figures compared.
        article: of the treaty's text; "" where the document names none.
    """

    name: str
    owed: bool | None
    sentence: str
    arithmetic: str
    article: str

    def as_dict(self) -> dict[str, object]:
        """Return it as ``--format json`` prints it."""
        return {
            "name": self.name,
            "owed": self.owed,
            "sentence": self.sentence,
            "arithmetic": self.arithmetic,
            "article": self.article,
        }


def covers(document: TreatyDocument, plan: Plan) -> tuple[Duty, ...]:
    """Return what *document* asks of *plan*, line by line.

    Raises:
        DocumentError: ``covers-chip-class``: the treaty has no such class.
    """
    capacity = _capacity(document, plan)
    named = [_named(document, plan)] if plan.lab else []
    duties = [*named, *_books(document, plan), *_floor(document, plan), *_declaration(document, plan, capacity)]
    return (*duties, *_thresholds(document, plan, capacity), *_evaluation(document, plan))


def _named(document: TreatyDocument, plan: Plan) -> Duty:
    names = [lab.name for lab in document.labs]
    listed = plan.lab in names
    sentence = (
        f"{plan.lab} is named: it enrols its sites and books their chips, every period, however small it is"
        if listed
        else f"{plan.lab} is not named by this version: it owes nothing before a version names it"
    )
    return Duty("named-lab", listed, sentence, f"labs named: {', '.join(names)}"[:300], "")


def _books(document: TreatyDocument, plan: Plan) -> Iterator[Duty]:
    """Yield the duties of every named lab with chips: no chip is too few."""
    held = sum(plan.chips.values())
    if not held or (plan.lab and plan.lab not in {lab.name for lab in document.labs}):
        return
    terms = document.rule("missing-period")
    owed = terms is not None
    period = document.grid.period.value
    yield Duty(
        "books",
        owed,
        f"books of every period of {_span(period)}, for all {held} chips, idle ones too, "
        f"at most {_span(document.deadlines.report_ms.value)} after its end"
        if owed
        else "no rule asks for books of every period",
        f"{held} chips x {period} ms = {held * period} chip-milliseconds a period",
        terms.article if terms is not None else "",
    )


def _floor(document: TreatyDocument, plan: Plan) -> Iterator[Duty]:
    profile = PROFILES[document.counting.profile]
    if profile.chip_floor is None:
        return
    equivalents = _equivalents(document, plan)
    whole = equivalents.numerator // equivalents.denominator
    above = equivalents.numerator > profile.chip_floor * equivalents.denominator
    yield Duty(
        "chip-floor",
        above,
        f"{'more' if above else 'no more'} than the {profile.chip_floor} H100-equivalents above which {profile.title} "
        "has chips declared",
        f"{equivalents.numerator}/{equivalents.denominator} H100-equivalents ({whole} whole ones) against "
        f"{profile.chip_floor}",
        profile.source,
    )


def _declaration(document: TreatyDocument, plan: Plan, capacity: int) -> Iterator[Duty]:
    terms = document.rule("undeclared-run")
    if terms is None:
        return
    floor = terms.integer("floor_flop")
    owed, arithmetic = _against(plan.training_flop, floor, capacity, document, plan)
    yield Duty(
        "declaration",
        owed,
        _said(owed, "a run of this size is declared before it begins", "no run of this size needs a declaration"),
        arithmetic,
        terms.article,
    )


def _thresholds(document: TreatyDocument, plan: Plan, capacity: int) -> Iterator[Duty]:
    if document.rule("threshold") is None:
        return
    for line in document.thresholds:
        owed, arithmetic = _against(plan.training_flop, line.flop.value, capacity, document, plan)
        what = " and ".join(line.activities)
        yield Duty(
            f"threshold-{line.name}",
            owed,
            _said(
                owed,
                f"{what} with everything it descends from passes the line {line.name!r}: authorised first",
                f"{what} stays below the line {line.name!r}",
            ),
            arithmetic,
            line.article,
        )


def _evaluation(document: TreatyDocument, plan: Plan) -> Iterator[Duty]:
    terms = document.rule("sandbagging-order")
    if terms is None or not any(party.kind == "evaluator" for party in document.third_parties):
        return
    floor = terms.integer("floor_flop")
    owed = None if plan.serving_flop is None else plan.serving_flop > floor
    told = "serving was not said" if plan.serving_flop is None else f"{plan.serving_flop} FLOP served"
    yield Duty(
        "evaluation",
        owed,
        _said(owed, "a model that serves this much is evaluated", "no model that serves this little is evaluated"),
        f"{told} against {floor}",
        terms.article,
    )


def _against(
    flop: int | None, line: int, capacity: int, document: TreatyDocument, plan: Plan
) -> tuple[bool | None, str]:
    """Hold a plan against a line: by what it says, else by what its chips could do at most."""
    rate = sum(_of(document, name).peak_flop_per_s.value * count for name, count in plan.chips.items())
    reach = f"; at full peak these chips reach it in {line // (rate * 86_400)} days" if rate else ""
    if flop is not None:
        return flop > line, f"{flop} FLOP against {line}{reach}"
    if plan.chips and capacity <= line:
        return False, f"{capacity} FLOP at full peak in {plan.days} days against {line}{reach}"
    return None, f"the training's FLOP were not said; {capacity} at full peak in {plan.days} days against {line}{reach}"


def _said(owed: bool | None, yes: str, no: str) -> str:
    return {True: yes, False: no, None: f"it depends on the plan: where it passes the line, {yes}"}[owed]


def _capacity(document: TreatyDocument, plan: Plan) -> int:
    chips = plan.chips.items()
    return sum(_of(document, name).peak_flop_per_s.value * count for name, count in chips) * plan.days * 86_400


def _equivalents(document: TreatyDocument, plan: Plan) -> Rational:
    top, bottom = 0, 1
    for name, count in plan.chips.items():
        ratio = _of(document, name).h100_equivalent
        top, bottom = top * ratio.denominator + count * ratio.numerator * bottom, bottom * ratio.denominator
    return Rational(top, bottom)


def _of(document: TreatyDocument, name: str) -> ChipClass:
    found = document.chip_class(name)
    if found is None:
        raise DocumentError(
            code="covers-chip-class",
            message="the treaty has no such class of chips",
            expected=", ".join(item.name for item in document.chip_classes)[:200],
            found=name,
            fix="name chips by the treaty's classes",
        )
    return found


def _span(ms: int) -> str:
    for size, name in ((_DAY_MS, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")):
        if ms % size == 0 and ms:
            return f"{ms // size} {name}{'s' * (ms != size)}"
    return f"{ms} ms"
