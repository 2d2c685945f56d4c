"""The independent checker: agrees on honest logs, names what is wrong with others, and shares no code with us."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from brakeline.ledger.entry import Kind
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.strictjson import JsonObject
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import cast, worlds
from tests.support.tamper import flip, log_files

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def checker() -> Iterator[ModuleType]:
    """The checker as a module."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield importlib.import_module("check_log")
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, worlds.World]:
    """An honest world, exported: a directory with a log a verifier, and treaty.json."""
    root = tmp_path_factory.mktemp("honest")
    world = worlds.honest()
    world.export(root)
    world.write_treaty(root / "treaty.json")
    return root, world


def run(checker: ModuleType, world: worlds.World, root: Path, log: int = 0, **edit: Path) -> dict[str, Any]:
    """Export and check one log of *world*."""
    path = edit.get("path") or world.logs[log].export(root / "log")
    report: dict[str, Any] = checker.check(path, world.write_treaty(root / "treaty.json"), world.pin)
    return report


def levels(report: dict[str, Any]) -> set[tuple[str, str]]:
    return {(problem["level"], problem["code"]) for problem in report["problems"]}


def test_it_imports_nothing_of_brakeline_and_stays_small() -> None:
    for name in ("check_log.py", "check_vectors.py"):
        text = (EXAMPLES / name).read_text()
        modules = {
            alias.name if isinstance(node, ast.Import) else str(node.module)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        foreign = {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"check_log"}
        assert foreign == {"nacl"}
        assert len(text.splitlines()) < 560


def test_an_honest_log_is_reproduced(checker: ModuleType, tmp_path: Path) -> None:
    world = worlds.honest()
    for index, log in enumerate(world.logs):
        report = run(checker, world, tmp_path / str(index), index)
        assert report["exit"] == 0
        assert report["problems"] == []
        assert report["checked"]["entries"] == len(log.entries)
        assert report["checked"]["open books"] == 6


def test_books_that_do_not_balance_and_two_versions_are_found(checker: ModuleType, tmp_path: Path) -> None:
    report = run(checker, worlds.cheating(), tmp_path)
    assert report["exit"] == 1
    assert levels(report) == {("finding", "imbalance"), ("finding", "equivocation")}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_536, 65_537])
def test_logs_of_every_shape_of_tree_are_read(checker: ModuleType, tmp_path: Path, size: int) -> None:
    world = worlds.World()
    log = world.logs[0]
    if size:
        for _ in range(size - 1):
            log.append(world.now_ms, Kind.FINDING, b"{}")
        log.publish(world.now_ms)
    report = run(checker, world, tmp_path)
    assert (report["exit"], report["size"], report["checked"].get("entries", 0)) == (0, size, size)


def test_another_pin_is_refused(checker: ModuleType, exported: tuple[Path, worlds.World]) -> None:
    root, _world = exported
    report = checker.check(root / cast.VERIFIERS[0], root / "treaty.json", "0" * 64)
    assert (report["exit"], levels(report)) == (3, {("unreadable", "pin")})


def test_a_treaty_in_toml_serves_as_well(
    checker: ModuleType, exported: tuple[Path, worlds.World], tmp_path: Path
) -> None:
    root, world = exported
    path = tmp_path / "treaty.toml"
    path.write_text(toml(world.document.to_json()))
    assert checker.check(root / cast.VERIFIERS[0], path, world.pin)["exit"] == 0
    text = path.read_text()
    path.write_text(text.replace("parameters = {}\n", "").replace("annex = []\n", ""))
    assert path.read_text() != text, "what is empty may be left out"
    assert checker.check(root / cast.VERIFIERS[0], path, world.pin)["exit"] == 0


def test_too_few_cosignatures_are_reported_as_unchecked(checker: ModuleType, tmp_path: Path) -> None:
    world = worlds.honest()
    world.logs[0].witnesses = cast.VERIFIERS[:2]
    world.logs[0].publish(world.now_ms)
    report = run(checker, world, tmp_path)
    assert (report["exit"], levels(report)) == (4, {("unchecked", "quorum")})


def _unsigned(world: worlds.World) -> None:
    """A statement whose signature is another statement's."""
    author = cast.Author(cast.LABS[0], world.document)
    good, other = author.enrol("lab-1.party-a.example/site-8"), author.enrol("lab-1.party-a.example/site-9")
    forged = type(good)(good.payload, other.signatures)
    world.logs[0].append(world.now_ms, Kind.STATEMENT, forged.to_body())


