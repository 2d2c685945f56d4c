"""Take a case's check out of the code, in memory, and see whether the case still gets its answer.

    python -m tests.audit.mutation [--every N] [NAME...]        # one line of JSON a case

For each case that must fail, the statement that refused it is found by tracing (the innermost ``raise``, the first
function that returned a refusal or False). Then it is taken out, finest way first: one operand of the condition above
it, the condition, one constraint of the model that pydantic checked, the statement itself. Each try is a forked child,
so nothing outlives it. A case whose answer survives every single removal is refused by more than one check: removals
are then stacked, and the checks are listed in the order in which they refuse it.

What it is not: mutation testing of the whole code (no operator is changed); it asks one question a case.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

from brakeline.audit.conformance.answers import WORDS, answer
from brakeline.audit.conformance.case import VALID, Case
from brakeline.audit.conformance.conform import all_cases
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.admission import NotYet, Refused
from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaValidator

DEEPEST = 5
"""Checks that are taken out together at most."""


class Site(NamedTuple):
    """Where a case was refused: file, line, function; and what pydantic complained of, (model, kind), if it did."""

    file: str
    line: int
    function: str
    models: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        told = "".join(f", {model}: {kind}" for model, kind in self.models)
        return f"{self.file.rpartition('brakeline/')[2]} {self.function}{told}"


class Edit(NamedTuple):
    """One removal: of operand *operand* at *site* (None: coarser, by *kind*)."""

    site: Site
    kind: str
    operand: int | None = None


@dataclass
class Result:
    """What became of a case.

    Attributes:
        case: its name.
        layers: the checks that were taken out until the answer changed, in the order in which they refuse.
        kind: how the last was taken out.
        said: the answer then; ``crash ...`` where the code stumbled over what the check keeps away.
        broken: whether the answer changed at all.
    """

    case: str
    expect: str
    layers: list[str] = field(default_factory=list[str])
    kind: str = ""
    said: str = ""
    broken: bool = False


# finding the check ----------------------------------------------------------------------------------------------------


def refused_at(case: Case) -> Site | None:
    """Return where *case* is refused, None when nothing refuses it."""
    found: list[Site] = []
    models: list[tuple[str, str]] = []
    known: set[int] = set()
    keep: list[object] = []

    def note(frame: FrameType, thing: object) -> None:
        if id(thing) in known:
            return
        known.add(id(thing))
        keep.append(thing)  # an id is somebody else's once its object is gone
        code = frame.f_code
        found.append(Site(code.co_filename, frame.f_lineno, code.co_qualname, tuple(models)))

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "exception":
            error = arg[1]
            if isinstance(error, ValidationError):
                models[:] = [(error.title, item["type"]) for item in error.errors(include_url=False)]
            elif isinstance(error, BrakelineError) and _is_answer(case, error.code):
                note(frame, error)
        elif event == "return":
            if isinstance(arg, Refused | NotYet) and _is_answer(case, arg.code) and _branches(frame.f_code):
                note(frame, arg)
            elif arg is False and case.kind in ("signature", "seal") and not found:
                note(frame, case)
        return local

    def start(frame: FrameType, _event: str, _arg: object) -> Any:
        inside = "/brakeline/" in frame.f_code.co_filename and "/conformance/" not in frame.f_code.co_filename
        frame.f_trace_lines = False
        return local if inside else None

    before = sys.gettrace()  # who measures coverage traces too
    sys.settrace(start)
    try:
        answer(case.kind, case.given)
    except Exception:  # noqa: BLE001 - with a check gone the code may stumble anyhow; the caller sees that
        return None
    finally:
        sys.settrace(before)
    return found[-1] if found else None


def _is_answer(case: Case, code: str) -> bool:
    return case.expect in (code, WORDS.get(code, code.partition("-")[0]), "copy")


def _branches(code: CodeType) -> bool:
    """Whether a function decides anything: one that only builds a refusal is not the check."""
    tree = _function(ast.parse(Path(code.co_filename).read_text(encoding="utf-8")), code.co_qualname)
    return any(isinstance(node, ast.If | ast.Try | ast.For | ast.IfExp | ast.BoolOp) for node in ast.walk(tree))


# taking it out --------------------------------------------------------------------------------------------------------


def removals(site: Site) -> Iterator[Edit]:
    """Yield the ways to take the check at *site* out, finest first."""
    tree = _function(ast.parse(Path(site.file).read_text(encoding="utf-8")), site.function)
    place = _place(tree, site.line)
    if site.models:
        yield Edit(site, "model")
    test = _condition(place)
    if test is not None:
        operands = test.values if isinstance(test, ast.BoolOp) else []
        yield from (Edit(site, "operand", number) for number in range(len(operands)))
        yield Edit(site, "condition")
    yield Edit(site, "statement")


class _Place(NamedTuple):
    """A statement, what it stands in, and the statement before it in the same block."""

    statement: ast.stmt
    parents: list[ast.AST]
    before: ast.stmt | None


def _place(tree: ast.AST, line: int) -> _Place:
    found: list[_Place] = []

    def walk(node: ast.AST, parents: list[ast.AST]) -> None:
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            before: ast.stmt | None = None
            for item in getattr(node, name, ()):
                if isinstance(item, ast.stmt) and item.lineno <= line <= (item.end_lineno or item.lineno):
                    found.append(_Place(item, [*parents, node], before))
                before = item if isinstance(item, ast.stmt) else None
                walk(item, [*parents, node])

    walk(tree, [])
    return found[-1]


def _condition(place: _Place) -> ast.expr | None:
    """Return the condition that decides about *place*: above it, before it, or in what it returns."""
    parent, statement = place.parents[-1], place.statement
    given = statement.value if isinstance(statement, ast.Return) else None
    if isinstance(given, ast.BoolOp | ast.Compare) or (isinstance(given, ast.Call) and not _builds(given)):
        return given
    if isinstance(parent, ast.If):
        return parent.test
    if isinstance(place.before, ast.If) and isinstance(place.before.body[-1], ast.Return):
        return place.before.test
    return None


def _builds(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and (call.func.id[0].isupper() or call.func.id.startswith("_"))


def _apply(edit: Edit, tree: ast.AST) -> None:
    """Change *tree*, the function of the edit's site."""
    place = _place(tree, edit.site.line)
    parent, statement = place.parents[-1], place.statement
    test = _condition(place)
    if edit.kind == "statement" or test is None:
        _replace(parent, statement, ast.copy_location(ast.Pass(), statement))
        return
    refuses = isinstance(parent, ast.If) and test is parent.test and statement in parent.body
    new: ast.expr = ast.Constant(not refuses)  # above what refuses: never; before it, or of what is returned: always
    if edit.operand is not None and isinstance(test, ast.BoolOp):
        left = [value for number, value in enumerate(test.values) if number != edit.operand]
        new = left[0] if len(left) == 1 else ast.BoolOp(test.op, left)
    new = ast.copy_location(new, test)
    for holder in (parent, place.before, statement):
        for name in ("test", "value"):
            if holder is not None and getattr(holder, name, None) is test:
                setattr(holder, name, new)


