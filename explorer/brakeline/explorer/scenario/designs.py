"""Designs: which terms of a treaty can be moved, the text with them moved, and how two designs differ.

What it is: edits of the TOML text that negotiators sign, so that what is explored is what verifiers load; comments
stay. What it is not: a judgement of either design.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from brakeline.explorer.scenario.load import ScenarioError
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.mistakes import Path
from brakeline.treaty.rule_table import RULES
from brakeline.treaty.strictjson import JsonValue
from brakeline.treaty.toml_lines import locate

Form: TypeAlias = Literal["integer", "decimal", "ratio"]
"""How the file writes it: a TOML integer, digits in quotes, a table of two integers."""
_KEYED = ("name", "rule")
_DAY, _HOUR = 86_400_000, 3_600_000


@dataclass(frozen=True, slots=True)
class Term:
    """A term that can be moved.

    Attributes:
        id: kebab-case, the same in every treaty that has it.
        name: for a person.
        path: where it stands.
        unit: of the value.
        low, high: a sensible range; what is sane is still decided by reading the moved text.
        value: as it is.
        log: whether to move it by factors.
        form: how it is written.
        about: what it does.
    """

    id: str
    name: str
    path: Path
    unit: str
    low: float
    high: float
    value: float
    log: bool
    form: Form
    about: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One member in which two treaties differ: where (as a person reads it), and both values; "" where it is absent."""

    where: str
    before: str
    after: str


_PLAIN: tuple[tuple[str, str, tuple[str, str], str, float, float, bool, Form, str], ...] = (
    (
        "significant-quantity",
        "significant quantity",
        ("goals", "significant_quantity_flop"),
        "FLOP",
        1e22,
        1e27,
        True,
        "decimal",
        "an amount of training that would matter",
    ),
    ("detection", "detection goal", ("goals", "detection"), "", 0.5, 0.999, False, "ratio", "how surely it is seen"),
    (
        "timeliness",
        "timeliness goal",
        ("goals", "timeliness_ms"),
        "ms",
        _DAY,
        365 * _DAY,
        True,
        "integer",
        "how soon it is seen",
    ),
    (
        "report",
        "time to report",
        ("deadlines", "report_ms"),
        "ms",
        _HOUR,
        30 * _DAY,
        True,
        "integer",
        "until books stand",
    ),
    (
        "reply",
        "right of reply",
        ("deadlines", "reply_ms"),
        "ms",
        _HOUR,
        60 * _DAY,
        True,
        "integer",
        "before a referral",
    ),
    (
        "notice",
        "notice of an order",
        ("deadlines", "notice_ms"),
        "ms",
        60_000,
        7 * _DAY,
        True,
        "integer",
        "until it binds",
    ),
    ("stop", "time to stop", ("deadlines", "stop_ms"), "ms", 1_000, 7 * _DAY, True, "integer", "until no step starts"),
    ("orders", "parties that sign an order", ("quorum", "orders"), "", 1, 64, False, "integer", "more than half"),
    ("margin", "margin between the methods", ("counting", "margin"), "", 0.0, 0.9, False, "ratio", "of the larger one"),
    ("pue", "facility over chip energy", ("counting", "pue"), "", 1.0, 2.0, False, "ratio", "as the meter sees it"),
)
_RANGES: Mapping[str, tuple[float, float, bool]] = {
    "permille": (0, 1000, False),
    "percent": (100, 300, False),
    "flop": (1e20, 1e26, True),
    "joules": (1e6, 1e14, True),
}
"""Range of a rule's parameter by the last word of its name."""
_MOVED = (
    "threshold",
    "idle-compute",
    "activity-shape",
    "method-gap",
    "muf",
    "energy-gap",
    "undeclared-run",
    "unlinked-runs",
    "contradiction",
)
"""Rules whose parameters the answers depend on."""


def terms_of(document: TreatyDocument) -> tuple[Term, ...]:
    """Return the terms of *document* that can be moved: goals, deadlines, quorum, lines, parameters of the rules."""
    return (*_plain(document), *_lines(document), *_parameters(document))


