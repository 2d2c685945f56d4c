"""The driver of mutation testing, over a module of two functions: what it calls killed, survived and unreached."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULE = """
def over(figure, line):
    return figure > line

def known(name):
    return name or "nobody"

def alone(figure):
    return figure + 1
"""
TESTS = """
import toy_of_mutants as toy

def test_a_figure_at_the_line_is_not_over_it():
    assert toy.over(3, 2) and not toy.over(2, 2)

def test_a_name_is_itself():
    assert toy.known("somebody") == "somebody"

def test_that_fails_whatever_is_changed():
    assert toy.known("somebody") == "nobody"
"""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str, list[str], Path]:
    """Outcomes by mutant, what was printed, the command, and the folder."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.py").write_text(MODULE, encoding="utf-8")
    (folder / "test_toy.py").write_text(TESTS, encoding="utf-8")
    command = [
        sys.executable, "-m", "tools.mutants", f"--file=toy_of_mutants={folder / 'toy.py'}",
        f"--tests={folder / 'test_toy.py'}", f"--kept={folder / 'kept'}", f"--out={folder / 'out.json'}", "--sample=0",
    ]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 1, run.stdout + run.stderr  # survivors enough to be below the floor
    rows = json.loads((folder / "out.json").read_text("utf-8"))
    return {row["diff"].splitlines()[-1].strip("+ "): row["outcome"] for row in rows}, run.stderr, command, folder


def test_a_change_that_a_test_notices_is_killed_and_another_survives(
    tried: tuple[dict[str, str], str, list[str], Path],
) -> None:
    outcomes, printed, _, _ = tried
    assert outcomes["return figure >= line"] == "killed"
    assert outcomes["return name and 'nobody'"] == "killed"
    assert outcomes["return name or 'NOBODY'"] == "survived"
    assert outcomes["return figure + 2"] == "survived: no test reaches it"
    assert "toy_of_mutants:known#" in printed


def test_a_test_that_fails_unchanged_kills_nothing(tried: tuple[dict[str, str], str, list[str], Path]) -> None:
    outcomes, printed, _, _ = tried
    assert "test_that_fails_whatever_is_changed fails with nothing changed" in printed
    assert outcomes["return name or 'XXnobodyXX'"] == "survived"


def test_a_draw_goes_on_where_it_stopped_and_tries_again_what_a_new_test_may_notice(
    tried: tuple[dict[str, str], str, list[str], Path],
) -> None:
    outcomes, _, command, folder = tried
    lines = (folder / "kept" / "outcomes.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len(outcomes)
    better = TESTS + "\ndef test_nobody():\n    assert toy.known('') == 'nobody'\n    assert toy.alone(1) == 2\n"
    (folder / "test_toy.py").write_text(better, encoding="utf-8")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"| all | {len(outcomes)} | 0 | {len(outcomes)} | {len(outcomes)} (100.0 %) |" in run.stdout
