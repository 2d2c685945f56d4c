"""Reads a scenario and the treaty it names; explains every mistake by file and line, with a stable code.

Codes: ``scenario-toml``, ``scenario-missing``, ``scenario-unknown-key``, ``scenario-type``, ``scenario-choice``,
``scenario-form``, ``scenario-range``, ``scenario-count``, ``scenario-source``, ``scenario-interval``,
``scenario-duplicate``, ``scenario-shares``, ``scenario-fleet``, ``scenario-chip-class``, ``scenario-strategy``,
``scenario-way``, ``scenario-group``, ``scenario-period``, ``scenario-treaty``; mistakes of the treaty's own file keep
their ``treaty-*`` codes (an unknown rule, an impossible quorum) and its name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast, get_args

from brakeline.explorer.evasion import STRATEGIES
from brakeline.explorer.scenario.form import Fleet, Given, Named, Outsider, ScenarioFile, Table
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.document import TreatyDocument, load_toml
from brakeline.treaty.document_report import Problem
from brakeline.treaty.mistakes import Mistake
from brakeline.treaty.mistakes import Path as KeyPath
from brakeline.treaty.terms import ChipClass
from brakeline.treaty.toml_lines import locate
from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_TEXT = 512 * 1024
DAY_MS = 86_400_000
_AT_LINE = re.compile(r"\(at line (\d+)")
Source: TypeAlias = Path | Traversable


class ScenarioError(BrakelineError):
    """A scenario that cannot be explored (codes ``scenario-*``, or the treaty's own)."""


@dataclass(frozen=True, slots=True)
class Located:
    """A mistake, and the file and line it stands in."""

    file: str
    problem: Problem

    def __str__(self) -> str:
        """``FILE: line 12: code: where: what (expected ..., found ...). To do.``"""
        return f"{self.file}: {self.problem}"

    def as_dict(self) -> dict[str, str | int]:
        """Return the members for ``--format json``."""
        return {"file": self.file, **self.problem.as_dict()}


@dataclass(frozen=True)
class Scenario:
    """A sane scenario.

    Attributes:
        terms: what the file says.
        document: the treaty it names, as verifiers load it.
        treaty_text: the TOML text of that treaty.
        text: the TOML text of the scenario.
    """

    terms: ScenarioFile
    document: TreatyDocument
    treaty_text: str
    text: str = ""

    @property
    def name(self) -> str:
        """Its short name."""
        return self.terms.name

    @cached_property
    def fleet(self) -> Fleet:
        """The class of labs whose sites are looked at closely."""
        return next(item for item in self.terms.labs if item.name == self.terms.hiding.fleet)

    def chip(self, name: str) -> ChipClass:
        """Return a chip class that the scenario names."""
        found = self.document.chip_class(name)
        assert found is not None  # checked when it was read
        return found

    def under(self, treaty_text: str) -> Scenario:
        """Return the same world under another treaty text.

        Raises:
            ScenarioError: the text is not a sane treaty, or lacks what the world needs.
        """
        loaded = load_toml(treaty_text)
        if loaded.document is None:
            raise _error([Located("treaty", problem) for problem in loaded.problems])
        mistakes = list(_between(self.terms, loaded.document))
        if mistakes:
            raise _error([Located("scenario", Problem(1, item)) for item in mistakes])
        return Scenario(self.terms, loaded.document, treaty_text, self.text)


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """What a file turned out to be: the scenario, or every problem that could be seen."""

    scenario: Scenario | None
    problems: tuple[Located, ...]

    def require(self) -> Scenario:
        """Return the scenario (:class:`ScenarioError` with the first problem's code without one)."""
        if self.scenario is None:
            raise _error(list(self.problems))
        return self.scenario


def load_scenario(path: Source) -> LoadedScenario:
    """Read the scenario at *path* and the treaty beside it. Raises ``OSError`` only when *path* cannot be read."""
    text = path.read_text("utf-8")
    name = path.name if not isinstance(path, Path) else str(path)
    terms, problems = read_terms(text)
    if terms is None:
        return LoadedScenario(None, tuple(Located(name, item) for item in problems))
    beside = path.parent / terms.treaty if isinstance(path, Path) else None
    try:
        treaty_text = _treaty_text(path, terms.treaty)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        mistake = Mistake(("treaty",), "scenario-treaty", "this treaty cannot be read", "a TOML file", str(error)[:120])
        return LoadedScenario(None, (Located(name, _placed(text, mistake)),))
    treaty = load_toml(treaty_text)
    if treaty.document is None:
        other = str(beside) if beside is not None else terms.treaty
        return LoadedScenario(None, tuple(Located(other, item) for item in treaty.problems))
    mistakes = [_placed(text, item) for item in _between(terms, treaty.document)]
    if mistakes:
        return LoadedScenario(None, tuple(Located(name, item) for item in sorted(mistakes, key=lambda p: p.line)))
    return LoadedScenario(Scenario(terms, treaty.document, treaty_text, text), ())


def _treaty_text(path: Source, name: str) -> str:
    if isinstance(path, Path):
        return (path.parent / name).read_text("utf-8")
    from brakeline.explorer.scenario.presets import folder

    return folder().joinpath(name).read_text("utf-8")


def read_terms(text: str) -> tuple[ScenarioFile | None, tuple[Problem, ...]]:
    """Read the scenario's own text: its terms, or every mistake of form and between members with its line."""
    if len(text) > MAX_TEXT:
        return None, (Problem(1, Mistake((), "scenario-toml", "the file is too large", f"{MAX_TEXT} characters")),)
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        match = _AT_LINE.search(str(error))
        line = int(match[1]) if match else max(1, text.count("\n"))
        return None, (Problem(line, Mistake((), "scenario-toml", f"this is not TOML: {error}", "TOML 1.0")),)
    try:
        terms = ScenarioFile.model_validate(tables)
    except ValidationError as error:
        mistakes = [_form_mistake(item) for item in error.errors(include_url=False)]
    else:
        mistakes = list(_within(terms))
        if not mistakes:
            return terms, ()
    return None, tuple(sorted((_placed(text, item) for item in mistakes), key=lambda problem: problem.line))


def _placed(text: str, mistake: Mistake) -> Problem:
    return Problem(locate(text).of(mistake.path), mistake)


def _error(problems: list[Located]) -> ScenarioError:
    first = problems[0].problem.mistake
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return ScenarioError(
        code=first.code,
        message=f"{problems[0].file}: line {problems[0].problem.line}: {first.where}: {first.message}{more}",
        expected=first.expected,
        found=first.found,
        fix=first.fix,
    )


# The form -------------------------------------------------------------------------------------------------------------

_TYPES = {
    "int_type": "a whole number, without quotes",
    "float_type": "a number, without quotes",
    "string_type": 'text in quotes, such as "..."',
    "tuple_type": "a list, such as [...]",
    "model_type": 'a table, such as { value = 0.4, grade = "assumed" }',
}
_BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
}


