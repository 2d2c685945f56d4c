"""A node that is killed again and again signs each position once, books each period once, and loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node.house import ROOT


def lives(folder: Path, count: int, seed: int) -> None:
    """Run :mod:`tests.node.lives`, which says what it found."""
    command = [sys.executable, "-m", "tests.node.lives", str(folder), "--lives", str(count), "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["problems"] == []
    assert (found["lives"], done.returncode) == (count, 0)
    assert found["signatures"] >= found["statements"] - 1 > 0


def test_ten_kills_sign_nothing_twice_and_lose_nothing(tmp_path: Path) -> None:
    lives(tmp_path, 10, 7)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_thousand_kills_sign_nothing_twice_and_lose_nothing(tmp_path: Path) -> None:
    lives(tmp_path, 1000, 20261128)
