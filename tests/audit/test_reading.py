"""However a log is read, in how many processes and with how many interruptions, its report is the same."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from brakeline.audit.commands import app
from brakeline.audit.reading import state as states
from brakeline.audit.reading.ahead import Ahead
from brakeline.audit.reading.one import Reading
from brakeline.audit.reading.pace import Pace
from brakeline.audit.replay import audit_sources, both_libraries
from brakeline.audit.report import AuditReport, Exit
from brakeline.ledger import ed25519
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.document import load_toml
from brakeline.treaty.replay import LogReplay
from typer.testing import CliRunner

from tests.support import cast, worlds
from tests.support.worlds import World

CI_BREAKS, SOAK_BREAKS = 4, 50
CI_KILLS, SOAK_KILLS = 3, 50
EVERY = 5
"""Entries between two states."""


class Interrupted(BaseException):
    """What a signal does to a program."""


class Desk:
    """An auditor with four logs of one world on disk, and a folder for states."""

    def __init__(self, root: Path, world: World) -> None:
        self.world, self.root = world, root
        self.paths = world.export(root / "logs")
        self.treaty = world.write_treaty(root / "treaty.json")

    def audit(self, how: Reading | None = None, *, paranoid: bool = False) -> AuditReport:
        sources = [str(path) for path in self.paths]
        how = Reading() if how is None else how
        return audit_sources(sources, self.treaty, self.world.pin, paranoid=paranoid, how=how)

    @property
    def states(self) -> Path:
        return self.root / "states"

    def kept(self) -> Reading:
        return Reading(states=self.states, save_every=EVERY)

    def problem(self, how: Reading) -> str:
        found = self.audit(how).logs[0].divergence
        assert found is not None
        return found.code


def told(report: AuditReport) -> str:
    return json.dumps(report.to_json(), sort_keys=True)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Logs with findings, an equivocation, and one whose verifier logged what was not admissible."""
    world = worlds.cheating()
    stranger = cast.Author("lab-9.party-z.example/site-1", world.document).hold()
    world.logs[1].append(world.now_ms, Kind.STATEMENT, stranger.to_body())
    forged = cast.Author(cast.SITE, world.document).hold().to_body()
    world.logs[2].append(world.now_ms, Kind.STATEMENT, forged[:-1] + bytes([forged[-1] ^ 1]))
    for log in world.logs[1:3]:
        log.publish(world.now_ms)
    return Desk(tmp_path_factory.mktemp("busy"), world)


@pytest.mark.parametrize("paranoid", [False, True])
def test_one_answer_however_many_processes(busy: Desk, paranoid: bool) -> None:
    alone = busy.audit(Reading(processes=1), paranoid=paranoid)
    assert alone.exit is Exit.MISCONDUCT
    assert told(busy.audit(Reading(processes=3), paranoid=paranoid)) == told(alone)


def entries(world: World) -> list[Entry]:
    return list(world.logs[0].entries)


