"""The brake in a PyTorch training, on one process or on all ranks of ``torch.distributed``.

::

    hook = TorchHook(model, optimizer, workload="my-run", save=save_checkpoint)
    hook.start()                                  # after loading, before the first step
    for batch in data:
        loss = train_step(batch)                  # ends with optimizer.step()
        hook.step(tokens=TOKENS_OF_STEP)          # stays here while an order pauses; FLOP are counted
    hook.close()

or, without a line in the loop, ``hook.attach(optimizer)``, which calls :meth:`TorchHook.step` after every step of it.

*One stop step.* Rank 0 alone talks to the node. At the end of every step it tells the others by a broadcast of one
number, over a gloo group of its own (so no accelerator is waited for). All ranks read the same word after the same
step. The word *stop* is confirmed by all before it is reported; a rank that does not confirm in time ends the job
with an error instead of a hang.

*State.* What is committed to is ``{"model": ..., "optimizer": [...]}``, the state dicts, of the module inside a
``DistributedDataParallel``. Where every rank holds the same, rank 0's digest counts; with *sharded* each rank's does
(docs/spec/freeze.md). *save* is called on every rank, as a trainer's own saving is, and returns when the checkpoint
is durable.

*FLOP.* What the model computes is counted (:mod:`brakeline.node.hooks.flop`) on rank 0 and taken to be the same on all
ranks, unless the training says a figure of its own. What cannot be counted is unknown, with a warning that says why.

*What it is not.* It saves nothing by itself, and does not look at data loaders, schedulers or random states: a process
that waits in place keeps them; a process that is started again from a checkpoint has what *save* put there.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from brakeline.node.freeze import freeze, freeze_ranks
from brakeline.node.hook import Hook, HookError
from brakeline.node.hooks.flop import FlopMeter

GO: Final = 0
STOP: Final = 1
WAIT: Final = 2
"""What rank 0 says: take the next step; no further step; ask again."""
PING_S: Final = 0.5
"""How often rank 0 says *wait* while it has nothing else to say."""
AGREE_S: Final = 60.0
"""How long ranks have to confirm a stop step."""
DEADLINE_S: Final = 1800.0
"""How long a rank waits for another that has not gone away and says nothing."""


class TorchHook:
    """The hook of one rank. Every method is called by all ranks alike, in the same order."""

    def __init__(
        self,
        model: Any,  # Any: torch is optional, and checked against stubs of our own
        *optimizers: Any,
        workload: str,
        activity: str = "training",
        save: Callable[[], object] | None = None,
        load: Callable[[], object] | None = None,
        state: Callable[[], object] | None = None,
        sharded: bool = False,
        first_step: int = 0,
        count_flop: bool = True,
        path: str | None = None,
        agree_s: float = AGREE_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Connect rank 0 to the node.

        Args:
            model: whose weights are committed to.
            *optimizers: whose states are.
            workload: its name in the books.
            activity: as the books call it.
            save: saves a checkpoint by the trainer's own means, durably.
            load: reads it back before training goes on; without it training goes on from memory.
            state: what is committed to, instead of the state dicts.
            sharded: each rank holds a part of the state.
            first_step: optimiser steps that the loaded checkpoint already has.
            count_flop: count the model's FLOP (:mod:`brakeline.node.hooks.flop`) until a step comes with a figure of
                its own. *model* must then be what the training calls, compiled or wrapped as it may be.
            path: of the node's socket (default: ``BRAKELINE_HOOK``).
            agree_s: how long ranks have to confirm a stop step.
            deadline_s: how long one waits for another.
        """
        self._state = state or (lambda: state_of(model, optimizers))
        self._save, self._load, self._sharded = save, load, sharded
        self._ranks = _Ranks(agree_s, deadline_s)
        self._steps = first_step
        self._instants: tuple[int | None, int | None] = None, None
        self._hook: Hook | None = None
        self._meter: FlopMeter | None = None
        self._said: set[str] = set()
        if self._ranks.rank == 0:
            self._hook = Hook.connect(workload=workload, activity=activity, path=path)
            if count_flop and isinstance(model, torch.nn.Module):
                self._meter = FlopMeter(model)

    @property
    def steps(self) -> int:
        """Optimiser steps so far, those of the loaded checkpoint included."""
        return self._steps

    # -- what a training calls ---------------------------------------------------------------------------------------

    def start(self, *, strict: bool = True) -> None:
        """Call after loading and before the first step; waits while an order pauses.

        A workload that was stopped before, as the node remembers it, must go on from what it stopped with.

        Raises:
            HookError: ``resume-mismatch``, unless not *strict*; ``rank-lost``.
        """
        frozen = self._hook is not None and self._hook.frozen is not None
        if self._ranks.say(STOP if frozen else GO) == STOP:
            self._compare(strict)
        if not self._turn():
            self.hold()

    def step(self, *, flop: int | None = None, tokens: int = 0) -> None:
        """Count the optimiser step that has ended, with this rank's FLOP and tokens; stay while an order pauses.

        Without *flop* they are counted.
        """
        if not self.count(flop=flop, tokens=tokens):
            self.hold()

    def attach(self, optimizer: Any, *, flop: int | None = None, tokens: int = 0) -> Any:
        """Call :meth:`step` after every step of *optimizer*; returns a handle whose ``remove`` undoes it.

        What comes after ``optimizer.step()`` in a loop (a scheduler's step) has not happened when *save* is called.
        """

        def after(_optimizer: object, _arguments: object, _named: object) -> None:
            self.step(flop=flop, tokens=tokens)

        return optimizer.register_step_post_hook(after)

    def close(self) -> None:
        """Say goodbye to the node."""
        if self._meter is not None:
            self._meter.close()
        if self._hook is not None:
            self._hook.close()

    # -- its parts, for trainers that save at a moment of their own --------------------------------------------------

    def count(self, *, flop: int | None = None, tokens: int = 0) -> bool:
        """Count a step that has ended; False: all ranks stop after it, and :meth:`hold` must follow."""
        self._steps += 1
        if self._hook is not None:
            world = self._ranks.world
            model, recomputed = self._flop(flop)
            self._hook.count(
                flop=None if model is None else model * world, tokens=tokens * world, recomputed=recomputed * world
            )
        return self._turn()

    def hold(self) -> None:
        """Stop, save, commit, wait, compare: returns when training may go on (:meth:`cease`, then :meth:`wait`)."""
        self.cease()
        if self._save is not None:
            self._save()
        self.wait()

    def cease(self) -> None:
        """Confirm with all ranks that this was the last step, and say so (HookError ``rank-lost``)."""
        agreed_at = _now_ms()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        try:
            self._ranks.confirm(self._steps)
        except HookError:
            self._stopped(agreed_at=agreed_at, final=True)  # none of the others can go on without this one
            raise
        self._stopped(agreed_at=agreed_at)

    def wait(self, *, strict: bool = True) -> None:
        """Commit to the state, wait while the order binds, and go on from the same (HookError ``resume-mismatch``)."""
        digest = self._digest()
        self._stopped(freeze=digest)
        while self._ranks.say(GO if self._hook is None or self._hook.wait(PING_S) else WAIT) != GO:
            pass
        if self._load is not None:
            self._load()
        self._compare(strict)

    # -- below -------------------------------------------------------------------------------------------------------

    def _flop(self, given: int | None) -> tuple[int | None, int]:
        """Return the step's FLOP by the model method (None: unknown), and those of work that was done again."""
        if given is not None or self._meter is None:
            if self._meter is not None:
                self._meter.close()
                self._meter = None
            return given or 0, 0
        counted = self._meter.take()
        if counted.unknown is not None and counted.unknown not in self._said:
            self._said.add(counted.unknown)
            warnings.warn(f"FLOP of {self._steps} steps are unknown: {counted.unknown}", stacklevel=4)
        for operator in self._meter.uncounted - self._said:
            self._said.add(operator)
            warnings.warn(f"no formula for the FLOP of {operator}: they are not counted", stacklevel=4)
        return (counted.model if counted.unknown is None else None), counted.recomputed

    def _turn(self) -> bool:
        while True:
            word = GO
            if self._hook is not None:
                word = {True: GO, False: STOP, None: WAIT}[self._hook.turn(PING_S)]
            word = self._ranks.say(word)
            if word != WAIT:
                return word == GO

    def _stopped(self, *, agreed_at: int | None = None, freeze: str | None = None, final: bool = False) -> None:
        if self._hook is not None:
            if freeze is None:
                self._instants = agreed_at, _now_ms()
            agreed, ceased = self._instants
            self._hook.stopped(step=self._steps, freeze=freeze, final=final, agreed_at=agreed, ceased_at=ceased)

    def _digest(self) -> str:
        """Return the job's digest on rank 0; on other ranks of a replicated job nothing that counts."""
        if not self._sharded:
            digest = freeze(self._state()) if self._ranks.rank == 0 else ""
            self._ranks.confirm(self._steps, patient=True)
            return digest
        return freeze_ranks(self._ranks.gather(freeze(self._state())))

    def _compare(self, strict: bool) -> None:
        """Report what is gone on from; all ranks fail alike when it is not what was committed to."""
        digest, failure = self._digest(), None
        if self._hook is not None:
            try:
                self._hook.resumed(step=self._steps, freeze=digest, strict=strict)
            except HookError as error:
                failure = error
        if self._ranks.say(GO if failure is None else STOP) == STOP:
            raise failure or HookError(
                code="resume-mismatch",
                message="rank 0 would not go on from what the job stopped with",
                expected="the digest that was committed to",
                found="another",
                fix="load the checkpoint that was saved when the order came",
            )


