"""Train a small checkpointed transformer with nothing but the hook: ``flop_training.py STEPS``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))

from brakeline.node.hooks.torch import TorchHook

from tests.support import transformer


def main(count: int) -> None:
    model = transformer.Transformer(transformer.SMALL, "reentrant")
    hook = TorchHook(model, workload="transformer")
    hook.start()
    for _ in transformer.steps(model, model, transformer.SMALL, count):
        hook.step()
    hook.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
