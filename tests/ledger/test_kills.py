"""A writer killed at random moments (SIGKILL), always on the same log: nothing acknowledged is lost, nothing forks.

A kill cannot see a missing sync (the kernel still holds the writes): crash states and power cuts do. What it sees is
everything that a process leaves half done, on the real VFS, with real locks and shared memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ledger.crash.disk import scratch_directory
from tests.support.counts import count

TOP = Path(__file__).parents[2]
KILLS = 100
"""Of a soak's seed, and of CI."""


def lives(directory: Path, seed: int, kills: int) -> dict[str, object]:
    """Run :mod:`tests.ledger.crash.lives`; return what it found."""
    command = [sys.executable, "-m", "tests.ledger.crash.lives", "kill", str(directory)]
    command += ["--seed", str(seed), "--lives", str(kills)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def judge(tmp_path: Path, seed: int, kills: int = KILLS) -> None:
    with scratch_directory(tmp_path) as directory:
        found = lives(directory, seed, kills)
    assert found["problems"] == []
    assert found["lives"] == kills
    assert found["acknowledged"]


def test_kills_lose_nothing_acknowledged_and_fork_nothing(tmp_path: Path) -> None:
    judge(tmp_path, 1, count(KILLS, 25))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 150))
def test_thousands_of_kills_lose_nothing_acknowledged_and_fork_nothing(tmp_path: Path, seed: int) -> None:
    judge(tmp_path, seed)
