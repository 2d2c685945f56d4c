"""A small transformer in PyTorch for tests and benchmarks, and the count of its FLOP by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

functional: Any = torch.nn.functional


@dataclass(frozen=True)
class Sizes:
    """What decides how many FLOP a step has."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    length: int
    batch: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    def blocks(self) -> int:
        """FLOP of all blocks, forward: 12 width^2 weights a layer, and two products of attention."""
        tokens = self.batch * self.length
        return self.layers * (2 * tokens * 12 * self.width**2 + 2 * 2 * tokens * self.length * self.width)

    def flop(self) -> int:
        """FLOP of a step: forward once, backward twice of it (embeddings are looked up, not multiplied)."""
        return 3 * (self.blocks() + 2 * self.batch * self.length * self.width * self.vocabulary)

    def scores(self) -> int:
        """What fused attention computes again in the backward: queries times keys."""
        return self.layers * 2 * self.batch * self.length**2 * self.width

    def last_products(self) -> int:
        """The last product of each block, which a checkpoint that stops early does not compute again."""
        return self.layers * 2 * self.batch * self.length * 4 * self.width**2


SMALL = Sizes(layers=2, width=32, heads=4, vocabulary=50, length=16, batch=3)


class Block(torch.nn.Module):
    """Attention and a perceptron, both behind a layer norm."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.heads = sizes.heads
        self.before, self.between = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x: Any) -> Any:
        batch, length, width = x.shape
        parts = self.qkv(self.before(x)).chunk(3, -1)
        q, k, v = (part.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for part in parts)
        seen: Any = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        attended = self.out(seen.transpose(1, 2).reshape(batch, length, width))
        y: Any = x + functional.dropout(attended, 0.1, self.training)
        return y + self.down(functional.gelu(self.up(self.between(y))))


class Transformer(torch.nn.Module):
    """A language model; *recompute*: None, "reentrant", or "early-stop" (checkpoint's newer form)."""

    def __init__(self, sizes: Sizes, recompute: str | None = None) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.recompute = recompute
        self.embedding = torch.nn.Embedding(sizes.vocabulary, sizes.width)
        self.blocks = torch.nn.ModuleList(Block(sizes) for _ in range(sizes.layers))
        self.head = torch.nn.Linear(sizes.width, sizes.vocabulary)

    def forward(self, tokens: Any) -> Any:
        x = self.embedding(tokens)
        for block in self.blocks:
            if self.recompute is None:
                x = block(x)
            else:
                x = checkpoint(block, x, use_reentrant=self.recompute == "reentrant")
        return self.head(x)


def steps(model: Any, called: Any, sizes: Sizes, count: int) -> Iterator[int]:
    """Train *model* through *called*; yield the number of each step after its optimiser's."""
    torch.manual_seed(7)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(6)
    for step in range(1, count + 1):
        tokens = torch.randint(0, sizes.vocabulary, (sizes.batch, sizes.length), generator=generator)
        optimizer.zero_grad()
        functional.cross_entropy(called(tokens).flatten(0, 1), tokens.flatten()).backward()
        optimizer.step()
        yield step
