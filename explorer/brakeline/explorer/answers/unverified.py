"""What stays unverified, and which assumption matters most? Shares in closed form; one assumption at a time.

Outside evidence: a hidden hall is noticed when at least one hint is seen; n hints of a group with correlation r count
as n / (1 + (n - 1) r) independent ones (L. Kish's design effect, Survey Sampling, 1965), as in
:mod:`brakeline.treaty.statistics.exploring.fusion`.

Sensitivity: every input with ``low`` and ``high`` is moved to either, alone, in the same worlds; what changes is the
mean probability over the scenario's adversaries (residuals left out) to be caught at a significant quantity, the share
that leaks through a pause, and the chance that a hidden hall is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from brakeline.explorer.answers import pause
from brakeline.explorer.answers.detect import Setup, detect, known, response_days
from brakeline.explorer.answers.figures import percent, weakest
from brakeline.explorer.answers.forms import QUESTIONS, Answer, Cell, Column, Figure, Series
from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.scenario.form import Grade, ScenarioFile, Table
from brakeline.explorer.scenario.load import Scenario, inputs, read_mistakes
from brakeline.treaty.mistakes import Path
from brakeline.treaty.statistics.exploring.fusion import Hint, fuse

TRIALS = 100
"""Worlds of each evaluation: what is compared is the same worlds under two assumptions."""
PRIOR = 0.1
_CAVEAT = (
    "A hint is what somebody assumed it to be. Assumptions are moved one at a time: two that are wrong together can "
    "matter more than either. An assumption without low and high was not moved."
)
_ELSEWHERE = (
    "distillation from a model whose training is not covered",
    "a capability that a model hides from its evaluators",
    "more than f verifiers that lie alike",
    "books, meters and third parties of a site that all lie alike",
)
"""What no strategy of the corpus plays, and no rule can see (docs/evasion.md)."""


@dataclass(frozen=True, slots=True)
class Swing:
    """What one assumption does to one metric: at its *low* and *high* end; *base* is as the scenario has it."""

    where: str
    metric: str
    grade: Grade
    base: float
    low: float
    high: float

    @property
    def size(self) -> float:
        """How far the metric moves."""
        return max(self.low, self.high, self.base) - min(self.low, self.high, self.base)


def answer(scenario: Scenario) -> Answer:
    """Answer for *scenario*."""
    swings = sorted(sensitivity(scenario), key=lambda item: -item.size)
    figures = tuple(_figures(scenario, swings))
    series = (_tornado(swings), _residuals(scenario))
    return Answer("unverified", QUESTIONS["unverified"], _sentence(scenario, swings), _CAVEAT, figures, series)


def noticed(scenario: Scenario) -> float:
    """Return P(at least one hint of a hidden hall in a year): 1 - prod over groups of (prod (1 - seen))^d."""
    shared = {group.name: group.correlation.value for group in scenario.terms.groups}
    missed = 0.0
    for group, correlation in shared.items():
        mine = [hint for hint in scenario.terms.hints if hint.group == group]
        if any(hint.seen.value >= 1.0 for hint in mine):
            return 1.0
        discount = 1.0 / (1.0 + (len(mine) - 1) * correlation) if mine else 0.0
        missed += discount * math.fsum(math.log1p(-hint.seen.value) for hint in mine)
    return -math.expm1(missed)


def convinced(scenario: Scenario) -> float | None:
    """Return the probability of a hidden hall once every hint is there, from a prior of 10 %; None without hints."""
    hints = [
        Hint(item.seen.value / item.false.value, item.group)
        for item in scenario.terms.hints
        if item.seen.value and item.false.value
    ]
    shared = {group.name: group.correlation.value for group in scenario.terms.groups}
    return fuse(PRIOR, hints, shared) if hints else None


def outside(scenario: Scenario) -> float:
    """Return the share of all chips' peak that no book of the treaty covers: labs that did not join, and outsiders."""
    inside = other = 0.0
    for item in scenario.terms.labs:
        peak = (
            item.count.value
            * item.sites.value
            * item.chips.value
            * scenario.chip(item.chip_class).peak_flop_per_s.value
        )
        inside += peak * item.joins.value
        other += peak * (1 - item.joins.value)
    for group in scenario.terms.outsiders:
        other += group.chips.value * scenario.chip(group.chip_class).peak_flop_per_s.value
    return other / (inside + other) if inside + other else 0.0


