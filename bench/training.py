"""A PyTorch training step with the node, the hook and the FLOP meter on, over the same step without.

One process trains two models of the same shape in turns (A B, B A, ...): one has the hook, which counts its FLOP, and
both run under ``brakeline node meter`` before a running node. So a neighbour who takes the machine for a while takes it
from both, and what is left is what the hook and the counting cost the step that calls them. Beside the time that passed
stands the processor time that this process used: on a machine that others use too, that is the figure to look at. What
the meter's own process costs the machine beside them is in the figure of :mod:`bench.hook`, whose pairs are processes.
The batch is as large as takes the wanted time here.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import house
from bench.hook import GOALS, Pair, node_of, run

STEPS = {10: 100, 500: 5}
"""Length of a step in ms -> pairs of steps of a run."""
WARM = 2
"""Pairs at the beginning that are not counted: shapes are counted in them."""
TRAINING = """
import json, os, sys, time
os.environ["OMP_NUM_THREADS"] = "1"
import torch
from torch import nn
from torch.nn import functional
from brakeline.node.hooks.torch import TorchHook
torch.set_num_threads(1)
WIDTH, HEADS, LENGTH, WORDS = 128, 4, 64, 256
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (p.view(b, t, HEADS, -1).transpose(1, 2) for p in self.qkv(self.before(x)).chunk(3, -1))
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(b, t, WIDTH))
        return x + self.down(functional.gelu(self.up(self.between(x))))
class Training:
    def __init__(self):
        self.model = nn.Sequential(nn.Embedding(WORDS, WIDTH), Block(), Block(), nn.Linear(WIDTH, WORDS))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
    def step(self, batch):
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(batch).flatten(0, 1), batch.flatten()).backward()
        self.optimizer.step()
def timed(training, batch, hook=None):
    began, used = time.perf_counter(), time.process_time()
    training.step(batch)
    if hook is not None:
        hook.step(tokens=batch.numel())
    return time.perf_counter() - began, time.process_time() - used
wanted, pairs, warm = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
bare, metered = Training(), Training()
trial = torch.randint(0, WORDS, (8, LENGTH))
each = min(timed(bare, trial)[1] for _ in range(8)) / 8
batch = torch.randint(0, WORDS, (max(1, round(wanted / 1000 / each)), LENGTH))
hook = TorchHook(metered.model, metered.optimizer, workload="bench", path=os.environ.get("BRAKELINE_HOOK"))
hook.start()
found = []
for turn in range(warm + pairs):
    if turn % 2:
        one = timed(bare, batch)
        found.append((timed(metered, batch, hook), one))
    else:
        one = timed(metered, batch, hook)
        found.append((one, timed(bare, batch)))
hook.close()
print(json.dumps(found[warm:]))
"""


@dataclass(frozen=True)
class Both:
    """A pair of steps, by the time that passed and by the processor time of the process."""

    wall: Pair
    cpu: Pair


def measure(rounds: int, progress: Callable[[str], None]) -> dict[int, Sequence[Both]]:
    """Return by length of a step (ms) all pairs of steps of *rounds* runs."""
    found: dict[int, Sequence[Both]] = {}
    with tempfile.TemporaryDirectory(prefix="brakeline-bench-") as folder, node_of(Path(folder)) as node:
        meter = [*house.COMMAND, "node", "meter", "--dir", str(node), "--"]
        for length, steps in STEPS.items():
            pairs: list[Both] = []
            for _ in range(rounds):
                said = run(meter, TRAINING, length, steps, WARM)
                taken = [Both(Pair(m[0], b[0]), Pair(m[1], b[1])) for m, b in json.loads(said)]
                pairs += taken
                middle, bare = (
                    statistics.median(x) for x in zip(*((p.cpu.ratio, p.cpu.bare) for p in taken), strict=True)
                )
                progress(f"training, {length} ms: {middle:.4f} of {bare * 1000:.1f} ms of processor time")
            found[length] = pairs
    return found


def table(measured: dict[int, Sequence[Both]], out: Path) -> str:
    """Write ``training.json`` below *out*; return two lines for each length of a step."""
    value = {
        f"{length} ms": [{"passed": pair.wall.to_json(), "cpu": pair.cpu.to_json()} for pair in pairs]
        for length, pairs in measured.items()
    }
    (out / "training.json").write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    lines = ["| PyTorch step | time | metered over bare, median | quartiles | pairs | bare, ms | goal |"]
    lines.append("|---|---|---|---|---|---|---|")
    for length, pairs in measured.items():
        for name, taken in (("processor", [p.cpu for p in pairs]), ("passed", [p.wall for p in pairs])):
            low, middle, high = statistics.quantiles((pair.ratio for pair in taken), n=4)
            bare = statistics.median(pair.bare for pair in taken) * 1000
            ends = f"{low:.3f} to {high:.3f}"
            lines.append(
                f"| {length} ms | {name} | {middle:.4f} | {ends} | {len(taken)} | {bare:.1f} | {GOALS[length]} |"
            )
    return "\n".join(lines) + "\n"
