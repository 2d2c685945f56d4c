"""The brake in a Hugging Face training: a ``TrainerCallback``, and nothing else to change.

::

    trainer = Trainer(..., callbacks=[BrakeCallback(workload="my-run")])

On an order no further optimiser step starts, on any rank; the trainer is asked to save, as it does at its own
checkpoints, and waits in place when it has. ``save_strategy`` does not matter for that. See
:mod:`brakeline.node.hooks.torch` for how ranks agree and what is committed to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brakeline.node.hooks.torch import TorchHook, make_durable
from transformers import TrainerCallback


class BrakeCallback(TrainerCallback):
    """Counts optimiser steps, and keeps the trainer where it is while an order pauses."""

    def __init__(
        self,
        *,
        workload: str,
        activity: str = "training",
        flop: int | None = None,
        tokens: int = 0,
        sharded: bool = False,
        path: str | None = None,
    ) -> None:
        """Report *flop* and *tokens* for each optimiser step of one rank; without *flop* they are counted."""
        self._workload, self._activity, self._sharded, self._path = workload, activity, sharded, path
        self._flop, self._tokens = flop, tokens
        self._hook: TorchHook | None = None
        self._stopping = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Connect, and wait where an order binds already."""
        self._hook = TorchHook(
            kwargs["model"],
            _inner(kwargs["optimizer"]),
            workload=self._workload,
            activity=self._activity,
            sharded=self._sharded,
            first_step=int(state.global_step),
            count_flop=self._flop is None,
            path=self._path,
        )
        self._hook.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Count the optimiser step; on an order ask the trainer to save, which calls :meth:`on_save`."""
        if self._hook is not None and not self._hook.count(flop=self._flop, tokens=self._tokens):
            self._hook.cease()
            self._stopping = control.should_save = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Commit to what was saved, and wait."""
        if self._hook is not None and self._stopping:
            self._stopping = False
            make_durable(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            self._hook.wait()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say goodbye."""
        if self._hook is not None:
            self._hook.close()


def _inner(optimizer: Any) -> Any:
    """Return the optimiser inside what accelerate wraps around it."""
    return getattr(optimizer, "optimizer", optimizer)