def _replace(parent: ast.AST, old: ast.stmt, new: ast.stmt) -> None:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(parent, name, None)
        if isinstance(block, list) and old in block:
            block[block.index(old)] = new


def _function(tree: ast.AST, qualname: str) -> ast.AST:
    """Return the node of a function by its qualified name."""
    node = tree
    for part in (item for item in qualname.split(".") if item != "<locals>"):
        node = next(
            item
            for item in ast.walk(node)
            if isinstance(item, ast.FunctionDef | ast.ClassDef) and item.name == part and item is not node
        )
    return node


def take_out(edits: Sequence[Edit]) -> None:
    """Change this process: the code of every function that an edit is about, the validators of models."""
    for name in sorted({edit.site.file for edit in edits if edit.kind != "model"}):
        tree = ast.parse(Path(name).read_text(encoding="utf-8"))
        mine = [edit for edit in edits if edit.site.file == name and edit.kind != "model"]
        for edit in mine:
            _apply(edit, _function(tree, edit.site.function))
        fresh = _codes(compile(ast.fix_missing_locations(tree), name, "exec"))
        for function in [item for item in gc.get_objects() if isinstance(item, FunctionType)]:
            code = function.__code__
            if code.co_filename == name and code.co_qualname in {edit.site.function for edit in mine}:
                function.__code__ = fresh[code.co_qualname]
    for edit in edits:
        for model, kind in edit.site.models if edit.kind == "model" else ():
            _loosen_model(model, kind)


