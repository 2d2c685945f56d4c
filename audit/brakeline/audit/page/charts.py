"""Charts as static SVG, drawn by leather (the extra ``[plots]``): what chips did, and who descends from whom.

Without leather there is no chart, and the page says so; every figure is in a table beside it. Floating point is for
drawing only. Colours are those of Okabe and Ito, told apart by people who do not tell red from green.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

from brakeline.audit.detail import Column, RunBooks, SiteBooks
from brakeline.audit.page.parts import esc
from brakeline.treaty.parts import Activity

WIDTH = 1100
ABSENT = "<p class=soft>No chart: the library that draws is not installed (pip install 'brakeline[plots]').</p>"

COLOURS = {
    Activity.TRAINING: "#d55e00",
    Activity.INFERENCE: "#0072b2",
    Activity.EVALUATION: "#56b4e9",
    Activity.OTHER: "#cc79a7",
    Activity.MAINTENANCE: "#e69f00",
    Activity.IDLE: "#c8c8c8",
    Activity.UNATTRIBUTED: "#000000",
}
"""In the order in which they stand on one another, training at the bottom."""
_UNITS = ((3_600_000, "chip-hours"), (1_000, "chip-seconds"), (1, "chip-milliseconds"))
_TAG = re.compile(r"<[^>]*>")
_DECIMALS = re.compile(r'(?<=[="\s])(-?\d+\.\d)\d+(?=["\s])')

Point = tuple[float | None, float | None]


class Chart(Protocol):
    """What of leather's chart is used here."""

    def add_columns(self, data: Sequence[tuple[str, float | None]], *, name: str, fill_color: str) -> None:
        """See leather."""
        ...

    def add_line(
        self,
        data: Sequence[Point],
        *,
        name: str,
        stroke_color: str,
        width: float,
        stroke_dasharray: str | None = None,
    ) -> None:
        """See leather."""
        ...

    def add_x_scale(self, domain_min: float, domain_max: float) -> None:
        """See leather."""
        ...

    def add_y_scale(self, domain_min: float, domain_max: float) -> None:
        """See leather."""
        ...

    def add_x_axis(self, *, ticks: Any = None, tick_formatter: Any = None, name: str | None = None) -> None:
        """See leather."""
        ...

    def add_y_axis(self, *, ticks: Any = None, tick_formatter: Any = None, name: str | None = None) -> None:
        """See leather."""
        ...

    def to_svg(self, *, width: int, height: int) -> str:
        """See leather."""
        ...


def new_chart() -> Chart | None:
    """Return an empty chart in the house's style; None where leather is not installed."""
    try:
        leather = cast("Any", importlib.import_module("leather"))
    except ModuleNotFoundError:
        return None
    theme = leather.theme
    theme.background_color = "#ffffff"
    theme.margin = 0.02
    for part in ("axis_title", "legend", "tick", "title"):
        setattr(theme, f"{part}_font_family", "system-ui, sans-serif")
        setattr(theme, f"{part}_font_size", 13)
    theme.label_color = theme.legend_color = theme.axis_title_color = "#333333"
    return cast("Chart", leather.Chart())


def figure(chart: Chart, caption: str, *, height: int) -> str:
    """Return *chart* with its *caption*, which also says to those who cannot see it what it shows."""
    svg = chart.to_svg(width=WIDTH, height=height)
    short = _TAG.sub(lambda found: _DECIMALS.sub(r"\1", found[0]), svg)
    short = short.replace("<svg ", f'<svg viewBox="0 0 {WIDTH} {height}" ', 1)
    return f'<figure role="img" aria-label="{esc(caption)}">{short}<figcaption>{esc(caption)}</figcaption></figure>'


def books(item: SiteBooks, caption: str) -> str:
    """Return the chart of chip time by activity over periods, "" when there is none to draw."""
    used = [activity for activity in COLOURS if item.chip_ms[activity]]
    if not used:
        return ""
    chart = new_chart()
    if chart is None:
        return ABSENT
    most = max(sum(column.chip_ms.values()) for column in item.columns)
    scale, unit = next((scale, unit) for scale, unit in _UNITS if most >= 10 * scale or scale == 1)
    for top in range(len(used), 0, -1):  # each covers the ones below it, so what shows of it is its own share
        below = used[:top]
        heights = [(str(column.first), _height(column, below, scale)) for column in item.columns]
        chart.add_columns(heights, name=used[top - 1].value, fill_color=COLOURS[used[top - 1]])
    marks = [str(column.first) for column in item.columns][:: max(1, -(-len(item.columns) // 10))]
    chart.add_x_axis(ticks=marks, name="period")
    chart.add_y_axis(name=unit)
    return figure(chart, caption, height=250)


def _height(column: Column, below: Sequence[Activity], scale: int) -> float | None:
    """Return how high the topmost activity of *below* reaches, None where it has nothing of its own to show."""
    if not column.chip_ms.get(below[-1], 0):
        return None
    return sum(column.chip_ms.get(one, 0) for one in below) / scale


def lineages(runs: Sequence[RunBooks], caption: str) -> str:
    """Return runs as lanes over time, each from its first period to its last, with lines to those it descends from.

    *runs* stand from top to bottom; those without periods are left out.
    """
    lanes = [run for run in runs if run.periods is not None]
    chart = new_chart()
    if chart is None:
        return ABSENT
    place = {(run.lab, run.workload): len(lanes) - at for at, run in enumerate(lanes)}
    spans = {place[run.lab, run.workload]: run.periods for run in lanes if run.periods is not None}
    edges: list[Point] = []
    for run in lanes:
        child = place[run.lab, run.workload]
        for parent in (place[key] for key in run.parents if key in place):
            begun = spans[child][0]
            edges += [
                (float(min(begun, spans[parent][1] + 1)), float(parent)),
                (float(begun), float(child)),
                (None, None),
            ]
    if edges:
        chart.add_line(edges, name="descends from", stroke_color="#555555", width=1.5, stroke_dasharray="5 3")
    for name, colour, wanted in (("run", "#0072b2", False), ("run beyond a threshold", "#d55e00", True)):
        points: list[Point] = []
        for run in lanes:
            if bool(run.passed) is wanted and run.periods is not None:
                at = float(place[run.lab, run.workload])
                points += [(float(run.periods[0]), at), (float(run.periods[1] + 1), at), (None, None)]
        if points:
            chart.add_line(points, name=name, stroke_color=colour, width=7)
    names = {at: f"{_cut(key[1], 22)} · {_cut(key[0], 24)}" for key, at in place.items()}
    first, end = min(span[0] for span in spans.values()), max(span[1] for span in spans.values()) + 1
    chart.add_x_scale(first, end)
    chart.add_y_scale(0.5, len(lanes) + 0.5)
    chart.add_x_axis(ticks=list(range(first, end + 1, -(-(end - first) // 12))), name="period")
    chart.add_y_axis(ticks=sorted(names), tick_formatter=partial(_named, names))
    return figure(chart, caption, height=110 + 24 * len(lanes))


def _named(names: Mapping[int, str], value: float, _at: int, _count: int) -> str:
    return names.get(round(value), "")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
