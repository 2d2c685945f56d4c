"""The form of a case: a JSON file that says what is asked, and which word is the right answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.strictjson import JsonObject, parse_any

FORMAT = "brakeline-case/v1"
MAX_CASE = 1024 * 1024
VALID = ""
"""The answer to what is right."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question with its answer.

    Attributes:
        name: of the file, without its suffix.
        kind: what is asked (docs/spec/conformance/README.md).
        why: one sentence: what is wrong with it, or that nothing is.
        given: the input, by kind; binary members are lowercase hex.
        expect: the word that must be answered, "" for what is right.
    """

    name: str
    kind: str
    why: str
    given: JsonObject
    expect: str

    def render(self) -> bytes:
        """Return the file's bytes."""
        value = {"format": FORMAT, "kind": self.kind, "why": self.why, "input": self.given, "expect": self.expect}
        return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def write_cases(cases: Iterable[Case], directory: Path) -> list[Path]:
    """Write every case into *directory* (made if absent); return the paths, sorted."""
    directory.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for case in cases:
        path = directory / f"{case.name}.json"
        path.write_bytes(case.render())
        paths.append(path)
    return sorted(paths)


def read_cases(directory: Path) -> list[Case]:
    """Read every case of *directory*, in order of name.

    Raises:
        BrakelineError: ``case-malformed``, ``case-none``. JsonError: ``json-*``.
    """
    cases = [_read(path) for path in sorted(directory.glob("*.json"))]
    if not cases:
        raise BrakelineError(
            code="case-none", message="no cases are here", expected="files *.json", found=str(directory)
        )
    return cases


def _read(path: Path) -> Case:
    value = parse_any(path.read_bytes(), max_bytes=MAX_CASE)
    if isinstance(value, dict) and value.get("format") == FORMAT:
        kind, why, given, expect = (value.get(name) for name in ("kind", "why", "input", "expect"))
        if isinstance(kind, str) and isinstance(why, str) and isinstance(given, dict) and isinstance(expect, str):
            return Case(path.stem, kind, why, given, expect)
    raise BrakelineError(code="case-malformed", message=f"{path.name} is not a case", expected=FORMAT)
