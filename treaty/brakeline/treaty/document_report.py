"""Every mistake of a treaty file, by line: what was expected, what was found, what to do.

:func:`load` reads the TOML text in three steps, each of which reports everything it can see before the next begins:
the text (one mistake: TOML readers stop at the first), the form of every member, the conditions between members.

What it is not: the terms themselves (:mod:`brakeline.treaty.document`) or the conditions
(:mod:`brakeline.treaty.document_checks`). Pure: text in, objects out.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, get_args

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.document import FORM_ONLY, TreatyDocument
from brakeline.treaty.document_checks import find_mistakes
from brakeline.treaty.document_warnings import find_warnings
from brakeline.treaty.mistakes import Mistake, Path
from brakeline.treaty.terms import Terms
from brakeline.treaty.toml_lines import Lines, locate
from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_TOML = 512 * 1024
"""Characters of a treaty file; the canonical document is bounded much lower."""

MAY_BE_LEFT_OUT = ("party", "lab", "third_party", "verifier", "chip_class", "threshold", "rule", "annex")
"""Lists that a TOML file may leave out when they are empty."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake or a warning, and the line of the file (from 1) it is about."""

    line: int
    mistake: Mistake

    def __str__(self) -> str:
        """One line for a person: ``line 12: treaty-...: quorum.witnesses: ... (expected ..., found ...). Fix.``"""
        item = self.mistake
        facts = ", ".join(
            f"{word} {text}" for word, text in (("expected", item.expected), ("found", item.found)) if text
        )
        tail = f" {item.fix[0].upper()}{item.fix[1:]}." if item.fix else ""
        return f"line {self.line}: {item.code}: {item.where}: {item.message}{f' ({facts})' if facts else ''}.{tail}"

    def as_dict(self) -> dict[str, str | int]:
        """Return the members for ``--format json``."""
        item = self.mistake
        return {
            "line": self.line,
            "path": item.where,
            "code": item.code,
            "message": item.message,
            "expected": item.expected,
            "found": item.found,
            "fix": item.fix,
        }


@dataclass(frozen=True, slots=True)
class LoadedTreaty:
    """What a TOML text turned out to be.

    Attributes:
        document: the sane document, or None when there are problems.
        problems: every mistake, in the order of the file.
        warnings: what is allowed and probably not meant (only when there is a document).
    """

    document: TreatyDocument | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()

    def require(self) -> TreatyDocument:
        """Return the document.

        Raises:
            DocumentError: with the code of the first problem, when there are problems.
        """
        from brakeline.treaty.document import document_error

        if self.document is None:
            raise document_error(tuple(problem.mistake for problem in self.problems))
        return self.document


def load(text: str) -> LoadedTreaty:
    """Read the TOML text of a treaty. Never raises for what the text says: see :class:`LoadedTreaty`."""
    tables, broken = _read_toml(text)
    if tables is None:
        return LoadedTreaty(None, broken)
    lines = locate(text)
    for key in MAY_BE_LEFT_OUT:
        tables.setdefault(key, [])
    _fill_parameters(tables)
    try:
        document = TreatyDocument.model_validate(tables, context=FORM_ONLY)
    except ValidationError as error:
        return LoadedTreaty(None, _placed(form_mistakes(error), lines))
    mistakes = find_mistakes(document)
    if mistakes:
        return LoadedTreaty(None, _placed(mistakes, lines))
    return LoadedTreaty(document, (), _placed(find_warnings(document), lines))


def form_mistakes(error: ValidationError) -> tuple[Mistake, ...]:
    """Return pydantic's report in the words of this project, one mistake per member."""
    found: dict[Path, Mistake] = {}
    for details in error.errors(include_url=False):
        mistake = _form_mistake(details)
        found.setdefault(mistake.path, mistake)
    return tuple(found.values())


def place(mistakes: tuple[Mistake, ...], text: str) -> tuple[Problem, ...]:
    """Return *mistakes* with their lines in the TOML *text*, which :func:`load` has read without problems."""
    return _placed(mistakes, locate(text))


def _placed(mistakes: tuple[Mistake, ...], lines: Lines) -> tuple[Problem, ...]:
    return tuple(sorted((Problem(lines.of(m.path), m) for m in mistakes), key=lambda problem: problem.line))


# The text ------------------------------------------------------------------------------------------------------------

_AT = re.compile(r" \(at (?:line (?P<line>[0-9]+), column (?P<column>[0-9]+)|end of document)\)$")


def _read_toml(text: str) -> tuple[dict[str, object] | None, tuple[Problem, ...]]:
    if len(text) > MAX_TOML:
        expected, found = f"at most {MAX_TOML} characters", str(len(text))
        return None, (Problem(1, Mistake((), "treaty-toml", "the file is too large", expected, found, "use annexes")),)
    try:
        return cast("dict[str, object]", tomllib.loads(text)), ()
    except RecursionError:
        return None, (Problem(1, Mistake((), "treaty-toml", "the file nests too deeply", "a few levels")),)
    except ValueError as error:  # TOMLDecodeError, and Python's own refusal of absurdly long integers
        message = str(error)
    match = _AT.search(message)
    last = text.count("\n") + (not text.endswith("\n"))
    line = int(match["line"]) if match and match["line"] else max(1, last) if match else 1
    written = text.split("\n")[line - 1].strip()[:80]
    reason = _AT.sub("", message)
    hint = _toml_hint(written, reason)
    return None, (Problem(line, Mistake((), "treaty-toml", f"this is not TOML: {reason}", "TOML 1.0", written, hint)),)


