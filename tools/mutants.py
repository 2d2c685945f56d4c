"""Mutation testing of rules, admission and accounting: change the code in one place, and see whether a test notices.

    python tools/mutants.py [--sample 500] [--seed 20261128] [--module rules.threshold] [--jobs 2] [--out mutants.json]

What is changed, and how, is mutmut's: its operators, its trampolines, one active mutant at a time. What is ours is the
driver, because mutmut's own copies a source tree whose folders are the packages, and here each party's folder is a root
of one namespace. The mutated modules are imported under their own names into one pytest session, which runs every test
once with nothing changed (that tells which tests reach which functions, and how long they take). Then, for each mutant,
a child process runs the tests that reach its function, the quickest first, until one fails.

*Killed*: a test failed, or ran ten times as long as it does. *Survived*: none did. Not drawn are mutants of words for
people (text with a space in it, and the ``message``, ``expected``, ``found`` and ``fix`` of a refusal): no rule says
how a sentence reads. Module-level tables and decorated functions are not changed either (mutmut's rule).
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import os
import pickle
import random
import resource
import sys
import time
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "treaty" / "brakeline" / "treaty"
PREFIX = "brakeline.treaty."
FILES = ("admission.py", "version_admission.py", "counting.py", "quantities.py", "succession.py", "judge.py")
FOLDERS = ("rules", "reconcile")
TESTS = (
    "admission", "amendments", "braking", "columns", "corrections", "counting", "disowned", "judge", "lineages",
    "order_admission", "oversight_rules", "quantities", "reconcile", "resume_mismatch", "roles", "sealing",
    "shape_rules", "spotcheck",
)  # fmt: skip
REFUSALS = ("Refused", "NotYet")
WORDS = ("message", "expected", "found", "fix")
KEPT = ROOT / ".mutants"
"""Mutated sources by the SHA-256 of what they were made from (not committed)."""
SLOWER, SPARE_S = 10, 5
KILLED, SURVIVED, TIMEOUT = 1, 0, 2


def targets() -> dict[str, Path]:
    """Return module name -> file of everything that is mutated."""
    paths = [CODE / name for name in FILES]
    for folder in FOLDERS:
        paths += sorted(path for path in (CODE / folder).glob("*.py") if path.name != "__init__.py")
    return {PREFIX + ".".join(path.relative_to(CODE).with_suffix("").parts): path for path in paths}


@dataclass
class Mutant:
    """One change.

    Attributes:
        module: where, as Python names it.
        name: mutmut's name of the changed function.
        function: the function as it is, in the same form without the number.
        diff: the lines that differ.
        prose: whether only words for people differ.
    """

    module: str
    name: str
    function: str
    diff: str
    prose: bool

    @property
    def place(self) -> str:
        """Where, for a person: module, function and number."""
        number = self.name.rpartition("__mutmut_")[2]
        return f"{self.module.removeprefix(PREFIX)}:{readable(self.function)}#{number}"


def readable(function: str) -> str:
    """Return ``Class.method`` or ``function`` of mutmut's mangled name."""
    return function.removeprefix("x").strip("_ǁ").replace("ǁ", ".")


_Told: TypeAlias = tuple[int, float, list[tuple[str, str]]]
"""A test's place, its seconds of CPU, and the functions that it ran."""


@dataclass
class State:
    """What the trampolines read and write: the active mutant, and the functions that ran."""

    module: str = ""
    name: str = ""
    hits: set[tuple[str, str]] = field(default_factory=set)


STATE = State()


def trampoline(mutants: dict[str, Callable[..., Any]], is_classmethod: bool = False) -> Callable[..., Any]:
    """Stand in for mutmut's decorator: note the call, and run the active mutant of the function if it is one of its."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        place: list[tuple[str, str]] = []

        def chosen(args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            original = mutants["_mutmut_orig"]
            if not place:
                place.append((function.__module__, original.__name__.removesuffix("__mutmut_orig")))
            STATE.hits.add(place[0])
            run = mutants.get(STATE.name, original) if STATE.module == function.__module__ else original
            return (getattr(args[0], run.__name__), args[1:]) if is_classmethod else (run, args)

        if inspect.isgeneratorfunction(function):

            @wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                run, rest = chosen(args)
                return (yield from run(*rest, **kwargs))

            return generate

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            run, rest = chosen(args)
            return run(*rest, **kwargs)

        return call

    return decorate


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutated modules instead of their files."""

    def __init__(self, paths: dict[str, Path]) -> None:
        """Mutate *paths* (module name -> file) now."""
        import mutmut.mutation.trampoline as theirs
        from mutmut.mutation.file_mutation import mutate_file_contents

        theirs.__dict__["wrap_in_trampoline"] = trampoline
        self._paths = paths
        self._code: dict[str, str] = {}
        self.mutants: list[Mutant] = []
        for module, path in paths.items():
            source = path.read_text("utf-8")
            kept = KEPT / hashlib.sha256(source.encode()).hexdigest()
            if not kept.exists():
                KEPT.mkdir(exist_ok=True)
                kept.write_text(mutate_file_contents(str(path), source).code, "utf-8")
            self._code[module] = kept.read_text("utf-8")
            self.mutants += described(module, self._code[module])

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


