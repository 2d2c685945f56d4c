"""A small PyTorch training for tests: deterministic, alone or as one rank of a gloo job, its steps written down.

    python tests/support/torch_training.py --out FOLDER --steps 200 [--rank 1 --ranks 4] [--save-s 10] ...
    python tests/support/torch_training.py --serve

With ``--serve`` torch is imported once: every line of standard input, ``{"argv": [...], "env": {...}}``, is a
training, started by a fork; its process id is printed, and its exit code goes to FOLDER/<rank>.exit.

Every rank appends ``{"begin": <step>, "at": <Unix ms>}`` to FOLDER/<rank>.jsonl before each step, and what it came to
at the end. Ranks find each other by a file, not by a port. The same options give the same weights, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.distributed as dist
from brakeline.node.freeze import freeze
from brakeline.node.hooks.torch import TorchHook, state_of


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=0, help="0: until killed")
    parser.add_argument("--step-ms", type=float, default=0)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--save-s", type=float, default=0, help="how much slower than it is rank 0 saves")
    parser.add_argument("--agree-s", type=float, default=20)
    parser.add_argument("--die-at", type=int, default=0, help="the last rank ends itself before this step")
    parser.add_argument("--hang", action="store_true", help="the last rank does not confirm a stop")
    parser.add_argument("--no-hook", action="store_true")
    parser.add_argument("--attach", action="store_true", help="let the optimiser call the hook")
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args(given)


class Training:
    """Model, data and checkpoint of one rank."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        torch.manual_seed(7)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(1)
        first, last = torch.nn.Linear(16, 32), torch.nn.Linear(32, 4)
        self.inner = torch.nn.Sequential(first, torch.nn.Tanh(), torch.nn.Dropout(0.1), last)
        alone = options.ranks == 1
        self.model: Any = self.inner if alone else torch.nn.parallel.DistributedDataParallel(self.inner)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.data = torch.Generator().manual_seed(100 + options.rank)
        self.step = 0
        self.checkpoint = options.out / "checkpoint.pt"

    def train(self) -> None:
        x = torch.randn(8, 16, generator=self.data)
        loss = self.model(x).square().mean() + self.model(x).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.step += 1
        self.optimizer.step()

    def save(self) -> None:
        if self.options.rank:
            return
        time.sleep(self.options.save_s)
        state = {"random": torch.get_rng_state(), "data": self.data.get_state(), "step": self.step}
        with self.checkpoint.open("wb") as file:
            torch.save({**state_of(self.inner, [self.optimizer]), **state}, file)
            file.flush()
            os.fsync(file.fileno())

    def load(self) -> None:
        found = torch.load(self.checkpoint)
        self.inner.load_state_dict(found["model"])
        self.optimizer.load_state_dict(found["optimizer"][0])
        torch.set_rng_state(found["random"])
        self.data.set_state(found["data"])
        self.step = found["step"]


def main(given: list[str]) -> int:
    options = arguments(given)
    if options.ranks > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{options.out / 'store'}", rank=options.rank, world_size=options.ranks,
            timeout=timedelta(seconds=60),
        )  # fmt: skip
    last = options.rank == options.ranks - 1
    training = Training(options)
    if options.resume:
        training.load()
    log = (options.out / f"{options.rank}.jsonl").open("a", buffering=1)
    hook = None
    if not options.no_hook:
        load = training.load if options.ranks == 1 else None
        hook = TorchHook(
            training.model, training.optimizer, workload="torch", save=training.save, load=load,
            first_step=training.step, agree_s=options.agree_s,
        )  # fmt: skip
        hook.start()
        if last and options.hang:
            hook.cease = lambda: time.sleep(600)  # type: ignore[method-assign]
        if options.attach:
            hook.attach(training.optimizer, flop=1000, tokens=8)
    while options.steps == 0 or training.step < options.steps:
        if last and options.die_at == training.step + 1:
            os._exit(9)
        log.write(json.dumps({"begin": training.step + 1, "at": time.time_ns() // 1_000_000}) + "\n")
        training.train()
        if options.step_ms:
            time.sleep(options.step_ms / 1000)
        if hook is not None and not options.attach:
            hook.step(flop=1000, tokens=8)
    digest = freeze(state_of(training.model, [training.optimizer]))
    log.write(json.dumps({"done": training.step, "digest": digest}) + "\n")
    if hook is not None:
        hook.close()
    if options.ranks > 1:
        dist.destroy_process_group()
    return 0


def serve() -> None:
    """Fork a training for every line of standard input; end with it, and with all of them."""
    running: dict[int, Path] = {}
    while True:
        for pid, path in tuple(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del running[pid]
                path.write_text(str(os.waitstatus_to_exitcode(status)))
        if not select.select([0], [], [], 0.02)[0]:
            continue
        line = os.read(0, 65536)  # one request at a time: the answer is awaited
        if not line:
            break
        request = json.loads(line)
        options = arguments(request["argv"])
        pid = os.fork()
        if pid == 0:
            os._exit(_forked(options, request))
        running[pid] = options.out / f"{options.rank}.exit"
        os.write(1, f"{pid}\n".encode())
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _forked(options: argparse.Namespace, request: dict[str, Any]) -> int:
    os.environ.update(request["env"])
    errors = os.open(options.out / f"{options.rank}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    try:
        return main(request["argv"])
    except BaseException:  # noqa: BLE001  as the interpreter would: say it, and fail
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        sys.exit(main(sys.argv[1:]))
