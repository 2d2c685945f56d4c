"""Modules with every mutant in them: what mutmut makes of a file, imported under the file's own name.

What it is: the half of tools/mutants.py that changes code. mutmut's operators write each function once as it is and
once for every change, behind a trampoline that runs the one that is active: :data:`STATE` says which. What it is not:
a runner of tests.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import types
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from difflib import unified_diff
from functools import wraps
from pathlib import Path
from typing import Any

PREFIX = "brakeline.treaty."
REFUSALS = ("Refused", "NotYet")
WORDS = ("message", "expected", "found", "fix")
WORDY = ("KeyError", "IndexError", "TypeError", "ValueError", "invalid", "_not_pinned")
"""What is made with nothing but words: what Python raises at a caller's mistake, and refusals of one code."""
AT_IMPORT = ("__get_pydantic_core_schema__", "__get_pydantic_json_schema__")
"""What runs while modules are imported, when no mutant is active yet."""


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        module: where, as Python names it.
        source: SHA-256 of the file that was changed.
        name: mutmut's name of the changed function.
        diff: the lines that differ.
        prose: whether only words for people differ, or what no run can show.
    """

    module: str
    source: str
    name: str
    diff: str
    prose: bool

    @property
    def function(self) -> str:
        """Name of the function as mutmut has it, without the number of the change."""
        return self.name.rpartition("__mutmut_")[0]

    @property
    def place(self) -> str:
        """Where, for a person: module, function and number."""
        readable = self.function.removeprefix("x").strip("_ǁ").replace("ǁ", ".")
        return f"{self.module.removeprefix(PREFIX)}:{readable}#{self.name.rpartition('_')[2]}"


@dataclass
class State:
    """What the trampolines read and write: the active mutant, and the functions that ran ("module name")."""

    module: str = ""
    name: str = ""
    hits: set[str] = field(default_factory=set[str])


STATE = State()


def trampoline(mutants: dict[str, Callable[..., Any]], is_classmethod: bool = False) -> Callable[..., Any]:
    """Stand in for mutmut's decorator: note the call, and run the active mutant of the function if it is one of its."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        place: list[str] = []

        def chosen(args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            original = mutants["_mutmut_orig"]
            if not place:
                place.append(f"{function.__module__} {original.__name__.removesuffix('__mutmut_orig')}")
            STATE.hits.add(place[0])
            run = mutants.get(STATE.name, original) if STATE.module == function.__module__ else original
            return (getattr(args[0], run.__name__), args[1:]) if is_classmethod else (run, args)

        if inspect.isgeneratorfunction(function):

            @wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                run, rest = chosen(args)
                items: Generator[Any, Any, Any] = run(*rest, **kwargs)
                return (yield from items)

            return generate

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            run, rest = chosen(args)
            return run(*rest, **kwargs)

        return call

    return decorate


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutated modules instead of their files, once it is in ``sys.meta_path``."""

    def __init__(self, paths: Mapping[str, Path], kept: Path) -> None:
        """Mutate *paths* (module name -> file), or read from *kept* what was made of the same file before."""
        import mutmut.mutation.trampoline as theirs
        from mutmut.mutation.file_mutation import mutate_file_contents

        theirs.__dict__["wrap_in_trampoline"] = trampoline
        self._paths = paths
        ours = Path(__file__).read_text("utf-8")  # what was made by an older form of this is made anew
        self._code: dict[str, str] = {}
        self.mutants: list[Mutant] = []
        for module, path in paths.items():
            source = path.read_text("utf-8")
            digest, made = (hashlib.sha256((source + more).encode()).hexdigest() for more in ("", ours))
            code, told = kept / f"{made}.py", kept / f"{made}.json"
            if not told.exists():
                kept.mkdir(parents=True, exist_ok=True)
                code.write_text(mutate_file_contents(str(path), source).code, "utf-8")
                found = described(module, digest, code.read_text("utf-8"))
                told.write_text(json.dumps([asdict(item) for item in found]), "utf-8")
            self._code[module] = code.read_text("utf-8")
            self.mutants += [Mutant(**item) for item in json.loads(told.read_text("utf-8"))]

    def find_spec(self, name: str, *_more: object) -> importlib.machinery.ModuleSpec | None:
        """Find the modules that were mutated, and no other."""
        if name not in self._code:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(self._paths[name]))

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the mutated source."""
        name = module.__name__
        module.__file__ = str(self._paths[name])
        exec(compile(self._code[name], str(self._paths[name]), "exec"), module.__dict__)


def described(module: str, source: str, code: str) -> list[Mutant]:
    """Return the mutants in mutated *code*, with what each changes."""
    functions: dict[str, ast.AST] = {
        node.name: node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    found: list[Mutant] = []
    for name, node in functions.items():
        function, mark, number = name.rpartition("__mutmut_")
        if not mark or not number.isdigit():
            continue
        before, after = (_lines(item) for item in (functions[f"{function}__mutmut_orig"], node))
        lines = list(unified_diff(before, after, lineterm="", n=0))[2:]
        diff = "\n".join(line for line in lines if not line.startswith("@@"))
        same = function.rpartition("ǁ")[2] in AT_IMPORT or _wordless(before) == _wordless(after)
        found.append(Mutant(module, source, name, diff, prose=same))
    return found


def _lines(node: ast.AST) -> list[str]:
    """Return a function's lines, without decorators and under no name of its own."""
    lines = ast.unparse(node).splitlines()
    while not lines[0].lstrip().startswith(("def ", "async def ")):
        lines.pop(0)
    return ["def f(" + lines[0].partition("(")[2], *lines[1:]]


def _wordless(lines: list[str]) -> str:
    return ast.dump(_Wordless().visit(ast.parse("\n".join(lines))))


class _Wordless(ast.NodeTransformer):
    """Takes words for people out of a tree: what is left equal differs in wording alone."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Blank text with a space in it, in whatever case and however marked."""
        return ast.Constant("...") if isinstance(node.value, str) and " " in node.value else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:  # noqa: ARG002
        """Blank text with figures in it."""
        return ast.Constant("...")

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Of a refusal keep the code alone; of a cast, what is cast: its type is for type checkers."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "cast" and len(node.args) == 2:
            node.args[0] = ast.Constant("...")
        if name in WORDY:
            return ast.Call(node.func, [], [])
        if name in REFUSALS:
            return ast.Call(node.func, node.args[:1], [])
        node.keywords = [item for item in node.keywords if item.arg not in WORDS]
        return self.generic_visit(node)
