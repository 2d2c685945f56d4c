"""Spot checks over whole logs: every log draws, the site opens, and whoever does not, or draws otherwise, is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, LogState
from brakeline.ledger.entry import Kind
from brakeline.treaty.document import TreatyDocument
from brakeline.treaty.oversight import Opening, Row, RowPart
from brakeline.treaty.quantities import ChipMs, Flop
from brakeline.treaty.spotcheck.challenge import Challenge, parse_challenge
from brakeline.treaty.spotcheck.table import encode_row, open_rows, row_salt, table_of
from brakeline.treaty.statements import Activity, Usage
from brakeline.treaty.strictjson import JsonValue

from tests.support import cast, worlds
from tests.support.cast import CHIPS, PERIOD, SITE

SLOTS = 4
OPEN_MS = 10_000


def treaty(quantity: int = 10**12) -> TreatyDocument:
    """The tests' treaty with challenges in force; *quantity* so small that several rows are drawn."""
    rules: list[JsonValue] = [
        *cast.json_lines(cast.terms()["rule"]),
        {
            "rule": "unopened-challenge",
            "severity": "discrepancy",
            "article": "Art. 99",
            "parameters": {"open_ms": OPEN_MS},
        },
    ]
    goals: JsonValue = {
        "significant_quantity_flop": str(quantity),
        "timeliness_ms": 5 * PERIOD,
        "detection": {"numerator": 95, "denominator": 100},
    }
    return cast.document(rule=rules, goals=goals)


