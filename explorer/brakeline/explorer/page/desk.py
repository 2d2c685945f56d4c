"""What the page asks for: designs in, answers out, as JSON values. No HTTP, no files but the scenarios.

A *design* is a scenario and the terms that were moved from it. Answers are kept by what they depend on (scenario,
treaty text, question): going back to a design that was looked at costs nothing, and two browsers share the work.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias, cast

from brakeline.explorer.answers.ask import answer_all
from brakeline.explorer.answers.forms import QUESTIONS, Answer, AnswerId, Figure, Series
from brakeline.explorer.page import charts
from brakeline.explorer.scenario.designs import Difference, Term, difference, move, terms_of
from brakeline.explorer.scenario.load import Scenario, ScenarioError

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
"""What a browser takes; unlike the JSON of treaties it may hold floats."""
KEPT = 512
"""Answers that are kept; the oldest goes first."""
MAX_MOVES = 200


@dataclass(frozen=True, slots=True)
class Design:
    """A scenario by name, and the terms that were moved: term id -> value in the term's unit."""

    scenario: str
    moves: Mapping[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def from_json(cls, value: object) -> Design:
        """Read a design that a browser sent (:class:`ScenarioError` ``design-form``)."""
        members = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        name, moves = members.get("scenario"), members.get("moves")
        if not isinstance(name, str) or not isinstance(moves, dict):
            raise _not_a_design(sorted(members))
        moved = cast("dict[str, object]", moves)
        if len(moved) > MAX_MOVES:
            raise _not_a_design(f"{len(moved)} moves")
        return cls(name, {key: _number(number) for key, number in moved.items()})


def _not_a_design(found: object) -> ScenarioError:
    return ScenarioError(
        code="design-form",
        message="this is not a design",
        expected=f'{{"scenario": NAME, "moves": {{TERM: NUMBER}}}}, at most {MAX_MOVES} moves',
        found=str(found)[:80],
    )


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ScenarioError(
        code="design-form", message="a term moves to a number", expected="a finite number", found=str(value)[:40]
    )


class Desk:
    """The scenarios that are on the table, and what was computed of them."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        """Offer *scenarios*, the first of them at the beginning."""
        self._scenarios = {item.name: item for item in scenarios}
        self._kept: OrderedDict[tuple[str, str, AnswerId, int | None], Answer] = OrderedDict()
        self._lock = Lock()

    def offer(self) -> dict[str, Json]:
        """Return what there is to choose from: scenarios with their terms, and the questions."""
        scenarios: list[Json] = [
            {
                "name": item.name,
                "title": item.terms.title,
                "about": item.terms.about,
                "terms": [_term(term) for term in terms_of(item.document)],
            }
            for item in self._scenarios.values()
        ]
        return {"scenarios": scenarios, "questions": [{"id": key, "text": text} for key, text in QUESTIONS.items()]}

    def scenario(self, design: Design) -> Scenario:
        """Return the scenario of *design*, its terms moved.

        Raises:
            ScenarioError: ``scenario-unknown``, ``scenario-term``, or why the moved text is no sane treaty.
        """
        base = self._scenarios.get(design.scenario)
        if base is None:
            raise ScenarioError(
                code="scenario-unknown",
                message="no such scenario is on the table",
                expected=", ".join(self._scenarios),
                found=design.scenario[:60],
            )
        if not design.moves:
            return base
        return base.under(move(base.treaty_text, design.moves))

    def answer(self, design: Design, question: AnswerId, trials: int | None = None) -> Answer:
        """Return the answer to *question*, from *trials* worlds (default: the scenario's).

        Raises:
            ScenarioError: as :meth:`scenario`.
        """
        scenario = self.scenario(design)
        key = (design.scenario, scenario.document.digest, question, trials)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = answer_all(scenario, [question], trials)[0]
        with self._lock:
            self._kept[key] = found
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def has(self, design: Design, question: AnswerId) -> bool:
        """Say whether the whole answer is there already (codes of :meth:`scenario`)."""
        with self._lock:
            return (design.scenario, self.scenario(design).document.digest, question, None) in self._kept

    def differences(self, first: Design, second: Design) -> tuple[Difference, ...]:
        """Return in what the treaties of two designs differ."""
        return difference(self.scenario(first).document, self.scenario(second).document)


def drawn(answer: Answer) -> bool:
    """Say whether any figure of *answer* comes out of simulated worlds: more of them would make it sharper."""
    return any(figure.seed is not None for figure in answer.figures)


def question_of(value: object) -> AnswerId:
    """Return *value* as the id of a question (:class:`ScenarioError` ``question-unknown``)."""
    for name in QUESTIONS:
        if value == name:
            return name
    raise ScenarioError(
        code="question-unknown",
        message="there is no such question",
        expected=", ".join(QUESTIONS),
        found=str(value)[:40],
    )


def to_json(answer: Answer) -> dict[str, Json]:
    """Return an answer as the page takes it: numbers already written, tables with their charts."""
    return {
        "id": answer.id,
        "question": answer.question,
        "sentence": answer.sentence,
        "caveat": answer.caveat,
        "figures": [_figure(item) for item in answer.figures],
        "series": [_series(item) for item in answer.series],
    }


def plain(where: str, value: str) -> str:
    """Write a member of a treaty for people: long integers in short, milliseconds as a time, "" as ``absent``.

    >>> plain("goals.significant_quantity_flop", "1" + 25 * "0"), plain("deadlines.stop_ms", "600000"), plain("a", "")
    ('1e25', '10 minutes', 'absent')
    """
    if not value:
        return "absent"
    if not value.isdecimal():
        return value
    if where.endswith("_ms"):
        return shown(int(value) / 86_400_000, "days")
    return shown(float(value)) if len(value) > 7 else value


_TIMES = ("days", "hours", "minutes")
_SHORT = ((1 / 24, "hours"), (1 / 1440, "minutes"), (1 / 86_400, "s"))


def shown(value: float | int | str | None, unit: str = "") -> str:
    """Write a figure's value for people.

    >>> shown(2.46e24, "FLOP"), shown(0.9421), shown(3.0, "days"), shown(0.00694, "days"), shown(1 / 24, "days")
    ('2.46e24 FLOP', '0.942', '3 days', '9.99 minutes', '1 hour')
    """
    if value is None:
        return "no value"
    if isinstance(value, str):
        return f"{value} {unit}".strip()
    if unit == "days" and 0 < abs(value) < 2:
        size, unit = next(item for item in _SHORT if abs(value) >= item[0] or item[1] == "s")
        value = value / size
    if value and not 1e-4 <= abs(value) < 1e7:
        digits, _, exponent = f"{value:.2e}".partition("e")
        text = f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    else:
        rounded = float(f"{value:.3g}")
        text = f"{rounded:,.0f}" if rounded == int(rounded) else f"{rounded:g}"
    return f"{text} {unit.removesuffix('s') if text == '1' and unit in _TIMES else unit}".strip()


def _figure(item: Figure) -> dict[str, Json]:
    interval = "" if item.low is None or item.high is None else f"{shown(item.low)} to {shown(item.high)}"
    drawn = "" if item.seed is None else f"{item.trials} worlds from seed {item.seed}"
    return {
        "id": item.id,
        "name": item.name,
        "value": shown(item.value, item.unit),
        "formula": item.formula,
        "interval": interval,
        "seed": drawn,
        "grade": item.grade.value,
        "source": item.source,
        "note": item.note,
    }


def _series(item: Series) -> dict[str, Json]:
    heads: list[Json] = [f"{c.title} ({c.unit})" if c.unit else c.title for c in item.columns]
    rows: list[Json] = [[shown(cell) if cell is not None else "" for cell in row] for row in item.rows]
    extent: dict[str, Json] = {
        "x": _pair(charts.extent(item, "x")),
        "y": _pair(charts.extent(item, "y")),
    }
    drawn: dict[str, Json] = {"spec": charts.spec(item), "extent": extent}
    return {"id": item.id, "title": item.title, "heads": heads, "rows": rows, **drawn}


def _pair(value: tuple[float, float] | None) -> Json:
    return None if value is None else [*value]


def _term(item: Term) -> dict[str, Json]:
    return {
        "id": item.id,
        "name": item.name,
        "unit": item.unit,
        "low": item.low,
        "high": item.high,
        "value": item.value,
        "log": item.log,
        "whole": item.form != "ratio",
        "about": item.about,
    }
