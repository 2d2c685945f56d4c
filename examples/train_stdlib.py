"""A real training to be metered and stopped: a small network learns the text of Python's own standard library source.

    python examples/train_stdlib.py --steps 200
    brakeline node meter --dir node -- python examples/train_stdlib.py --steps 0 --throttle 0.3

It is a byte-level language model in plain NumPy: the last ``CONTEXT`` bytes, each embedded in ``EMBED`` numbers,
through one hidden layer of ``--hidden`` tanh units, to the next byte; cross-entropy loss, Adam. The same seed gives the
same weights, bit for bit, on one machine: one BLAS thread, one random generator whose state is saved with the weights.

Model FLOP are counted from the shapes of the matrix products (2 m n k each; forward once, backward twice, the
embedding's gradient as additions), and nothing else; so twice the batch at equal steps books twice the FLOP.

On an order (see :mod:`brakeline.node.hook`) no further step starts; weights, optimiser state and random state go to
``--checkpoint`` (.npz) and their digest to the node. Then it waits, without using the processor, until it may go on;
it reads the checkpoint back, and goes on only from exactly what it committed to. Without a node it just trains.

It is not a good language model, and not meant to be one.
"""

from __future__ import annotations

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before NumPy is imported: one thread, so that results repeat

import argparse
import json
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from brakeline.node.freeze import freeze
from brakeline.node.hook import Hook
from numpy.typing import NDArray

CONTEXT = 16
EMBED = 12
BYTES = 256
Array = NDArray[np.float32]


def read_corpus(limit: int) -> NDArray[np.uint8]:
    """Return up to *limit* bytes of the standard library's source files, in the order of their names."""
    folder = Path(sysconfig.get_path("stdlib"))
    data = bytearray()
    for path in sorted(folder.glob("*.py")):
        data += path.read_bytes()
        if len(data) >= limit:
            break
    return np.frombuffer(bytes(data[:limit]), dtype=np.uint8)


def flop_per_step(batch: int, hidden: int) -> int:
    """Return the model FLOP of one optimiser step: 2 m n k for each matrix product, backward twice the forward.

    >>> flop_per_step(64, 128) == 2 * flop_per_step(32, 128)
    True
    """
    inputs = CONTEXT * EMBED
    forward = 2 * batch * inputs * hidden + 2 * batch * hidden * BYTES
    scatter = batch * inputs  # adding the gradient of each embedded byte to its row
    return 3 * forward + scatter


