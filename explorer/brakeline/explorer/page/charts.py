"""How a tidy table is drawn: a :class:`~brakeline.explorer.answers.forms.Series` as a Vega-Lite chart, by Altair.

One look for page and report. Colours are Okabe and Ito's, told apart by people who see fewer of them; lines differ in
their dashes, too, so that a print in grey can be read. Names stand at the left, where they can be read, and bars lie.
Many lines over few places would cover each other: they become a grid of cells with their values written in. A table of
names alone is not drawn at all. The page renders a specification with Vega in the browser; the report holds it as SVG.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, cast

import altair as alt
from brakeline.explorer.answers.forms import Cell, Column, Rule, Series

WIDTH, HEIGHT = 560, 300
ROW = 26
"""Height of a name at the left, pixels."""
CROWD = 6
"""Lines beyond which a plot becomes a grid."""
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8A7A00")
"""Okabe and Ito (2008), the yellow darkened to be seen on white."""
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (1, 3), (10, 4), (4, 1))
INK = "#1b1f24"
_NUMBERS = (
    "datum.value != 0 && (abs(datum.value) >= 1e6 || abs(datum.value) < 1e-3)"
    " ? replace(format(datum.value, '.3~e'), 'e+', 'e') : format(datum.value, ',.3~f')"
)
"""How numbers stand at axes: 2.5e24, 1,000, 0.05."""
_TYPES = {"number": "quantitative", "name": "nominal", "date": "temporal"}
Axis = Literal["x", "y"]


def spec(series: Series, *, width: int = WIDTH, height: int = HEIGHT) -> dict[str, Any] | None:
    """Return the Vega-Lite specification of *series*, its data inside; None where there is nothing to draw.

    *width*, *height*: of the plot, in pixels; names at the left need height by their number.
    """
    drawn = chart(series, width=width, height=height)
    return None if drawn is None else drawn.to_dict(validate=False)


def svg(series: Series, *, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Return *series* drawn as one SVG element: no script, no outside font, no link; "" where there is none."""
    import vl_convert

    drawn = spec(series, width=width, height=height)
    return "" if drawn is None else str(vl_convert.vegalite_to_svg(drawn))


def extent(series: Series, axis: Axis) -> tuple[float, float] | None:
    """Return the smallest and largest number that is drawn along *axis*, None where it has names: for shared axes."""
    if _crowded(series):
        return None
    name = _along(series)[axis]
    if _column(series, name).kind != "number":
        return None
    names = [name, *(end for end in (series.low, series.high) if end is not None and name == series.y)]
    cells = [record[item] for record in _drawable(series) for item in names]
    found = [float(cell) for cell in cells if isinstance(cell, int | float)]
    found += [rule.value for rule in series.rules if rule.axis == name]
    if _lies(series) and series.mark == "bar" and name == series.y and not _column(series, name).log:
        found.append(0.0)
    return (min(found), max(found)) if found else None


def chart(series: Series, *, width: int = WIDTH, height: int = HEIGHT) -> alt.LayerChart | None:
    """Return *series* as an Altair chart, None where it has no number to draw."""
    records = [dict(record) for record in _drawable(series)]
    if not records or all(_column(series, name).kind == "name" for name in (series.x, series.y)):
        return None
    if _crowded(series):
        layers, height = _grid(series, records), ROW * len(_names(series))
    else:
        layers = [*_interval(series, records), _mark(series, records), *_rules(series)]
        if _lies(series):
            height = max(120, ROW * len({record[series.x] for record in records}))
    drawn: Any = alt.layer(*layers).properties(width=width, height=height)
    return cast(
        "alt.LayerChart",
        drawn.configure(
            font="system-ui, sans-serif",
            background="white",
            padding={"left": 24, "right": 8, "top": 5, "bottom": 5},  # browsers' fonts are wider than the drawer's
            axis=alt.AxisConfig(labelFontSize=13, titleFontSize=13, labelColor=INK, titleColor=INK, labelLimit=280),
            legend=alt.LegendConfig(
                labelFontSize=13, orient="bottom", columns=3, labelLimit=260, symbolStrokeWidth=3, symbolOpacity=1
            ),
            view=alt.ViewConfig(stroke="#8c959f"),
        ),
    )


# what is drawn where --------------------------------------------------------------------------------------------------


def _drawable(series: Series) -> Iterator[dict[str, Cell]]:
    """Yield the records that can be drawn: a logarithm has no room for zero, a point no room for nothing."""
    logs = {column.name for column in series.columns if column.log and column.name in {series.x, series.y}}
    for record in series.records():
        if record[series.x] is None or record[series.y] is None:
            continue
        if any(isinstance(cell := record[name], int | float) and cell <= 0 for name in logs):
            continue
        yield record


