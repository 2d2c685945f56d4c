"""Guards over the tree that no linter has: run by ``make check``.

- no ``__init__.py`` directly under ``<root>/brakeline/``: it would hide every other root, silently;
- every portion carries ``py.typed``;
- nothing tracked records a registry's address, a private key, or a path of somebody's machine.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOTS = ("proto", "treaty", "ledger", "node", "verifier", "audit", "testnet")
FORBIDDEN = {
    "a registry address": re.compile(r"--(?:extra-)?index-url|--find-links|file:///|\"resolved\": *\"https?:"),
    "a private key": re.compile(r"-----BEGIN (?:ENCRYPTED )?PRIVATE KEY-----\n[A-Za-z0-9+/]"),
    "a path of a machine": re.compile(r"(?<![\w.])/(?:work|home/\w+|root|Users/\w+)/\w"),
}
NOT_TEXT = {".png", ".npz", ".sqlite"}


def namespace(top: Path) -> list[str]:
    """Return what is wrong with the namespace portions below *top*."""
    problems = [
        f"{path}: hides every other source root; delete it" for path in sorted(top.glob("*/brakeline/__init__.py"))
    ]
    for root in ROOTS:
        portions = [p for p in (top / root / "brakeline").glob("*") if p.is_dir() and p.name != "__pycache__"]
        if not portions:
            problems.append(f"{top / root / 'brakeline'}: no portion of the namespace here")
        problems += [f"{portion}: py.typed is missing" for portion in portions if not (portion / "py.typed").is_file()]
    return problems


def contents(path: Path, text: str) -> list[str]:
    """Return what one file may not hold and does."""
    return [f"{path}: {what}: {match.group(0)!r}" for what, rule in FORBIDDEN.items() if (match := rule.search(text))]


def tracked(top: Path) -> list[Path]:
    """Return the tracked text files below *top*."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=top, check=True, capture_output=True, text=True).stdout
    return [top / name for name in listed.split("\0") if name and Path(name).suffix not in NOT_TEXT]


def main() -> int:
    """Print every problem; 0 when there is none."""
    top = Path(__file__).resolve().parent.parent
    problems = namespace(top)
    for path in tracked(top):
        if path.is_file() and path != Path(__file__).resolve():
            problems += contents(path.relative_to(top), path.read_text(encoding="utf-8", errors="replace"))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
