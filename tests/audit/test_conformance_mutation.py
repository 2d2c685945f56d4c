"""Each case of the conformance suite fails when its check is taken out of the code.

A sample here, every case in ``make soak``. Cases that several checks refuse are listed in layers.toml with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from brakeline.audit.conformance.conform import all_cases

from tests.audit import mutation

TOP = Path(__file__).parents[2]
EVERY = 12
"""The sample: every twelfth case, in order of name."""


def layered() -> dict[str, str]:
    rows = tomllib.loads((TOP / "tests" / "audit" / "layers.toml").read_text(encoding="utf-8"))["layer"]
    return {case: row["reason"] for row in rows for case in row["cases"]}


def examined(*arguments: str) -> list[dict[str, Any]]:
    """Examine cases in a process of their own: it forks, which a process with threads must not."""
    command = [sys.executable, "-m", "tests.audit.mutation", *arguments]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True, timeout=280)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(results: list[dict[str, Any]]) -> None:
    assert [item["case"] for item in results if not item["broken"]] == []
    assert all(item["said"] != item["expect"] for item in results)
    several = {item["case"] for item in results if len(item["layers"]) > 1}
    assert several == {item["case"] for item in results} & set(layered())


def test_a_sample_of_cases_fails_without_its_check() -> None:
    results = examined("--every", str(EVERY))
    assert len(results) == -(-len(mutation.must_fail()) // EVERY) >= 16
    check(results)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_every_case_fails_without_its_check() -> None:
    results = examined()
    assert len(results) == len(mutation.must_fail())
    check(results)
    assert set(layered()) <= {item["case"] for item in results}
    accepted = sum(1 for item in results if item["said"] == "")
    assert accepted >= len(results) * 2 // 3, "mostly, what must fail is taken for right once its check is gone"


def test_a_case_that_nothing_refuses_is_not_called_broken() -> None:
    """The tool can fail: a right case has no check to take out."""
    right = next(case for case in all_cases() if case.expect == "" and case.kind == "checkpoint")
    assert mutation.refused_at(right) is None
