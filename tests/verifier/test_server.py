"""One verifier end to end: real gRPC over real mutual TLS, real stores, receipts that verify offline."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from brakeline.ledger.checkpoint import open_checkpoint
from brakeline.ledger.entry import Entry, Kind, parse_source
from brakeline.ledger.errors import StoreError
from brakeline.ledger.merkle import leaf_hash
from brakeline.ledger.tiles import decode_bundle, entries_path, tile_path
from brakeline.treaty.envelope import Envelope
from brakeline.treaty.logbody import parse_heartbeat
from brakeline.v1 import verifier_pb2 as pb
from brakeline.verifier.errors import VerifierError

from tests.support import cast
from tests.verifier import world
from tests.verifier.world import LAB, Running, World


@pytest.fixture
def alone(tmp_path: Path) -> World:
    """A treaty with one verifier."""
    return World(tmp_path, world.treaty(1))


async def entries_of(verifier: Running) -> list[Entry]:
    """Read the whole published log over HTTP (fewer than 256 entries)."""
    note = (await world.get(verifier, "checkpoint")).content
    size = int(note.split(b"\n")[1])
    data = (await world.get(verifier, entries_path(0, size))).content
    return [Entry.decode(item) for item in decode_bundle(data, size)]


def test_a_submitted_statement_comes_back_as_a_receipt_that_verifies_offline(alone: World) -> None:
    async def scenario() -> None:
        envelopes = world.chain(alone.document, 3)
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            answer = await stub.SubmitBatch(world.batch(envelopes))
            for result, envelope in zip(answer.results, envelopes, strict=True):
                verified = world.check_receipt(alone, result.receipt)
                assert Envelope.from_body(verified.entry.body) == envelope
                assert parse_source(verified.entry.source) == (LAB, None)

    asyncio.run(scenario())


def test_entry_0_is_the_treaty_and_heartbeats_put_time_into_the_log(alone: World) -> None:
    async def scenario() -> None:
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size >= 6)
            entries = await entries_of(verifier)
        assert entries[0].kind is Kind.TREATY
        assert Envelope.from_body(entries[0].body) == cast.treaty_envelope(alone.document)
        beats = [entry for entry in entries if entry.kind is Kind.HEARTBEAT]
        assert len(beats) >= 4
        assert all(a.received_at_ms <= b.received_at_ms for a, b in pairwise(entries))
        embedded = parse_heartbeat(beats[-1].body).checkpoint
        assert embedded is not None
        own = alone.document.verifiers[0]
        opened = open_checkpoint(embedded.encode(), own.log_key, [own.witness_key])
        assert 0 < opened.checkpoint.size <= beats[-1].index
        assert own.witness_key in opened.cosignatures

    asyncio.run(scenario())


def test_what_was_submitted_before_gets_a_receipt_again(alone: World) -> None:
    async def scenario() -> None:
        request = world.batch(world.chain(alone.document, 1))
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            first = await stub.SubmitBatch(request)
            again = await stub.SubmitBatch(request)
            indices = [[world.check_receipt(alone, r.receipt).entry.index for r in a.results] for a in (first, again)]
            assert indices[0] == indices[1]
            treaty = await stub.SubmitBatch(world.batch([cast.treaty_envelope(alone.document)]))
            assert world.check_receipt(alone, treaty.results[0].receipt).entry.index == 0

    asyncio.run(scenario())


def test_not_yet_and_refused_are_told_apart_and_not_yet_is_admitted_later(alone: World) -> None:
    async def scenario() -> None:
        enrolment, inventory, books = world.chain(alone.document, 1)
        forged = Envelope(books.payload, (books.signatures[0]._replace(sig=bytes(64)),))
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            early = await stub.SubmitBatch(world.batch([books]))
            assert early.results[0].not_yet.code == "key-unknown"
            mixed = await stub.SubmitBatch(world.batch([enrolment, books, inventory, forged]))
            assert [r.WhichOneof("outcome") for r in mixed.results] == ["receipt", "receipt", "receipt", "refused"]
            assert mixed.results[3].refused.code == "signature-invalid"

    asyncio.run(scenario())


def test_a_receipt_is_had_again_by_digest_and_position(alone: World) -> None:
    async def scenario() -> None:
        envelopes = world.chain(alone.document, 1)
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            await stub.SubmitBatch(world.batch(envelopes))
            query = pb.GetReceiptRequest(digest=envelopes[2].digest, author=cast.SITE, sequence=1)
            answer = await stub.GetReceipt(query)
            assert world.check_receipt(alone, answer.receipt).entry.index > 0
            treaty = await stub.GetReceipt(pb.GetReceiptRequest(digest=cast.treaty_envelope(alone.document).digest))
            assert world.check_receipt(alone, treaty.receipt).entry.index == 0
            unknown = await stub.GetReceipt(pb.GetReceiptRequest(digest="0" * 64))
            assert unknown.problem.code == "statement-unknown"
            status = await stub.GetStatus(pb.GetStatusRequest(author=cast.SITE))
            assert [(h.sequence, h.digest) for h in status.heads] == [(1, envelopes[2].digest)]
            assert status.treaty == alone.document.digest
            assert status.origin == alone.document.verifiers[0].origin

    asyncio.run(scenario())


def test_watch_streams_orders_that_the_log_holds_and_those_it_gets(alone: World) -> None:
    async def scenario() -> None:
        first, second = (cast.order(alone.document, effective=p) for p in (5, 6))
        async with (
            world.running(alone) as [verifier],
            world.stub(alone, verifier) as stub,
            world.stub(alone, verifier, cast.PARTIES[0]) as party,
        ):
            await party.SubmitBatch(world.batch([first]))
            stream = stub.Watch(pb.WatchRequest())
            events = [await world.event(stream), await world.event(stream)]
            assert [e.attestation.payload for e in events] == [
                cast.treaty_envelope(alone.document).payload,
                first.payload,
            ]
            pending = asyncio.ensure_future(world.event(stream))
            await party.SubmitBatch(world.batch([*world.chain(alone.document), second]))
            third = await pending
            assert third.attestation.payload == second.payload
            later = stub.Watch(pb.WatchRequest(from_index=third.index))
            assert (await world.event(later)).attestation.payload == second.payload
            stream.cancel()
            later.cancel()

    asyncio.run(scenario())


def test_the_wrong_identity_is_refused_call_by_call(alone: World) -> None:
    async def scenario() -> None:
        async with world.running(alone) as [verifier], world.stub(alone, verifier, "nobody.example") as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.SubmitBatch(world.batch(world.chain(alone.document)))
            assert world.reason(caught.value) == "identity-unknown"

    asyncio.run(scenario())


def test_the_public_side_serves_immutable_tiles_and_an_uncached_checkpoint(alone: World) -> None:
    async def scenario() -> None:
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size >= 3)
            checkpoint = await world.get(verifier, "checkpoint")
            assert checkpoint.headers["cache-control"] == "no-store"
            assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
            for width in (1, 2, 3):
                tile = await world.get(verifier, tile_path(0, 0, width))
                bundle = await world.get(verifier, entries_path(0, width))
                assert "immutable" in tile.headers["cache-control"]
                assert tile.headers["content-type"] == "application/octet-stream"
                leaves = b"".join(leaf_hash(entry) for entry in decode_bundle(bundle.content, width))
                assert tile.content == leaves
            raw = await world.get(verifier, entries_path(0, 3), {"Accept-Encoding": "identity"})
            assert ("content-encoding" in raw.headers, raw.headers["vary"]) == (False, "Accept-Encoding")
            packed = await world.get(verifier, entries_path(0, 3), {"Accept-Encoding": "gzip"})
            assert packed.headers["content-encoding"] == "gzip"
            assert packed.content == raw.content
            assert int(packed.headers["content-length"]) < len(raw.content)
            for path in ("tile/0/000", "tile/entries/001.p/1", "tile/0/000.p/255", "tile/9/000", "tile/x", "nowhere"):
                assert (await world.get(verifier, path)).status_code == 404, path
            metrics = (await world.get(verifier, "metrics")).text
            assert "brakeline_log_entries" in metrics
            assert (await world.get(verifier, "healthz")).status_code == 200
            origin = hashlib.sha256(alone.document.verifiers[0].origin.encode()).hexdigest()
            assert b"/witness " in (await world.get(verifier, f"{origin}/checkpoint")).content
            assert (await world.get(verifier, f"{'0' * 64}/checkpoint")).status_code == 404

    asyncio.run(scenario())


def test_a_restart_keeps_everything_and_goes_on(alone: World) -> None:
    async def scenario() -> None:
        envelopes = world.chain(alone.document, 4)
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            answer = await stub.SubmitBatch(world.batch(envelopes[:4]))
            before = [world.check_receipt(alone, r.receipt).entry for r in answer.results]
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            answer = await stub.SubmitBatch(world.batch(envelopes))
            after = [world.check_receipt(alone, r.receipt).entry for r in answer.results]
            assert after[:4] == before
            await world.until(lambda: verifier.server.publication.size > after[-1].index)
            chain = await entries_of(verifier)
            assert all(b.previous == a.digest for a, b in pairwise(chain))

    asyncio.run(scenario())


def test_a_verifier_that_shuts_down_ends_its_streams_at_once_and_drains_calls_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        patient = World(tmp_path, world.treaty(), limits=world.FAST.model_copy(update={"drain_ms": 600_000}))
        async with world.running(patient) as [verifier], world.stub(patient, verifier) as stub:
            stream = stub.Watch(pb.WatchRequest())
            assert (await world.event(stream)).index == 0
            async with asyncio.timeout(60):
                await verifier.server.stop()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert (caught.value.code(), world.reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "not-serving")

    asyncio.run(scenario())


def test_a_second_process_on_one_directory_is_refused(alone: World) -> None:
    async def scenario() -> None:
        async with world.running(alone):
            second = alone.server()
            await second.start_witness()
            with pytest.raises(StoreError) as caught:
                await second.start_log()
            assert caught.value.code == "store-locked"
            await second.stop()

    asyncio.run(scenario())


def test_a_log_behind_its_witness_is_never_signed(alone: World) -> None:
    async def scenario() -> None:
        own = alone.document.verifiers[0]
        directory = alone.directory(own.name)
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size >= 3)
        for name in ("log.sqlite", "checkpoint.sqlite"):
            for file in directory.glob(f"{name}*"):
                file.unlink()
        server = alone.server()
        await server.start_witness()
        with pytest.raises(VerifierError) as caught:
            await server.start_log()
        assert caught.value.code == "boot-log-behind"
        await server.stop()

    asyncio.run(scenario())
