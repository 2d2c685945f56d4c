"""Lightning and Hugging Face trainers with the callback: paused at some moment, they end as if they never had been."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from brakeline.node import channel
from brakeline.node.hook import ENVIRONMENT

from tests.node.house import ROOT, until
from tests.node.test_hook import ORDER, Desk, listening

STEPS = 40
MICRO_BATCH = 2 * 4 * (8 * 16 + 16) + 2 * 4 * (8 * 16 + 2 * 16)
"""FLOP of four rows through both layers and back (nothing needs the gradient of the data); two of them are a step."""


async def start(trainer: str, folder: Path, *words: str) -> asyncio.subprocess.Process:
    script = ROOT / "tests" / "support" / f"{trainer}_training.py"
    folder.mkdir()
    environment = {**os.environ, ENVIRONMENT: str(folder / "s")}
    with (folder / "err").open("wb") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable, str(script), str(folder), str(STEPS), *words,
            stdout=asyncio.subprocess.PIPE, stderr=errors, env=environment, cwd=folder,
        )  # fmt: skip


def begun(folder: Path) -> list[int]:
    log = folder / "log"
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


async def digest(child: asyncio.subprocess.Process) -> str:
    said = (await asyncio.wait_for(child.communicate(), 90))[0].decode()
    assert child.returncode == 0
    (line,) = [line for line in said.splitlines() if line.startswith("digest")]
    return line.split()[1]


@pytest.mark.parametrize(("trainer", "library"), [("lightning", "lightning"), ("huggingface", "transformers")])
def test_a_trainer_with_the_callback_stops_after_the_step_saves_and_ends_as_if_never_stopped(
    tmp_path: Path, trainer: str, library: str
) -> None:
    pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")
    if not any((Path(folder) / library).is_dir() for folder in sys.path):  # importing it takes seconds
        pytest.skip(f"{library} is not installed (the extra `{trainer}`)")

    async def scene() -> None:
        desk, hooked = Desk(), tmp_path / "hooked"
        never = await start(trainer, tmp_path / "never")
        child = await start(trainer, hooked, "hook")
        async with listening(hooked / "s", desk):
            await until(desk.peers.__len__)
            desk.peers[0].send(channel.Resume())
            await until(lambda: len(begun(hooked)) >= 8)
            desk.peers[0].send(channel.Pause(ORDER))
            await until(lambda: desk.stops() and desk.stops()[-1].freeze)
            ceased, stop = desk.stops()[0], desk.stops()[-1]
            assert begun(hooked)[-1] == ceased.step == stop.step
            assert stop.durable_at is not None
            assert ceased.at <= stop.durable_at
            saved = [
                path for name in ("stopped.ckpt", f"out/checkpoint-{stop.step}") if (path := hooked / name).exists()
            ]
            assert saved
            desk.peers[0].send(channel.Resume())
            assert await digest(child) == await digest(never)
            assert [m.freeze for m in desk.heard if isinstance(m, channel.Resumed)] == [stop.freeze]
            last = desk.samples()[-1]
            assert (last.steps, last.flop, last.tokens) == (STEPS, STEPS * 2 * MICRO_BATCH, 2 * STEPS)

    asyncio.run(scene())
