"""``brakeline demo``: what it refuses, and how it says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from brakeline.ledger.errors import BrakelineError
from brakeline.testnet.commands import demo_app
from typer.testing import CliRunner


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