def _form_mistake(details: ErrorDetails) -> Mistake:
    path: KeyPath = tuple(details["loc"])
    kind, found = details["type"], repr(cast("object", details["input"]))[:80]
    context = cast("dict[str, object]", details.get("ctx", {}))
    if kind == "missing":
        key = str(path[-1])
        return Mistake(path, "scenario-missing", f"{key} is missing", f"{key} = ...", "nothing", _grade_hint(key))
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return Mistake(path, "scenario-range", "a number out of range", words.format(context.get(name)), found)
    if kind == "finite_number":
        return Mistake(path, "scenario-range", "not a finite number", "a finite number", found)
    if kind in ("too_short", "too_long"):
        return Mistake(path, "scenario-count", "too few or too many items", details["msg"])
    if kind == "literal_error":
        expected = str(context.get("expected", "")).replace("'", '"')
        return Mistake(path, "scenario-choice", "not one of the words allowed here", expected, found)
    if kind in _TYPES:
        return Mistake(path, "scenario-type", "a value of the wrong kind", _TYPES[kind], found)
    return Mistake(path, "scenario-form", "not of the form demanded here", details["msg"], found)


def _grade_hint(key: str) -> str:
    if key == "grade":
        return 'say how the number is known: "measured", "published" or "assumed"'
    return "nothing has a default that somebody did not state" if key == "value" else ""


def _unknown(path: KeyPath) -> Mistake:
    model: type[Table] | None = ScenarioFile
    for step in path[:-1]:
        if isinstance(step, str) and model is not None:
            model = _tables(model).get(step)
    known = list(_tables(model)) if model is not None else []
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    fix = f"did you mean {near[0]}?" if near else "remove it"
    return Mistake(path, "scenario-unknown-key", "no such key here", ", ".join(known), str(path[-1]), fix)


def _tables(model: type[Table]) -> dict[str, type[Table] | None]:
    """Return wire name -> the model of that table (of its items, for lists), None for a plain value."""
    found: dict[str, type[Table] | None] = {}
    for name, field in model.model_fields.items():
        candidates = (field.annotation, *get_args(field.annotation))
        models = [item for item in candidates if isinstance(item, type) and issubclass(item, Table)]
        found[field.alias or name] = models[0] if models else None
    return found


# Between members ------------------------------------------------------------------------------------------------------


def read_mistakes(terms: ScenarioFile) -> tuple[Mistake, ...]:
    """Return what does not hold between the members of *terms*."""
    return tuple(_within(terms))


