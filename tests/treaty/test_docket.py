"""The docket: a discrepancy asks for a reply, waits its time, and goes to the parties; nothing is taken off it."""

from __future__ import annotations

import pytest
from brakeline.treaty.docket import Item, State, docket
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.oversight import Determination, Reply
from brakeline.treaty.reconcile.logs import Logs
from brakeline.treaty.replay import LogReplay
from brakeline.treaty.statements import encode_statement
from brakeline.treaty.verdict import verdict

from tests.support import cast, worlds
from tests.support.worlds import World


def unbalanced() -> tuple[World, worlds.Site]:
    """Two periods; the second site leaves 500 chip-ms out of the first. One beat after the finding is logged."""
    world, (good, bad) = worlds._begin(None)
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    good.report(0)
    bad.report(0, missing=500)
    world.beat()
    return world, bad


def items(world: World, *, as_of: int | None = None, logs: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Item, ...]:
    parts = []
    for number in logs:
        log = world.logs[number]
        replay = LogReplay(world.document, log.name, log.root)
        for entry in log.entries:
            replay.feed(entry)
        parts.append(replay.finish())
    found = verdict(world.document, parts, as_of_ms=world.now_ms if as_of is None else as_of)
    assert found.docket == docket(
        Logs(world.document, parts), {f.digest: f for f in found.findings}, world.now_ms if as_of is None else as_of
    )
    return found.docket


def say(site: worlds.Site, finding: str, text: str = "a meter had failed") -> Envelope:
    reply = Reply.model_validate({**site.author.position(), "finding": finding, "text": text, "cites": ()})
    return site.author.say(reply)


def determine(world: World, finding: str, conclusion: str = "closed") -> Envelope:
    said = Determination.model_validate(
        {
            "treaty": world.pin,
            "about": cast.OTHER_SITE,
            "findings": (finding,),
            "conclusion": conclusion,
            "reason": "Article 9",
            "nonce": "0" * 32,
        }
    )
    return cast.envelope(encode_statement(said), *(cast.signer(name) for name in cast.PARTIES))


def test_a_discrepancy_asks_for_a_reply_from_the_moment_enough_logs_have_written_it() -> None:
    world, _ = unbalanced()
    (item,) = items(world)
    written = [
        entry.received_at_ms
        for log in world.logs
        for entry in log.entries
        if entry.kind == 4 and b'"imbalance"' in entry.body
    ]
    assert (item.state, item.opened_ms) == (State.OPEN, sorted(written)[world.document.quorum.liars])
    assert item.reply_due_ms == (item.opened_ms or 0) + world.document.deadlines.reply_ms.value


def test_one_logs_word_opens_nothing() -> None:
    world, _ = unbalanced()
    (item,) = items(world, logs=(0,))
    assert (item.state, item.opened_ms, item.reply_due_ms) == (State.OPEN, None, None)


def test_a_reply_in_time_is_noted_and_what_still_stands_then_goes_to_the_parties() -> None:
    world, bad = unbalanced()
    (item,) = items(world)
    world.publish(say(bad, item.digest))
    world.beat()
    (replied,) = items(world)
    assert replied.state is State.REPLIED
    assert [answer.author for answer in replied.replies] == [cast.OTHER_SITE]
    due = replied.reply_due_ms
    assert due is not None
    (referred,) = [x for x in items(world, as_of=due + 1) if x.digest == item.digest]
    assert (referred.state, referred.referred_unanswered) == (State.REFERRED, False)


def test_silence_goes_to_the_parties_too() -> None:
    world, _ = unbalanced()
    (item,) = items(world)
    assert item.reply_due_ms is not None
    at = {x.digest: x for x in items(world, as_of=item.reply_due_ms)}[item.digest]
    after = {x.digest: x for x in items(world, as_of=item.reply_due_ms + 1)}[item.digest]
    assert (at.state, after.state, after.referred_unanswered) == (State.OPEN, State.REFERRED, True)


def test_nobody_answers_for_another() -> None:
    world, _ = unbalanced()
    (item,) = items(world)
    stranger = cast.Author(cast.SITE, world.document)
    stranger.sequence, stranger.previous = 2, head(world, cast.SITE)
    reply = Reply.model_validate({**stranger.position(), "finding": item.digest, "text": "not me", "cites": ()})
    world.publish(stranger.say(reply))
    world.beat()
    (still,) = items(world)
    assert (still.state, still.replies) == (State.OPEN, ())


def head(world: World, author: str) -> str:
    (sequence, digest) = world.logs[0].register.heads(author)[0]
    assert sequence == 1
    return digest


@pytest.mark.parametrize("conclusion", ["compliant", "non-compliant", "closed"])
def test_only_a_determination_concludes(conclusion: str) -> None:
    world, _ = unbalanced()
    (item,) = items(world)
    world.publish(determine(world, item.digest, conclusion))
    world.beat()
    (done,) = items(world)
    assert (done.state, done.conclusion) == (State.DETERMINED, conclusion)
    assert done.finding is not None  # it stays visible


def test_a_determination_in_too_few_logs_is_not_one_yet() -> None:
    world, _ = unbalanced()
    (item,) = items(world)
    world.publish(determine(world, item.digest), to=(0,))
    (still,) = items(world)
    assert still.state is State.OPEN


def test_what_is_cleared_stays_on_the_docket() -> None:
    """A third version of one place replaces the finding about two of them."""
    world, (site, _) = worlds._begin(None)
    world.until(cast.START + cast.PERIOD + worlds.BEAT)
    for training, last in ((6_000, False), (5_000, False)):
        world.publish(site.books(0, training=training, advance=last))
    world.beat()
    (two,) = items(world)
    assert (two.state, two.finding and two.finding.rule) == (State.REFERRED, "equivocation")
    world.publish(site.books(0, training=4_000))
    world.beat()
    three, cleared = items(world)
    assert (three.state, three.digest == two.digest) == (State.REFERRED, False)
    assert (cleared.digest, cleared.state, cleared.finding) == (two.digest, State.CLEARED, two.finding)
