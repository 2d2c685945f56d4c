"""Several verifiers: they witness each other, mirror each other, and take over what they lack."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.entry import Entry, Kind, parse_source
from brakeline.ledger.tiles import decode_bundle, entries_path
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.v1 import verifier_pb2 as pb

from tests.support import cast
from tests.verifier import world
from tests.verifier.world import Running, World


@pytest.fixture
def four(tmp_path: Path) -> World:
    """A treaty with four verifiers, one of which may lie; three cosignatures make a quorum."""
    return World(tmp_path, world.treaty(4, heartbeat_ms=200))


async def entries_of(verifier: Running) -> list[Entry]:
    """Read the whole published log over HTTP; empty before the first checkpoint is published."""
    answer = await world.get(verifier, "checkpoint")
    if answer.status_code == 503:
        return []
    size = int(answer.content.split(b"\n")[1])
    entries: list[Entry] = []
    for start in range(0, size, 256):
        width = min(256, size - start)
        data = (await world.get(verifier, entries_path(start // 256, width))).content
        entries += [Entry.decode(item) for item in decode_bundle(data, width)]
    return entries


def signed(entries: list[Entry]) -> dict[str, Entry]:
    """Return the statements of a log by digest."""
    kinds = (Kind.TREATY, Kind.STATEMENT)
    return {Envelope.from_body(entry.body).digest: entry for entry in entries if entry.kind in kinds}


def test_receipts_carry_a_quorum_of_cosignatures_and_outlive_one_verifier(four: World) -> None:
    async def scenario() -> None:
        chain = world.chain(four.document, 2)
        async with world.running(four) as verifiers:
            async with world.stub(four, verifiers[0]) as stub:
                answer = await stub.SubmitBatch(world.batch(chain[:2]))
                assert len(world.check_receipt(four, answer.results[1].receipt).cosignatures) >= 3
            await verifiers[3].server.stop()
            async with world.stub(four, verifiers[0]) as stub:
                answer = await stub.SubmitBatch(world.batch(chain))
                assert len(world.check_receipt(four, answer.results[3].receipt).cosignatures) == 3

    asyncio.run(scenario())


def test_below_quorum_items_are_pending_and_get_their_receipts_when_a_witness_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        limits = world.FAST.model_copy(update={"receipt_wait_ms": 300, "cosign_timeout_ms": 200})
        four = World(tmp_path, world.treaty(4, heartbeat_ms=200), limits)
        chain = world.chain(four.document, 2)
        async with world.running(four) as verifiers:
            await verifiers[3].server.stop()
            await verifiers[2].server.stop()
            async with world.stub(four, verifiers[0]) as stub:
                answer = await stub.SubmitBatch(world.batch(chain))
                assert {result.WhichOneof("outcome") for result in answer.results} == {"pending"}
                assert answer.results[0].pending.digest == chain[0].digest
                published = verifiers[0].server.publication.size
                await asyncio.sleep(0.3)
                assert verifiers[0].server.publication.size == published
                where = verifiers[2].addresses["http"].removeprefix("http://")
                async with world.running(four, 2, peers=verifiers, http=where):
                    await world.until(lambda: verifiers[0].server.publication.size > published)
                    answer = await stub.SubmitBatch(world.batch(chain))
                    assert {result.WhichOneof("outcome") for result in answer.results} == {"receipt"}

    asyncio.run(scenario())


def test_a_statement_given_to_one_verifier_ends_in_every_log(four: World) -> None:
    async def scenario() -> None:
        chain = world.chain(four.document, 3)
        wanted = {item.digest for item in chain} | {cast.treaty_envelope(four.document).digest}
        async with world.running(four) as verifiers:
            async with world.stub(four, verifiers[1]) as stub:
                await stub.SubmitBatch(world.batch(chain))

            async def everywhere() -> bool:
                return all([signed(await entries_of(verifier)).keys() >= wanted for verifier in verifiers])

            await world.until(everywhere)
            for number, verifier in enumerate(verifiers):
                entries = await entries_of(verifier)
                assert all(b.previous == a.digest for a, b in pairwise(entries))
                held = signed(entries)
                assert len([e for e in entries if e.kind is Kind.STATEMENT]) == len(chain)
                origin, index = parse_source(held[chain[-1].digest].source)
                if number == 1:
                    assert (origin, index) == (world.LAB, None)
                else:
                    assert origin in cast.VERIFIERS
                    assert index is not None

    asyncio.run(scenario())


def test_heartbeats_embed_what_was_mirrored_checked_and_stored(four: World) -> None:
    async def scenario() -> None:
        async with world.running(four) as verifiers:

            async def embedded() -> bool:
                beats = [e for e in await entries_of(verifiers[0]) if e.kind is Kind.HEARTBEAT]
                return bool(beats) and len(parse_heartbeat(beats[-1].body).mirrored) == 3

            await world.until(embedded)
            beats = [e for e in await entries_of(verifiers[0]) if e.kind is Kind.HEARTBEAT]
            keys = [v.witness_key for v in four.document.verifiers]
            for item in parse_heartbeat(beats[-1].body).mirrored:
                peer = four.document.verifier_by_origin(item.origin)
                assert peer is not None
                opened = open_checkpoint(item.checkpoint.encode(), peer.log_key, keys)
                assert four.document.witness_policy(item.origin).satisfied(opened.cosignatures)

    asyncio.run(scenario())


def test_two_versions_given_to_two_verifiers_end_side_by_side_in_all_logs(four: World) -> None:
    async def scenario() -> None:
        enrolment, inventory, _ = world.chain(four.document, 1)
        site = cast.Author(cast.SITE, four.document)
        site.sequence, site.previous = 1, inventory.digest
        one, other = (site.use(0, inventory.digest, (cast.line("idle", n),), advance=False) for n in (1, 2))
        async with world.running(four) as verifiers:
            for number, version in ((0, one), (2, other)):
                async with world.stub(four, verifiers[number]) as stub:
                    answer = await stub.SubmitBatch(world.batch([enrolment, inventory, version]))
                    assert answer.results[2].WhichOneof("outcome") == "receipt"

            async def everywhere() -> bool:
                logs = [signed(await entries_of(verifier)) for verifier in verifiers]
                return all(log.keys() >= {one.digest, other.digest} for log in logs)

            await world.until(everywhere)
            async with world.stub(four, verifiers[3]) as stub:
                status = await stub.GetStatus(pb.GetStatusRequest(author=cast.SITE))
                assert {head.digest for head in status.heads} == {one.digest, other.digest}

    asyncio.run(scenario())
