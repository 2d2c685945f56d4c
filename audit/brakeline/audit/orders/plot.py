"""Compute of a site over time, with the order drawn in, as one static SVG: no script, no style sheet, no network.

Drawn by leather (the extra ``[plots]``), whose SVG depends on its input alone; without it there is no plot, and the
page says so. Floating point is for drawing only: every figure stands in the tables.
"""

from __future__ import annotations

from collections.abc import Iterable

from brakeline.audit.page.charts import Chart, new_chart
from brakeline.treaty.order_report import OrderReport, SiteReport
from brakeline.treaty.orders import share
from brakeline.treaty.quantities import Grid

WIDTH, HEIGHT = 880, 300
WINDOW = 400
"""Periods drawn at most, the ones around the order."""
_COLOURS = {"compute": "#2563a8", "quorum": "#b3261e", "binding": "#c77700", "until": "#1b6e3c", "ceiling": "#767676"}

Points = list[tuple[float, float]]


def draw(site: SiteReport, order: OrderReport, grid: Grid) -> str | None:
    """Return the plot of *site* as SVG text; None when there is nothing to draw, or no leather to draw it with."""
    chart = new_chart()
    around = [item for item in site.periods if item.period < order.order.effective_period + WINDOW]
    if chart is None or not around:
        return None
    begin, end = around[0].period, around[-1].period + 1
    chart.add_x_scale(begin, end)
    chart.add_y_scale(0, 100)
    chart.add_x_axis(name="period")
    chart.add_y_axis(ticks=[0, 25, 50, 75, 100], name="% of chip time in scope")
    steps = [(float(at), float(100 * item.used)) for item in around for at in (item.period, item.period + 1)]
    _line(chart, steps, "in the books", "compute")
    if site.quorum_ms is not None:
        at = (site.quorum_ms - grid.start.value) / grid.period.value
        _upright(chart, at, begin, end, "quorum", "quorum")
    if order.binding is not None:
        _upright(chart, order.binding, begin, end, "breach from here", "binding")
        if order.order.ceiling is not None and order.binding < min(end, order.until):
            left = 100 * float(share(order.order))
            _line(chart, [(order.binding, left), (min(end, order.until), left)], "ceiling", "ceiling")
    _upright(chart, order.until, begin, end, "lifted" if order.lifted_by else "expires", "until")
    return chart.to_svg(width=WIDTH, height=HEIGHT)


def _upright(chart: Chart, at: float, begin: int, end: int, name: str, colour: str) -> None:
    if begin <= at <= end:
        _line(chart, [(at, 0.0), (at, 100.0)], name, colour)


def _line(chart: Chart, points: Iterable[tuple[float, float]], name: str, colour: str) -> None:
    chart.add_line([(float(x), float(y)) for x, y in points], name=name, stroke_color=_COLOURS[colour], width=2.0)