def _codes(code: CodeType) -> dict[str, CodeType]:
    found = {code.co_qualname: code}
    for item in code.co_consts:
        if isinstance(item, CodeType):
            found |= _codes(item)
    return found


def _loosen_model(title: str, kind: str) -> None:
    """Take one kind of constraint out of the models named *title*, and of those inside them."""
    models: list[type[BaseModel]] = [BaseModel]
    for model in models:
        models += model.__subclasses__()  # grows as it is walked
    for model in models:
        model.__pydantic_complete__ = False  # or the validators that are there would be taken for the new ones
    for model in models:
        if model.__name__ == title:
            schema = _loosened(copy.deepcopy(model.__pydantic_core_schema__), kind)
            model.__pydantic_validator__ = SchemaValidator(schema)
    for model in models:
        model.__pydantic_complete__ = True


_CONSTRAINTS = {
    "string_pattern_mismatch": ("pattern",),
    "string_too_long": ("max_length",),
    "string_too_short": ("min_length",),
    "too_long": ("max_length",),
    "too_short": ("min_length",),
    "greater_than_equal": ("ge",),
    "less_than_equal": ("le",),
}


def _loosened(node: Any, kind: str) -> Any:
    if isinstance(node, list):
        return [_loosened(item, kind) for item in node]
    if not isinstance(node, dict):
        return node
    node = {name: item if name in ("cls", "metadata") else _loosened(item, kind) for name, item in node.items()}
    sort = str(node.get("type"))
    if kind == "extra_forbidden" and sort in ("model", "model-fields"):
        node |= {"extra_behavior": "ignore"}
        if isinstance(node.get("config"), dict):
            node["config"] = {**node["config"], "extra_fields_behavior": "ignore"}
    elif kind == "missing" and sort == "model-field":
        node["schema"] = {"type": "default", "schema": node["schema"], "default": None}
    elif kind in _CONSTRAINTS:
        for name in _CONSTRAINTS[kind]:
            node.pop(name, None)
    elif (kind in ("enum", "literal_error") and sort in ("enum", "literal")) or (
        kind.endswith("_type") and sort in ("str", "int", "bool", "list", "tuple", "dict", "is-instance")
    ):
        return {"type": "any"}
    elif kind == "value_error" and sort.startswith("function-"):
        return node.get("schema", {"type": "any"})
    return node


# asking ---------------------------------------------------------------------------------------------------------------


def examine(case: Case) -> Result:
    """Take checks out until *case* is answered otherwise."""
    result = Result(case.name, case.expect)
    edits: list[Edit] = []
    for _ in range(DEEPEST):
        site = _in_child(lambda: refused_at(case), edits)
        if not isinstance(site, list):
            return result
        here = Site(site[0], site[1], site[2], tuple((model, kind) for model, kind in site[3]))
        result.layers.append(str(here))
        tries = list(removals(here))
        for edit in tries:
            result.kind, result.said = edit.kind, str(_in_child(lambda: _answer(case), [*edits, edit]))
            if result.said != case.expect:
                result.broken = True
                return result
        edits.append(next(edit for edit in tries if edit.kind != "operand"))
    return result


def _answer(case: Case) -> str:
    try:
        return answer(case.kind, case.given)
    except Exception as error:  # noqa: BLE001 - what it stumbles over is the answer here
        return f"crash {type(error).__name__}"


def _in_child(ask: Callable[[], object], edits: Sequence[Edit]) -> object:
    """Return what *ask* gives (as JSON) in a child of this process in which *edits* are made."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            take_out(edits)
            value = ask()
        except BaseException as error:  # noqa: BLE001 - the child must not run on as its parent
            value = f"crash {type(error).__name__}: {error}"
        with os.fdopen(write, "w") as out:
            json.dump(value, out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answered:
        value = json.load(answered)
    os.waitpid(child, 0)
    return value


def must_fail() -> list[Case]:
    """Return the cases that have a check."""
    return [case for case in all_cases() if case.expect != VALID]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--every", type=int, default=1, help="every N-th case only")
    given = parser.parse_args()
    cases = must_fail()
    chosen = [case for case in cases if case.name in given.names] if given.names else cases[:: given.every]
    for case in chosen:
        print(json.dumps(vars(examine(case))), flush=True)


if __name__ == "__main__":
    main()
