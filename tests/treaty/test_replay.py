"""Replay of one log: the honest log passes, and every lie of its verifier ends it at the entry that tells it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.findings import Severity, parse_finding
from brakeline.treaty.logbody import Heartbeat, Mirrored
from brakeline.treaty.replay import Facts, LogReplay
from brakeline.treaty.rules.board import make
from hypothesis import given
from hypothesis import strategies as st

from tests.support import cast, worlds
from tests.support.worlds import World, WorldLog


def replay(world: World, log: WorldLog | None = None) -> Facts:
    log = log or world.logs[0]
    machine = LogReplay(world.document, log.name, log.root)
    for entry in log.entries:
        machine.feed(entry)
    return machine.finish()


def refusal(world: World, log: WorldLog | None = None) -> tuple[str, int]:
    """Return the code with which replay ends, and the index of the entry (the log's size: at its end)."""
    log = log or world.logs[0]
    machine = LogReplay(world.document, log.name, log.root)
    for entry in log.entries:
        try:
            machine.feed(entry)
        except BrakelineError as error:
            return error.code, entry.index
    with pytest.raises(BrakelineError) as at_the_end:
        machine.finish()
    return at_the_end.value.code, len(log.entries)


@pytest.mark.parametrize("make_world", [worlds.honest, worlds.cheating])
def test_what_honest_verifiers_write_replays(make_world: Callable[[], World]) -> None:
    world = make_world()
    standing = [replay(world, log).standing for log in world.logs]
    assert all(found == standing[0] for found in standing)
    assert bool(standing[0]) is (make_world is worlds.cheating)


def test_the_facts_are_what_the_log_holds() -> None:
    world = worlds.honest()
    facts = replay(world)
    assert set(facts.books) == {(site, period) for site in (cast.SITE, cast.OTHER_SITE) for period in range(3)}
    assert facts.enrolled == {cast.SITE: 0, cast.OTHER_SITE: 0}
    assert facts.holding == facts.enrolled
    assert facts.newest_ms == world.now_ms
    assert len(facts.arrivals) == 1 + 2 * (2 + 3)
    assert {claim.origin for claim in facts.claims} == {log.name for log in world.logs[1:]}


def test_a_statement_that_was_not_admissible() -> None:
    world = worlds.honest()
    stranger = cast.Author("lab-9.party-z.example/site-1", world.document).hold()
    entry = world.logs[0].append(world.now_ms, Kind.STATEMENT, stranger.to_body())
    assert refusal(world) == ("replay-inadmissible", entry.index)


def test_a_statement_twice() -> None:
    world = worlds.honest()
    log = world.logs[0]
    first = next(entry for entry in log.entries if entry.kind is Kind.STATEMENT)
    again = log.append(world.now_ms, Kind.STATEMENT, first.body)
    assert refusal(world) == ("replay-repeated", again.index)


def test_the_treaty_stands_at_entry_0_and_there_only() -> None:
    world = worlds.honest()
    again = world.logs[0].append(world.now_ms, Kind.TREATY, world.treaty.to_body())
    assert refusal(world) == ("replay-treaty", again.index)
    other = World(cast.document(name="other.treaty.example"))
    machine = LogReplay(world.document, other.logs[0].name, other.logs[0].root)
    with pytest.raises(BrakelineError) as error:
        machine.feed(other.logs[0].entries[0])
    assert error.value.code == "treaty-not-pinned"


@pytest.mark.parametrize(
    ("kind", "code"),
    [(Kind.OPINION, "opinion-schema"), (Kind.CHALLENGE, "replay-challenge"), (Kind.QUERY, "replay-kind")],
)
def test_a_kind_that_no_rule_in_force_writes(kind: Kind, code: str) -> None:
    world = worlds.honest()
    entry = world.logs[0].append(world.now_ms, kind, b"{}")
    assert refusal(world) == (code, entry.index)


LIES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "left out": lambda due: [],
    "one left out": lambda due: due[1:],
    "reordered": lambda due: due[::-1] if len(due) > 1 else [],
    "twice": lambda due: due + due[:1],
    "invented": lambda due: [*due, parse_finding(due[0]).body.replace(b"lab-2", b"lab-1")] if due else due,
    "softened": lambda due: [body.replace(b'"referral"', b'"note"') for body in due],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_verifier_that_logs_other_findings_misjudges(lie: str) -> None:
    world, _ = worlds._begin(None)
    site = worlds.Site(world, "lab-2.party-b.example/site-2")
    log = world.logs[0]
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    site.report(0, missing=1)
    wrong = site.books(0, training=1, advance=False)
    world.publish(site.books(0, training=2, advance=False))
    world.publish(wrong)
    log.findings = LIES[lie]
    world.beat(2)
    code, index = refusal(world)
    assert code == "replay-judgement"
    assert index <= len(log.entries)
    assert replay(world, world.logs[1]).standing


def test_a_finding_without_a_heartbeat_before_it() -> None:
    world = worlds.honest()
    terms = world.document.rule("late")
    assert terms is not None
    body = make(terms, cast.SITE, statements=(), figures={}).body
    assert Severity(terms.severity) is Severity.NOTE
    entry = world.logs[0].append(world.now_ms, Kind.FINDING, body)
    assert refusal(world) == ("replay-judgement", entry.index)


def heartbeat(world: World, checkpoint: bytes | None, mirrored: dict[str, bytes] | None = None) -> Entry:
    items = tuple(Mirrored(origin=name, checkpoint=note.decode()) for name, note in sorted((mirrored or {}).items()))
    note = None if checkpoint is None else checkpoint.decode()
    body = Heartbeat(checkpoint=note, mirrored=items).body
    return world.logs[0].append(world.now_ms, Kind.HEARTBEAT, body)


def test_a_heartbeat_embeds_the_logs_own_history() -> None:
    world = worlds.honest()
    log = world.logs[0]
    entry = heartbeat(world, log.sign(world.now_ms, root=bytes(32)))
    assert refusal(world) == ("replay-heartbeat", entry.index)
    log.entries.pop()
    entry = heartbeat(world, log.sign(world.now_ms, size=len(log.entries) + 1))
    assert refusal(world) == ("replay-heartbeat", entry.index)
    log.entries.pop()
    entry = heartbeat(world, world.logs[1].published)
    code, index = refusal(world)
    assert code.startswith(("note-", "checkpoint-"))
    assert index == entry.index


def test_a_heartbeat_embeds_signed_checkpoints_of_the_treatys_other_logs() -> None:
    world = worlds.honest()
    log, peer = world.logs[:2]
    assert peer.published is not None
    for origin, note in (("stranger.example", peer.published), (log.name, log.published)):
        assert note is not None
        entry = heartbeat(world, None, {origin: note})
        assert refusal(world) == ("replay-heartbeat", entry.index)
        log.entries.pop()
    entry = heartbeat(world, None, {peer.name: peer.published.replace(peer.name.encode(), log.name.encode(), 1)})
    assert refusal(world)[1] == entry.index


HONEST = worlds.honest()


@given(st.integers(0, len(HONEST.logs[0].entries)))
def test_every_prefix_of_an_honest_log_replays(size: int) -> None:
    log = HONEST.logs[0]
    machine = LogReplay(HONEST.document, log.name, log.root)
    for entry in log.entries[:size]:
        machine.feed(entry)
    assert machine.finish().newest_ms == (log.entries[size - 1].received_at_ms if size else -1)
