"""A training step with the meter and the hook on, over the same step without: paired runs, medians of the steps' times.

A step is a fixed number of small matrix products, as many as take the wanted time here. Each round runs the program
twice, bare and under ``brakeline node meter`` before a running node, in turns which of them first; a step is timed
from its beginning to the beginning of the next, so that the hook's call is inside.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from brakeline.node.setup import Plan, make_node
from brakeline.testnet import terms

from bench import house
from bench.payloads import signer

STEPS = {10: 300, 500: 8}
"""Length of a step in ms -> steps of a run."""
GOALS = {10: "1.03", 500: "1.01"}
STEPPING = """
import json, os, sys, time
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np
from brakeline.node.hook import Hook
count, steps = int(sys.argv[1]), int(sys.argv[2])
a = np.random.default_rng(1).standard_normal((96, 96), dtype=np.float32)
b = np.empty_like(a)
def step(n):
    for _ in range(n):
        np.matmul(a, a, out=b)
if steps == 0:  # how many products a millisecond takes
    step(500); began = time.perf_counter(); step(4000); print(4000 / (1000 * (time.perf_counter() - began)))
    sys.exit()
hook, begins = Hook.connect(workload="bench"), []
for _ in range(steps):
    begins.append(time.perf_counter()); step(count); hook.step(flop=1, tokens=1)
hook.close()
print(json.dumps([b - a for a, b in zip(begins[1:], begins[2:])]))
"""


@dataclass(frozen=True)
class Pair:
    """Median seconds of a step, metered and bare."""

    metered: float
    bare: float

    @property
    def ratio(self) -> float:
        """One over the other."""
        return self.metered / self.bare

    def to_json(self) -> dict[str, float]:
        """Both medians."""
        return {"metered_s": round(self.metered, 6), "bare_s": round(self.bare, 6), "ratio": round(self.ratio, 4)}


def measure(rounds: int, progress: Callable[[str], None]) -> dict[int, Sequence[Pair]]:
    """Return by length of a step (ms) *rounds* pairs, after one that is not counted."""
    found: dict[int, Sequence[Pair]] = {}
    with tempfile.TemporaryDirectory(prefix="brakeline-bench-") as folder, node_of(Path(folder)) as node:
        per_ms = float(run([], STEPPING, 1, 0))
        for length, steps in STEPS.items():
            pairs: list[Pair] = []
            for turn in range(rounds + 1):
                meter = [*house.COMMAND, "node", "meter", "--dir", str(node), "--"]
                order = [meter, []] if turn % 2 else [[], meter]
                took = [_median(run(prefix, STEPPING, round(length * per_ms), steps)) for prefix in order]
                metered, bare = took if turn % 2 else reversed(took)
                pairs.append(Pair(metered, bare))
                progress(f"hook, {length} ms: {pairs[-1].ratio:.4f}")
            found[length] = pairs[1:]
    return found


def run(prefix: Sequence[str], program: str, *numbers: int) -> str:
    """Run a Python *program* behind *prefix* and return what it printed."""
    command = [*prefix, sys.executable, "-c", program, *map(str, numbers)]
    environment = {name: value for name, value in os.environ.items() if name != "BRAKELINE_HOOK"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def _median(said: str) -> float:
    return float(statistics.median(json.loads(said)))


@contextmanager
def node_of(folder: Path) -> Iterator[Path]:
    """Run a node whose verifier is not there: it books and keeps what it cannot deliver."""
    made = house.build(folder)
    lab = house.LABS[0]
    plan = Plan(f"{lab}/site-1", ((terms.CHIP_CLASS, terms.CHIPS),), {}, folder / "tls" / lab)
    node = folder / "node"
    treaty = made.treaty.read_bytes()
    site = make_node(node, plan, treaty, made.document.digest, signer(lab), passphrase=None, now_ms=_now_ms)
    site.journal.close()
    with (folder / "node.log").open("wb") as errors:
        command = [*house.COMMAND, "node", "run", "--dir", str(node)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise RuntimeError((folder / "node.log").read_text("utf-8")[-2_000:])
        yield node
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def table(measured: dict[int, Sequence[Pair]], out: Path) -> str:
    """Write ``hook.json`` below *out*; return a line for each length of a step."""
    value = {f"{length} ms": [pair.to_json() for pair in pairs] for length, pairs in measured.items()}
    (out / "hook.json").write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    lines = ["| step | metered over bare, median | range | rounds | goal |", "|---|---|---|---|---|"]
    for length, pairs in measured.items():
        ratios = sorted(pair.ratio for pair in pairs)
        ends = f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
        lines.append(f"| {length} ms | {statistics.median(ratios):.3f} | {ends} | {len(ratios)} | {GOALS[length]} |")
    return "\n".join(lines) + "\n"