class _Ranks:
    """Rank 0's word to all ranks, and their confirmation; one process alone needs neither."""

    def __init__(self, agree_s: float, deadline_s: float) -> None:
        """Make the group, on all ranks together."""
        alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
        self.rank, self.world = (0, 1) if alone else (int(dist.get_rank()), int(dist.get_world_size()))
        self._agree = timedelta(seconds=agree_s)
        self._patient = timedelta(seconds=deadline_s)
        self._group = None if alone else dist.new_group(backend="gloo", timeout=self._patient)

    def say(self, word: int) -> int:
        """Return rank 0's *word* on every rank."""
        if self._group is None:
            return word
        said = torch.tensor([word], dtype=torch.int64)
        self._do(lambda: dist.broadcast(said, src=0, group=self._group))
        return int(said.item())

    def confirm(self, step: int, *, patient: bool = False) -> None:
        """Return when all ranks are here, after the same *step*."""
        if self._group is None:
            return
        limit = self._patient if patient else self._agree
        self._do(lambda: dist.monitored_barrier(group=self._group, timeout=limit))
        mine = torch.tensor([step], dtype=torch.int64)
        steps = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        self._do(lambda: dist.all_gather(steps, mine, group=self._group))
        found = {int(item.item()) for item in steps}
        if len(found) > 1:
            raise HookError(
                code="ranks-disagree",
                message="ranks have counted different numbers of optimiser steps",
                expected=str(step),
                found=", ".join(map(str, sorted(found))),
                fix="call the hook on every rank after every step",
            )

    def gather(self, digest: str) -> Sequence[str]:
        """Return every rank's *digest*, by rank."""
        if self._group is None:
            return [digest]
        mine = torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8)
        found = [torch.zeros(32, dtype=torch.uint8) for _ in range(self.world)]
        self._do(lambda: dist.all_gather(found, mine, group=self._group))
        return [bytes(item.tolist()).hex() for item in found]

    def _do(self, collective: Callable[[], object]) -> None:
        try:
            collective()
        except (RuntimeError, ValueError) as error:
            raise HookError(
                code="rank-lost",
                message="a rank of this job has gone, or does not answer",
                expected=f"all of {self.world} ranks",
                found=str(error).partition("\n")[0][:200],
                fix="start the job again from its newest checkpoint",
            ) from error


def state_of(model: Any, optimizers: Sequence[Any]) -> dict[str, object]:
    """Return what a commitment is over: the state dicts of the model, out of its wrapper, and of the optimisers."""
    inner = model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model
    return {"model": dict(inner.state_dict()), "optimizer": [optimizer.state_dict() for optimizer in optimizers]}


def make_durable(path: Path) -> None:
    """Sync a file, or all files below a folder, to the disk; what other machines wrote is theirs to sync."""
    files = [item for item in path.rglob("*") if item.is_file()] if path.is_dir() else [path]
    for item in (file for file in files if file.is_file()):
        with item.open("rb") as file:
            os.fsync(file.fileno())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