def _within(terms: ScenarioFile) -> Iterator[Mistake]:
    """Yield what does not hold between members of the file alone."""
    for path, given in inputs(terms):
        if given.grade != "assumed" and not given.source.strip():
            message = f"a {given.grade} number without its source"
            yield Mistake((*path, "grade"), "scenario-source", message, 'source = "..."', "none", _SOURCE)
        low, high = given.low, given.high
        if (low is None) != (high is None) or (low is not None and not low <= given.value <= cast("float", high)):
            message = "low and high do not enclose the value"
            yield Mistake(path, "scenario-interval", message, "low <= value <= high, both or none", f"{low}, {high}")
    named: dict[str, Sequence[Named]] = {
        "lab": terms.labs,
        "outsider": terms.outsiders,
        "hint": terms.hints,
        "group": terms.groups,
        "adversary": terms.adversaries,
    }
    for key, items in named.items():
        seen: set[str] = set()
        for index, item in enumerate(items):
            if item.name in seen:
                message = "two of one name"
                yield Mistake((key, index, "name"), "scenario-duplicate", message, "another name", item.name)
            seen.add(item.name)
    yield from _references(terms)
    yield from _full(terms)


_SOURCE = "name the source, or grade it assumed"


def _references(terms: ScenarioFile) -> Iterator[Mistake]:
    fleets, groups = [item.name for item in terms.labs], {item.name for item in terms.groups}
    if terms.hiding.fleet not in fleets:
        yield Mistake(("hiding", "fleet"), "scenario-fleet", "no such labs", ", ".join(fleets), terms.hiding.fleet)
    for index, hint in enumerate(terms.hints):
        if hint.group not in groups:
            message = "nobody says how much this group's hints have in common"
            fix = "add [[group]] with this name and its correlation: 0 is a claim too"
            yield Mistake(("hint", index, "group"), "scenario-group", message, "a [[group]]", hint.group, fix)
    for index, item in enumerate(terms.adversaries):
        strategy = STRATEGIES.get(item.strategy)
        if strategy is None:
            near = difflib.get_close_matches(item.strategy, STRATEGIES, n=1)
            fix = f"did you mean {near[0]}?" if near else "`brakeline explore strategies` lists them"
            path = ("adversary", index, "strategy")
            yield Mistake(path, "scenario-strategy", "no such strategy", ", ".join(STRATEGIES), item.strategy, fix)
        elif item.way is not None and item.way not in strategy.ways:
            expected = ", ".join(strategy.ways)
            yield Mistake(("adversary", index, "way"), "scenario-way", "no such way", expected, item.way)


def _full(terms: ScenarioFile) -> Iterator[Mistake]:
    """Yield the mistake that an honest site has more to do than time, even where everything swings up."""
    work = terms.work
    top = (1 + work.spread.value) * (1 + work.site_spread.value)
    serving = work.serving.value * (1 + work.serving_swing.value)
    total = (work.training.value + serving + work.evaluation.value + work.repair.value) * top
    if total > 1:
        message = "training, serving, evaluation and repair can take more than the whole chip time"
        expected = "at most 1 with spread, site_spread and swing added"
        yield Mistake(("work",), "scenario-shares", message, expected, f"{total:.3f}")


def _between(terms: ScenarioFile, document: TreatyDocument) -> Iterator[Mistake]:
    """Yield what does not hold between the file and its treaty."""
    classes = [item.name for item in document.chip_classes]
    chipped: tuple[tuple[str, Sequence[Fleet | Outsider]], ...] = (("lab", terms.labs), ("outsider", terms.outsiders))
    for key, items in chipped:
        for index, item in enumerate(items):
            if item.chip_class not in classes:
                path = (key, index, "chip_class")
                message = "the treaty has no such class of chips"
                yield Mistake(path, "scenario-chip-class", message, ", ".join(classes), item.chip_class)
    if DAY_MS % document.grid.period.value:
        message, expected = "the treaty's periods do not divide a day", "grid.period_ms that divides 86400000"
        yield Mistake(("treaty",), "scenario-period", message, expected, str(document.grid.period.value))
    elif document.grid.period.value == DAY_MS:
        yield Mistake(("treaty",), "scenario-period", "worlds need two periods a day or more", "at most 43200000")


def inputs(terms: ScenarioFile) -> Iterator[tuple[KeyPath, Given]]:
    """Yield every graded number of *terms* with its path, in the order of the file."""
    for name, field in type(terms).model_fields.items():
        wire, value = field.alias or name, getattr(terms, name)
        if isinstance(value, Table):
            yield from _in_table((wire,), value)
        elif isinstance(value, tuple):
            for index, item in enumerate(cast("tuple[object, ...]", value)):
                if isinstance(item, Table):
                    yield from _in_table((wire, index), item)


def _in_table(path: KeyPath, table: Table) -> Iterator[tuple[KeyPath, Given]]:
    for name in type(table).model_fields:
        value = getattr(table, name)
        if isinstance(value, Given):
            yield (*path, name), value
