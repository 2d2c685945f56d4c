"""The conformance suite: what is committed is what the code writes, and both implementations answer it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from brakeline.audit.commands import app
from brakeline.audit.conformance.answers import KINDS
from brakeline.audit.conformance.case import VALID, read_cases
from brakeline.audit.conformance.conform import all_cases, conform
from brakeline.ledger.errors import BrakelineError
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "spec" / "conformance" / "cases"
CASES = all_cases()
OTHER = [sys.executable, str(ROOT / "examples" / "check_cases.py")]


def test_the_committed_cases_are_the_ones_the_code_writes() -> None:
    assert {path.name for path in COMMITTED.iterdir()} == {f"{case.name}.json" for case in CASES}
    for case in CASES:
        assert (COMMITTED / f"{case.name}.json").read_bytes() == case.render(), case.name


def test_at_least_a_hundred_must_fail_and_every_kind_has_one_that_must_not() -> None:
    assert sum(1 for case in CASES if case.expect != VALID) >= 100
    right = {case.kind for case in CASES if case.expect == VALID} | {"judgement"}  # that of logs serves it
    assert right == set(KINDS) == {case.kind for case in CASES}


def test_we_answer_every_case_over_the_contract() -> None:
    answered = CliRunner().invoke(app, ["conform", "--cases", str(COMMITTED), "--format", "json"])
    assert answered.exit_code == 0
    report = json.loads(answered.stdout)
    assert (len(report["cases"]), report["wrong"], report["unsupported"]) == (len(CASES), 0, 0)


def test_the_independent_checker_answers_all_about_logs_and_signatures() -> None:
    answered = list(conform(OTHER, CASES))
    assert [(item.case.name, item.said) for item in answered if not item.right and not item.skipped] == []
    kinds = {item.case.kind for item in answered if not item.skipped}
    assert kinds >= {"signature", "key", "checkpoint", "inclusion", "consistency", "entry", "json", "log"}


def test_who_accepts_everything_or_refuses_everything_passes_nothing() -> None:
    program = "import json, sys\nfor line in sys.stdin: print(json.dumps({'answer': sys.argv[1]}), flush=True)"
    for word in (VALID, "always wrong"):
        command = [sys.executable, "-c", program, word]
        wrong = {item.case.kind for item in conform(command, CASES) if not item.right}
        assert wrong == set(KINDS)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("pass", "conform-ended"),
        ("print('yes', flush=True); input()", "conform-answer"),
        ("print([], flush=True); input()", "conform-answer"),
    ],
)
def test_a_program_that_breaks_the_contract_is_named(program: str, code: str) -> None:
    with pytest.raises(BrakelineError, match=code):
        list(conform([sys.executable, "-c", program], CASES[:2]))


def test_a_folder_without_cases_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrakelineError, match="case-none"):
        read_cases(tmp_path)
    (tmp_path / "x.json").write_text('{"format": "other"}')
    with pytest.raises(BrakelineError, match="case-malformed"):
        read_cases(tmp_path)
