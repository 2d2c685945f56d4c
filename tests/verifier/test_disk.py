"""A disk that is full, and bytes that changed on it: nothing is acknowledged, nothing is signed over."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import grpc
import pytest
from brakeline.ledger.errors import StoreError
from brakeline.treaty.envelope import Envelope
from brakeline.v1 import verifier_pb2 as pb

from tests.support import cast
from tests.verifier import world
from tests.verifier.world import World


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB; needs root and the right to mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs of limited size needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until there is no space left."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4_096))
        except OSError:
            return


def test_a_full_disk_acknowledges_nothing_and_recovers_by_itself(small_disk: Path) -> None:
    async def scenario() -> None:
        limits = world.FAST.model_copy(update={"receipt_wait_ms": 1_000})
        alone = World(small_disk, world.treaty(1), limits)
        chain = world.chain(alone.document, 60)
        async with world.running(alone) as [verifier], world.stub(alone, verifier) as stub:
            before = await stub.SubmitBatch(world.batch(chain[:2]))
            kept = [world.check_receipt(alone, result.receipt).entry for result in before.results]
            fill(small_disk / "filler")
            failed: list[tuple[grpc.StatusCode, str]] = []
            for start in range(2, 62, 20):
                try:
                    answer = await stub.SubmitBatch(world.batch(chain[start : start + 20]), timeout=10)
                except grpc.aio.AioRpcError as error:
                    failed.append((error.code(), world.reason(error)))
                else:
                    receipts = [result.receipt for result in answer.results if result.receipt]
                    kept += [world.check_receipt(alone, receipt).entry for receipt in receipts]
            assert failed
            assert set(failed) == {(grpc.StatusCode.UNAVAILABLE, "commit-failed")}
            (small_disk / "filler").unlink()

            async def recovered() -> bool:
                try:
                    answer = await stub.SubmitBatch(world.batch(chain))
                except grpc.aio.AioRpcError:
                    return False
                return all(result.WhichOneof("outcome") == "receipt" for result in answer.results)

            await world.until(recovered)
            for entry in kept:
                statement = cast.read(Envelope.from_body(entry.body))
                assert statement.authored is not None
                query = pb.GetReceiptRequest(
                    digest=statement.digest, author=statement.authored.author, sequence=statement.authored.sequence
                )
                assert world.check_receipt(alone, (await stub.GetReceipt(query)).receipt).entry == entry

    asyncio.run(scenario())


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_changed_byte_in_the_store_is_found_before_anything_is_signed_over_it(tmp_path: Path, index: int) -> None:
    async def scenario() -> None:
        alone = World(tmp_path, world.treaty(1))
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size > 4)
        directory = alone.directory(alone.document.verifiers[0].name)
        db = apsw.Connection(str(directory / "log.sqlite"))
        data = bytearray(db.execute("SELECT data FROM entry WHERE idx = ?", (index,)).get)
        data[-3] ^= 1
        db.execute("UPDATE entry SET data = ? WHERE idx = ?", (bytes(data), index))
        db.close()
        server = alone.server()
        await server.start_witness()
        with pytest.raises(StoreError) as caught:
            await server.start_log()
        assert caught.value.code in ("store-corrupt", "store-forked")
        await server.stop()

    asyncio.run(scenario())
