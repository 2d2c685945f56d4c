"""How fast does a pause bite, and what leaks? Closed formulas: rates times time, and a binomial tail.

From the moment something is found: the parties decide, an order is signed, sites stop. What trains on meanwhile, or
was never bound, leaks. Growth is exponential. Rate of a group: N x H x U x training share, FLOP a day.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from brakeline.explorer.answers.figures import DAY_MS, days, flop, grown, percent, rate, weakest
from brakeline.explorer.answers.forms import QUESTIONS, Answer, Column, Figure, Rule, Series
from brakeline.explorer.scenario.form import Given, Grade
from brakeline.explorer.scenario.load import Scenario

_STEPS = 60
BEFORE, OUTSIDE, STRANGERS = "before it bites", "labs that did not join", "outside the treaty"


def answer(scenario: Scenario) -> Answer:
    """Answer for *scenario*."""
    response, deadlines = scenario.terms.response, scenario.document.deadlines
    window = response.pause_days.value
    stop = deadlines.stop_ms.value / DAY_MS
    decide = None if response.decide_days is None else response.decide_days.value
    bites = None if decide is None else decide + stop
    parts = {name: leaked(scenario, name, window, bites) for name in (BEFORE, OUTSIDE, STRANGERS)}
    whole = sum(leaked(scenario, name, window, window) for name in (BEFORE, OUTSIDE, STRANGERS))
    share = sum(parts.values()) / whole if whole else 0.0
    figures = tuple(_figures(scenario, bites, parts, share))
    return Answer(
        "pause",
        QUESTIONS["pause"],
        _sentence(scenario, bites, parts, share),
        _CAVEAT,
        figures,
        (_plot(scenario, bites),),
    )


_CAVEAT = (
    "Signatories are taken to obey; what a cheat could hide is another question. Outsiders are taken to train as much "
    "of their chips' time as everybody does, and to grow as before; a pause that makes them hurry leaks more."
)


def signed(parties: int, needed: int, willing: float) -> float:
    """Return P(at least *needed* of *parties* sign), each with probability *willing*, independently: a binomial tail.

    >>> round(signed(5, 3, 0.8), 3)
    0.942
    """
    return math.fsum(
        math.comb(parties, n) * willing**n * (1 - willing) ** (parties - n) for n in range(needed, parties + 1)
    )


def leaked(scenario: Scenario, part: str, window: float, bites: float | None) -> float:
    """Return the FLOP of *part* within *window* days of the finding; *bites*: days until sites have stopped."""
    terms = scenario.terms
    training = terms.work.training.value
    if part == STRANGERS:
        return training * math.fsum(
            rate(scenario, item.chips.value, item.chip_class, item.utilisation.value) * grown(window, item.growth.value)
            for item in terms.outsiders
        )
    total = 0.0
    for item in terms.labs:
        chips = item.count.value * item.sites.value * item.chips.value
        daily = training * rate(scenario, chips, item.chip_class, item.utilisation.value)
        if part == BEFORE:
            until = min(window, window if bites is None else bites)
            total += daily * item.joins.value * grown(until, item.growth.value)
        else:
            total += daily * (1 - item.joins.value) * grown(window, item.growth.value)
    return total


def _figures(scenario: Scenario, bites: float | None, parts: dict[str, float], share: float) -> Iterator[Figure]:
    terms, document = scenario.terms, scenario.document
    decide, deadlines = terms.response.decide_days, document.deadlines
    asked = "" if bites is not None else "response.decide_days is not given: not asked"
    grade = Grade.ASSUMED if decide is None else weakest(decide)
    yield Figure(
        "bites", "from a finding until sites have stopped", bites, "days", "decide + stop_ms", grade, note=asked
    )
    stop = deadlines.stop_ms.value / DAY_MS
    yield Figure(
        "stops", "from seeing an order until no step starts", stop, "days", "stop_ms", Grade.DERIVED, "the treaty"
    )
    proven = (deadlines.notice_ms.value + document.grid.period.value + deadlines.report_ms.value) / DAY_MS
    formula = "notice_ms + period_ms + report_ms"
    yield Figure(
        "proven",
        "from an order until a breach of it is on the books",
        proven,
        "days",
        formula,
        Grade.DERIVED,
        "the treaty",
    )
    parties, needed = len(document.parties), document.quorum.orders
    chance = signed(parties, needed, terms.response.willing.value)
    formula = f"P(Binomial({parties}, willing) >= {needed})"
    yield Figure(
        "signed",
        "probability that an order is signed",
        chance,
        "",
        formula,
        weakest(terms.response.willing),
        "binomial distribution; parties decide independently",
    )
    grades: list[Given] = [
        given
        for item in terms.labs
        for given in (item.count, item.sites, item.chips, item.utilisation, item.growth, item.joins)
    ]
    grades += [given for item in terms.outsiders for given in (item.chips, item.utilisation, item.growth)]
    weak = weakest(*grades, terms.work.training)
    formula = "leaks / all training without a pause, over pause_days"
    note = asked or f"over {terms.response.pause_days.value:g} days"
    yield Figure("leak-share", "training that goes on", None if bites is None else share, "", formula, weak, note=note)
    names = {BEFORE: "leak-before", OUTSIDE: "leak-labs", STRANGERS: "leak-outsiders"}
    formula = "N H U x training share x integral of growth^(t/year)"
    for part, value in parts.items():
        missing = part == BEFORE and bites is None
        yield Figure(
            names[part],
            f"leak: {part}",
            None if missing else value,
            "FLOP",
            formula,
            weak,
            note=asked if missing else "",
        )


def _sentence(scenario: Scenario, bites: float | None, parts: dict[str, float], share: float) -> str:
    window = scenario.terms.response.pause_days.value
    if bites is None:
        stop = scenario.document.deadlines.stop_ms.value / DAY_MS
        return f"Sites stop within {days(stop)} of an order; how long the parties take to sign one was not asked."
    largest = max(parts, key=lambda part: parts[part])
    return (
        f"Sites have stopped {days(bites)} after a finding; in {window:g} days {percent(share)} of all training goes "
        f"on nevertheless ({flop(sum(parts.values()))} FLOP), most of it {largest}."
    )


def _plot(scenario: Scenario, bites: float | None) -> Series:
    window = scenario.terms.response.pause_days.value
    rows: list[tuple[float, str, float]] = []
    for step in range(_STEPS + 1):
        day = window * step / _STEPS
        rows += [(day, part, leaked(scenario, part, day, bites)) for part in (BEFORE, OUTSIDE, STRANGERS)]
        rows.append((day, "without a pause", sum(leaked(scenario, p, day, day) for p in (BEFORE, OUTSIDE, STRANGERS))))
    columns = (
        Column("day", "days since the finding", "days"),
        Column("part", "what", kind="name"),
        Column("flop", "training since the finding", "FLOP"),
    )
    rules = () if bites is None else (Rule("day", bites, "sites have stopped"),)
    return Series(
        "training",
        "Training since something was found",
        columns,
        tuple(rows),
        "line",
        "day",
        "flop",
        "part",
        rules=rules,
    )
