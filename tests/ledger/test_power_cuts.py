"""Power cuts: an ext4 file system goes away under a writer and is mounted again; nothing acknowledged is lost.

Unlike a kill, this sees a missing sync: the control, with SQLite's ``synchronous=OFF``, loses. Needs Linux, root and
loop devices; the file system is made in a file below the test's directory, mounted in a mount namespace of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
CUTS = 20
TOOLS = ("mkfs.ext4", "mount", "umount", "unshare")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run :mod:`tests.ledger.crash.lives` where its mounts end with it."""
    command: Sequence[str | Path] = ("unshare", "--mount", "--propagation", "private", "--", sys.executable)
    return subprocess.run(
        [*command, "-m", "tests.ledger.crash.lives", *arguments], cwd=TOP, capture_output=True, text=True, check=False
    )


@cache
def cannot(directory: Path) -> str:
    """Return why there can be no power cuts here; empty when there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "power cuts need Linux and root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"power cuts need {', '.join(missing)}"
    directory.mkdir()
    probe = run("probe", directory)
    return "" if probe.returncode == 0 else f"no loop mount here: {probe.stderr.strip()[-200:]}"


@pytest.fixture
def disk(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for the file system; skips where none can be mounted."""
    reason = cannot(tmp_path_factory.getbasetemp() / "probe")
    if reason:
        pytest.skip(reason)
    return tmp_path


def cuts(disk: Path, seed: int, count: int, *options: str) -> dict[str, object]:
    done = run("power", disk, "--seed", str(seed), "--lives", str(count), *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    assert found["lives"] == count
    return found


def test_twenty_power_cuts_lose_nothing_acknowledged_and_fork_nothing(disk: Path) -> None:
    found = cuts(disk, 1, CUTS)
    assert found["problems"] == []
    assert found["acknowledged"]


def test_durability_switched_off_loses_in_the_same_power_cuts(disk: Path) -> None:
    problems = cuts(disk, 1, 4, "--careless")["problems"]
    assert isinstance(problems, list)
    assert any("lost: signed at size" in problem for problem in problems)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_thousand_power_cuts_lose_nothing_acknowledged_and_fork_nothing(disk: Path, seed: int) -> None:
    found = cuts(disk, seed, 100)
    assert found["problems"] == []
    assert found["acknowledged"]
