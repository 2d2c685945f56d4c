"""The watch: what a replay would find is told once, as soon as it is there, and survives restarts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from brakeline.audit.commands import app
from brakeline.audit.evidence.bundle import parse
from brakeline.audit.evidence.check import check
from brakeline.audit.opinions import SUFFIX
from brakeline.audit.watch.alarms import Event
from brakeline.audit.watch.metrics import WatchMetrics
from brakeline.audit.watch.rounds import Watch, locked
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.succession import Succession
from typer.testing import CliRunner

from tests.support import cast, sealing, worlds
from tests.support.worlds import World, WorldLog


class Post:
    """A watch over the exported logs of a world, with the world's clock."""

    def __init__(self, world: World, root: Path, disclosures: Path | None = None) -> None:
        self.world = world
        self.root = root
        self.disclosures = disclosures
        self.away_ms = 0
        self.told: list[Event] = []
        world.export(root / "logs")
        self.restart()

    def restart(self) -> None:
        paths = [str(self.root / "logs" / log.name) for log in self.world.logs]
        self.watch = Watch(paths, Succession(self.world.document), self.root / "state", self._now, self.disclosures)

    def _now(self) -> int:
        return self.world.now_ms + self.away_ms

    def round(self, *, export: bool = True) -> list[tuple[str, str]]:
        """Let the logs be published, look, and return (event, kind) of what was told."""
        if export:
            self.world.export(self.root / "logs")
        self.told = []
        self.watch.round(self.told.append)
        return [(item.event, item.kind) for item in self.told]


def test_honest_logs_are_silent_and_grow_without_being_read_again(tmp_path: Path) -> None:
    world = worlds.honest()
    post = Post(world, tmp_path)
    assert post.round() == []
    before = [follower.size for follower in post.watch.followers]
    world.beat(3)
    assert post.round() == []
    assert [follower.size for follower in post.watch.followers] == [size + 3 for size in before]
    post.restart()
    assert post.round() == []
    assert post.watch.report is not None
    assert int(post.watch.report.exit) == 0


def test_a_finding_is_told_once_also_across_a_restart(tmp_path: Path) -> None:
    world, (good, bad) = worlds._begin(None)
    post = Post(world, tmp_path)
    assert post.round() == []
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    good.report(0)
    bad.report(0, missing=500)
    world.beat(2)
    assert post.round() == [("raised", "finding")]
    assert "imbalance" in post.told[0].key
    assert bad.author.name in post.told[0].sentence
    world.beat()
    assert post.round() == []
    post.restart()
    assert post.round() == []
    world.until(cast.START + 2 * cast.PERIOD + worlds.BEAT)
    good.report(1, missing=500)
    bad.report(1)
    post.restart()  # while the watch was away
    world.beat(2)
    assert post.round() == [("raised", "finding")]
    assert good.author.name in post.told[0].sentence


def test_a_log_that_shows_another_past_is_caught_with_evidence(tmp_path: Path) -> None:
    world = worlds.honest()
    post = Post(world, tmp_path)
    assert post.round() == []
    log = world.logs[0]
    gone = log.entries.pop()
    log.append(gone.received_at_ms + 1, gone.kind, gone.body)
    log.append(gone.received_at_ms + 2, Kind.HEARTBEAT, gone.body)
    log.publish(world.now_ms)
    assert post.round() == [("raised", "fork")]
    (file,) = (tmp_path / "state" / "evidence").iterdir()
    proven = check(parse(file.read_bytes()), Succession(world.document))
    assert (proven.act, proven.about) == ("fork", log.name)
    post.restart()
    assert post.round() == []  # the mirror kept the first history, and the alarm stands


def hiding(world: World) -> WorldLog:
    world.logs[2].findings = lambda due: []
    return world.logs[2]


def writing_nonsense(world: World) -> WorldLog:
    log = world.logs[2]
    last = log.entries[-1]
    log.entries.append(Entry(last.index + 1, last.digest, world.now_ms, Kind.STATEMENT, b"", b"no envelope"))
    log.publish(world.now_ms)
    return log


