"""The brake in a Lightning training: a callback, and nothing else to change.

::

    trainer = Trainer(..., callbacks=[BrakeCallback(workload="my-run", checkpoint="stopped.ckpt")])

On an order no further optimiser step starts, on any rank; the trainer saves a checkpoint by
``trainer.save_checkpoint`` and waits in place. Gradient accumulation counts as what it is: a step is a step of the
optimiser. See :mod:`brakeline.node.hooks.torch` for how ranks agree and what is committed to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from brakeline.node.hooks.torch import TorchHook, make_durable
from lightning.pytorch import Callback


class BrakeCallback(Callback):
    """Counts optimiser steps, and keeps the trainer where it is while an order pauses."""

    def __init__(
        self,
        *,
        workload: str,
        checkpoint: str | os.PathLike[str],
        activity: str = "training",
        flop: int | None = None,
        tokens: int = 0,
        sharded: bool = False,
        path: str | None = None,
    ) -> None:
        """Save to *checkpoint* on an order; *flop* (else they are counted) and *tokens* of one step of one rank."""
        self._checkpoint = Path(checkpoint)
        self._workload, self._activity, self._sharded, self._path = workload, activity, sharded, path
        self._flop, self._tokens = flop, tokens
        self._hook: TorchHook | None = None
        self._step = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Connect, and wait where an order binds already."""
        self._step = int(trainer.global_step)
        self._hook = TorchHook(
            pl_module,
            *trainer.optimizers,
            workload=self._workload,
            activity=self._activity,
            save=lambda: self._save(trainer),
            sharded=self._sharded,
            first_step=self._step,
            count_flop=self._flop is None,
            path=self._path,
        )
        self._hook.start()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count, when the batch ended with an optimiser step; stay here while an order pauses."""
        taken = int(trainer.global_step) - self._step
        if self._hook is None or taken < 1:
            return
        self._step += taken
        self._hook.step(flop=self._flop, tokens=self._tokens)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Say goodbye."""
        if self._hook is not None:
            self._hook.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Say goodbye."""
        self.on_train_end(trainer, pl_module)

    def _save(self, trainer: Any) -> None:
        trainer.save_checkpoint(self._checkpoint)
        make_durable(self._checkpoint)