def mean_caught(scenario: Scenario) -> float:
    """Return the mean over adversaries of P(caught) at a significant quantity; residuals do not count."""
    setup = Setup.of(scenario, TRIALS)
    chances: list[float] = []
    for adversary in scenario.terms.adversaries:
        if not known(adversary) or STRATEGIES[adversary.strategy].residual:
            continue
        item = detect(setup, adversary, setup.quantity)
        if item is not None and item.probability is not None:
            chances.append(item.probability)
    return math.fsum(chances) / len(chances) if chances else 0.0


def leak(scenario: Scenario) -> float:
    """Return the share of training that goes on through a pause; where decide_days is not asked, of an instant one."""
    window, bites = scenario.terms.response.pause_days.value, response_days(scenario) or 0.0
    parts = (pause.BEFORE, pause.OUTSIDE, pause.STRANGERS)
    whole = math.fsum(pause.leaked(scenario, part, window, window) for part in parts)
    return math.fsum(pause.leaked(scenario, part, window, bites) for part in parts) / whole if whole else 0.0


CAUGHT, LEAK, NOTICED = "caught, mean of adversaries", "leaks through a pause", "a hidden hall is noticed"
_METRICS = {CAUGHT: mean_caught, LEAK: leak, NOTICED: noticed}
_TOUCHES: dict[str, tuple[str, ...]] = {
    "work": (CAUGHT, LEAK),
    "meters": (CAUGHT,),
    "hiding": (CAUGHT,),
    "lab": (CAUGHT, LEAK),
    "outsider": (LEAK,),
    "response": (LEAK,),
    "hint": (NOTICED,),
    "group": (NOTICED,),
}
"""Table of the scenario -> metrics that its inputs touch."""


def sensitivity(scenario: Scenario) -> Iterator[Swing]:
    """Yield what every input with low and high does to every metric that it touches."""
    base = {metric: measure(scenario) for metric, measure in _METRICS.items()}
    for path, given in inputs(scenario.terms):
        if given.low is None or given.high is None:
            continue
        ends = [changed(scenario, path, value) for value in (given.low, given.high)]
        for metric in _TOUCHES.get(str(path[0]), ()):
            low, high = (base[metric] if end is None else _METRICS[metric](end) for end in ends)
            yield Swing(_where(scenario, path), metric, given.graded, base[metric], low, high)


def changed(scenario: Scenario, path: Path, value: float) -> Scenario | None:
    """Return *scenario* with the input at *path* set to *value*; None where that is no sane scenario."""
    tree = cast("dict[str, object]", scenario.terms.model_dump(by_alias=True, exclude_none=True))
    node: object = tree
    for step in path:
        node = node[step] if isinstance(step, int) else cast("dict[str, object]", node)[step]  # type: ignore[index]
    given = cast("dict[str, object]", node)
    given["value"] = value
    terms = ScenarioFile.model_validate(tree)
    if read_mistakes(terms):
        return None
    return Scenario(terms, scenario.document, scenario.treaty_text, scenario.text)


def _where(scenario: Scenario, path: Path) -> str:
    """Return the path as a person reads it: ``meters.error``, ``lab frontier: chips``."""
    if len(path) == 3:
        items = {
            "lab": scenario.terms.labs,
            "outsider": scenario.terms.outsiders,
            "hint": scenario.terms.hints,
            "group": scenario.terms.groups,
        }
        rows = cast("Sequence[Table]", items[str(path[0])])
        return f"{path[0]} {getattr(rows[cast('int', path[1])], 'name', path[1])}: {path[2]}"
    return ".".join(map(str, path))