def _toml_hint(written: str, reason: str) -> str:
    if reason.startswith(("Cannot overwrite", "Cannot declare")):
        return "a key or table is written twice: keep one"
    if "=" not in written and not written.startswith("["):
        return "write key = value; comments begin with #"
    return "put text in double quotes; write numbers without separators other than _"


def _fill_parameters(tables: dict[str, object]) -> None:
    rules = tables["rule"]
    for rule in cast("list[object]", rules) if isinstance(rules, list) else []:
        if isinstance(rule, dict):
            cast("dict[str, object]", rule).setdefault("parameters", {})


# The form ------------------------------------------------------------------------------------------------------------

_WANTED = {
    "int_type": "an integer, without quotes",
    "string_type": 'text in quotes, such as "..."',
    "bool_type": "true or false",
    "tuple_type": "a list, such as [...]",
    "dict_type": "a table, such as { key = 1 }",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_FORMS = {
    "previous": "64 lowercase hex digits",
    "digest": "64 lowercase hex digits",
    "name": "letters, digits, dots, hyphens and underscores, at most 64, beginning with a letter or digit",
    "rule": "lower-case words joined by hyphens",
    "fields": "a JSON pointer such as /predicate/lines/*/tokens",
}


def _form_mistake(details: ErrorDetails) -> Mistake:
    path: Path = _trim(tuple(details["loc"]))
    kind, found = details["type"], repr(cast("object", details["input"]))[:80]
    context = details.get("ctx", {})
    if kind == "missing":
        return _missing(path)
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "value_error":
        return _refused(path, cast("object", context.get("error")), details["msg"], found)
    if kind in _WANTED:
        return Mistake(path, "treaty-type", "a value of the wrong kind", _WANTED[kind], found)
    if kind == "literal_error":
        expected = str(context.get("expected", "")).replace("'", '"')
        return Mistake(path, "treaty-choice", "not one of the words allowed here", expected, found)
    if kind == "string_pattern_mismatch":
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        return Mistake(path, "treaty-form", "not of the form demanded here", _FORMS.get(name, details["msg"]), found)
    if kind in {"greater_than_equal", "less_than_equal"}:
        return Mistake(path, "treaty-range", "a number out of range", "0 to 2^53 - 1", found)
    if kind in {"too_short", "too_long"}:
        return Mistake(
            path, "treaty-count", "too few or too many items", details["msg"], f"{len(_items(details))} items"
        )
    return Mistake(path, "treaty-form", "not of the form demanded here", details["msg"], found)


def _items(details: ErrorDetails) -> list[object]:
    value: object = details["input"]
    return list(cast("list[object]", value)) if isinstance(value, list | tuple | dict) else []


def _trim(path: Path) -> Path:
    """Drop what pydantic adds to a path: the member of a union, the mark of a key."""
    extra = {"int", "str", "[key]"}
    return path[:-1] if len(path) > 1 and path[-1] in extra and "parameters" in path else path


def _refused(path: Path, error: object, message: str, found: str) -> Mistake:
    cause = (error.__cause__ or error.__context__) if isinstance(error, ValueError) else None
    if isinstance(cause, BrakelineError):
        return Mistake(path, cause.code, cause.message, cause.expected, cause.found, cause.fix)
    return Mistake(path, "treaty-form", message, "", found)


def _missing(path: Path) -> Mistake:
    table, key = _table_name(path[:-1]), str(path[-1])
    where = f"under {table}" if path[:-1] else "above the first [table]"
    if not path[:-1] and key in _SECTIONS:
        return Mistake(path, "treaty-missing", f"the table [{key}] is missing", f"[{key}]", "nothing", f"add [{key}]")
    return Mistake(path, "treaty-missing", f"{key} is missing", f"{key} = ...", "nothing", f"add `{key} = ...` {where}")


def _unknown(path: Path) -> Mistake:
    key = str(path[-1])
    known = _keys_at(path[:-1])
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        fix = f"did you mean {near[0]}?"
    elif key in _keys_at(()) and path[:-1]:
        fix = f"move it up, above the first [table]: as written it belongs to {_table_name(path[:-1])}"
    else:
        fix = "remove it: a treaty says nothing that software does not read"
    return Mistake(path, "treaty-unknown-key", "no such key here", ", ".join(known), key, fix)


def _table_name(path: Path) -> str:
    names = [step for step in path if isinstance(step, str)]
    return f"[[{names[0]}]]" if len(path) > 1 and isinstance(path[1], int) else f"[{'.'.join(names)}]"


def _tables_of(model: type[Terms]) -> dict[str, type[Terms] | None]:
    """Return wire name -> the model of that table (of its items, for a list of tables), or None for a plain value."""
    tables: dict[str, type[Terms] | None] = {}
    for name, field in model.model_fields.items():
        inner: object = field.annotation
        candidates: tuple[object, ...] = (inner, *get_args(inner))
        models = [item for item in candidates if isinstance(item, type) and issubclass(item, Terms)]
        tables[field.alias or name] = models[0] if models else None
    return tables


_TABLES = _tables_of(TreatyDocument)
_SECTIONS = {name for name, model in _TABLES.items() if model is not None}


def _keys_at(path: Path) -> list[str]:
    names = [step for step in path if isinstance(step, str)]
    if not names:
        return list(_TABLES)
    model = _TABLES.get(names[0])
    return list(_tables_of(model)) if model is not None and len(names) == 1 else []
