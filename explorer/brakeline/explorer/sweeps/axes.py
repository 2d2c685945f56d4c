"""Axes of a sweep: a term of the treaty and the values that it takes, as a person writes them."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from brakeline.explorer.scenario.designs import Term, move, terms_of
from brakeline.explorer.scenario.load import Scenario, ScenarioError

Values: TypeAlias = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """A term, the values it takes, their unit, and whether it moves by factors."""

    term: str
    values: Values
    unit: str = ""
    log: bool = False


def axis(text: str, scenario: Scenario, only: Container[str] | None = None) -> Axis:
    """Read ``TERM=1,2,3`` or ``TERM=low:high:count`` (by equal factors where the term moves so).

    Args:
        text: as written.
        scenario: whose treaty has the term.
        only: the terms that may be swept; None: all that can be moved.

    Raises:
        ScenarioError: ``sweep-axis`` for a term that cannot be swept or values that are none; ``treaty-*`` for a value
            that the treaty cannot have.
    """
    name, _, written = text.partition("=")
    terms = {term.id: term for term in terms_of(scenario.document) if only is None or term.id in only}
    if name not in terms:
        raise _error("no such term to sweep", ", ".join(terms), name)
    try:
        values = _values(written, terms[name])
    except ValueError:
        raise _error("not values of a term", "1,2,3 or low:high:count", written) from None
    for value in (min(values), max(values)):
        move(scenario.treaty_text, {name: value})
    return Axis(name, values, terms[name].unit, terms[name].log and min(values) > 0)


def size(axes: Sequence[Axis], most: int) -> int:
    """Return the number of designs (ScenarioError ``sweep-size``: none, or more than *most*)."""
    count = math.prod(len(item.values) for item in axes)
    if not 0 < count <= most:
        raise ScenarioError(code="sweep-size", message="too many designs", expected=f"1 to {most}", found=str(count))
    return count


def _values(written: str, term: Term) -> Values:
    if ":" not in written:
        values = tuple(float(item) for item in written.split(","))
    else:
        low, high, count = written.split(":")
        spaced = np.geomspace if term.log else np.linspace
        values = tuple(float(item) for item in spaced(float(low), float(high), int(count)))
    if not values or not all(math.isfinite(item) and item >= 0 for item in values):
        raise ValueError
    whole = term.form != "ratio"
    return tuple(float(round(item)) if whole else item for item in values)


def _error(message: str, expected: str, found: str) -> ScenarioError:
    return ScenarioError(code="sweep-axis", message=message, expected=expected, found=found[:60])
