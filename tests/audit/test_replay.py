"""The audit as its users run it: the exit code is right, and the first thing that is wrong has a name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from brakeline.audit.commands import app
from brakeline.audit.replay import audit_sources, both_libraries
from brakeline.audit.report import AuditReport, Exit, LogState
from brakeline.ledger import ed25519, reader
from brakeline.ledger.checkpoint import add_signatures, cosign
from brakeline.ledger.entry import Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.policy import Policy, quorum_policy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.support import cast, worlds
from tests.support.tamper import flip, log_files
from tests.support.worlds import World

DAY = 86_400_000


def audit(world: World, root: Path, *, logs: Sequence[int] = (0, 1, 2, 3), **options: int | bool) -> AuditReport:
    """Export *world* below *root* and audit the logs numbered *logs*."""
    paths = world.export(root / "logs")
    treaty = world.write_treaty(root / "treaty.json")
    as_of = options.get("as_of")
    return audit_sources(
        [str(paths[number]) for number in logs],
        treaty,
        world.pin,
        as_of_ms=None if as_of is None else int(as_of),
        paranoid=bool(options.get("paranoid")),
    )


def divergence(report: AuditReport, number: int = 0) -> tuple[str, int | None]:
    problem = report.logs[number].divergence
    assert problem is not None
    return problem.code, problem.index


def codes(report: AuditReport) -> set[str]:
    return {problem.code for problem in report.unchecked}


# 0, 1, 4 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paranoid", [False, True])
def test_an_honest_world_is_reproduced_with_nothing_open(tmp_path: Path, paranoid: bool) -> None:
    report = audit(worlds.honest(), tmp_path, paranoid=paranoid)
    assert report.exit is Exit.REPRODUCED
    assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 4
    assert report.logs[0].entries["statement"] == 2 * (2 + 3)


def test_a_cheating_world_has_exactly_its_cheats(tmp_path: Path) -> None:
    report = audit(worlds.cheating(), tmp_path)
    assert report.exit is Exit.FINDINGS
    found = {(str(item.body["rule"]), str(item.body["about"]), item.body.get("period")) for item in report.findings}
    assert found == {("equivocation", cast.OTHER_SITE, None), ("imbalance", cast.OTHER_SITE, 1)}


def test_any_three_logs_give_the_same_findings(tmp_path: Path) -> None:
    world = worlds.cheating()
    for number in range(4):
        report = audit(world, tmp_path, logs=[other for other in range(4) if other != number])
        assert report.exit is Exit.FINDINGS
        assert len(report.findings) == 2
        assert codes(report) == {"log-not-read"}


def test_too_few_logs_leave_something_open(tmp_path: Path) -> None:
    report = audit(worlds.honest(), tmp_path, logs=[0, 1])
    assert report.exit is Exit.OPEN
    assert codes(report) == {"log-not-read", "audit-quorum"}


def test_a_stale_log_leaves_something_open(tmp_path: Path) -> None:
    world = worlds.honest()
    allowed = sum(
        item.value
        for item in (
            world.document.deadlines.heartbeat_ms,
            world.document.deadlines.checkpoint_ms,
            world.document.deadlines.skew_ms,
        )
    )
    assert audit(world, tmp_path, as_of=world.now_ms + allowed).exit is Exit.REPRODUCED
    report = audit(world, tmp_path, as_of=world.now_ms + allowed + 1)
    assert report.exit is Exit.OPEN
    assert codes(report) == {"log-stale"}
    assert {log.stale_ms for log in report.logs} == {1}


def test_a_log_whose_checkpoint_lacks_the_quorum_is_listed(tmp_path: Path) -> None:
    world = worlds.honest()
    world.logs[0].witnesses = world.logs[0].witnesses[:2]
    world.beat()
    report = audit(world, tmp_path)
    assert report.exit is Exit.OPEN
    assert codes(report) == {"quorum-missing"}


def test_a_silent_verifier_accuses_no_site(tmp_path: Path) -> None:
    world = worlds.honest()
    world.logs[3].silent = True
    world.until(cast.START + 3 * cast.PERIOD + world.document.deadlines.report_ms.value + 2_000)
    report = audit(world, tmp_path)
    assert report.exit is Exit.OPEN
    assert codes(report) == {"log-stale"}


def test_missing_books_are_a_finding_once_their_deadline_has_passed(tmp_path: Path) -> None:
    world = worlds.honest(periods=1)
    world.until(cast.START + 2 * cast.PERIOD + world.document.deadlines.report_ms.value + 1_000)
    report = audit(world, tmp_path)
    assert report.exit is Exit.FINDINGS
    assert {
        (str(item.body["rule"]), str(item.body["about"]), str(item.body.get("period"))) for item in report.findings
    } == {("missing-period", site, "1") for site in (cast.SITE, cast.OTHER_SITE)}


# 2: a verifier's misconduct -------------------------------------------------------------------------------------------


def test_a_verifier_that_hides_findings_is_named(tmp_path: Path) -> None:
    world, (_, bad) = worlds._begin(None)
    world.logs[2].findings = lambda due: []
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    bad.report(0, missing=1)
    world.beat(2)
    report = audit(world, tmp_path)
    assert report.exit is Exit.MISCONDUCT
    assert divergence(report, 2)[0] == "replay-judgement"
    conduct = [item for item in report.findings if item.misconduct]
    assert [(item.body["about"], item.body["rule"]) for item in conduct] == [(world.logs[2].name, "verifier-conduct")]
    assert "imbalance" in {item.body["rule"] for item in report.findings}  # the other logs still tell


def test_a_verifier_that_logs_what_was_not_admissible_is_named(tmp_path: Path) -> None:
    world = worlds.honest()
    stranger = cast.Author("lab-9.party-z.example/site-1", world.document).hold()
    entry = world.logs[1].append(world.now_ms, Kind.STATEMENT, stranger.to_body())
    world.logs[1].publish(world.now_ms)
    report = audit(world, tmp_path)
    assert report.exit is Exit.MISCONDUCT
    assert divergence(report, 1) == ("replay-inadmissible", entry.index)


def test_two_copies_that_cannot_both_be_true_are_a_fork(tmp_path: Path) -> None:
    world = worlds.honest()
    one = world.logs[0].export(tmp_path / "one")
    log = world.logs[0]
    beat = log.entries.pop()
    log.append(beat.received_at_ms + 1, beat.kind, beat.body)
    log.publish(world.now_ms)
    two = log.export(tmp_path / "two")
    report = audit_sources([str(one), str(two)], world.write_treaty(tmp_path / "treaty.json"), world.pin)
    assert report.exit is Exit.MISCONDUCT
    assert {divergence(report, number)[0] for number in (0, 1)} == {"log-forked"}


def test_a_history_that_a_peer_has_seen_otherwise_is_a_fork(tmp_path: Path) -> None:
    world = worlds.honest()
    log = world.logs[0]
    shown = log.published
    assert shown is not None
    log.published = log.sign(world.now_ms, root=bytes(32))  # peers mirror this one
    for peer in world.logs[1:]:
        world._heartbeat(peer)
        peer.publish(world.now_ms)
    log.published = shown
    report = audit(world, tmp_path)
    assert report.exit is Exit.MISCONDUCT
    (finding,) = report.findings
    assert (finding.misconduct, finding.body["about"]) == (True, log.name)


# 3: unreadable --------------------------------------------------------------------------------------------------------


def test_another_treaty_than_the_pinned_one(tmp_path: Path) -> None:
    world = worlds.honest()
    other = World(cast.document(name="other.treaty.example"))
    paths = world.export(tmp_path / "logs")
    report = audit_sources([str(paths[0])], other.write_treaty(tmp_path / "treaty.json"), world.pin)
    assert report.exit is Exit.UNREADABLE
    assert [problem.code for problem in report.problems] == ["treaty-not-pinned"]


def test_a_log_of_another_treaty(tmp_path: Path) -> None:
    world = worlds.honest()
    log = world.logs[0]
    log.name = "verifier-9.example"
    log.publish(world.now_ms)
    assert divergence(audit(world, tmp_path, logs=[0])) == ("source-unknown-log", None)


@pytest.mark.parametrize("file", ["checkpoint", "tile/entries/000", "tile/0/000"])
def test_a_file_that_is_missing(tmp_path: Path, file: str) -> None:
    world = worlds.honest()
    paths = world.export(tmp_path / "logs")
    hit = next(path for path in log_files(paths[0]) if path.startswith(file))
    (paths[0] / hit).unlink()
    report = audit_sources([str(path) for path in paths], world.write_treaty(tmp_path / "t.json"), world.pin)
    assert report.exit is Exit.UNREADABLE
    assert report.logs[0].state is LogState.UNREADABLE


def test_an_address_where_nobody_is(tmp_path: Path) -> None:
    world = worlds.honest()
    paths = world.export(tmp_path / "logs")
    sources = [str(tmp_path / "nowhere"), *(str(path) for path in paths[1:])]
    report = audit_sources(sources, world.write_treaty(tmp_path / "t.json"), world.pin)
    assert report.exit is Exit.UNREADABLE
    assert divergence(report) == ("source-unreachable", None)


def test_the_gravest_code_wins(tmp_path: Path) -> None:
    """3 before 2 before 1 before 4: take away one reason after the other."""
    world = worlds.cheating()
    stranger = cast.Author("lab-9.party-z.example/site-1", world.document).hold()
    world.logs[1].append(world.now_ms, Kind.STATEMENT, stranger.to_body())
    world.logs[1].publish(world.now_ms)
    paths = world.export(tmp_path / "logs")
    treaty = world.write_treaty(tmp_path / "t.json")
    (paths[0] / "checkpoint").unlink()

    def reasons(*numbers: int) -> list[Exit]:
        report = audit_sources([str(paths[number]) for number in numbers], treaty, world.pin)
        assert report.exit is next(iter(report.reasons()))
        return list(report.reasons())

    assert reasons(0, 1, 2) == [Exit.UNREADABLE, Exit.MISCONDUCT, Exit.FINDINGS, Exit.OPEN]
    assert reasons(1, 2) == [Exit.MISCONDUCT, Exit.FINDINGS, Exit.OPEN]
    assert reasons(2, 3) == [Exit.FINDINGS, Exit.OPEN]


# one flipped byte -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, World]:
    """One log of more than a tile, exported, with its treaty; the world it is of."""
    root = tmp_path_factory.mktemp("flips")
    world = worlds.honest()
    world.beat(260)
    return world.logs[0].export(root / "log"), world.write_treaty(root / "treaty.json"), world


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(file=st.integers(0, 99), at=st.integers(0, 2**20), mask=st.integers(1, 255))
def test_one_flipped_byte_is_named(
    long_log: tuple[Path, Path, World], tmp_path: Path, file: int, at: int, mask: int
) -> None:
    source, treaty, world = long_log
    files = log_files(source)
    hit = flip(source, tmp_path / "flipped", files[file % len(files)], at, mask)
    report = audit_sources([str(tmp_path / "flipped")], treaty, world.pin)
    (log,) = report.logs
    if hit.file == "checkpoint":
        rejected = report.exit is Exit.UNREADABLE
        assert rejected or (report.exit is Exit.OPEN and len(log.cosigned) == 3)
        return
    assert report.exit is Exit.UNREADABLE
    problem = log.divergence
    assert problem is not None
    if hit.file.startswith("tile/entries/"):
        assert (problem.code, problem.index) == ("replay-entry", hit.index)
    else:
        assert problem.code == "replay-tile"
        assert hit.file in problem.message


# the command ----------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_report_and_exits_with_its_code(tmp_path: Path) -> None:
    world = worlds.cheating()
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    treaty = str(world.write_treaty(tmp_path / "treaty.json"))
    page = tmp_path / "report.html"
    options = ["--treaty", treaty, "--pin", world.pin, "--as-of", str(world.now_ms)]
    answer = CliRunner().invoke(app, ["replay", *paths, *options, "--format", "json", "--html", str(page)])
    assert answer.exit_code == 1
    report = json.loads(answer.stdout)
    assert (report["exit"], report["as_of"]) == (1, {"given": True, "instant_ms": world.now_ms})
    assert "imbalance" in page.read_text(encoding="utf-8")
    human = CliRunner().invoke(app, ["replay", *paths, *options])
    assert human.exit_code == 1
    assert "do not" not in human.stdout.splitlines()[0]
    assert "equivocation" in human.stdout


def test_the_report_depends_on_nothing_but_what_it_is_given(tmp_path: Path) -> None:
    world = worlds.cheating()
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    treaty = world.write_treaty(tmp_path / "treaty.json")
    one, two = (audit_sources(paths, treaty, world.pin).to_json() for _ in range(2))
    assert one == two
    reverse = audit_sources(paths[::-1], treaty, world.pin)
    assert reverse.to_json()["findings"] == one["findings"]


def test_both_libraries_must_agree_and_no_verifier_is_blamed_when_they_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = cast.signer("anybody")
    signature = signer.sign(b"message")
    assert both_libraries(signer.public_key, b"message", signature)
    assert not both_libraries(signer.public_key, b"other", signature)
    disagree: Callable[[bytes, bytes, bytes], bool] = lambda key, message, signature: False  # noqa: E731
    world = worlds.honest()
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    treaty = world.write_treaty(tmp_path / "treaty.json")
    monkeypatch.setattr(ed25519, "verify_openssl", disagree)
    with pytest.raises(BrakelineError, match="libraries-disagree"):
        both_libraries(signer.public_key, b"message", signature)
    report = audit_sources(paths, treaty, world.pin, paranoid=True)
    assert report.exit is Exit.UNREADABLE
    assert {divergence(report, number) for number in range(4)} == {("libraries-disagree", 0)}
    assert not any(item.misconduct for item in report.findings)


def test_exports_survive_being_copied(tmp_path: Path) -> None:
    world = worlds.honest()
    paths = world.export(tmp_path / "logs")
    copies = [shutil.copytree(path, tmp_path / "copies" / path.name) for path in paths]
    both = [str(path) for path in (*paths, *copies)]
    report = audit_sources(both, world.write_treaty(tmp_path / "t.json"), world.pin)
    assert report.exit is Exit.REPRODUCED
    assert len(report.logs) == 8


# omission and backdating ----------------------------------------------------------------------------------------------


def conduct(report: AuditReport) -> list[tuple[object, object]]:
    """Return (act, about) of the findings about verifiers."""
    found: list[tuple[object, object]] = []
    for item in report.findings:
        figures = item.body["figures"]
        assert isinstance(figures, dict)
        if item.misconduct:
            found.append((figures["act"], item.body["about"]))
    return found


def test_a_verifier_that_leaves_out_what_it_says_it_mirrored_is_named(tmp_path: Path) -> None:
    world, (site, _) = worlds._begin(None)
    world.logs[2].deaf = True
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    site.report(0, to=(0, 1))
    world.beat(3)
    assert audit(world, tmp_path / "early").exit is Exit.REPRODUCED  # the grace is not over
    world.beat(world.document.deadlines.takeover_ms.value // worlds.BEAT + 2)
    report = audit(world, tmp_path / "late")
    assert report.exit is Exit.MISCONDUCT
    assert set(conduct(report)) == {("omission", world.logs[2].name)}
    assert all(item.body["statements"] == [site.author.previous] for item in report.findings if item.misconduct)
    assert "statements-lacking" in codes(report)


def test_an_honest_verifier_that_was_away_for_a_while_omits_nothing(tmp_path: Path) -> None:
    world, (site, _) = worlds._begin(None)
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    world.logs[2].silent = True
    site.report(0, to=(0, 1))
    world.beat(20)
    world.logs[2].silent = False
    world.beat(3)
    assert conduct(audit(world, tmp_path)) == []


@pytest.mark.parametrize(
    ("by_ms", "named"),
    [(0, False), (1_000, False), (10_000, True), (-1_000, False), (-10_000, True)],
)
def test_a_verifier_whose_clock_leaves_the_bracket_of_its_witnesses_is_named(
    tmp_path: Path, by_ms: int, named: bool
) -> None:
    """The log writes times that are off by *by_ms*; its witnesses cosign by their own clocks."""
    world = worlds.honest()
    liar = world.logs[1]
    honest_time = world.now_ms
    for _ in range(4):
        honest_time += worlds.BEAT
        world.now_ms = max(honest_time + by_ms, liar.entries[-1].received_at_ms)  # a log never goes back
        world._heartbeat(liar)
        liar.publish(honest_time)
    world.now_ms = honest_time
    for log in world.logs[:1] + world.logs[2:]:
        world._heartbeat(log)
        log.publish(honest_time)
    report = audit(world, tmp_path)
    assert conduct(report) == ([("backdating", liar.name)] if named else [])
    assert report.exit is (Exit.MISCONDUCT if named else Exit.REPRODUCED)


def test_f_witnesses_cannot_make_an_honest_log_look_backdated(tmp_path: Path) -> None:
    world = worlds.honest()
    log = world.logs[0]
    for wrong in (-DAY, DAY):
        world.now_ms += worlds.BEAT
        log.publish(world.now_ms)
        assert log.published is not None
        honest = log.published
        lines = honest.split(b"\n")
        liar = world.logs[3].name
        others = [line for line in lines if not line.startswith(f"— {liar}/witness ".encode())]
        note = b"\n".join(others)
        forged = cosign(note, cast.vkey(liar, "witness"), cast.signer(liar, "witness"), (world.now_ms + wrong) // 1000)
        log.published = add_signatures(note, [forged])
        world._heartbeat(log)
        log.published_size = len(log.entries)
    log.publish(world.now_ms)
    assert conduct(audit(world, tmp_path)) == []


def test_an_address_that_dies_before_logs_are_compared_leaves_a_report_that_says_so(
    long_log: tuple[Path, Path, World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, treaty, world = long_log
    paths = [log.export(tmp_path / log.name) for log in world.logs[:2]]
    sources = [str(path) for path in paths]
    whole = audit_sources(sources, treaty, world.pin)
    monkeypatch.setattr(reader, "_CACHE", 0)  # what a long log does: its tiles are read again for every comparison

    def die(source: str, done: int, size: int) -> None:
        if (source, done) == (sources[-1], size):
            shutil.rmtree(paths[0])

    report = audit_sources(sources, treaty, world.pin, progress=die)
    assert (report.findings, report.docket) == (whole.findings, whole.docket)
    assert [log.state for log in report.logs] == [LogState.REPRODUCED] * 2
    assert codes(report) - codes(whole) == {"log-not-compared"}
    assert world.logs[0].name in report.unchecked[0].message


def test_an_auditors_own_policy_is_judged_beside_the_treatys(tmp_path: Path) -> None:
    world = worlds.honest()
    paths = [str(path) for path in world.export(tmp_path / "logs")]
    words = ["replay", *paths, "--treaty", str(world.write_treaty(tmp_path / "t.json")), "--pin", world.pin]
    names = [log.name for log in world.logs]
    file = tmp_path / "policy"

    def told(policy: Policy) -> tuple[int, list[str]]:
        file.write_text(policy.render())
        answer = CliRunner().invoke(app, [*words, "--policy", str(file), "--format", "json"])
        return answer.exit_code, [item["code"] for item in json.loads(answer.stdout)["unchecked"]]

    witnesses = [cast.vkey(name, "witness") for name in names]
    assert told(quorum_policy([], witnesses, 4)) == (0, [])
    stranger = cast.vkey("observer.example", "witness")
    assert told(quorum_policy([], [*witnesses, stranger], 5)) == (4, ["policy-missing"] * 4)
    assert told(quorum_policy([cast.vkey(names[0], "log")], witnesses, 4)) == (4, ["policy-missing"] * 3)
    text = file.read_text()
    for wrong, code in ((text + "quorum none\n", "policy-duplicate"), ("\xff", "policy-malformed")):
        file.write_text(wrong)
        answer = CliRunner().invoke(app, [*words, "--policy", str(file)])
        assert isinstance(answer.exception, BrakelineError)
        assert answer.exception.code == code
    file.write_bytes(b"\xff")
    answer = CliRunner().invoke(app, [*words, "--policy", str(file)])
    assert isinstance(answer.exception, BrakelineError)
    assert answer.exception.code == "policy-unreadable"
