"""The Containerfile, read as a builder reads it: what it copies is there, what it installs is pinned, who it runs as.

It is not built here: that takes a builder and a registry. docs: node/deploy/README.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from typing import NamedTuple

from tests.node.house import ROOT

FILE = ROOT / "node" / "deploy" / "Containerfile"


class Step(NamedTuple):
    """An instruction of a stage, its continued lines joined."""

    stage: int
    name: str
    rest: str


def steps() -> list[Step]:
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    found: list[Step] = []
    stage = -1
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Step(stage, name, re.sub(r"\s+", " ", rest)))
    return found


def named(name: str) -> list[Step]:
    return [step for step in steps() if step.name == name]


def copied() -> list[str]:
    """Return what is copied from the tree."""
    return [path for step in named("COPY") if not step.rest.startswith("--from") for path in step.rest.split()[:-1]]


def test_what_is_copied_is_in_the_tree_and_nothing_but_what_is_built_from() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    for path in copied():
        assert any(name == path or name.startswith(f"{path}/") for name in listed), path
    assert "." not in copied()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {path.split("/")[0] for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    needed = {"pyproject.toml", project["project"]["readme"], "LICENSE"}
    assert set(copied()) == packages | needed | {"requirements/node.txt", "requirements/build.txt"}


def test_everything_from_an_index_is_pinned_by_hash() -> None:
    commands = [part.strip() for step in named("RUN") for part in step.rest.split("&&")]
    installs = [command for command in commands if re.search(r"pip (install|wheel)", command)]
    assert len(installs) == 4
    for command in installs:
        by_hash = re.search(r"--no-deps --require-hashes -r /src/(requirements/\S+)", command)
        if by_hash is not None:
            assert by_hash[1] in copied()
        else:
            assert re.search(r"--no-deps (--no-index /wheels|--no-build-isolation .*/src$)", command), command


def test_what_runs_is_nobody_special_and_has_no_tools_to_build_with() -> None:
    last = max(step.stage for step in steps())
    assert last == 1
    final = [step for step in steps() if step.stage == last]
    assert [step.rest for step in final if step.name == "COPY"] == ["--from=build /opt/brakeline /opt/brakeline"]
    order = [step.name for step in final]
    assert order.index("USER") < order.index("ENTRYPOINT")
    (user,) = (step.rest for step in final if step.name == "USER")
    assert int(user) >= 10_000
    assert f"useradd --uid {user} " in " ".join(step.rest for step in final if step.name == "RUN")
    assert not {"ENV", "ARG", "ADD", "EXPOSE"} & {step.name for step in steps()}
    assert json.loads(next(step.rest for step in final if step.name == "ENTRYPOINT"))[-1] == "node"


def test_both_stages_have_one_base_so_that_the_environment_made_in_one_runs_in_the_other() -> None:
    first, second = (step.rest.split(" AS ")[0] for step in named("FROM"))
    assert first == second
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim(@sha256:[0-9a-f]{64})?", first)
