"""A verifier whose log came back from yesterday's backup: it refuses to sign, and serves again once it caught up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from brakeline.ledger.backup import backup, catch_up, restore
from brakeline.ledger.checkpoint_store import read_slot
from brakeline.ledger.errors import BrakelineError
from brakeline.ledger.export import export
from brakeline.ledger.source import DirectorySource
from brakeline.ledger.sqlite_store import SqliteReader

from tests.verifier import world
from tests.verifier.world import World


async def refusal(alone: World) -> str:
    """The code with which the verifier refuses to start its log."""
    server = alone.server()
    await server.start_witness()
    try:
        with pytest.raises(BrakelineError) as caught:
            await server.start_log()
    finally:
        await server.stop()
    return caught.value.code


def test_a_log_restored_from_yesterdays_backup_refuses_to_sign(tmp_path: Path) -> None:
    async def scenario() -> None:
        alone = World(tmp_path, world.treaty(1))
        own = alone.document.verifiers[0]
        directory = alone.directory(own.name)
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size > 3)
            size = await asyncio.to_thread(backup, directory, tmp_path / "yesterday", own.log_key)
            await world.until(lambda: verifier.server.publication.size > size + 3)
        signed = read_slot(directory / "checkpoint.sqlite", "signed")
        assert signed is not None
        store = SqliteReader(directory / "log.sqlite")
        total = export(store, signed, tmp_path / "mirror")
        before = list(store.read_entries(0, store.size()))
        store.close()
        for path in directory.glob("log.sqlite*"):
            path.unlink()

        assert not restore(tmp_path / "yesterday", directory, own.log_key).ready
        assert await refusal(alone) == "store-behind"

        caught = catch_up(directory, own.log_key, DirectorySource(tmp_path / "mirror"))
        assert (caught.size, caught.ready) == (total, True)
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size > total)
        store = SqliteReader(directory / "log.sqlite")
        assert list(store.read_entries(0, total)) == before[:total]
        store.close()

    asyncio.run(scenario())


def test_with_the_checkpoint_store_taken_back_too_the_witnesses_still_remember(tmp_path: Path) -> None:
    async def scenario() -> None:
        alone = World(tmp_path, world.treaty(1))
        own = alone.document.verifiers[0]
        directory = alone.directory(own.name)
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size > 3)
        size = backup(directory, tmp_path / "yesterday", own.log_key)
        old = {path.name: path.read_bytes() for path in directory.glob("checkpoint.sqlite*")}
        async with world.running(alone) as [verifier]:
            await world.until(lambda: verifier.server.publication.size > size + 3)
        for path in [*directory.glob("log.sqlite*"), *directory.glob("checkpoint.sqlite*")]:
            path.unlink()
        for name, data in old.items():
            (directory / name).write_bytes(data)
        assert restore(tmp_path / "yesterday", directory, own.log_key).ready  # as far as this disk can tell
        assert await refusal(alone) == "boot-log-behind"

    asyncio.run(scenario())
