"""The command line as a house: every group is there, every command shows an example, and help costs nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from brakeline.cli import GROUP, SUBGROUP, build
from typer.main import get_command
from typer.testing import CliRunner

TOP = Path(__file__).resolve().parents[2]
HEAVY = (
    *("apsw", "asyncio", "cryptography", "google", "grpc", "httpx", "nacl", "numpy", "orjson"),
    *("psutil", "pydantic", "starlette", "structlog", "uvicorn"),
)
"""What a party needs only when a command of its own runs."""

HELP = """
import sys
from brakeline.cli import build
sys.argv = ["brakeline", "--help"]
try:
    build()(prog_name="brakeline")
except SystemExit as end:
    assert not end.code, end.code
print(",".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def declared(group: str = GROUP) -> list[str]:
    settings = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
    return sorted(settings["project"]["entry-points"][group])


def commands() -> list[tuple[str, ...]]:
    """Every command as the words that call it; groups are not commands, however deep they nest."""

    def walk(command: object, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        below: Mapping[str, object] | None = getattr(command, "commands", None)
        if below is None:
            yield words
        else:
            for name, inner in below.items():
                yield from walk(inner, (*words, name))

    return sorted(walk(get_command(build()), ()))


def test_the_installation_registers_exactly_the_groups_of_pyproject() -> None:
    for group in (GROUP, SUBGROUP):
        assert sorted(item.name for item in entry_points(group=group)) == declared(group)


def test_a_party_may_add_a_command_to_anothers_group() -> None:
    assert {tuple(name.split(".")) for name in declared(SUBGROUP)} <= set(commands())
    assert commands() == commands()  # also the second time, exactly once


def test_help_lists_every_group_and_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    text, _, modules = done.stdout.rstrip().rpartition("\n")
    words = {line.split()[0] for line in text.splitlines() if line.startswith("  ") and line.split()}
    assert words >= set(declared())
    assert not set(modules.split(",")) & set(HEAVY)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_a_help_with_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(build(), [*words, "--help"], prog_name="brakeline")
    assert result.exit_code == 0, result.output
    assert f"Example: brakeline {' '.join(words)}" in " ".join(result.output.split())


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(build(), ["brakes"], prog_name="brakeline")
    assert result.exit_code == 2
    assert "No such command" in result.output