def move(text: str, values: Mapping[str, float]) -> str:
    """Return the treaty *text* with terms moved to *values* (by id); everything else stays, byte for byte.

    Raises:
        ScenarioError: ``scenario-term`` for an id that this treaty does not have or a text that writes it over several
            lines; ``treaty-*`` when the treaty with these values is not sane.
    """
    document = load_toml(text).require()
    known = {term.id: term for term in terms_of(document)}
    for name, value in values.items():
        if name not in known:
            raise ScenarioError(
                code="scenario-term", message="no such term", expected=", ".join(known), found=name[:60]
            )
        text = _moved(text, known[name], value)
    loaded = load_toml(text)
    if loaded.document is None:
        first = loaded.problems[0].mistake
        raise ScenarioError(
            code=first.code,
            message=f"{first.where}: {first.message}",
            expected=first.expected,
            found=first.found,
            fix=first.fix,
        )
    return text


def difference(before: TreatyDocument, after: TreatyDocument) -> tuple[Difference, ...]:
    """Return every member in which two treaties differ, in the order of the document."""
    old, new = dict(_flat("", before.to_json())), dict(_flat("", after.to_json()))
    places = [*old, *(place for place in new if place not in old)]
    return tuple(
        Difference(place, old.get(place, ""), new.get(place, ""))
        for place in places
        if old.get(place) != new.get(place)
    )


def _plain(document: TreatyDocument) -> Iterator[Term]:
    tree = document.to_json()
    for name, title, path, unit, low, high, log, form, about in _PLAIN:
        table = tree[path[0]]
        assert isinstance(table, dict)
        yield Term(name, title, path, unit, low, high, _number(table[path[1]]), log, form, about)


def _lines(document: TreatyDocument) -> Iterator[Term]:
    for index, line in enumerate(document.thresholds):
        path: Path = ("threshold", index, "flop")
        value = float(line.flop.value)
        yield Term(
            f"line-{line.name}", f"line: {line.name}", path, "FLOP", 1e22, 1e27, value, True, "decimal", line.article
        )


def _parameters(document: TreatyDocument) -> Iterator[Term]:
    for index, terms in enumerate(document.rules):
        if terms.rule not in _MOVED:
            continue
        for item in RULES[terms.rule].parameters:
            last = item.name.rpartition("_")[2]
            if last not in _RANGES:
                continue
            (low, high, log), value = _RANGES[last], float(terms.integer(item.name))
            path: Path = ("rule", index, "parameters", item.name)
            yield Term(
                f"{terms.rule}-{item.name.replace('_', '-')}",
                f"{terms.rule}: {item.name}",
                path,
                item.unit,
                min(low, value),
                max(high, value),
                value,
                log,
                "decimal" if item.form == "decimal" else "integer",
                item.meaning,
            )


def _number(value: JsonValue) -> float:
    if isinstance(value, dict):
        top, bottom = value["numerator"], value["denominator"]
        assert isinstance(top, int)
        assert isinstance(bottom, int)
        return top / bottom
    assert isinstance(value, int | str)
    return float(value)


def _moved(text: str, term: Term, value: float) -> str:
    if value == term.value:
        return text
    number = locate(text).of(term.path)
    lines = text.split("\n")
    key = re.escape(str(term.path[-1]))
    old = r"\{[^}]*\}" if term.form == "ratio" else r'"?[0-9_]+"?'
    line, count = re.subn(
        rf"(\b{key}\s*=\s*){old}", lambda match: match[1] + _written(term, value), lines[number - 1], count=1
    )
    if not count:
        raise ScenarioError(
            code="scenario-term",
            message=f"{term.id} is not written as a value on line {number}",
            expected=f"{term.path[-1]} = ...",
            found=lines[number - 1].strip()[:60],
        )
    lines[number - 1] = line
    return "\n".join(lines)


def _written(term: Term, value: float) -> str:
    if term.form == "ratio":
        ratio = Fraction(value).limit_denominator(1000)
        return f"{{ numerator = {ratio.numerator}, denominator = {ratio.denominator} }}"
    whole = round(Fraction(repr(value)))
    return f'"{whole}"' if term.form == "decimal" else str(whole)


def _flat(where: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    """Yield (place, value) of every leaf; items of lists are named by their name or rule, else by number from 1."""
    if isinstance(value, dict):
        if set(value) == {"numerator", "denominator"}:
            yield where, f"{value['numerator']}/{value['denominator']}"
            return
        for key, inner in value.items():
            yield from _flat(f"{where}.{key}" if where else key, inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            names = [inner[key] for key in _KEYED if isinstance(inner, dict) and key in inner]
            yield from _flat(f"{where}[{names[0] if names else index + 1}]", inner)
    else:
        yield where, str(value)
