"""Disclosures at a verifier: opened, checked, kept apart, said to be held, and judged; all over a real wire."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from brakeline.ledger.entry import Entry, Kind
from brakeline.ledger.errors import BrakelineError
from brakeline.treaty.disclosure import Disclosure
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.opinion import Held, Opinion, parse_opinion
from brakeline.treaty.replay import LogReplay
from brakeline.v1 import verifier_pb2 as pb
from brakeline.verifier.vault import FILE, Vault
from nacl.public import SealedBox

from tests.support import cast
from tests.support import sealing as support
from tests.support.cast import Author, line
from tests.support.sealing import SealingAuthor
from tests.verifier import world
from tests.verifier.test_server import entries_of
from tests.verifier.world import LAB, World

FULL = cast.CHIPS * cast.PERIOD


@pytest.fixture
def alone(tmp_path: Path) -> World:
    """A treaty with one verifier, to which figures are disclosed."""
    return World(tmp_path, world.treaty(1, sealed=True))


def said(alone: World, flop: str = "1999999999999") -> tuple[list[Envelope], Disclosure]:
    """Return an enrolment, an inventory and sealed books, and what opens them."""
    site = SealingAuthor(cast.SITE, alone.document)
    held = site.hold()
    books = site.use(0, held.digest, (line("training", FULL, flop_model=flop, joules="80"),))
    return [Author(LAB, alone.document).enrol(cast.SITE), held, books], site.disclosures[books.digest]


def boxed(
    envelopes: list[Envelope], disclosure: Disclosure | bytes, to: str = cast.VERIFIERS[0]
) -> pb.SubmitBatchRequest:
    """Return the request that submits *envelopes* with a box beside the last."""
    request = world.batch(envelopes)
    data = disclosure if isinstance(disclosure, bytes) else disclosure.encoded
    request.attestations[-1].disclosure = SealedBox(support.disclosure_key(to).public_key).encrypt(data)
    return request


def opinions(entries: list[Entry]) -> list[object]:
    return [parse_opinion(entry.body) for entry in entries if entry.kind is Kind.OPINION]


def replayed(alone: World, entries: list[Entry], disclosures: dict[str, Disclosure]) -> LogReplay:
    replay = LogReplay(
        alone.document, cast.VERIFIERS[0], lambda size: _root(entries, size), disclosures=disclosures.get
    )
    for entry in entries:
        replay.feed(entry)
    return replay


def _root(entries: list[Entry], size: int) -> bytes:
    from tests.support.worlds import WorldLog

    log = WorldLog(cast.VERIFIERS[0], cast.document())
    log.entries = entries
    return log.root(size)


def test_what_is_disclosed_is_kept_apart_said_to_be_held_and_judged_and_nothing_of_it_is_logged(alone: World) -> None:
    async def scenario() -> None:
        envelopes, disclosure = said(alone)
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            answer = await stub.SubmitBatch(boxed(envelopes, disclosure))
            assert [item.WhichOneof("outcome") for item in answer.results] == ["receipt"] * 3
            assert not any(item.HasField("disclosure") for item in answer.results)

            async def concluded() -> bool:
                return any(isinstance(item, Opinion) for item in opinions(await entries_of(verifier)))

            await world.until(concluded)
            entries = await entries_of(verifier)
        assert all(b"1999999999999" not in entry.body for entry in entries)
        assert [item.holds for item in opinions(entries) if isinstance(item, Held)] == [envelopes[2].digest]
        path = alone.directory(cast.VERIFIERS[0]) / FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        replay = replayed(alone, entries, {disclosure.statement: disclosure})
        assert replay.close().reproduced
        async with world.running(alone) as [verifier]:  # the same opinions again, or it would not start
            assert verifier.server.publication.size >= len(entries)

    asyncio.run(scenario())


def test_a_disclosure_that_comes_later_is_held_then_and_a_second_time_changes_nothing(alone: World) -> None:
    async def scenario() -> None:
        envelopes, disclosure = said(alone)
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            await stub.SubmitBatch(world.batch(envelopes))
            for _ in range(2):
                await stub.SubmitBatch(boxed(envelopes[2:], disclosure))
            size = verifier.server.publication.size
            await world.until(lambda: verifier.server.publication.size > size + 2)
            entries = await entries_of(verifier)
        assert sum(isinstance(item, Held) for item in opinions(entries)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("what", ["another key", "noise", "another statement"])
def test_what_does_not_open_the_statement_is_refused_and_the_statement_taken(alone: World, what: str) -> None:
    async def scenario() -> None:
        envelopes, disclosure = said(alone)
        _, other = said(alone, "7")
        request = {
            "another key": lambda: boxed(envelopes, disclosure, cast.VERIFIERS[1]),
            "noise": lambda: boxed(envelopes, b"noise"),
            "another statement": lambda: boxed(envelopes, other),
        }[what]()
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            answer = await stub.SubmitBatch(request)
            assert answer.results[2].WhichOneof("outcome") == "receipt"
            codes = {
                "another key": "disclosure-box",
                "noise": "json-malformed",
                "another statement": "disclosure-other",
            }
            assert answer.results[2].disclosure.code == codes[what]
            entries = await entries_of(verifier)
        assert not opinions(entries)

    asyncio.run(scenario())


def test_a_verifier_that_lost_what_it_says_it_holds_does_not_start(alone: World) -> None:
    async def scenario() -> None:
        envelopes, disclosure = said(alone)
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            await stub.SubmitBatch(boxed(envelopes, disclosure))
            size = verifier.server.publication.size
            await world.until(lambda: verifier.server.publication.size > size + 1)
        for path in alone.directory(cast.VERIFIERS[0]).glob(f"{FILE}*"):
            path.unlink()
        with pytest.raises(BrakelineError) as caught:
            async with world.running(alone):
                pass
        assert caught.value.code == "boot-disclosures-missing"
        vault = Vault(alone.directory(cast.VERIFIERS[0]) / FILE, support.disclosure_key(cast.VERIFIERS[0]))
        vault.keep([disclosure])
        vault.close()
        async with world.running(alone) as [verifier]:
            assert verifier.server.publication.size > size

    asyncio.run(scenario())


def test_a_verifier_without_a_disclosure_key_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        plain = World(tmp_path, world.treaty(1))
        envelopes = world.chain(plain.document, 1)
        async with world.running(plain) as [verifier], world.stub(plain, verifier) as stub:
            answer = await stub.SubmitBatch(boxed(envelopes, b"{}"))
            assert answer.results[2].disclosure.code == "disclosure-no-key"
            assert answer.results[2].WhichOneof("outcome") == "receipt"

    asyncio.run(scenario())


def test_a_box_beyond_the_bound_is_not_opened(tmp_path: Path) -> None:
    vault = Vault(tmp_path / FILE, support.disclosure_key("verifier"))
    with pytest.raises(BrakelineError) as caught:
        vault.open(bytes(600 * 1024), b"{}")
    assert caught.value.code == "disclosure-box"
    vault.close()