DOCUMENT = treaty()
SECRET = hashlib.sha256(b"tests").digest()
PART = RowPart(workload="job", activity=Activity.OTHER, ms=ChipMs(PERIOD // SLOTS), flop=Flop(1))
ROWS = [
    encode_row(
        Row(chip=str(i % CHIPS), chip_class="cpu-core", slot=i // CHIPS, parts=(PART,), salt=row_salt(SECRET, i))
    )
    for i in range(CHIPS * SLOTS)
]


class Scene:
    """Four logs, and a site whose books of period 0 commit to ``ROWS``."""

    def __init__(self, *, silent: bool = False) -> None:
        self.world = worlds.World(DOCUMENT)
        self.site = worlds.Site(self.world, SITE)
        self.world.until(cast.START + PERIOD + worlds.BEAT)
        if silent:
            self.world.logs[3].silent = True
            self.world.beat()
        author = self.site.author
        line = cast.line("other", CHIPS * PERIOD, flop_model=str(len(ROWS)))
        said = {"start": cast.START, "end": cast.START + PERIOD, "inventory": self.site.inventory}
        books = Usage.model_validate({**author.position(), **said, "table": table_of(ROWS), "lines": (line,)})
        self.usage = author.say(books)
        self.world.publish(self.usage)

    def challenges(self) -> list[Challenge]:
        """Every challenge there is, by log."""
        return [
            parse_challenge(entry.body)
            for log in self.world.logs
            for entry in log.entries
            if entry.kind is Kind.CHALLENGE
        ]

    def open(self, challenge: Challenge, indexes: Sequence[int] | None = None, to: Sequence[int] | None = None) -> None:
        author = self.site.author
        rows = open_rows(ROWS, challenge.drawn if indexes is None else indexes)
        said = {"period": challenge.period, "usage": challenge.usage, "challenge": challenge.digest, "rows": rows}
        self.world.publish(author.say(Opening.model_validate({**author.position(), **said})), to=to)

    def audit(self, directory: Path, *, after_ms: int = OPEN_MS + 5_000) -> AuditReport:
        """Let time pass, report the further books in time, and audit."""
        period = 1
        end = self.world.now_ms + after_ms
        while self.world.now_ms < end:
            self.world.beat()
            if self.world.now_ms >= cast.START + (period + 1) * PERIOD + worlds.BEAT:
                author = self.site.author
                line = cast.line("idle", CHIPS * PERIOD)
                self.world.publish(author.use(period, self.site.inventory, (line,)))
                period += 1
        paths = [str(path) for path in self.world.export(directory / "logs")]
        return audit_sources(paths, self.world.write_treaty(directory / "treaty.json"), DOCUMENT.digest)


def found(report: AuditReport, usage: str) -> list[dict[str, JsonValue]]:
    """Findings of the two rules about *usage*."""
    items = [item.body for item in report.findings]
    return [item for item in items if usage in str(item) and item["rule"] in ("unopened-challenge", "false-opening")]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_every_log_draws_once_from_checkpoints_of_all_logs_after_the_books(scene: Scene) -> None:
    scene.world.beat(3)
    challenges = scene.challenges()
    assert len(challenges) == len(scene.world.logs)
    for log, challenge in zip(scene.world.logs, challenges, strict=True):
        assert (challenge.usage, challenge.rows, challenge.absent) == (scene.usage.digest, len(ROWS), ())
        assert [item.origin for item in challenge.beacons] == sorted(cast.VERIFIERS)
        at = next(e.index for e in log.entries if e.kind is Kind.STATEMENT and e.body == scene.usage.to_body())
        assert next(item.size for item in challenge.beacons if item.origin == log.name) > at
        assert 1 < challenge.count == len(challenge.drawn) < len(ROWS)
    scene.world.beat(3)
    assert len(scene.challenges()) == len(scene.world.logs)


def test_a_silent_log_is_waited_for_and_then_left_out_and_named() -> None:
    scene = Scene(silent=True)
    grace = DOCUMENT.deadlines.takeover_ms.value // DOCUMENT.deadlines.heartbeat_ms.value
    scene.world.beat(grace - 1)
    assert scene.challenges() == []
    scene.world.beat(1)
    assert [item.absent for item in scene.challenges()] == [(scene.world.logs[3].name,)] * 3


def test_a_site_that_opens_what_is_drawn_is_left_alone(scene: Scene, tmp_path: Path) -> None:
    scene.world.beat(3)
    for challenge in scene.challenges():
        scene.open(challenge)
    report = scene.audit(tmp_path)
    assert {log.state for log in report.logs} == {LogState.REPRODUCED}
    assert found(report, scene.usage.digest) == []


def test_rows_that_two_logs_drew_and_nobody_opened_are_found_after_the_deadline(scene: Scene, tmp_path: Path) -> None:
    scene.world.beat(3)
    first, second, *rest = scene.challenges()
    for challenge in rest:
        scene.open(challenge)
    scene.open(first, first.drawn[1:])
    scene.open(second, [row for row in range(len(ROWS)) if row not in second.drawn])
    report = scene.audit(tmp_path)
    (finding,) = found(report, scene.usage.digest)
    assert (finding["rule"], finding["about"], finding["period"]) == ("unopened-challenge", SITE, 0)
    figures = finding["figures"]
    assert isinstance(figures, dict)
    assert {name: figures[name] for name in ("challenges", "drawn", "unopened")} == {
        "challenges": "2",
        "drawn": str(first.count + second.count),
        "unopened": str(1 + second.count),
    }
    assert any("rows unopened" in item.sentence for item in report.findings)


def test_before_the_deadline_nothing_is_said(scene: Scene, tmp_path: Path) -> None:
    scene.world.beat(3)
    assert found(scene.audit(tmp_path, after_ms=5_000), scene.usage.digest) == []


def test_one_log_alone_accuses_nobody(scene: Scene, tmp_path: Path) -> None:
    scene.world.beat(3)
    for challenge in scene.challenges()[1:]:
        scene.open(challenge)
    assert found(scene.audit(tmp_path), scene.usage.digest) == []


def test_an_opening_for_another_challenge_opens_nothing(scene: Scene, tmp_path: Path) -> None:
    """The same rows, named as the answer to the first log's draw, do not answer the others."""
    scene.world.beat(3)
    first, *others = scene.challenges()
    for challenge in others:
        scene.open(first, challenge.drawn)
    scene.open(first)
    (finding,) = found(scene.audit(tmp_path), scene.usage.digest)
    figures = finding["figures"]
    assert isinstance(figures, dict)
    assert figures["challenges"] == "3"


def _other(bodies: Sequence[bytes]) -> list[bytes]:
    """Draw from a beacon that suits the log: its own checkpoint's root replaced."""
    made: list[bytes] = []
    for body in bodies:
        challenge = parse_challenge(body)
        beacons = (challenge.beacons[0].model_copy(update={"root": "0" * 64}), *challenge.beacons[1:])
        made.append(challenge.model_copy(update={"beacons": beacons}).body)
    return made


@pytest.mark.parametrize(
    "lie", [lambda bodies: [], lambda bodies: [*bodies, *bodies], _other], ids=["none", "twice", "another"]
)
def test_a_log_that_draws_otherwise_than_its_prefix_says_misjudges(
    scene: Scene, tmp_path: Path, lie: Callable[[Sequence[bytes]], list[bytes]]
) -> None:
    scene.world.logs[0].challenges = lie
    scene.world.beat(3)
    report = scene.audit(tmp_path)
    states = {log.origin: log for log in report.logs}
    liar = states[scene.world.logs[0].name]
    assert liar.state is LogState.MISCONDUCT
    assert liar.divergence is not None
    assert liar.divergence.code == "replay-challenge"
    assert {log.state for log in report.logs if log is not liar} == {LogState.REPRODUCED}