def _lies(series: Series) -> bool:
    """Whether names are along x: they are drawn at the left, and the numbers to the right."""
    return _column(series, series.x).kind == "name"


def _along(series: Series) -> dict[Axis, str]:
    """Return which column is drawn along which axis."""
    return {"x": series.y, "y": series.x} if _lies(series) else {"x": series.x, "y": series.y}


def _crowded(series: Series) -> bool:
    """Whether lines would cover each other, and there are few enough places to write the values out."""
    if series.mark not in {"line", "step"} or series.colour is None:
        return False
    return len(_names(series)) > CROWD and len(set(series.column(series.x))) <= 16


def _names(series: Series) -> list[str]:
    """Return the names that colours stand for, in the order of the table."""
    assert series.colour is not None
    return list(dict.fromkeys(str(value) for value in series.column(series.colour)))


def _column(series: Series, name: str) -> Column:
    return next(column for column in series.columns if column.name == name)


def _data(values: list[dict[str, Cell]]) -> alt.Data:
    make: Any = alt.Data  # the library leaves the signature of its data open
    return cast("alt.Data", make(values=values))


# marks ----------------------------------------------------------------------------------------------------------------


def _mark(series: Series, records: list[dict[str, Cell]]) -> alt.Chart:
    base, along = alt.Chart(_data(records)), _along(series)
    point = series.mark == "point" or (
        series.mark == "bar" and _column(series, series.y).log
    )  # no bar starts at 0 there
    if point:
        shape: Any = base.mark_point(size=90, filled=True, opacity=1)
    elif series.mark == "bar":
        shape = base.mark_bar()
    else:
        shape = base.mark_line(strokeWidth=2.5, interpolate="step-after" if series.mark == "step" else "linear")
    channels: dict[str, Any] = {
        "x": _axis(series, along["x"], alt.X),
        "y": _axis(series, along["y"], alt.Y),
        "tooltip": [_tip(column) for column in series.columns],
        "color": _colour(series),
    }
    if series.colour is not None and series.mark in {"line", "step"}:
        channels["strokeDash"] = alt.StrokeDash(
            field=_escaped(series.colour),
            type="nominal",
            scale=alt.Scale(domain=_names(series), range=[list(dash) for dash in DASHES]),
            legend=alt.Legend(title=None),
        )
    channels |= _offset(series)
    return cast("alt.Chart", shape.encode(**channels))


def _interval(series: Series, records: list[dict[str, Cell]]) -> Iterator[alt.Chart]:
    if series.low is None or series.high is None:
        return
    low, high = series.low, series.high
    base = alt.Chart(_data([record for record in records if record[low] is not None and record[high] is not None]))
    along, lies = _along(series), _lies(series)
    shape: Any = base.mark_area(opacity=0.18) if series.mark in {"line", "step"} else base.mark_rule(strokeWidth=2)
    channels: dict[str, Any] = {"color": _colour(series), **_offset(series)}
    if lies:
        channels |= {"y": _axis(series, along["y"], alt.Y), "x": _axis(series, low, alt.X, series.y)}
        channels["x2"] = alt.X2(field=_escaped(high))
    else:
        channels |= {"x": _axis(series, along["x"], alt.X), "y": _axis(series, low, alt.Y, series.y)}
        channels["y2"] = alt.Y2(field=_escaped(high))
    yield shape.encode(**channels)


def _rules(series: Series) -> Iterator[alt.Chart]:
    """Yield lines across the plot, each with what it says written beside it, on the side that has room."""
    for number, rule in enumerate(series.rules):
        data = _data([{"at": rule.value, "label": rule.label}])
        channels: dict[str, Any]
        if _along(series)["x"] == rule.axis:
            channels = {"x": alt.X("at:Q")}
            late = _late(series, rule)
            place: dict[str, Any] = {"align": "right" if late else "left", "dx": -5 if late else 5}
            place["y"] = 12 + 15 * (number % 4) if _lies(series) else 12
        else:
            channels, place = {"y": alt.Y("at:Q")}, {"align": "left", "dy": -6, "x": 6}
        yield alt.Chart(data).mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=INK).encode(**channels)
        yield (
            alt.Chart(data)
            .mark_text(fontSize=12, color=INK, stroke=None, **place)
            .encode(text=alt.Text("label:N"), **channels)
        )


def _late(series: Series, rule: Rule) -> bool:
    """Whether *rule* stands in the right half, so that its label goes to its left."""
    ends = extent(series, "x")
    if ends is None or ends[0] == ends[1]:
        return False
    low, high, at = ends[0], ends[1], rule.value
    if _column(series, rule.axis).log and low > 0:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low) > 0.5


