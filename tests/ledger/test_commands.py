"""``brakeline ledger``: what a person types, and what comes back."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from brakeline.ledger import commands
from brakeline.ledger.checkpoint_store import CheckpointStore
from brakeline.ledger.commands import app
from brakeline.ledger.errors import StoreError
from typer.testing import CliRunner

from tests.ledger.logs import KEY, cosigned, filled
from tests.support.tamper import flip

VKEY = str(KEY)


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verifier's directory as its log leaves it: signed, and published with cosignatures."""
    directory = tmp_path_factory.mktemp("verifier")
    log = filled(directory, 300)
    assert log.note is not None
    note = cosigned(log.note)
    log.close()
    checkpoints = CheckpointStore(directory / "checkpoint.sqlite")
    checkpoints.compare_and_swap("published", None, note)
    checkpoints.close()
    return directory


def run(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def brakeline(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The real command, in its own process."""
    command = [sys.executable, "-c", "from brakeline.cli import main; main()", "ledger", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["export", "fsck", "mirror"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: brakeline ledger {command} " in " ".join(run(command, "--help").split())


def test_a_log_is_exported_checked_and_mirrored(verifier: Path, tmp_path: Path) -> None:
    out, copy = tmp_path / "out", tmp_path / "copy"
    assert run("export", "--dir", verifier, "--out", out) == f"300 entries written to {out}\n"
    assert run("fsck", out, "--vkey", VKEY).startswith("sound: 300 entries, root ")
    assert run("fsck", verifier, "--vkey", VKEY).startswith("sound: 300 entries, root ")
    assert run("mirror", out, copy, "--vkey", VKEY) == f"300 entries added, 300 in {copy}\n"
    assert run("mirror", out, copy, "--vkey", VKEY) == f"0 entries added, 300 in {copy}\n"


def test_json_is_for_programs(verifier: Path, tmp_path: Path) -> None:
    out, copy = tmp_path / "out", tmp_path / "copy"
    exported = json.loads(run("export", "--dir", verifier, "--out", out, "--format", "json"))
    assert exported == {"entries": 300, "out": str(out)}
    checked = json.loads(run("fsck", out, "--vkey", VKEY, "--format", "json"))
    assert (checked["entries"], checked["sound"], len(checked["root"])) == (300, True, 64)
    mirrored = json.loads(run("mirror", out, copy, "--vkey", VKEY, "--format", "json"))
    assert mirrored == {"added": 300, "entries": 300, "directory": str(copy)}


def test_damage_is_exit_code_1_and_named(verifier: Path, tmp_path: Path) -> None:
    run("export", "--dir", verifier, "--out", tmp_path / "out")
    flip(tmp_path / "out", tmp_path / "flipped", "tile/entries/000", 10, 1)
    assert "entry 0 is not what the log committed to" in run("fsck", tmp_path / "flipped", "--vkey", VKEY, code=1)
    report = json.loads(run("fsck", tmp_path / "flipped", "--vkey", VKEY, "--format", "json", code=1))
    assert (report["sound"], report["problem"]["code"]) == (False, "replay-entry")


def test_a_log_that_published_nothing_is_not_exported(tmp_path: Path) -> None:
    filled(tmp_path, 2).close()
    with pytest.raises(StoreError, match="store-unpublished"):
        run("export", "--dir", tmp_path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_error_has_a_code_says_what_to_do_and_exits_3(tmp_path: Path) -> None:
    for words, code in (
        (("fsck", tmp_path, "--vkey", VKEY), "source-no-checkpoint"),
        (("fsck", tmp_path, "--vkey", "nonsense"), "vkey-malformed"),
        (("export", "--dir", tmp_path, "--out", tmp_path / "out"), "store-io"),
        (("mirror", tmp_path / "none", tmp_path / "copy", "--vkey", VKEY), "source-unreachable"),
    ):
        done = brakeline(*words)
        assert done.returncode == 3, done
        assert done.stderr.startswith(f"error {code}: ")
        assert "to do: " in done.stderr
        assert done.stdout == ""


def test_progress_is_shown_on_a_terminal_only(
    verifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    commands.export(verifier, tmp_path / "out")
    assert "exporting" in terminal.getvalue()
    assert capsys.readouterr().out == f"300 entries written to {tmp_path / 'out'}\n"


def test_wrong_usage_is_exit_code_2() -> None:
    assert "Missing option" in run("export", code=2)