def _wrong_author(world: worlds.World) -> None:
    """Books of one site signed by another site's key."""
    author = cast.Author(cast.SITE, world.document, cast.signer(cast.OTHER_SITE))
    world.logs[0].append(world.now_ms, Kind.STATEMENT, author.hold(3).to_body())


def _orphan(world: worlds.World) -> None:
    author = cast.Author(cast.SITE, world.document)
    author.sequence, author.previous = 90, "1" * 64
    world.logs[0].append(world.now_ms, Kind.STATEMENT, author.hold().to_body())


def _twice(world: worlds.World) -> None:
    world.logs[0].append(world.now_ms, Kind.STATEMENT, world.logs[0].entries[2].body)


def _future(world: worlds.World) -> None:
    site = cast.Author(cast.SITE, world.document)
    entry = next(e for e in world.logs[0].entries if b"usage/v1" in e.body)
    digest = Envelope.from_body(entry.body).digest
    site.sequence, site.previous = 2, digest
    world.logs[0].append(world.now_ms, Kind.STATEMENT, site.use(500, "2" * 64, (cast.line("idle", 1),)).to_body())


def _back_in_time(world: worlds.World) -> None:
    world.logs[0].append(world.now_ms - 60_000, Kind.FINDING, b"{}")


def _broken_link(world: worlds.World) -> None:
    log = world.logs[0]
    last = log.entries[-1]
    log.entries[-1] = type(last)(last.index, bytes(32), last.received_at_ms, last.kind, last.source, last.body)


def _loose_json(world: worlds.World) -> None:
    world.logs[0].append(world.now_ms, Kind.HEARTBEAT, b'{"mirrored": []}')


def _few_parties(world: worlds.World) -> None:
    order = cast.order(world.document, cast.signer(cast.PARTIES[0]))
    world.logs[0].append(world.now_ms, Kind.STATEMENT, order.to_body())


def _amend(world: worlds.World, *parties: str, effective: int = 2) -> None:
    version = cast.amended(world.document, effective)
    envelope = cast.amendment_envelope(version, *(cast.signer(name) for name in parties))
    world.logs[0].append(world.now_ms, Kind.TREATY, envelope.to_body())


def _few_amend(world: worlds.World) -> None:
    _amend(world, cast.PARTIES[0])


def _outsider_amends(world: worlds.World) -> None:
    _amend(world, *cast.PARTIES, "stranger.example")


def _early_amendment(world: worlds.World) -> None:
    later = cast.amended(cast.amended(world.document, 4), 4)
    world.publish(cast.amendment_envelope(cast.amended(world.document, 4)), to=[0])
    world.logs[0].append(world.now_ms, Kind.TREATY, cast.amendment_envelope(later).to_body())


def _log_back_with_other_keys(world: worlds.World) -> None:
    """Version 2 has another log in the place of the last, version 3 has that one's name again, and not its keys."""
    *stay, last = cast.json_lines(world.document.to_json()["verifier"])

    def named(name: str, keys: str) -> JsonObject:
        witness = replace(cast.vkey(keys, "witness"), name=f"{name}/witness")
        log = replace(cast.vkey(keys, "log"), name=name)
        return {**last, "name": name, "log_key": str(log), "witness_key": str(witness)}

    second = cast.amended(world.document, 4, verifier=[*stay, named("verifier-8.example", "verifier-8.example")])
    third = cast.amended(second, 5, verifier=[*stay, named(str(last["name"]), "verifier-9.example")])
    world.publish(cast.joined_by(second, "verifier-8.example"), to=[0])
    said = cast.joined_by(third, "verifier-9.example")
    world.logs[0].append(world.now_ms, Kind.TREATY, said.to_body())


def _unknown_version(world: worlds.World) -> None:
    author = cast.Author(cast.LABS[0], cast.amended(world.document, 4))
    world.logs[0].append(world.now_ms, Kind.STATEMENT, author.enrol("lab-1.party-a.example/site-8").to_body())


