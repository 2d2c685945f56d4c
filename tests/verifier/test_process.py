"""The verifier as its operator meets it: init, serve, SIGTERM, kill -9, mistakes in the directory."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import stat
import subprocess
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import grpc
from brakeline.v1 import verifier_pb2 as pb
from brakeline.v1 import verifier_pb2_grpc as pb_grpc
from brakeline.verifier.commands import app
from typer.testing import CliRunner

from tests.support import cast
from tests.verifier import process, world

CYCLES = 4
"""kill -9 cycles in the ordinary run."""


def test_init_makes_keys_nobody_else_may_read_and_never_overwrites_them(tmp_path: Path) -> None:
    made = process.make(tmp_path)
    for name in ("log", "witness", "disclosure"):
        path = made.directory / "keys" / f"{name}.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = CliRunner().invoke(app, ["init", "--dir", str(made.directory), "--name", process.NAME])
    assert again.exit_code == 3
    assert "config-exists" in again.output


def test_a_treaty_that_is_not_the_pinned_one_is_not_installed(tmp_path: Path) -> None:
    made = process.make(tmp_path)
    treaty = str(tmp_path / "treaty.dsse.json")
    result = CliRunner().invoke(app, ["init", "--dir", str(made.directory), "--treaty", treaty, "--pin", "0" * 64])
    assert result.exit_code == 3
    assert "treaty-not-pinned" in result.output


def test_serve_says_what_is_missing(tmp_path: Path) -> None:
    process.invoke("init", "--dir", str(tmp_path / "v"), "--name", process.NAME)
    result = CliRunner().invoke(app, ["serve", "--dir", str(tmp_path / "v")])
    assert result.exit_code == 3
    assert "config-treaty-missing" in result.output
    assert "brakeline verifier init" in result.output


def test_a_key_that_the_treaty_does_not_name_is_not_used(tmp_path: Path) -> None:
    made = process.make(tmp_path)
    keys = made.directory / "keys"
    (keys / "log.pem").unlink()
    (keys / "witness.pem").rename(keys / "log.pem")
    result = CliRunner().invoke(app, ["serve", "--dir", str(made.directory)])
    assert result.exit_code == 3
    assert "config-key-differs" in result.output


def test_help_shows_an_example() -> None:
    for command in ("init", "serve"):
        assert "brakeline verifier" in CliRunner().invoke(app, [command, "--help"]).output


def test_sigterm_ends_a_serving_verifier_cleanly(tmp_path: Path) -> None:
    async def scenario() -> None:
        made = process.make(tmp_path)
        async with process.served(made) as it:
            async with client(made, it) as stub:
                answer = await stub.SubmitBatch(world.batch(world.chain(made.world.document, 1)))
                world.check_receipt(made.world, answer.results[0].receipt)
            it.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(it.process.wait, 20) == 0
        lines = [json.loads(line) for line in (made.directory / "stderr.log").read_text().splitlines()]
        assert all("event" in line for line in lines)

    asyncio.run(scenario())


def test_a_second_process_on_one_directory_ends_with_a_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        made = process.make(tmp_path)
        async with process.served(made):
            command = [*process.COMMAND, "serve", "--dir", str(made.directory)]
            second = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=30, check=False)
            assert second.returncode == 3
            assert b"store-locked" in second.stderr

    asyncio.run(scenario())


def client(made: process.Made, it: process.Served) -> AbstractAsyncContextManager[pb_grpc.VerifierAsyncStub]:
    return world.stub_at(made.world, it.addresses["grpc"])


async def submit_until_killed(
    stub: pb_grpc.VerifierAsyncStub,
    site: cast.Author,
    inventory: str,
    acknowledged: dict[str, int],
    made: process.Made,
) -> None:
    """Submit books, batch after batch, and note every receipt that arrived, until the connection breaks."""
    while True:
        count = 3
        first = site.sequence - 1
        books = [site.use(first + i, inventory, (cast.line("idle", 8_000),)) for i in range(count)]
        try:
            answer = await stub.SubmitBatch(world.batch(books), timeout=10)
        except grpc.aio.AioRpcError:
            # Whether these were appended is unknown: the very same books are signed again after the restart.
            site.sequence, site.previous = site.sequence - count, _previous(books[0].payload)
            return
        for item, result in zip(books, answer.results, strict=True):
            assert result.WhichOneof("outcome") == "receipt"
            acknowledged[item.digest] = world.check_receipt(made.world, result.receipt).entry.index


def _previous(payload: bytes) -> str:
    predicate = json.loads(payload)["predicate"]
    return str(predicate["previous"])


def test_kill_9_loses_nothing_that_was_acknowledged_and_forks_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        made = process.make(tmp_path, heartbeat_ms=50)
        rng = random.Random(7)
        enrolment, inventory = world.chain(made.world.document, 0)
        site = cast.Author(cast.SITE, made.world.document)
        site.sequence, site.previous = 1, inventory.digest
        acknowledged: dict[str, int] = {}
        order: list[str] = []
        for cycle in range(CYCLES):
            async with process.served(made) as it, client(made, it) as stub:
                await stub.SubmitBatch(world.batch([enrolment, inventory]))
                status = await stub.GetStatus(pb.GetStatusRequest(author=cast.SITE))
                assert len(status.heads) == 1, "the chain forked"
                for digest in order:
                    query = pb.GetReceiptRequest(digest=digest, author=cast.SITE, sequence=1 + order.index(digest))
                    found = await stub.GetReceipt(query)
                    assert world.check_receipt(made.world, found.receipt).entry.index == acknowledged[digest]
                if cycle == CYCLES - 1:
                    break
                work = asyncio.create_task(submit_until_killed(stub, site, inventory.digest, acknowledged, made))
                await asyncio.sleep(rng.uniform(0.1, 0.5))
                it.process.kill()
                await work
                order = list(acknowledged)
        assert len(acknowledged) > CYCLES

    asyncio.run(scenario())