@pytest.mark.parametrize("act", [hiding, writing_nonsense])
def test_misjudging_is_an_alarm_with_evidence(tmp_path: Path, act: Callable[[World], WorldLog]) -> None:
    world, (_, bad) = worlds._begin(None)
    post = Post(world, tmp_path)
    assert post.round() == []
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    if act is hiding:
        log = act(world)
        bad.report(0, missing=1)
        world.beat(2)
    else:
        log = act(world)
    told = post.round()
    assert ("raised", "divergence") in told
    assert {item.about for item in post.told if item.kind == "divergence"} == {log.name}
    files = [parse(path.read_bytes()) for path in (tmp_path / "state" / "evidence").iterdir()]
    assert [(item.act, item.about) for item in files] == [("misjudging", log.name)]


def test_silence_and_a_log_that_stops_growing_are_told_and_cleared(tmp_path: Path) -> None:
    world = worlds.honest()
    post = Post(world, tmp_path)
    assert post.round() == []
    away = tmp_path / "logs" / world.logs[1].name
    away.rename(tmp_path / "away")
    assert post.round(export=False) == [("raised", "unreadable")]
    world.logs[3].silent = True
    world.beat(8)
    (tmp_path / "away").rename(away)
    world.export(tmp_path / "logs")
    away.rename(tmp_path / "away")
    assert sorted(post.round(export=False)) == [
        ("cleared", "unreadable"),
        ("raised", "not-growing"),
        ("raised", "silent"),
    ]
    (tmp_path / "away").rename(away)
    world.logs[3].silent = False
    world.beat(2)
    assert sorted(post.round()) == [("cleared", "not-growing"), ("cleared", "silent")]


def test_what_could_not_be_told_is_told_again(tmp_path: Path) -> None:
    """A crash between telling and remembering tells twice, never not at all."""
    world = worlds.cheating()
    post = Post(world, tmp_path)

    def broken(event: Event) -> None:
        raise OSError("the pipe is gone")

    with pytest.raises(OSError, match="pipe"):
        post.watch.round(broken)
    post.restart()
    told = post.round()
    assert len(told) == 2
    assert set(told) == {("raised", "finding")}


def test_a_watch_keeps_to_its_treaty_and_its_folder(tmp_path: Path) -> None:
    world = worlds.honest()
    post = Post(world, tmp_path)
    post.round()
    other = World(cast.document(name="other.treaty.example"))
    with pytest.raises(BrakelineError, match="watch-state"):
        Watch([], Succession(other.document), tmp_path / "state", lambda: 0)
    (tmp_path / "state" / "watch.json").write_bytes(b"{")
    with pytest.raises(BrakelineError, match="watch-state"):
        Watch([], Succession(world.document), tmp_path / "state", lambda: 0)
    with locked(tmp_path / "state"), pytest.raises(BrakelineError, match="watch-locked"), locked(tmp_path / "state"):
        pass


def test_figures_are_served(tmp_path: Path) -> None:
    import httpx

    world = worlds.cheating()
    post = Post(world, tmp_path)
    post.round()
    metrics = WatchMetrics(0)
    metrics.show(post.watch.followers, [alarm.kind for alarm in post.watch.standing])
    text = httpx.get(f"http://127.0.0.1:{metrics.port}/metrics").text
    metrics.close()
    assert 'brakeline_audit_alarms{kind="finding"} 2.0' in text
    assert text.count("brakeline_audit_log_entries{") == 4


def test_the_command_looks_once_and_exits_as_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = worlds.cheating()
    monkeypatch.setattr("brakeline.audit.watch.serve._now_ms", lambda: world.now_ms)
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    options = ["--treaty", str(world.write_treaty(tmp_path / "t.json")), "--pin", world.pin]
    words = ["watch", *paths, *options, "--state", str(tmp_path / "state"), "--once"]
    answer = CliRunner().invoke(app, [*words, "--format", "json"])
    assert answer.exit_code == 1
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    findings = [item for item in events if item["kind"] == "finding"]
    assert {item["level"] for item in findings} == {"alarm"}
    assert all(item["event"] == "raised" for item in events)
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1
    assert "watching 4 logs" in again.stdout
    assert "equivocation" not in again.stdout


# sealed values --------------------------------------------------------------------------------------------------------


