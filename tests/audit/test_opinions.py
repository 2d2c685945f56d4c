"""Opinions over sealed values in whole logs: stated, reproduced bit for bit, withdrawn, falsified, or unchecked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from brakeline.audit.opinions import SUFFIX, disclosures_in
from brakeline.audit.reading.one import Reading
from brakeline.audit.replay import audit_sources
from brakeline.audit.report import AuditReport, Exit, LogState
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.disclosure import Disclosure
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.opinion import Held, Opinion, OpinionWithdrawn, parse_opinion
from brakeline.treaty.opinion_log import Disclosures
from brakeline.treaty.oversight import Correction
from brakeline.treaty.replay import LogReplay
from brakeline.treaty.strictjson import JsonValue

from tests.support import cast, sealing, worlds
from tests.support.cast import CHIPS, PERIOD, SITE, line
from tests.support.sealing import FIGURES, SealingAuthor

FULL = CHIPS * PERIOD
RULES: list[JsonValue] = [
    *cast.json_lines(cast.terms()["rule"]),
    {"rule": "undisclosed", "severity": "discrepancy", "article": "Art. 98", "parameters": {}},
]
DOCUMENT = sealing.document(FIGURES, rule=RULES)
SECRET_FLOP = "1999999999999"
"""More FLOP than the chips can do: what nobody sees while it is sealed."""


class Scene:
    """Four logs and a site that seals its figures, and may book too many of them."""

    def __init__(self) -> None:
        self.world = worlds.World(DOCUMENT)
        self.world.beat()
        self.site = worlds.Site(self.world, SITE)
        author = SealingAuthor(SITE, DOCUMENT)
        author.sequence, author.previous = self.site.author.sequence, self.site.author.previous
        self.author = author

    def report(self, period: int, flop: str, *, to: Sequence[int] = (0, 1, 2, 3)) -> Envelope:
        """Report the books of *period* in every log; disclose them *to* some verifiers."""
        self.world.until(cast.START + (period + 1) * PERIOD + worlds.BEAT)
        said = self.author.use(period, self.site.inventory, (line("training", FULL, flop_model=flop, joules="80"),))
        self.world.publish(said)
        self.world.disclose(self.disclosure(said), to=to)
        return said

    def disclosure(self, said: Envelope) -> Disclosure:
        return self.author.disclosures[said.digest]

    def audit(self, folder: Path, disclosures: Disclosures | None = None) -> AuditReport:
        paths = [str(path) for path in self.world.export(folder / "logs")]
        treaty = self.world.write_treaty(folder / "treaty.json")
        return audit_sources(paths, treaty, DOCUMENT.digest, how=Reading(disclosures=disclosures))

    def all(self, digest: str) -> Disclosure | None:
        return self.author.disclosures.get(digest)

    def bodies(self, log: int = 0) -> list[Held | Opinion | OpinionWithdrawn]:
        return [parse_opinion(entry.body) for entry in self.world.logs[log].entries if entry.kind is Kind.OPINION]


def cheated() -> tuple[Scene, Envelope]:
    scene = Scene()
    scene.report(0, "1000")
    said = scene.report(1, SECRET_FLOP)
    scene.world.beat(2)
    return scene, said


def test_a_verifier_says_that_it_holds_and_what_it_concludes_and_tells_no_figure(tmp_path: Path) -> None:
    scene, said = cheated()
    opinions = [item for item in scene.bodies() if isinstance(item, Opinion)]
    assert {item.rule for item in opinions} == {"peak-exceeded"}
    assert opinions[0].statements == (said.digest,)
    held = [item for item in scene.bodies() if isinstance(item, Held)]
    assert len(held) == 2
    assert opinions[0].commitments == (held[1].commitments,)
    for log in scene.world.logs:
        assert all(SECRET_FLOP.encode() not in entry.body for entry in log.entries)
    assert {str(scene.bodies(log)) for log in range(4)} == {str(scene.bodies())}, "equal in every log"
    report = scene.audit(tmp_path)
    assert not any(item.body["rule"] == "peak-exceeded" for item in report.findings)


def test_a_replay_with_the_disclosures_reproduces_the_opinions_and_shows_the_figures(tmp_path: Path) -> None:
    scene, _ = cheated()
    report = scene.audit(tmp_path, scene.all)
    assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 4
    assert {(item.log, item.reproduced) for item in report.opinions} == {(log.name, True) for log in scene.world.logs}
    (finding,) = [item for item in report.opened if item.body["rule"] == "peak-exceeded"]
    assert SECRET_FLOP in str(finding.body)
    assert report.sealed == ()
    assert report.exit is Exit.FINDINGS
    assert not {"sealed-unopened", "opinions-not-reproduced"} & {item.code for item in report.unchecked}


class Broken(BaseException):
    """What a signal does to a program."""


def test_a_replay_with_the_disclosures_goes_on_from_its_states_and_with_others_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, said = cheated()
    folder = tmp_path / "given"
    folder.mkdir()
    for digest, item in scene.author.disclosures.items():
        (folder / f"{digest}{SUFFIX}").write_bytes(item.encoded)
    whole = scene.audit(tmp_path, scene.all).to_json()
    paths, treaty = [str(tmp_path / "logs" / log.name) for log in scene.world.logs], tmp_path / "treaty.json"

    def audit() -> AuditReport:
        given = disclosures_in(folder)
        how = Reading(disclosures=given, disclosed=given.digest, states=tmp_path / "states", save_every=3)
        return audit_sources(paths, treaty, DOCUMENT.digest, how=how)

    feed, left = LogReplay.feed, 0

    def feed_or_break(self: LogReplay, entry: Entry) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Broken
        feed(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(LogReplay, "feed", feed_or_break)
        for steps in (7, 5, 11, 8):
            left = steps
            with pytest.raises(Broken):
                audit()
    assert audit().to_json() == whole
    assert audit().to_json() == whole, "from states that reach to the end"
    kept = folder / f"{said.digest}{SUFFIX}"
    kept.rename(tmp_path / "apart")
    assert {log.divergence.code for log in audit().logs if log.divergence} == {"state-disclosures"}
    (tmp_path / "apart").rename(kept)
    without = Reading(states=tmp_path / "states")
    found = audit_sources(paths, treaty, DOCUMENT.digest, how=without).logs
    assert {log.divergence.code for log in found if log.divergence} == {"state-disclosures"}


def test_a_disclosure_that_changes_while_it_is_used_counts_as_none(tmp_path: Path) -> None:
    scene, said = cheated()
    file = tmp_path / f"{said.digest}{SUFFIX}"
    file.write_bytes(scene.disclosure(said).encoded)
    given = disclosures_in(tmp_path)
    assert given(said.digest) == scene.disclosure(said)
    file.write_bytes(b"{}")
    assert given(said.digest) is None


def test_a_replay_without_them_holds_and_lists_exactly_what_it_could_not_check(tmp_path: Path) -> None:
    scene, said = cheated()
    report = scene.audit(tmp_path)
    assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 4
    assert [(item.author, item.period, item.leaves, len(item.holders)) for item in report.sealed] == [
        (SITE, 0, 2, 4),
        (SITE, 1, 2, 4),
    ]
    assert report.sealed[1].statement == said.digest
    assert {(str(item.body["rule"]), item.reproduced) for item in report.opinions} == {("peak-exceeded", False)}
    assert {"sealed-unopened", "opinions-not-reproduced"} <= {item.code for item in report.unchecked}
    assert report.exit is Exit.OPEN
    assert report.to_json()["sealed"]


def test_with_some_of_them_nothing_is_claimed_for_the_rest(tmp_path: Path) -> None:
    scene, said = cheated()
    report = scene.audit(tmp_path, lambda digest: None if digest == said.digest else scene.all(digest))
    assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 4
    assert not any(item.reproduced for item in report.opinions)
    assert said.digest in {item.statement for item in report.sealed}


def test_a_false_disclosure_given_to_an_auditor_counts_as_none_and_accuses_no_verifier(tmp_path: Path) -> None:
    scene, _ = cheated()
    other = next(iter(scene.author.disclosures.values()))
    report = scene.audit(tmp_path, lambda _: other)
    assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 4
    assert not any(item.reproduced for item in report.opinions)


def test_an_opinion_is_withdrawn_when_the_books_are_corrected(tmp_path: Path) -> None:
    scene, said = cheated()
    lines = (line("training", FULL, flop_model="1000", joules="80"),)
    better = scene.author.use(1, scene.site.inventory, lines)
    correction = {"corrects": said.digest, "period": 1, "replacement": better.digest, "reason": "a slip"}
    taken_back = scene.author.say(Correction.model_validate({**scene.author.position(), **correction}))
    for item in (better, taken_back):
        scene.world.publish(item)
    scene.world.disclose(scene.disclosure(better))
    scene.report(2, "1000")
    scene.world.beat(2)
    withdrawn = [item for item in scene.bodies() if isinstance(item, OpinionWithdrawn)]
    (opinion,) = [item for item in scene.bodies() if isinstance(item, Opinion) and item.rule == "peak-exceeded"]
    assert opinion.digest in {item.withdrawn_opinion for item in withdrawn}
    report = scene.audit(tmp_path, scene.all)
    assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 4
    assert "peak-exceeded" not in [item.body["rule"] for item in report.opinions]


@pytest.mark.parametrize("lie", ["silence", "invention", "other figures"])
def test_a_verifier_that_states_other_opinions_misjudges(tmp_path: Path, lie: str) -> None:
    scene = Scene()
    liar = scene.world.logs[2]

    def bend(due: list[bytes]) -> list[bytes]:
        if lie == "silence":
            return []
        opinions = [item for item in map(parse_opinion, due) if isinstance(item, Opinion)]
        if lie == "other figures":
            return [item.model_copy(update={"figures": "0" * 64}).body for item in opinions]
        return [*due, *(item.model_copy(update={"period": 7}).body for item in opinions)]

    liar.opinions = bend
    scene.report(0, SECRET_FLOP)
    scene.world.beat(2)
    report = scene.audit(tmp_path, scene.all)
    states = {log.origin: log for log in report.logs}
    assert states[liar.name].state is LogState.MISCONDUCT
    problem = states[liar.name].divergence
    assert problem is not None
    assert problem.code == "replay-opinion"
    assert sum(log.state is LogState.MISCONDUCT for log in report.logs) == 1


def test_holding_is_claimed_once_and_only_of_what_is_sealed_here(tmp_path: Path) -> None:
    scene = Scene()
    said = scene.report(0, "7")
    log = scene.world.logs[0]
    again = next(entry.body for entry in log.entries if entry.kind is Kind.OPINION)
    log.append(scene.world.now_ms, Kind.OPINION, again)
    scene.world.logs[1].append(
        scene.world.now_ms, Kind.OPINION, Held(holds="1" * 64, commitments="2" * 64, leaves=3).body
    )
    scene.world.beat()
    report = scene.audit(tmp_path)
    codes = [log.divergence.code if log.divergence else "" for log in report.logs]
    assert codes == ["replay-opinion", "replay-opinion", "", ""]
    assert said.digest in {item.statement for item in report.sealed}


def test_too_few_holders_by_the_deadline_is_a_finding_about_the_site(tmp_path: Path) -> None:
    scene = Scene()
    kept = scene.report(0, "7", to=(0, 1))
    good = scene.report(1, "7", to=(0, 1, 2))
    scene.world.until(scene.world.now_ms + DOCUMENT.deadlines.disclosure_ms.value + 5_000)
    scene.world.disclose(scene.disclosure(kept))
    scene.world.beat(2)
    report = scene.audit(tmp_path, scene.all)
    (finding,) = [item for item in report.findings if item.body["rule"] == "undisclosed"]
    assert finding.body["statements"] == [kept.digest]
    assert (finding.body["about"], finding.body["period"]) == (SITE, 0)
    figures = finding.body["figures"]
    assert isinstance(figures, dict)
    assert (figures["holders"], figures["needed"], figures["leaves"]) == ("2", "3", "2")
    assert good.digest not in str(finding.body)
    assert "hold what opens them" in finding.sentence


def test_while_logs_are_unread_nobody_is_accused_of_keeping_a_disclosure(tmp_path: Path) -> None:
    scene = Scene()
    scene.report(0, "7", to=(0, 1))
    scene.world.until(scene.world.now_ms + DOCUMENT.deadlines.disclosure_ms.value + 5_000)
    paths = [str(path) for path in scene.world.export(tmp_path / "logs")][:3]
    treaty = scene.world.write_treaty(tmp_path / "treaty.json")
    report = audit_sources(paths, treaty, DOCUMENT.digest)
    assert "undisclosed" not in [item.body["rule"] for item in report.findings]
    assert "disclosure-undecided" in {item.code for item in report.unchecked}


def test_what_is_never_disclosed_holds_its_site_up_until_the_deadline_and_no_longer(tmp_path: Path) -> None:
    scene = Scene()
    scene.report(0, "7", to=())
    scene.report(1, SECRET_FLOP)
    scene.world.beat(3)
    assert not any(isinstance(item, Opinion) for item in scene.bodies())
    scene.world.until(scene.world.now_ms + DOCUMENT.deadlines.disclosure_ms.value)
    assert any(isinstance(item, Opinion) for item in scene.bodies())
    report = scene.audit(tmp_path, scene.all)
    assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 4
    assert any(item.reproduced for item in report.opinions)


def test_disclosures_are_read_from_a_folder_and_nothing_in_it_is_believed(tmp_path: Path) -> None:
    scene, said = cheated()
    folder = tmp_path / "disclosures" / "lab-1"
    folder.mkdir(parents=True)
    (folder / f"{said.digest}{SUFFIX}").write_bytes(scene.disclosure(said).encoded)
    (folder / f"{'0' * 64}{SUFFIX}").write_bytes(b"{}")
    find = disclosures_in(tmp_path / "disclosures")
    assert find(said.digest) == scene.disclosure(said)
    assert find("0" * 64) is None
    assert find("1" * 64) is None
    with pytest.raises(BrakelineError, match="disclosures-unreadable"):
        disclosures_in(tmp_path / "nowhere")


@pytest.mark.parametrize("body", [b"{}", b'{"holds":"x"}', b'{"withdrawn_opinion":1}'])
def test_anything_else_is_no_opinion(body: bytes) -> None:
    with pytest.raises(BrakelineError) as caught:
        parse_opinion(body)
    assert caught.value.code == "opinion-schema"
