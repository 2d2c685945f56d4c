"""``brakeline demo``: what it refuses, and how it says so."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.testnet.commands import demo_app
from brakeline.testnet.plan import draw
from brakeline.testnet.ports import Ports
from brakeline.testnet.stage import Stage, TooLate
from brakeline.testnet.whole import play_whole
from typer.testing import CliRunner

from tests.testnet.aftermath import Silent


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["--labs", "1"], "--labs"),
        (["--labs", "3", "--cheats", "3"], "--cheats"),
        (["--cheats", "-1"], "--cheats"),
        (["--verifiers", "0"], "--verifiers"),
        (["--verifiers", "99"], "--verifiers"),
        (["--seed", "-5"], "--seed"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_is_made(
    arguments: list[str], about: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(demo_app, [*arguments, "--keep", str(out)])
    assert result.exit_code == 2
    assert about in result.output
    assert not out.exists()


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    result = CliRunner().invoke(demo_app, ["--keep", str(tmp_path)])
    assert isinstance(result.exception, BrakelineError)
    assert result.exception.code == "demo-folder"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_help_gives_an_example_and_the_exit_codes() -> None:
    text = CliRunner().invoke(demo_app, ["--help"]).output
    assert "brakeline demo --seed 7" in text
    assert "Exit codes" in text


COMMAND = [sys.executable, "-c", "from brakeline.cli import main; main()", "demo"]


def below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def can_be_interrupted() -> None:
    """Undo what a shell does to its background jobs, where these tests may run: they ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_behind(
    number: signal.Signals, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [*COMMAND, "--keep", str(tmp_path / "out")], stdout=said, stderr=said, preexec_fn=can_be_interrupted
        )
    request.addfinalizer(process.wait)
    request.addfinalizer(process.kill)  # the last one added runs first
    family: list[psutil.Process] = []
    deadline = time.monotonic() + 120
    while len(family) < 9 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        family = below(process.pid)
    assert len(family) >= 9, (tmp_path / "said").read_text()
    process.send_signal(number)
    assert process.wait(60) == 130
    assert "every process was stopped" in (tmp_path / "said").read_text()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_a_machine_that_is_too_busy_to_start_in_time_is_given_more_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads: list[int] = []

    def late(stage: Stage, _ports: Ports) -> None:
        leads.append(stage.lead_ms)
        (stage.out / "left-over").write_text("of this attempt")
        raise TooLate(2 * stage.lead_ms)

    monkeypatch.setattr(Stage, "open", late)
    plan = draw(seed=1, labs=2, cheats=0, evidence=True)
    with pytest.raises(BrakelineError) as caught:
        play_whole(plan, 1, tmp_path, Silent())
    assert caught.value.code == "demo-too-busy"
    assert len(leads) == 3
    assert leads[0] < leads[1] < leads[2]