def described(module: str, code: str) -> list[Mutant]:
    """Return the mutants in mutated source, with what each changes."""
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
        original = functions[f"{function}__mutmut_orig"]
        before, after = (ast.unparse(item).splitlines()[1:] for item in (original, node))
        lines = list(unified_diff(before, after, lineterm="", n=0))[2:]
        diff = "\n".join(line for line in lines if not line.startswith("@@"))
        same = ast.dump(Wordless().visit(ast.parse("\n".join(_body(original))))) == ast.dump(
            Wordless().visit(ast.parse("\n".join(_body(node))))
        )
        found.append(Mutant(module, name, function, diff, prose=same))
    return found


def _body(node: ast.AST) -> list[str]:
    lines = ast.unparse(node).splitlines()
    while lines and not lines[0].lstrip().startswith(("def ", "async def ")):
        lines.pop(0)
    lines[0] = lines[0].partition("(")[0] + "(" + lines[0].partition("(")[2]
    return ["def f" + lines[0].lstrip()[lines[0].lstrip().index("(") :], *lines[1:]]


class Wordless(ast.NodeTransformer):
    """Takes words for people out of a tree: what is left equal differs in wording alone."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Blank text with a space in it, in whatever case and however marked."""
        return ast.Constant("...") if isinstance(node.value, str) and " " in node.value else node

    def visit_JoinedStr(self, _node: ast.JoinedStr) -> ast.AST:
        """Blank text with figures in it."""
        return ast.Constant("...")

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Of a refusal keep the code alone."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in REFUSALS:
            return ast.Call(node.func, node.args[:1], [])
        node.keywords = [item for item in node.keywords if item.arg not in WORDS]
        return self.generic_visit(node)