class Model:
    """Weights, Adam state and the random generator: everything that training continues from."""

    def __init__(self, hidden: int, seed: int) -> None:
        """Draw the weights of a network of *hidden* units from *seed*."""
        self.random = np.random.Generator(np.random.PCG64(seed))
        inputs = CONTEXT * EMBED
        self.weights: dict[str, Array] = {
            "embed": self._draw((BYTES, EMBED), 0.1),
            "w1": self._draw((inputs, hidden), inputs**-0.5),
            "b1": np.zeros(hidden, np.float32),
            "w2": self._draw((hidden, BYTES), hidden**-0.5),
            "b2": np.zeros(BYTES, np.float32),
        }
        self.first = {name: np.zeros_like(value) for name, value in self.weights.items()}
        self.second = {name: np.zeros_like(value) for name, value in self.weights.items()}
        self.step = 0

    def _draw(self, shape: tuple[int, int], scale: float) -> Array:
        return (self.random.standard_normal(shape) * scale).astype(np.float32)

    def train(self, corpus: NDArray[np.uint8], batch: int, rate: float) -> float:
        """Take one optimiser step on *batch* random places of *corpus*; return the loss in nats per byte."""
        at = self.random.integers(0, len(corpus) - CONTEXT - 1, batch)
        windows = corpus[at[:, None] + np.arange(CONTEXT + 1)]
        context, target = windows[:, :-1], windows[:, -1]
        w = self.weights
        x = w["embed"][context].reshape(batch, CONTEXT * EMBED)
        h = np.tanh(x @ w["w1"] + w["b1"])
        logits = h @ w["w2"] + w["b2"]
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        loss = float(-np.log(p[np.arange(batch), target] + 1e-9).mean())
        p[np.arange(batch), target] -= 1
        p /= batch
        dh = (p @ w["w2"].T) * (1 - h * h)
        dx = dh @ w["w1"].T
        embed = np.zeros_like(w["embed"])
        np.add.at(embed, context.reshape(-1), dx.reshape(-1, EMBED))
        gradients = {"embed": embed, "w1": x.T @ dh, "b1": dh.sum(axis=0), "w2": h.T @ p, "b2": p.sum(axis=0)}
        self._adam(gradients, rate)
        return loss

    def _adam(self, gradients: dict[str, Array], rate: float) -> None:
        self.step += 1
        scale = rate * (1 - 0.999**self.step) ** 0.5 / (1 - 0.9**self.step)
        for name, gradient in gradients.items():
            self.first[name] += 0.1 * (gradient - self.first[name])
            self.second[name] += 0.001 * (gradient * gradient - self.second[name])
            self.weights[name] -= (scale * self.first[name] / (np.sqrt(self.second[name]) + 1e-8)).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return everything that training continues from, by name."""
        parts = {"weights": self.weights, "first": self.first, "second": self.second}
        found: dict[str, NDArray[np.generic]] = {
            f"{p}.{n}": v for p, values in parts.items() for n, v in values.items()
        }
        state = json.dumps(self.random.bit_generator.state, sort_keys=True).encode()
        return {**found, "step": np.array(self.step, np.int64), "random": np.frombuffer(state, np.uint8)}

    def digest(self) -> str:
        """Return the freeze digest (docs/spec/freeze.md) of :meth:`arrays`."""
        return freeze(self.arrays())

    def save(self, path: Path) -> None:
        """Write a checkpoint, durable and whole: the old one or the new one is there, never half of one."""
        temporary = path.with_name(f".{path.name}.part.npz")
        with temporary.open("wb") as file:
            np.savez(file, **cast("dict[str, Any]", self.arrays()))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Read what :meth:`save` wrote."""
        with np.load(path) as found:
            for part in ("weights", "first", "second"):
                values: dict[str, Array] = getattr(self, part)
                values.update({name: found[f"{part}.{name}"] for name in values})
            self.step = int(found["step"])
            self.random.bit_generator.state = json.loads(bytes(found["random"]))


def arguments(given: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train a small byte-level model on Python's standard library source.")
    parser.add_argument("--steps", type=int, default=300, help="0: until stopped")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.003)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="size of the corpus")
    parser.add_argument("--throttle", type=float, default=1.0, help="share of time to compute, 0 < share <= 1")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoint.npz"))
    parser.add_argument("--resume", action="store_true", help="continue from --checkpoint")
    parser.add_argument("--workload", default="char-lm", help="its name in the books")
    parser.add_argument("--ignore-brake", action="store_true", help="train on after an order: what a cheat would do")
    parser.add_argument("--every", type=int, default=50, help="print the loss every so many steps")
    return parser.parse_args(given)


def hold(model: Model, hook: Hook, path: Path, flop: int) -> None:
    """Stop for as long as the order binds; *flop* is what was computed so far."""

    def save() -> None:
        model.save(path)
        said = {"stopped": model.step, "order": hook.order, "freeze": model.digest(), "flop": flop}
        print(json.dumps(said), flush=True)

    if hook.hold(step=model.step, save=save, load=lambda: model.load(path), digest=model.digest):
        print(json.dumps({"resumed": model.step, "digest": model.digest()}), flush=True)


def main(given: list[str]) -> int:
    """Train."""
    options = arguments(given)
    corpus = read_corpus(options.bytes)
    model = Model(options.hidden, options.seed)
    if options.resume:
        model.load(options.checkpoint)
    cost = flop_per_step(options.batch, options.hidden)
    with Hook.connect(workload=options.workload, activity="training") as hook:
        if options.resume:
            hook.resumed(step=model.step, freeze=model.digest())
        may_go_on = hook.ready()
        loss = 0.0
        while options.steps == 0 or model.step < options.steps:
            if not may_go_on and not options.ignore_brake:
                hold(model, hook, options.checkpoint, cost * model.step)
            began = time.perf_counter()
            loss = model.train(corpus, options.batch, options.rate)
            may_go_on = hook.step(flop=cost, tokens=options.batch)
            if model.step % options.every == 0:
                print(json.dumps({"step": model.step, "loss": round(loss, 4)}), flush=True)
            if options.throttle < 1:
                time.sleep((time.perf_counter() - began) * (1 / options.throttle - 1))
    print(json.dumps({"done": model.step, "loss": round(loss, 4), "digest": model.digest(), "flop": cost * model.step}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