def test_workers_answer_for_signatures_and_what_reading_raises_comes_after_what_it_gave(busy: Desk) -> None:
    def broken() -> Iterator[Entry]:
        yield from entries(busy.world)
        raise BrakelineError(code="x", message="the end")

    replay = LogReplay(busy.world.document, busy.world.logs[0].name, busy.world.logs[0].root)
    asked: list[bytes] = []

    def verify(key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(signature)
        return ahead.verify(key, message, signature)

    with Ahead(1, ed25519.verify) as ahead:
        replay.lend(busy.world.logs[0].root, verify)
        count = 0

        def feed_all() -> None:
            nonlocal count
            for entry in ahead.of(broken(), replay.key_of):
                replay.feed(entry)
                count += 1

        with pytest.raises(BrakelineError, match="the end"):
            feed_all()
        assert count == len(entries(busy.world))
        assert not ahead.verify(b"\0" * 32, b"message", asked[-1])
    assert len(asked) > 8


def test_only_true_is_taken_from_a_worker() -> None:
    signer = cast.signer("anybody")
    with Ahead(0, both_libraries) as ahead:
        assert ahead.verify(signer.public_key, b"message", signer.sign(b"message"))
        assert not ahead.verify(signer.public_key, b"other", signer.sign(b"message"))


def interrupted_and_resumed(desk: Desk, monkeypatch: pytest.MonkeyPatch, seed: int, breaks: int) -> None:
    whole, rng = told(desk.audit()), random.Random(seed)
    feed, left = LogReplay.feed, 0

    def feed_or_break(self: LogReplay, entry: Entry) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Interrupted
        feed(self, entry)

    monkeypatch.setattr(LogReplay, "feed", feed_or_break)
    for _ in range(breaks):
        left = rng.randint(1, 4 * EVERY)
        try:
            report = desk.audit(desk.kept())
        except Interrupted:
            continue
        assert told(report) == whole
        shutil.rmtree(desk.states)
    left = 0
    assert told(desk.audit(desk.kept())) == whole
    assert told(desk.audit(desk.kept())) == whole  # from states that reach to the end


@pytest.mark.parametrize("seed", range(2))
def test_interrupted_at_random_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    interrupted_and_resumed(Desk(tmp_path, worlds.cheating()), monkeypatch, seed, CI_BREAKS)


@pytest.mark.soak
def test_interrupted_often_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_and_resumed(Desk(tmp_path, worlds.cheating()), monkeypatch, 7, SOAK_BREAKS)


COMMAND = (sys.executable, "-c", "from brakeline.cli import main; main()", "audit", "replay")


def killed(words: Sequence[str], folder: Path, after: int) -> bool:
    """Run the audit; kill it (SIGKILL) once it has written *after* files into *folder*. Say whether it came to that."""
    known = {item.stat().st_ino for item in folder.iterdir()} if folder.exists() else set[int]()
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        time.sleep(0.001)
        with suppress(FileNotFoundError):  # a name that was listed is gone
            fresh = {item.stat().st_ino for item in folder.iterdir()} - known
            after -= len(fresh)
            known |= fresh
        if after <= 0:
            process.kill()
            process.wait()
    return process.returncode == -signal.SIGKILL


def killed_and_resumed(desk: Desk, seed: int, kills: int) -> None:
    """Kill real audits wherever it falls, in the middle of a save too; each goes on from what the last one left."""
    rng, done, begun = random.Random(seed), 0, 0
    words = [*map(str, desk.paths), "--treaty", str(desk.treaty), "--pin", desk.world.pin, "--format", "json"]
    keeping = [*words, "--state", str(desk.states), "--save-every", "2"]
    whole = subprocess.run([*COMMAND, *words], capture_output=True, check=False)
    while done < kills:
        begun += 1
        if killed(keeping, desk.states, rng.randint(1, 25)):
            done += 1
        else:  # it was through before
            shutil.rmtree(desk.states)
        assert begun <= 4 * kills + 4
    again = subprocess.run([*COMMAND, *keeping], capture_output=True, check=False)
    assert (again.returncode, again.stdout) == (whole.returncode, whole.stdout)
    assert json.loads(again.stdout)["findings_digest"] == json.loads(whole.stdout)["findings_digest"]


@pytest.mark.parametrize("seed", [1])
def test_killed_and_resumed(tmp_path: Path, seed: int) -> None:
    killed_and_resumed(Desk(tmp_path, worlds.cheating()), seed, CI_KILLS)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_killed_often_and_resumed(tmp_path: Path) -> None:
    killed_and_resumed(Desk(tmp_path, worlds.cheating()), 11, SOAK_KILLS)


def test_a_log_that_has_grown_is_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path, worlds.cheating())
    desk.audit(desk.kept())
    desk.world.beat(3)
    desk.paths = desk.world.export(tmp_path / "logs")
    fed: list[int] = []
    feed = LogReplay.feed

    def noted(self: LogReplay, entry: Entry) -> None:
        fed.append(entry.index)
        feed(self, entry)

    monkeypatch.setattr(LogReplay, "feed", noted)
    on = told(desk.audit(desk.kept()))
    assert min(fed) > 0
    assert on == told(desk.audit())


def test_states_of_other_things_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path, worlds.honest())
    desk.audit(desk.kept())
    first, second = (desk.states / f"{log.name}.state" for log in desk.world.logs[:2])
    whole = first.read_bytes()

    def problem(data: bytes) -> str:
        first.write_bytes(data)
        return desk.problem(desk.kept())

    assert problem(second.read_bytes()) == "state-other"
    assert problem(whole[:-1]) == "state-damaged"
    assert problem(b"{}\n") == "state-other"
    assert problem(b"\xff") == "state-damaged"
    assert problem(whole.replace(desk.world.pin.encode(), b"0" * 64, 1)) == "state-other"
    first.write_bytes(whole)
    found = desk.audit(desk.kept(), paranoid=True).logs[0].divergence
    assert found is not None
    assert found.code == "state-other"
    with monkeypatch.context() as patch:
        patch.setattr(states, "code_digest", lambda: "0" * 64)
        assert desk.problem(desk.kept()) == "state-other"
    (scratch,) = desk.states.glob(f"{desk.world.logs[0].name}.*.scratch")
    data = scratch.read_bytes()
    scratch.write_bytes(data + b"x")
    assert desk.problem(desk.kept()) == "state-damaged"
    scratch.write_bytes(data)
    first.chmod(0o666)
    assert desk.problem(desk.kept()) == "state-unsafe"
    first.chmod(0o600)
    desk.states.chmod(0o777)
    assert desk.problem(desk.kept()) == "state-unsafe"
    desk.states.chmod(0o700)
    assert desk.audit(desk.kept()).exit is Exit.REPRODUCED


