"""The example training: deterministic, its FLOP follow the shapes, and a stop loses no work."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from brakeline.node import channel
from brakeline.node.hook import ENVIRONMENT

from tests.node.house import ROOT, until
from tests.node.test_hook import ORDER, Desk, listening

SCRIPT = ROOT / "examples" / "train_stdlib.py"


def train(folder: Path, *options: str) -> list[dict[str, object]]:
    """Run the training without a node; return what it printed."""
    command = [sys.executable, str(SCRIPT), "--checkpoint", str(folder / "c.npz"), "--bytes", "100000", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_same_seed_gives_the_same_weights_and_learns(tmp_path: Path) -> None:
    first, second = (train(tmp_path, "--steps", "60", "--every", "20") for _ in range(2))
    assert first == second
    losses = [float(str(line["loss"])) for line in first]
    assert losses[-1] < losses[0] < 5.6
    assert train(tmp_path, "--steps", "60", "--seed", "2")[-1]["digest"] != first[-1]["digest"]


def test_twice_the_batch_at_equal_steps_is_twice_the_flop(tmp_path: Path) -> None:
    once, twice = (int(str(train(tmp_path, "--steps", "3", "--batch", b)[-1]["flop"])) for b in ("16", "32"))
    assert twice == 2 * once > 0


def test_a_training_that_was_stopped_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    straight = train(tmp_path, "--steps", "120")[-1]["digest"]

    async def stopped_on_the_way() -> None:
        desk, path = Desk(), tmp_path / "s"
        options = ("--steps", "120", "--bytes", "100000", "--throttle", "0.2", "--checkpoint", "c.npz")
        async with listening(path, desk):
            child = await asyncio.create_subprocess_exec(
                sys.executable, str(SCRIPT), *options, stdout=asyncio.subprocess.PIPE, cwd=tmp_path,
                env={**os.environ, ENVIRONMENT: str(path)},
            )  # fmt: skip
            await until(lambda: desk.samples() and (desk.samples()[-1].steps or 0) >= 5)
            desk.peers[0].send(channel.Pause(ORDER))
            await until(lambda: desk.stops() and desk.stops()[-1].freeze)
            ceased, stop = desk.stops()[0], desk.stops()[-1]
            assert (ceased.step, ceased.freeze, ceased.at) == (stop.step, None, stop.at)  # said before it was saved
            assert 5 <= stop.step < 120
            assert stop.freeze is not None
            desk.peers[0].send(channel.Resume())
            printed = [json.loads(line) for line in (await child.communicate())[0].splitlines()]
            flop = printed[-1]["flop"] // 120 * stop.step
            assert {"stopped": stop.step, "order": ORDER, "freeze": stop.freeze, "flop": flop} in printed
            assert {"resumed": stop.step, "digest": stop.freeze} in printed
            assert [m.freeze for m in desk.heard if isinstance(m, channel.Resumed)] == [stop.freeze]
            assert printed[-1]["digest"] == straight
            last = desk.samples()[-1]
            assert (last.steps, last.flop) == (120, printed[-1]["flop"])  # nothing counted is lost at the end

    asyncio.run(stopped_on_the_way())
    resumed = train(tmp_path, "--steps", "120", "--resume")  # from the checkpoint the order left behind
    assert resumed[-1]["digest"] == straight