def _figures(scenario: Scenario, swings: Sequence[Swing]) -> Iterator[Figure]:
    terms = scenario.terms
    grade = weakest(
        *(given for item in terms.labs for given in (item.count, item.sites, item.chips, item.joins)),
        *(item.chips for item in terms.outsiders),
    )
    yield Figure(
        "outside",
        "compute outside every book",
        outside(scenario),
        "",
        "peak of labs not joined and outsiders / all peak",
        grade,
    )
    grade = weakest(*(hint.seen for hint in terms.hints), *(group.correlation for group in terms.groups))
    formula = "1 - prod over groups of (prod (1 - seen))^(1/(1+(n-1)r))"
    yield Figure(
        "noticed",
        "a hidden hall is noticed within a year",
        noticed(scenario),
        "",
        formula,
        grade,
        "L. Kish, Survey Sampling, 1965",
    )
    formula = "log-odds with the group's discount, prior 0.1"
    yield Figure(
        "convinced",
        "probability of a hall once every hint is there",
        convinced(scenario),
        "",
        formula,
        grade,
        "I. J. Good 1950",
    )
    alarms = -math.expm1(math.fsum(math.log1p(-min(hint.false.value, 1 - 1e-12)) for hint in terms.hints))
    yield Figure(
        "false-hint",
        "a false hint in a year, where there is no hall",
        alarms,
        "",
        "1 - prod (1 - false)",
        weakest(*(hint.false for hint in terms.hints)),
    )
    if swings:
        top = swings[0]
        note = f"{top.metric}: {percent(top.low)} at low, {percent(top.high)} at high"
        yield Figure(
            "matters-most",
            "the assumption that matters most",
            top.where,
            "",
            "largest change of a metric, one input at a time",
            top.grade,
            "simulation",
            scenario.terms.run.seed,
            TRIALS,
            note=note,
        )
        yield Figure(
            "swing",
            "how far it moves",
            top.size,
            "",
            "max - min of the metric",
            top.grade,
            low=min(top.low, top.high),
            high=max(top.low, top.high),
            seed=scenario.terms.run.seed,
            trials=TRIALS,
            note=top.metric,
        )


def _sentence(scenario: Scenario, swings: Sequence[Swing]) -> str:
    told = f"{percent(outside(scenario))} of all compute is in no book, and a hidden hall is noticed with "
    told += f"{percent(noticed(scenario))} in a year"
    if not swings:
        return f"{told}; no input says between which values it may lie."
    top = swings[0]
    return (
        f"{told}; the assumption that matters most is {top.where} ({top.grade}): between its ends, "
        f"“{top.metric}” goes from {percent(min(top.low, top.high))} to {percent(max(top.low, top.high))}."
    )


def _tornado(swings: Sequence[Swing]) -> Series:
    rows: list[tuple[Cell, ...]] = [
        (item.where, item.metric, item.grade.value, item.base, item.low, item.high, item.size)
        for item in swings
        if item.size > 0.0
    ]
    columns = (
        Column("input", "assumption", kind="name"),
        Column("metric", "metric", kind="name"),
        Column("grade", "how it is known", kind="name"),
        Column("base", "as the scenario has it"),
        Column("low", "at its low end"),
        Column("high", "at its high end"),
        Column("size", "how far it moves"),
    )
    return Series(
        "sensitivity",
        "One assumption at a time",
        columns,
        tuple(rows),
        "bar",
        "input",
        "size",
        "metric",
    )


def _residuals(scenario: Scenario) -> Series:
    rows: list[tuple[Cell, ...]] = [
        (item.name, STRATEGIES[item.strategy].residual)
        for item in scenario.terms.adversaries
        if STRATEGIES[item.strategy].residual
    ]
    rows += [("of no strategy", text) for text in _ELSEWHERE]
    rows += [(group.name, f"{group.chips.value:,.0f} chips that signed nothing") for group in scenario.terms.outsiders]
    columns = (Column("who", "who", kind="name"), Column("why", "what nothing in a log can see", kind="name"))
    return Series("residuals", "What nothing in a log can see", columns, tuple(rows), "point", "who", "why")
