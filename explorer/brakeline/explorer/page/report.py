"""One self-contained HTML file for a delegation: six answers, a plot each, every figure's source; one design or two.

No script, no font, no link that is followed by itself: it opens from a memory stick in a room without a network, and
prints. Plots are static SVG from the specifications that the page shows, by the chart library; text is escaped by the
template engine. The file names its scenario, its seed and the digest of the treaty, so that it can be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files

import jinja2
from brakeline.explorer.answers.forms import QUESTIONS, Answer, AnswerId, Cell, Figure
from brakeline.explorer.page import charts
from brakeline.explorer.page.desk import Design, Desk, plain, shown
from brakeline.explorer.scenario.designs import Difference, difference
from brakeline.explorer.scenario.load import Scenario
from markupsafe import Markup

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Shown:
    """One design's answer to a question, and its plots as SVG."""

    answer: Answer
    plots: tuple[Markup, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A question, and each design's answer."""

    id: AnswerId
    question: str
    shown: tuple[Shown, ...]


def write(
    scenarios: Sequence[Scenario], desk: Desk, designs: Sequence[Design], progress: Progress | None = None
) -> str:
    """Return the HTML text for one or two designs; *progress* is told answers done, of how many.

    Raises:
        ScenarioError: as :meth:`~brakeline.explorer.page.desk.Desk.scenario`.
    """
    wide = charts.WIDTH + 160 if len(designs) == 1 else charts.WIDTH - 120
    chapters: list[Chapter] = []
    for number, (question, text) in enumerate(QUESTIONS.items()):
        answers = [desk.answer(design, question) for design in designs]
        chapters.append(Chapter(question, text, tuple(_drawn(answer, wide) for answer in answers)))
        if progress is not None:
            progress(number + 1, len(QUESTIONS))
    differs: tuple[Difference, ...] = ()
    if len(scenarios) > 1:
        found = difference(scenarios[0].document, scenarios[1].document)
        differs = tuple(item for item in found if not item.where.endswith("key"))  # each treaty has keys of its own
    return str(
        _template().render(
            chapters=chapters,
            scenarios=list(scenarios),
            designs=list(designs),
            differs=differs,
            letters="AB",
            version=version("brakeline"),
            value=_value,
            facts=_facts,
            plain=plain,
            cell=_cell,
        )
    )


def _drawn(answer: Answer, width: int) -> Shown:
    # the SVG is made by the chart library from our own numbers and names, which it escapes
    plots = (Markup(charts.svg(series, width=width)) for series in answer.series)  # noqa: S704
    return Shown(answer, tuple(plots))


def _value(figure: Figure) -> str:
    return shown(figure.value, figure.unit)


def _cell(cell: Cell) -> str:
    return "" if cell is None else shown(cell)


def _facts(figure: Figure) -> list[tuple[str, str]]:
    """Return what stands behind a figure: name and text, without what is empty."""
    interval = "" if figure.low is None or figure.high is None else f"{shown(figure.low)} to {shown(figure.high)}"
    drawn = "" if figure.seed is None else f"{figure.trials} worlds from seed {figure.seed}"
    told = (
        ("formula", figure.formula),
        ("interval", interval),
        ("drawn from", drawn),
        ("source", figure.source),
        ("note", figure.note),
    )
    return [(name, text) for name, text in told if text]


@cache
def _template() -> jinja2.Template:
    text = files("brakeline.explorer.page").joinpath("templates", "report.html.j2").read_text("utf-8")
    return jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(text)