class Session:
    """The pytest plugin: instead of one run of the tests, one of them all, then one of some for each mutant."""

    def __init__(self, mutants: Sequence[Mutant], jobs: int, minutes: float, echo: Callable[[str], None]) -> None:
        """Try *mutants* in this order, *jobs* at a time; begin none once so many *minutes* are over."""
        self._mutants, self._jobs, self._echo = mutants, jobs, echo
        self._until = time.monotonic() + 60 * minutes
        self.outcomes: dict[str, int] = {}
        self.unreached: set[str] = set()
        self._failed = False
        self._why = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        self._failed |= report.failed
        self._why = str(report.longrepr)[-400:] if report.failed else self._why

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests as they are, then each mutant in a child."""
        reached: defaultdict[tuple[str, str], list[tuple[float, pytest.Item]]] = defaultdict(list)
        for place, spent, functions in self._unchanged(session.items):
            for function in functions:
                reached[function].append((spent, session.items[place]))
        running: dict[int, Mutant] = {}
        for mutant in self._mutants:
            if time.monotonic() > self._until:
                break
            items = sorted(reached[mutant.module, mutant.function], key=lambda pair: pair[0])
            if not items:
                self.outcomes[mutant.place] = SURVIVED
                self.unreached.add(mutant.place)
                continue
            running[self._fork(mutant, items)] = mutant
            if len(running) >= self._jobs:
                self._wait(running)
        while running:
            self._wait(running)
        return True

    def _unchanged(self, items: Sequence[pytest.Item]) -> Iterator[_Told]:
        """Run every test with nothing changed, in children, so that mutants find the session as new.

        Raises:
            pytest.UsageError: one of them fails.
        """
        pipes: list[tuple[int, int]] = []
        for first in range(self._jobs):
            source, sink = os.pipe()
            child = os.fork()
            if not child:
                os.close(source)
                self._tell(items, first, sink)
            os.close(sink)
            pipes.append((child, source))
        for child, source in pipes:
            with os.fdopen(source, "rb") as file:
                data = file.read()
            if os.waitpid(child, 0)[1]:
                raise pytest.UsageError("the tests do not pass with nothing changed")
            told: list[_Told] = pickle.loads(data)
            yield from told

    def _tell(self, items: Sequence[pytest.Item], first: int, sink: int) -> NoReturn:
        """In a child: run every so manieth test, and say what it cost and reached."""
        told: list[_Told] = []
        for place in range(first, len(items), self._jobs):
            item = items[place]
            STATE.hits.clear()
            began = time.process_time()
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            told.append((place, time.process_time() - began, sorted(STATE.hits)))
            if self._failed:
                self._echo(f"{item.nodeid} fails with nothing changed: {self._why}")
                os._exit(1)
        with os.fdopen(sink, "wb") as file:
            file.write(pickle.dumps(told))
        os._exit(0)

    def _fork(self, mutant: Mutant, items: Sequence[tuple[float, pytest.Item]]) -> int:
        child = os.fork()
        if child:
            return child
        limit = int(SLOWER * sum(spent for spent, _ in items)) + SPARE_S + int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        STATE.module, STATE.name = mutant.module, mutant.name
        for _, item in items:
            try:
                item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
            except BaseException:  # noqa: BLE001  whatever a mutant breaks, in pytest itself too, is noticed
                self._failed = True
            if self._failed:
                os._exit(KILLED)
        os._exit(SURVIVED)

    def _wait(self, running: dict[int, Mutant]) -> None:
        child, status = os.wait()
        mutant = running.pop(child)
        code = os.waitstatus_to_exitcode(status)
        self.outcomes[mutant.place] = code if code in (KILLED, SURVIVED) else TIMEOUT
        done = len(self.outcomes)
        if code == SURVIVED or done % 50 == 0:
            self._echo(f"{done}/{len(self._mutants)} {mutant.place} {'survived' if code == SURVIVED else 'killed'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, try, report; exit 1 when the share killed is below ``--floor``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=500, help="how many mutants to draw (0: all)")
    parser.add_argument("--seed", type=int, default=20261128, help="of the draw")
    parser.add_argument("--module", action="append", default=[], help="only of this module (rules.threshold)")
    parser.add_argument("--only", action="append", default=[], help="only this mutant, as a report names it")
    parser.add_argument(
        "--tests", action="append", default=[], help="only these tests (shape_rules), quicker to try out"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--minutes", type=float, default=1e9, help="begin no mutant after so many; fewer are then drawn"
    )
    parser.add_argument("--floor", type=int, default=90, help="percent that must be killed")
    parser.add_argument("--out", type=Path, help="write what became of each mutant as JSON")
    options = parser.parse_args(argv)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    paths = targets()
    if options.module and not options.only:
        paths = {PREFIX + name: paths[PREFIX + name] for name in options.module}
    finder = Mutated(paths)
    sys.meta_path.insert(0, finder)
    drawn = draw(finder.mutants, options.sample, options.seed, options.module, options.only)
    told = os.fdopen(os.dup(2), "w", buffering=1)  # pytest captures the other one
    session = Session(drawn, options.jobs, options.minutes, lambda line: print(line, file=told, flush=True))
    tests = [f"tests/treaty/test_{name}.py" for name in options.tests or TESTS]
    quiet = ["-q", "-p", "no:cacheprovider", "--no-header"]
    code = pytest.main([*quiet, *tests], plugins=[session])
    drawn = [item for item in drawn if item.place in session.outcomes]
    if code or not drawn:
        print("the tests do not pass with nothing changed", file=sys.stderr)
        return 2
    return report(finder.mutants, drawn, session, options.floor, options.out)


def draw(
    mutants: Sequence[Mutant], sample: int, seed: int, modules: Sequence[str], only: Sequence[str]
) -> list[Mutant]:
    """Return the mutants to try, in random order: any number of the first of them is a fair draw too."""
    pool = [item for item in mutants if not item.prose]
    if only:
        return [item for item in pool if item.place in only]
    if modules:
        pool = [item for item in pool if item.module.removeprefix(PREFIX) in modules]
    order = random.Random(seed)
    return order.sample(pool, min(sample, len(pool)) if sample else len(pool))


def report(mutants: Sequence[Mutant], drawn: Sequence[Mutant], session: Session, floor: int, out: Path | None) -> int:
    """Print a table by module and the survivors; return the exit status."""
    made = Counter(item.module for item in mutants)
    words = Counter(item.module for item in mutants if item.prose)
    tried, killed = Counter(item.module for item in drawn), Counter[str]()
    survivors: list[Mutant] = []
    for item in drawn:
        if session.outcomes[item.place] == SURVIVED:
            survivors.append(item)
        else:
            killed[item.module] += 1
    print("| module | mutants | of words | drawn | killed |\n|---|---|---|---|---|")
    for module in sorted(tried):
        name = module.removeprefix(PREFIX)
        print(f"| {name} | {made[module]} | {words[module]} | {tried[module]} | {killed[module]} |")
    total, dead = tried.total(), killed.total()
    share = 100 * dead / total if total else 0
    print(f"| all | {made.total()} | {words.total()} | {total} | {dead} ({share:.1f} %) |\n")
    for item in survivors:
        never = " (no test reaches it)" if item.place in session.unreached else ""
        print(f"{item.place}{never}\n{item.diff}\n")
    if out is not None:
        outcome = {KILLED: "killed", SURVIVED: "survived", TIMEOUT: "killed by time"}
        rows = [{"mutant": i.place, "outcome": outcome[session.outcomes[i.place]], "diff": i.diff} for i in drawn]
        out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if share >= floor else 1


if __name__ == "__main__":
    sys.exit(main())
