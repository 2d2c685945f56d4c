"""The form of an answer: a question, one sentence, its caveat, figures that say where they come from, tidy tables.

Values only. Whoever shows an answer (a terminal, a page, a notebook) needs nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from brakeline.explorer.scenario.form import Grade

Cell: TypeAlias = float | int | str | None
AnswerId: TypeAlias = Literal["caught", "accused", "hidden", "pause", "burden", "unverified"]
Kind: TypeAlias = Literal["number", "name", "date"]
Mark: TypeAlias = Literal["line", "bar", "point", "step"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of an answer.

    Attributes:
        id: kebab-case, unique in its answer; the same in every scenario.
        name: for a person.
        value: None where it was not asked, or cannot be.
        unit: "" for a plain number or a share.
        formula: how it is computed, one line.
        grade: of its weakest input (``measured``, ``published``, ``assumed``), or ``derived`` from the treaty alone.
        source: of the formula or of the input.
        seed, trials: of a simulation, else None.
        low, high: 95 % interval of a simulation, or the range of an input; None where there is none.
        note: why there is no value, or how to read it.
    """

    id: str
    name: str
    value: Cell
    unit: str
    formula: str
    grade: Grade
    source: str = ""
    seed: int | None = None
    trials: int | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name, what it is, its unit, of which kind its cells are; *log* to be drawn so."""

    name: str
    title: str
    unit: str = ""
    kind: Kind = "number"
    log: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across a plot: at *value* of the column *axis*, with what to write at it."""

    axis: str
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """A tidy table, and how it is meant to be drawn.

    Attributes:
        id: kebab-case, unique in its answer.
        title: for a person.
        columns: in order; *rows*: one cell a column, None where there is nothing.
        mark: how to draw it: *x* and *y* name columns, *colour* one of names; *low*, *high* the ends of an interval.
        rules: lines to draw across.
    """

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    mark: Mark
    x: str
    y: str
    colour: str | None = None
    low: str | None = None
    high: str | None = None
    rules: tuple[Rule, ...] = ()

    def records(self) -> list[dict[str, Cell]]:
        """Return the rows as dictionaries by column name: what a data frame takes."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]

    def column(self, name: str) -> list[Cell]:
        """Return the cells of one column (``KeyError`` without it)."""
        for place, column in enumerate(self.columns):
            if column.name == name:
                return [row[place] for row in self.rows]
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the six answers.

    Attributes:
        id: which.
        question: as a delegate asks it.
        sentence: the answer in one plain sentence.
        caveat: what it rests on, or does not show.
        figures: the first is the headline.
        series: the first is the plot of the screen.
    """

    id: AnswerId
    question: str
    sentence: str
    caveat: str
    figures: tuple[Figure, ...]
    series: tuple[Series, ...] = field(default=())

    def figure(self, name: str) -> Figure:
        """Return the figure *name* by its id (``KeyError`` without it)."""
        for item in self.figures:
            if item.id == name:
                return item
        raise KeyError(name)

    def table(self, name: str) -> Series:
        """Return the series *name* by its id (``KeyError`` without it)."""
        for item in self.series:
            if item.id == name:
                return item
        raise KeyError(name)


QUESTIONS: dict[AnswerId, str] = {
    "caught": "What would be caught, and when?",
    "accused": "How often are the honest accused?",
    "hidden": "How much could a cheat hide at best?",
    "pause": "How fast does a pause bite, and what leaks?",
    "burden": "Who carries the burden?",
    "unverified": "What stays unverified, and which assumption matters most?",
}
"""Every question, in the order in which they are asked."""