def _grid(series: Series, records: list[dict[str, Cell]]) -> list[alt.Chart]:
    """Return cells: names at the left, places along the bottom, the value in each as colour and as text."""
    assert series.colour is not None
    marks = {rule.value: rule.label for rule in series.rules if rule.axis == series.x}
    places = sorted({float(cell) for cell in series.column(series.x) if isinstance(cell, int | float)})
    cells: list[dict[str, Cell]] = []
    for record in records:
        at, value = record[series.x], record[series.y]
        assert isinstance(at, int | float)
        assert isinstance(value, int | float)
        cells.append({**record, "place": _written(float(at)), "value": float(value), "text": f"{value:.2f}"})
    x, y = _column(series, series.x), _column(series, series.y)
    title = f"{x.title} ({x.unit})" if x.unit else x.title
    told = [f"{_written(value)}: {label}" for value, label in marks.items()]
    told += [f"{rule.label}: {rule.value:g}" for rule in series.rules if rule.axis == series.y]
    base = alt.Chart(_data(cells)).encode(
        x=alt.X(
            "place:N", sort=[_written(place) for place in places], title=[title, *told], axis=alt.Axis(labelAngle=0)
        ),
        y=alt.Y(_escaped(series.colour), type="nominal", sort=_names(series), title=None),
    )
    scale = alt.Scale(domain=[0, 1], range=["#f6f8fa", "#0072B2"])
    colour = alt.Color("value:Q", scale=scale, legend=alt.Legend(title=y.title, gradientLength=160))
    white = alt.condition("datum.value > 0.55", alt.value("white"), alt.value(INK))
    return [
        base.mark_rect(stroke="white").encode(color=colour, tooltip=[_tip(column) for column in series.columns]),
        base.mark_text(fontSize=12).encode(text="text:N", color=white),
    ]


# axes and colours -----------------------------------------------------------------------------------------------------


def _axis(series: Series, name: str, channel: Any, titled: str | None = None) -> Any:
    """Return the channel for the column *name*, titled and scaled as the column *titled* (default: itself)."""
    column, shown = _column(series, name), _column(series, titled or name)
    title = f"{shown.title} ({shown.unit})" if shown.unit else shown.title
    options: dict[str, Any] = {"field": _escaped(name), "type": _TYPES[column.kind], "title": title}
    if column.kind == "number":
        options["scale"] = alt.Scale(type="log") if shown.log else alt.Scale(zero=series.mark == "bar")
        options["axis"] = alt.Axis(labelExpr=_NUMBERS, labelFlush=True, labelOverlap=True)
        if shown.log:
            options["axis"] = alt.Axis(labelExpr=_NUMBERS, values=_decades(series, shown.name), labelOverlap=True)
    elif column.kind == "name":
        options |= {"sort": None, "title": None}  # as the table has it; the names speak for themselves
    return channel(**options)


def _decades(series: Series, name: str) -> list[float]:
    """Return where a logarithmic axis is marked: powers of ten, halves too where there are few, with room around."""
    cells = [float(cell) for cell in series.column(name) if isinstance(cell, int | float) and cell > 0]
    cells += [rule.value for rule in series.rules if rule.axis == name]
    low, high = math.floor(math.log10(min(cells))), math.ceil(math.log10(max(cells)))
    step = max(1, (high - low) // 8)
    steps = (1, 2, 5) if high - low <= 2 else (1, 3) if high - low <= 4 else (1,)
    return [factor * 10.0**power for power in range(low - 2 * step, high + 2 * step + 1, step) for factor in steps]


def _colour(series: Series) -> Any:
    if series.colour is None:
        return alt.value(PALETTE[0])
    return alt.Color(
        field=_escaped(series.colour),
        type="nominal",
        scale=alt.Scale(domain=_names(series), range=list(PALETTE)),
        legend=alt.Legend(title=None),
    )


def _offset(series: Series) -> dict[str, Any]:
    """Return the channel that sets bars of one name side by side."""
    if series.colour is None or series.mark != "bar" or not _lies(series):
        return {}
    return {"yOffset": alt.YOffset(field=_escaped(series.colour), type="nominal", sort=_names(series))}


def _tip(column: Column) -> alt.Tooltip:
    title = f"{column.title} ({column.unit})" if column.unit else column.title
    if column.kind == "number":
        return alt.Tooltip(field=_escaped(column.name), type="quantitative", title=title, format=".3~g")
    return alt.Tooltip(field=_escaped(column.name), type=cast("Any", _TYPES[column.kind]), title=title)


def _written(value: float) -> str:
    """Write a number short: 1e25, 300."""
    return f"{value:.2g}".replace("e+", "e")


def _escaped(name: str) -> str:
    """Return a field's name as Vega takes it: dots and brackets would mean members of members."""
    return name.replace(".", "\\.").replace("[", "\\[").replace("]", "\\]")