def test_a_log_with_amendments_is_reproduced(checker: ModuleType, tmp_path: Path) -> None:
    """A lab joins by version 2, and enrols a site under it; the others go on under version 1."""
    world = worlds.honest()
    labs = cast.json_lines(world.document.to_json()["lab"])
    name = "lab-9.party-a.example"
    joined = cast.amended(world.document, 2, lab=[*labs, {**labs[0], "name": name, "root_key": str(cast.vkey(name))}])
    parties = [cast.signer(party) for party in cast.PARTIES]
    world.publish(cast.amendment_envelope(joined, *parties, cast.signer(name)))
    world.publish(cast.Author(name, joined).enrol(f"{name}/site-1"))
    world.beat(2)
    report = run(checker, world, tmp_path)
    assert (report["exit"], report["problems"]) == (0, [])
    assert report["checked"]["statements"] == sum(e.kind in (1, 2) for e in world.logs[0].entries)


@pytest.mark.parametrize(
    ("misdeed", "code"),
    [
        (_unsigned, "signature"),
        (_wrong_author, "signer"),
        (_orphan, "chain"),
        (_twice, "duplicate"),
        (_future, "future"),
        (_back_in_time, "time"),
        (_broken_link, "link"),
        (_loose_json, "json"),
        (_few_parties, "signer"),
        (_few_amend, "signer"),
        (_outsider_amends, "signer"),
        (_early_amendment, "succession"),
        (_log_back_with_other_keys, "succession"),
        (_unknown_version, "pin"),
    ],
)
def test_what_no_honest_verifier_logs_is_its_misconduct(
    checker: ModuleType, tmp_path: Path, misdeed: Callable[[worlds.World], None], code: str
) -> None:
    world = worlds.honest()
    misdeed(world)
    world.logs[0].publish(world.now_ms)
    report = run(checker, world, tmp_path)
    assert report["exit"] == 2
    assert ("misconduct", code) in levels(report)


def test_a_second_root_that_the_log_signed_is_a_fork(checker: ModuleType, tmp_path: Path) -> None:
    world = worlds.honest()
    log = world.logs[0]
    log.published = log.sign(world.now_ms, len(log.entries), bytes(32))
    world.beat()
    assert ("misconduct", "fork") in levels(run(checker, world, tmp_path))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_one_flipped_byte_is_seen_where_it_is(
    checker: ModuleType, exported: tuple[Path, worlds.World], tmp_path: Path, data: st.DataObject
) -> None:
    root, world = exported
    log = root / cast.VERIFIERS[0]
    file = data.draw(st.sampled_from(log_files(log)))
    hit = flip(log, tmp_path / "log", file, data.draw(st.integers(0, 100_000)), data.draw(st.integers(1, 255)))
    report = checker.check(tmp_path / "log", root / "treaty.json", world.pin)
    if file == "checkpoint":
        fewer = report["checked"].get("cosignatures", 0) < 4
        assert report["exit"] == 3 or fewer
        return
    assert report["exit"] == 3
    (problem,) = report["problems"]
    where = f"entry {hit.index}:" if file.startswith("tile/entries/") else f"{file}: hash {hit.index}"
    assert where in problem["message"]


def test_the_command_prints_and_exits(exported: tuple[Path, worlds.World]) -> None:
    root, world = exported
    command = [sys.executable, str(EXAMPLES / "check_log.py"), str(root / cast.VERIFIERS[1])]
    command += ["--treaty", str(root / "treaty.json"), "--pin", world.pin]
    text = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "exit      0" in text.stdout
    report = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
    assert json.loads(report.stdout)["origin"] == cast.VERIFIERS[1]
    gone = subprocess.run([*command[:2], str(root / "gone"), *command[3:]], capture_output=True, text=True, check=False)
    assert gone.returncode == 3
    assert "cannot read checkpoint" in gone.stdout


def toml(value: JsonObject) -> str:
    """Write a treaty as TOML, empty lists left out."""
    head, tables = "", ""
    for name, item in value.items():
        if isinstance(item, dict):
            tables += f"[{name}]\n" + "".join(f"{key} = {_inline(inner)}\n" for key, inner in item.items())
        elif isinstance(item, list):
            for row in item:
                assert isinstance(row, dict)
                tables += f"[[{name}]]\n" + "".join(f"{key} = {_inline(inner)}\n" for key, inner in row.items())
        else:
            head += f"{name} = {_inline(item)}\n"
    return head + tables


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return json.dumps(value)
