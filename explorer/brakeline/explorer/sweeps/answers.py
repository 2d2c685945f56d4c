"""Sweeps of answers: what a delegation's questions come to for every combination of the values of any terms.

Thresholds, deadlines, quorums, goals and the rules' parameters alike: every design is a treaty text with its terms
moved, asked as ``explore answer`` asks it. Slower than sweeps of sums by far (a question that is simulated takes a
second or two a design), and of every question. A combination that is no sane treaty is a row that says which code
refused it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from brakeline.explorer.answers.ask import answer_all
from brakeline.explorer.answers.forms import Answer, AnswerId, Cell, Column, Series
from brakeline.explorer.model.habits import fingerprint
from brakeline.explorer.scenario.designs import move
from brakeline.explorer.scenario.load import Scenario, ScenarioError
from brakeline.explorer.sweeps.axes import Axis, Values, size
from brakeline.explorer.sweeps.file import Job, Progress, rows

CHUNK = 4
MOST_DESIGNS = 10_000
REFUSED = "refused"
"""Column of the code by which a combination is no sane treaty; empty where it is one."""


@dataclass(frozen=True, slots=True)
class Task:
    """What every process needs."""

    scenario: Scenario
    terms: tuple[str, ...]
    values: tuple[Values, ...]
    questions: tuple[AnswerId, ...]
    trials: int | None


def run(
    scenario: Scenario,
    axes: Sequence[Axis],
    questions: Sequence[AnswerId],
    out: Path,
    trials: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Series:
    """Ask *questions* of every design, keep what is done in *out*, and return one row a design.

    The columns are the terms, then every figure of every answer (``question.figure``), then ``refused``; drawn is the
    headline of the first of *questions* along the first term.

    Raises:
        ScenarioError: ``sweep-size``; ``sweep-file`` when *out* holds another sweep.
    """
    count = size(axes, MOST_DESIGNS)
    task = Task(
        scenario, tuple(item.term for item in axes), tuple(item.values for item in axes), tuple(questions), trials
    )
    head = {
        "sweep": fingerprint(
            scenario.text, scenario.terms, scenario.document.digest, task.terms, task.values, task.questions, trials
        ),
        "axes": {item.term: list(item.values) for item in axes},
        "questions": list(questions),
        "trials": trials or scenario.terms.run.trials,
        "seed": scenario.terms.run.seed,
    }
    known = answer_all(scenario, questions, trials)
    return _table(axes, task.questions[0], known, rows(out, Job(head, _work, task, count, CHUNK), jobs, progress))


def headlines(table: Series) -> tuple[Column, ...]:
    """Return the column of the headline of every question, in the order of the questions."""
    first: dict[str, Column] = {}
    for column in table.columns:
        question, dot, _ = column.name.partition(".")
        if dot:
            first.setdefault(question, column)
    return tuple(first.values())


def _work(task: Task, start: int, end: int) -> list[dict[str, Cell]]:
    """Answer a chunk: a row a design, ``question.figure`` -> value."""
    chosen = itertools.islice(itertools.product(*task.values), start, end)
    return [_asked(task, values) for values in chosen]


def _asked(task: Task, values: Values) -> dict[str, Cell]:
    try:
        text = move(task.scenario.treaty_text, dict(zip(task.terms, values, strict=True)))
        answers = answer_all(task.scenario.under(text), task.questions, task.trials)
    except ScenarioError as error:
        return {REFUSED: error.code}
    return {f"{item.id}.{figure.id}": figure.value for item in answers for figure in item.figures}


def _table(axes: Sequence[Axis], first: AnswerId, known: Sequence[Answer], found: Sequence[dict[str, Cell]]) -> Series:
    figures = [
        Column(
            f"{item.id}.{figure.id}",
            figure.name.partition(" (")[0],  # what follows is about one design
            figure.unit,
            kind="name" if isinstance(figure.value, str) else "number",
        )
        for item in known
        for figure in item.figures
    ]
    columns = (
        *(Column(item.term, item.term, item.unit, log=item.log) for item in axes),
        *figures,
        Column(REFUSED, "not sane", kind="name"),
    )
    designs = itertools.product(*(item.values for item in axes))
    cells = [
        (*values, *(row.get(column.name) for column in columns[len(axes) :]))
        for values, row in zip(designs, found, strict=True)
    ]
    headline = next(column.name for column in figures if column.name.startswith(f"{first}."))
    title = f"{len(cells)} designs, each asked {len(known)} of the questions"
    return Series("sweep", title, columns, tuple(cells), "line", axes[0].term, headline)


def drawn(table: Series, axes: Sequence[Axis]) -> Series:
    """Return *table* as it is drawn: the headline along the first axis, a line for each combination of the others."""
    others = axes[1:]
    places = {column.name: place for place, column in enumerate(table.columns)}
    x, y = places[table.x], places[table.y]
    columns = (
        table.columns[x],
        table.columns[y],
        Column("others", ", ".join(item.term for item in others), kind="name"),
    )
    cells = tuple((row[x], row[y], ", ".join(f"{row[places[item.term]]:g}" for item in others)) for row in table.rows)
    return replace(table, columns=columns, rows=cells, colour="others" if others else None)
