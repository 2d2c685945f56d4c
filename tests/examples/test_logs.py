"""The example logs replay to the report that stands beside them, with our auditor and with the independent checker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from brakeline.audit.commands import app
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "examples" / "logs"
PIN = (LOGS / "pin").read_text(encoding="utf-8").strip()
NAMES = [f"verifier-{number}.example" for number in range(1, 5)]


def test_the_audit_gives_the_committed_report() -> None:
    sources = [str(LOGS / name) for name in NAMES]
    answer = CliRunner().invoke(
        app, ["replay", *sources, "--treaty", str(LOGS / "treaty.json"), "--pin", PIN, "--format", "json"]
    )
    expected = json.loads((LOGS / "report.json").read_text(encoding="utf-8"))
    found = json.loads(answer.stdout)
    for log, name in zip(found["logs"], NAMES, strict=True):
        log["source"] = name
    assert found == expected
    assert answer.exit_code == expected["exit"] == 1
    assert {item["finding"]["rule"] for item in found["findings"]} >= {"imbalance", "equivocation"}


def test_the_independent_checker_accepts_every_example_log_and_sees_the_unbalanced_books() -> None:
    for name in NAMES:
        command = [sys.executable, str(ROOT / "examples" / "check_log.py"), str(LOGS / name)]
        done = subprocess.run(
            [*command, "--treaty", str(LOGS / "treaty.json"), "--pin", PIN], capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        assert "lab-2.party-b.example/site-1" in done.stdout


def test_the_example_is_what_its_script_writes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "example_log.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
