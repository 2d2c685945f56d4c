"""Guards over the tree that no linter has: run by ``make check``.

- no ``__init__.py`` directly under ``<root>/brakeline/``: it would hide every other root, silently;
- every portion carries ``__init__.py`` and ``py.typed``, every root a README.md of at most 40 lines;
- pure modules (those that import-linter's ``pure-*`` contracts name) call no clock, no file and no terminal, and
  compute without floating point, except where a package is called ``exploring`` (no finding rests on it, which an
  import contract checks): the imports are the linter's business, built-ins are ours;
- nothing tracked records a registry's address, a private key, or a path of somebody's machine.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOTS = ("proto", "treaty", "ledger", "node", "verifier", "audit", "testnet")
README_LINES = 40
FORBIDDEN = {
    "a registry's address": re.compile(
        r"--(?:extra-)?index-url[= ]\S|--find-links[= ]\S|file:///|\"resolved\": *\"https?:"
        r"|https?://[^\s/]*(?:pypi|pythonhosted|npmjs|artifactory|proxy\.golang)|https?://\S+/simple\b"
    ),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]"),
    "a path of a machine": re.compile(r"(?<![\w.])/(?:work|home/\w+|root|Users/\w+|opt/(?:wheels|pypi))/\w"),
}
IMPURE_CALLS = {"open", "input", "print", "float", "exec", "eval", "__import__"}
IMPURE_METHODS = {"now", "utcnow", "today"}
EXPLORING = "exploring"
NOT_TEXT = {".png", ".npz", ".sqlite"}
EXEMPT = {"tools/check_tree.py", "tests/house/test_tree.py"}
"""The files that have to spell what they look for."""


def namespace(top: Path) -> list[str]:
    """Return what is wrong with the namespace portions below *top*."""
    problems = [
        f"{path}: hides every other source root; delete it" for path in sorted(top.glob("*/brakeline/__init__.py"))
    ]
    for root in ROOTS:
        portions = [p for p in (top / root / "brakeline").glob("*") if p.is_dir() and p.name != "__pycache__"]
        if not portions:
            problems.append(f"{top / root / 'brakeline'}: no portion of the namespace here")
        for portion in portions:
            needed = (portion / name for name in ("__init__.py", "py.typed"))
            problems += [f"{path}: missing" for path in needed if not path.is_file()]
    return problems


def readmes(top: Path) -> list[str]:
    """Return the roots whose README.md is missing or too long for its reader."""
    problems = []
    for path in (top / root / "README.md" for root in ROOTS):
        lines = len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0
        if not 1 <= lines <= README_LINES:
            problems.append(f"{path}: {lines} lines, expected 1 to {README_LINES}")
    return problems


def pure_files(top: Path) -> Iterator[Path]:
    """Yield the modules that the import contracts call pure."""
    settings = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if not contract["id"].startswith("pure-"):
            continue
        for module in contract["source_modules"]:
            path = top / module.split(".")[1] / module.replace(".", "/")
            if path.is_dir():
                yield from (p for p in sorted(path.rglob("*.py")) if "commands" not in p.relative_to(path).parts)
            else:
                yield path.with_suffix(".py")


def purity(path: Path, text: str) -> list[str]:
    """Return what a pure module does that needs no import: built-in I/O, the present time, floating point."""
    problems = []
    exact = EXPLORING not in path.parts
    impure_calls = IMPURE_CALLS if exact else IMPURE_CALLS - {"float"}
    for node in ast.walk(ast.parse(text)):
        found = ""
        if exact and isinstance(node, ast.Constant) and isinstance(node.value, float):
            found = f"the floating-point number {node.value}"
        elif exact and isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
            found = "a true division: use //, or Fraction(a, b)"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in impure_calls:
            found = f"a call of {node.func.id}()"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS:
            found = f"a call of .{node.func.attr}(): the clock is passed in"
        if found:
            problems.append(f"{path}:{getattr(node, 'lineno', 0)}: a pure module has {found}")
    return problems


def contents(path: Path, text: str) -> list[str]:
    """Return what one file may not hold and does."""
    return [f"{path}: {what}: {match.group(0)!r}" for what, rule in FORBIDDEN.items() if (match := rule.search(text))]


def tracked(top: Path) -> list[Path]:
    """Return the tracked text files below *top*."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=top, check=True, capture_output=True, text=True).stdout
    return [top / name for name in listed.split("\0") if name and Path(name).suffix not in NOT_TEXT]


def problems_of(top: Path) -> list[str]:
    """Return everything that is wrong with the tree at *top*."""
    problems = namespace(top) + readmes(top)
    for path in pure_files(top):
        problems += purity(path.relative_to(top), path.read_text(encoding="utf-8"))
    for path in tracked(top):
        name = path.relative_to(top)
        if path.is_file() and str(name) not in EXEMPT:
            problems += contents(name, path.read_text(encoding="utf-8", errors="replace"))
    return problems


def main() -> int:
    """Print every problem; 0 when there is none."""
    problems = problems_of(Path(__file__).resolve().parent.parent)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