class Sealed:
    """A site that seals its figures, with more FLOP than its chips can do, and a watch that may be given what opens."""

    def __init__(self, root: Path) -> None:
        document = sealing.document(sealing.FIGURES)
        self.world = World(document)
        self.world.beat()
        site = worlds.Site(self.world, cast.SITE)
        self.inventory = site.inventory
        self.author = sealing.SealingAuthor(cast.SITE, document)
        self.author.sequence, self.author.previous = site.author.sequence, site.author.previous
        self.given = root / "given"
        self.given.mkdir()
        self.post = Post(self.world, root, self.given)

    def report(self, period: int, flop: str) -> Envelope:
        self.world.until(cast.START + (period + 1) * cast.PERIOD + worlds.BEAT)
        full = cast.CHIPS * cast.PERIOD
        lines = (cast.line("training", full, flop_model=flop, joules="80"),)
        said = self.author.use(period, self.inventory, lines)
        self.world.publish(said)
        self.world.disclose(self.author.disclosures[said.digest])
        self.world.beat(2)
        return said

    def give(self, said: Envelope) -> None:
        (self.given / f"{said.digest}{SUFFIX}").write_bytes(self.author.disclosures[said.digest].encoded)

    def round(self) -> list[tuple[str, str]]:
        """Return (event, kind) of what was told, and for what is open its code."""
        self.post.round()
        return [(item.event, item.key.split("|")[1] if item.kind == "open" else item.kind) for item in self.post.told]


def test_what_grows_while_the_same_thing_is_open_is_told_once(tmp_path: Path) -> None:
    scene = Sealed(tmp_path)
    scene.report(0, "1000")
    assert ("raised", "sealed-unopened") in scene.round()
    for period in (1, 2):
        scene.report(period, "1000")
        assert scene.round() == []


def test_what_is_found_over_opened_values_is_told_also_when_they_are_opened_later(tmp_path: Path) -> None:
    scene = Sealed(tmp_path)
    said = [scene.report(period, flop) for period, flop in enumerate(("1000", "1999999999999", "1000"))]
    scene.give(said[0])
    before = scene.round()
    assert ("raised", "opened") not in before
    assert ("raised", "opinions-not-reproduced") in before
    for item in said[1:]:
        scene.give(item)
    after = scene.round()
    assert ("raised", "opened") in after
    assert {("cleared", "sealed-unopened"), ("cleared", "opinions-not-reproduced")} <= set(after)
    (told,) = [item for item in scene.post.told if item.kind == "opened"]
    assert "peak-exceeded" in told.key
    assert "in public nobody sees it" in told.sentence
    sizes = [follower.size for follower in scene.post.watch.followers]
    assert sizes == [len(log.entries) for log in scene.world.logs]
    assert scene.round() == []
    scene.post.restart()
    assert scene.round() == []
    scene.give(scene.report(3, "1999999999998"))
    assert scene.round() == [("raised", "opened")]


def test_a_disclosure_that_does_not_open_is_tried_once_and_counts_as_none(tmp_path: Path) -> None:
    scene = Sealed(tmp_path)
    first, second = scene.report(0, "1000"), scene.report(1, "1000")
    scene.round()
    (scene.given / f"{second.digest}{SUFFIX}").write_bytes(scene.author.disclosures[first.digest].encoded)
    (scene.given / f"{first.digest}{SUFFIX}").write_bytes(b"{}")
    assert scene.round() == []
    replays = [follower._replay for follower in scene.post.watch.followers]
    assert scene.round() == []
    assert [follower._replay for follower in scene.post.watch.followers] == replays, "not judged anew each round"


def test_a_folder_of_disclosures_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    world = worlds.honest()
    with pytest.raises(BrakelineError, match="disclosures-unreadable"):
        Post(world, tmp_path, tmp_path / "nowhere")


def test_a_folder_of_disclosures_that_goes_away_is_told_and_ends_no_watch(tmp_path: Path) -> None:
    scene = Sealed(tmp_path)
    scene.round()
    scene.given.rmdir()
    assert scene.round() == [("raised", "disclosures-unreadable")]
    scene.given.mkdir()
    assert scene.round() == [("cleared", "disclosures-unreadable")]