def test_a_state_under_another_history_or_a_longer_one_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, worlds.honest())
    desk.audit(Reading(states=desk.states, save_every=1))
    log = desk.world.logs[0]
    last = log.entries.pop()
    log.publish(desk.world.now_ms)
    shutil.rmtree(desk.paths[0])
    log.export(desk.paths[0])
    assert desk.problem(desk.kept()) == "state-ahead"
    log.append(last.received_at_ms + 1, last.kind, last.body)
    log.publish(desk.world.now_ms)
    log.export(desk.paths[0])
    assert desk.problem(desk.kept()) == "state-history"


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return subprocess.run, ("true",)


@pytest.mark.parametrize("what", [Evil(), io.BytesIO(), ed25519.verify, load_toml, Path("x")])
def test_a_state_makes_no_object_but_plain_values(what: object) -> None:
    reader = states._Reader(io.BytesIO(pickle.dumps(what)), cast.document())
    with pytest.raises(pickle.UnpicklingError, match="no state holds"):
        reader.load()


def test_what_was_checked_before_is_not_verified_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path, worlds.cheating())
    log = desk.world.logs[0]
    kept = tmp_path / "kept"
    kept.write_bytes(log.published or b"")
    desk.world.beat(2)
    desk.world.publish(cast.Author("lab-1.party-a.example", desk.world.document).enrol("lab-1.party-a.example/site-9"))
    desk.world.beat()
    desk.paths = desk.world.export(tmp_path / "logs")
    asked: list[bytes] = []
    verify = ed25519.verify

    def noted(key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(signature)
        return verify(key, message, signature)

    monkeypatch.setattr(ed25519, "verify", noted)
    whole = desk.audit()
    before = len(asked)
    words = ["replay", *map(str, desk.paths), "--treaty", str(desk.treaty), "--pin", desk.world.pin]
    answer = CliRunner().invoke(app, [*words, "--since", str(kept), "--format", "json"])
    report = json.loads(answer.stdout)
    assert report["logs"][0].pop("since") == int(kept.read_text().split("\n")[1])
    assert report == json.loads(told(whole))
    assert 0 < len(asked) - before < before


def test_a_kept_checkpoint_that_the_log_does_not_contain_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path, worlds.honest())
    log = desk.world.logs[0]
    words = ["replay", *map(str, desk.paths), "--treaty", str(desk.treaty), "--pin", desk.world.pin, "--format", "json"]

    def code(note: bytes) -> tuple[int, str]:
        (tmp_path / "kept").write_bytes(note)
        answer = CliRunner().invoke(app, [*words, "--since", str(tmp_path / "kept")])
        if answer.exception is not None and isinstance(answer.exception, BrakelineError):
            return -1, answer.exception.code
        return answer.exit_code, json.loads(answer.stdout)["logs"][0]["divergence"]["code"]

    assert code(log.sign(desk.world.now_ms, root=bytes(32))) == (2, "log-forked")
    ahead = log.append(desk.world.now_ms, Kind.HEARTBEAT, b"")
    assert code(log.sign(desk.world.now_ms)) == (3, "since-ahead")
    assert ahead.index == desk.audit().logs[0].size
    assert code(b"nothing") == (-1, "note-malformed")


def test_the_pace_says_how_long_it_takes() -> None:
    out, now = io.StringIO(), 0.0
    pace = Pace(out, clock=lambda: now)
    for done in range(0, 11_000, 1_000):
        pace("copy", done, 10_000)
        now += 2.0
    lines = out.getvalue().splitlines()
    assert lines[0] == "copy: 3,000 of 10,000 entries, 500 a second, 14 s left"
    assert lines[-1] == "copy: 10,000 of 10,000 entries, 500 a second"
