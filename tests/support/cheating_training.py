"""Trainings that cheat on the brake: programs for tests of findings, metered or attached like an honest training.

    python tests/support/cheating_training.py CHEAT [options of examples/train_stdlib.py]

ignores-the-hook       trains on after an order, saying nothing. Its site cannot acknowledge; its books show training in
                       periods that the order binds.
lies-about-its-digest  stops; commits to weights that it does not have; goes on from its own, and says so:
                       ``resumed`` is not the ``freeze`` before it.
resumes-other-weights  stops and commits honestly; trains on in secret, uncounted; goes on from what came of that:
                       ``resumed`` is not ``freeze``, and a meter of energy sees what the books do not explain.

The node of all three is honest.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import train_stdlib
from brakeline.node.hook import Hook

IGNORES, LIES, SWAPS = CHEATS = ("ignores-the-hook", "lies-about-its-digest", "resumes-other-weights")
SECRET_STEPS = 20


def lie(model: train_stdlib.Model, hook: Hook, path: Path, flop: int) -> None:
    """Commit to what is not there."""
    hook.stopped(step=model.step)
    model.save(path)
    hook.stopped(step=model.step, freeze=hashlib.sha256(b"not these weights").hexdigest())
    hook.wait()
    hook.resumed(step=model.step, freeze=model.digest(), strict=False)


def swap(model: train_stdlib.Model, hook: Hook, path: Path, flop: int) -> None:
    """Commit, and go on from something else."""
    hook.stopped(step=model.step)
    model.save(path)
    hook.stopped(step=model.step, freeze=model.digest())
    corpus = train_stdlib.read_corpus(50_000)
    for _ in range(SECRET_STEPS):
        model.train(corpus, 64, 0.003)
    model.step -= SECRET_STEPS
    hook.wait()
    hook.resumed(step=model.step, freeze=model.digest(), strict=False)


def main(arguments: list[str]) -> int:
    """Train as the example does, but for the brake."""
    cheat, options = arguments[0], arguments[1:]
    if cheat == IGNORES:
        return train_stdlib.main([*options, "--ignore-brake"])
    train_stdlib.hold = {LIES: lie, SWAPS: swap}[cheat]
    return train_stdlib.main(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
