"""What a site says of a pause and of what went on after it, with an honest node and trainings that are or are not."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trustme
from brakeline.node.hook import ENVIRONMENT
from brakeline.node.site import Site
from brakeline.treaty.quantities import InstantMs
from brakeline.treaty.statements import Acknowledgement, StoppedWorkload, Usage

from tests.node import house
from tests.node.house import ROOT, make, now_ms, running, until
from tests.support import cast
from tests.support.cheating_training import IGNORES, LIES, SWAPS

HONEST = "honest"
EXAMPLE, CHEATING = ROOT / "examples" / "train_stdlib.py", ROOT / "tests" / "support" / "cheating_training.py"


def acknowledgements(site: Site, order: str) -> list[Acknowledgement]:
    found = [s.predicate for s in house.statements(site)]
    return [said for said in found if isinstance(said, Acknowledgement) and said.order == order]


def newest(site: Site, order: str) -> dict[str, StoppedWorkload]:
    """Return by workload what the site last said of *order*."""
    return {item.workload: item for said in acknowledgements(site, order) for item in said.workloads}


@asynccontextmanager
async def attached(folder: Path, name: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Start a training that talks to the node's own socket."""
    script = [str(EXAMPLE)] if name == HONEST else [str(CHEATING), name]
    options = ["--workload", name, "--steps", "0", "--bytes", "50000", "--throttle", "0.1"]
    options += ["--checkpoint", str(folder / f"{name}.npz")]
    child = await asyncio.create_subprocess_exec(
        sys.executable, *script, *options, stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, ENVIRONMENT: str(folder / "node" / "node.sock")},
    )  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        await child.wait()


def test_the_acknowledgements_tell_honest_trainings_from_those_that_went_on_from_something_else(tmp_path: Path) -> None:
    document = house.treaty(now_ms())
    make(tmp_path, document, trustme.CA()).journal.close()
    names = {HONEST, LIES, SWAPS}

    async def scene() -> None:
        async with running(tmp_path / "node") as (site, node), AsyncExitStack() as stack:
            for name in names:
                await stack.enter_async_context(attached(tmp_path, name))
            await until(lambda: {s.workload for s in site.journal.open_sessions() if s.last_n > 1} == names)
            now = document.grid.period_of(InstantMs(now_ms()))
            pause = cast.order(document, effective=now, expiry=now + 3)
            assert node.see(pause, "carried by hand").code == "order-binds"
            await until(lambda: set(newest(site, pause.digest)) == names)
            (first,) = acknowledgements(site, pause.digest)
            for item in first.workloads:
                assert item.freeze is not None
                assert item.agreed_at is not None
                assert item.ceased_at is not None
                assert item.durable_at is not None
                assert first.seen_at.value <= item.agreed_at.value <= item.ceased_at.value <= item.durable_at.value
            await until(lambda: all(item.resumed for item in newest(site, pause.digest).values()))  # it expires
            same = {name: item.resumed == item.freeze for name, item in newest(site, pause.digest).items()}
            assert same == {HONEST: True, LIES: False, SWAPS: False}

    asyncio.run(scene())


def test_a_training_that_ignores_the_hook_keeps_its_site_from_acknowledging(tmp_path: Path) -> None:
    document = house.treaty(now_ms())
    make(tmp_path, document, trustme.CA()).journal.close()

    async def scene() -> None:
        async with running(tmp_path / "node") as (site, node), attached(tmp_path, IGNORES):
            await until(lambda: [s for s in site.journal.open_sessions() if s.last_n > 1])
            now = document.grid.period_of(InstantMs(now_ms()))
            pause = cast.order(document, effective=now, expiry=now + 50)
            assert node.see(pause, "carried by hand").new

            def booked() -> list[Usage]:
                return [usage for usage in house.books(site) if document.grid.period_of(usage.start) > now + 1]

            await until(lambda: len(booked()) >= 2)
            assert all(house.total([usage], "training", "chip_ms") > 0 for usage in booked())
            assert acknowledgements(site, pause.digest) == []

    asyncio.run(scene())
