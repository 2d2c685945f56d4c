"""How a tidy table is drawn: a :class:`~brakeline.explorer.answers.forms.Series` as a Vega-Lite chart, by Altair.

One look for page and report. Colours are Okabe and Ito's, told apart by people who see fewer of them; lines differ in
their dashes, too, so that a print in grey can be read. What a series marks as an interval is a band or a bar. The page
renders the specification with Vega in the browser; the report holds it as a static SVG.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import altair as alt
from brakeline.explorer.answers.forms import Column, Series

WIDTH, HEIGHT = 560, 300
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8A7A00")
"""Okabe and Ito (2008), the yellow darkened to be seen on white."""
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (1, 3), (10, 4), (4, 1), (2, 5))
INK = "#1b1f24"
_NUMBERS = (
    "datum.value != 0 && (abs(datum.value) >= 1e6 || abs(datum.value) < 1e-3)"
    " ? replace(format(datum.value, '.3~e'), 'e+', 'e') : format(datum.value, ',.3~f')"
)
"""How numbers stand at axes: 2.5e24, 1,000, 0.05."""
_TYPES = {"number": "quantitative", "name": "nominal", "date": "temporal"}


def spec(series: Series, *, width: int = WIDTH, height: int = HEIGHT) -> dict[str, Any]:
    """Return the Vega-Lite specification of *series*, its data inside; *width*, *height* in pixels."""
    return chart(series, width=width, height=height).to_dict(validate=False)


def svg(series: Series, *, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Return *series* drawn as one SVG element: no script, no outside font, no link."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec(series, width=width, height=height)))


def extent(series: Series, axis: Literal["x", "y"]) -> tuple[float, float] | None:
    """Return the smallest and largest number that is drawn along *axis*, None where it has names: for shared axes."""
    name = series.x if axis == "x" else series.y
    if _column(series, name).kind != "number":
        return None
    names = {name, *(end for end in (series.low, series.high) if end is not None and axis == "y")}
    found = [float(r[n]) for r in _drawable(series) for n in names if isinstance(r[n], int | float)]  # type: ignore[arg-type]
    found += [rule.value for rule in series.rules if rule.axis == name]
    if series.mark == "bar" and axis == "y":
        found.append(0.0)
    return (min(found), max(found)) if found else None


def chart(series: Series, *, width: int = WIDTH, height: int = HEIGHT) -> alt.LayerChart:
    """Return *series* as an Altair chart."""
    data = _data([dict(record) for record in _drawable(series)])
    layers = [*_interval(series), _mark(series, data), *_rules(series)]
    drawn: Any = alt.layer(*layers).properties(width=width, height=height)
    return cast(
        "alt.LayerChart",
        drawn.configure(
            font="system-ui, sans-serif",
            background="white",
            axis=alt.AxisConfig(labelFontSize=13, titleFontSize=13, labelColor=INK, titleColor=INK, labelLimit=260),
            legend=alt.LegendConfig(
                labelFontSize=13, titleFontSize=13, orient="bottom", columns=2, labelLimit=260, symbolStrokeWidth=3
            ),
            view=alt.ViewConfig(stroke="#8c959f"),
        ),
    )


def _data(values: list[dict[str, object]]) -> alt.Data:
    make: Any = alt.Data  # the library leaves the signature of its data open
    return cast("alt.Data", make(values=values))


def _drawable(series: Series) -> Iterator[dict[str, object]]:
    """Yield the records that can be drawn: a logarithm has no room for zero, a point no room for nothing."""
    logs = {column.name for column in series.columns if column.log}
    for record in series.records():
        ends = (record[series.x], record[series.y])
        if any(value is None for value in ends):
            continue
        if any(isinstance(record[name], int | float) and float(record[name] or 0) <= 0 for name in logs):
            continue
        yield dict(record)


def _mark(series: Series, data: alt.Data) -> alt.Chart:
    base = alt.Chart(data)
    shape: Any = {
        "line": lambda: base.mark_line(strokeWidth=2.5),
        "step": lambda: base.mark_line(strokeWidth=2.5, interpolate="step-after"),
        "bar": lambda: base.mark_bar(),
        "point": lambda: base.mark_point(size=70, filled=True),
    }[series.mark]()
    channels: dict[str, Any] = {
        "x": _axis(series, series.x, alt.X),
        "y": _axis(series, series.y, alt.Y),
        "tooltip": [_tip(column) for column in series.columns],
    }
    if series.colour is not None:
        channels["color"] = _colour(series)
        if series.mark in {"line", "step"}:
            channels["strokeDash"] = alt.StrokeDash(
                field=_escaped(series.colour),
                type="nominal",
                scale=alt.Scale(domain=_names(series), range=[list(d) for d in DASHES]),
                legend=alt.Legend(title=None),
            )
        if series.mark == "bar" and _column(series, series.x).kind == "name":
            channels["xOffset"] = alt.XOffset(field=_escaped(series.colour), type="nominal")
    else:
        channels["color"] = alt.value(PALETTE[0])
    return cast("alt.Chart", shape.encode(**channels))


def _interval(series: Series) -> Iterator[alt.Chart]:
    if series.low is None or series.high is None:
        return
    ends = (series.low, series.high)
    base = alt.Chart(_data([dict(r) for r in _drawable(series) if all(r[name] is not None for name in ends)]))
    band = series.mark in {"line", "step"}
    shape = base.mark_area(opacity=0.18) if band else base.mark_rule(strokeWidth=2)
    horizontal = _column(series, series.y).kind == "name"
    channels: dict[str, Any] = {}
    if horizontal:
        channels |= {"y": _axis(series, series.y, alt.Y), "x": _axis(series, series.low, alt.X, series.x)}
        channels["x2"] = alt.X2(field=_escaped(series.high))
    else:
        channels |= {"x": _axis(series, series.x, alt.X), "y": _axis(series, series.low, alt.Y, series.y)}
        channels["y2"] = alt.Y2(field=_escaped(series.high))
    channels["color"] = alt.value(PALETTE[0]) if series.colour is None else _colour(series)
    if series.colour is not None and not band and _column(series, series.x).kind == "name":
        channels["xOffset"] = alt.XOffset(field=_escaped(series.colour), type="nominal")
    yield shape.encode(**channels)


def _rules(series: Series) -> Iterator[alt.Chart]:
    """Yield lines across the plot, each with what it says written at its end."""
    for rule in series.rules:
        data = _data([{"at": rule.value, "label": rule.label}])
        if rule.axis == series.x:
            channels: dict[str, Any] = {"x": alt.X("at:Q")}
            place: dict[str, Any] = {"align": "left", "dx": 5, "y": 12}
        else:
            channels, place = {"y": alt.Y("at:Q")}, {"align": "left", "dy": -6, "x": 6}
        yield alt.Chart(data).mark_rule(strokeDash=[4, 4], strokeWidth=1.5, color=INK).encode(**channels)
        yield (alt.Chart(data).mark_text(fontSize=12, color=INK, **place).encode(text=alt.Text("label:N"), **channels))


def _axis(series: Series, name: str, channel: Any, titled: str | None = None) -> Any:
    """Return the channel for the column *name*, titled as the column *titled* (default: itself)."""
    column, shown = _column(series, name), _column(series, titled or name)
    title = f"{shown.title} ({shown.unit})" if shown.unit else shown.title
    options: dict[str, Any] = {"field": _escaped(name), "type": _TYPES[column.kind], "title": title}
    if column.kind == "number":
        options["scale"] = alt.Scale(type="log") if shown.log else alt.Scale(zero=series.mark == "bar")
        options["axis"] = alt.Axis(labelExpr=_NUMBERS, labelFlush=True)
    elif column.kind == "name":
        options["sort"] = None  # as the table has it
        options["axis"] = alt.Axis(labelAngle=0 if channel is alt.Y else -30)
    return channel(**options)


def _colour(series: Series) -> alt.Color:
    assert series.colour is not None
    return alt.Color(
        field=_escaped(series.colour),
        type="nominal",
        scale=alt.Scale(domain=_names(series), range=list(PALETTE)),
        legend=alt.Legend(title=None),
    )


def _names(series: Series) -> list[str]:
    """Return the names that colours stand for, in the order of the table."""
    assert series.colour is not None
    return list(dict.fromkeys(str(value) for value in series.column(series.colour)))


def _tip(column: Column) -> alt.Tooltip:
    title = f"{column.title} ({column.unit})" if column.unit else column.title
    if column.kind == "number":
        return alt.Tooltip(field=_escaped(column.name), type="quantitative", title=title, format=".3~g")
    return alt.Tooltip(field=_escaped(column.name), type=cast("Any", _TYPES[column.kind]), title=title)


def _column(series: Series, name: str) -> Column:
    return next(column for column in series.columns if column.name == name)


def _escaped(name: str) -> str:
    """Return a field's name as Vega takes it: dots and brackets would mean members of members."""
    return name.replace(".", "\\.").replace("[", "\\[").replace("]", "\\]")
