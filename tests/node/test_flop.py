"""FLOP of PyTorch models, counted by shape: equal to the count by hand, recomputation apart, nothing else disturbed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.node import house
from tests.node.house import books, metered, now_ms, serving, total, until

pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")

import torch
from brakeline.node.hooks.flop import Counted, FlopMeter

from tests.support import transformer
from tests.support.transformer import Sizes, Transformer

SIZES = transformer.SMALL


def train(model: Any, called: Any, sizes: Sizes = SIZES, steps: int = 3) -> tuple[list[Counted], Any]:
    """Return what each step of a training of *model* through *called* counted, and the weights at its end."""
    meter = FlopMeter(called)
    counted: list[Counted] = []
    for step in transformer.steps(model, called, sizes, steps):
        assert step
        counted.append(meter.take())
    meter.close()
    assert meter.uncounted == set()
    return counted, torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize(
    ("checkpoint", "recomputed"),
    [
        (None, SIZES.scores()),
        ("reentrant", SIZES.blocks() + SIZES.scores()),
        ("early-stop", SIZES.blocks() + SIZES.scores() - SIZES.last_products()),
    ],
)
def test_a_transformer_s_flop_are_those_of_the_count_by_hand_and_recomputation_stands_apart(
    checkpoint: str | None, recomputed: int
) -> None:
    model = Transformer(SIZES, checkpoint)
    counted, _ = train(model, model)
    assert [(c.model, c.recomputed, c.passes, c.unknown) for c in counted] == [(SIZES.flop(), recomputed, 1, None)] * 3


def apart(**options: Any) -> Callable[[Any], Any]:
    def compiled(model: Any) -> Any:
        return torch.compile(model, **options)

    return compiled


def in_place(**options: Any) -> Callable[[Any], Any]:
    def compiled(model: Any) -> Any:
        model.compile(**options)
        return model

    return compiled


@pytest.mark.parametrize(
    ("compiled", "checkpoint"),
    [(apart(backend="aot_eager"), "early-stop"), (in_place(backend="eager", fullgraph=True), None)],
    ids=["torch.compile", "module.compile, whole graph"],
)
def test_compiling_changes_nothing(compiled: Callable[[Any], Any], checkpoint: str | None) -> None:
    torch.compiler.reset()
    model = Transformer(SIZES, checkpoint)
    counted, _ = train(model, compiled(model), steps=2)
    assert [(c.model, c.unknown) for c in counted] == [(SIZES.flop(), None)] * 2


@pytest.mark.soak
@pytest.mark.parametrize("checkpoint", [None, "early-stop", "reentrant"])
def test_compiling_to_machine_code_changes_nothing(checkpoint: str | None) -> None:
    torch.compiler.reset()
    model = Transformer(SIZES, checkpoint)
    counted, _ = train(model, torch.compile(model), steps=2)
    assert [(c.model, c.unknown) for c in counted] == [(SIZES.flop(), None)] * 2


def test_a_model_compiled_after_the_meter_was_made_is_counted_all_the_same() -> None:
    torch.compiler.reset()
    model = Transformer(SIZES)
    meter = FlopMeter(model)
    compiled = torch.compile(model, backend="eager")
    for step in transformer.steps(model, compiled, SIZES, 2):
        assert step
        assert meter.take().model == SIZES.flop()
    assert meter.shapes == 1


@pytest.mark.parametrize("checkpoint", [None, "reentrant"])
def test_counting_leaves_weights_gradients_and_random_numbers_as_they_were(checkpoint: str | None) -> None:
    first, second = Transformer(SIZES, checkpoint), Transformer(SIZES, checkpoint)
    _, metered = train(first, first)
    for _ in transformer.steps(second, second, SIZES, 3):
        pass
    bare = torch.cat([parameter.detach().flatten() for parameter in second.parameters()])
    assert torch.equal(metered, bare)


def test_every_shape_is_counted_once_and_every_pass_by_its_shape() -> None:
    model = Transformer(SIZES)
    meter = FlopMeter(model)
    total = 0
    for length in (4, 7, 4, 16, 7, 4):
        sizes = Sizes(**{**SIZES.as_dict(), "length": length})
        for _ in transformer.steps(model, model, sizes, 1):
            total += sizes.flop()
    assert meter.take().model == total
    assert meter.shapes == 3


def test_passes_without_a_backward_count_forward_only_and_a_second_backward_counts_again() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    meter = FlopMeter(model)
    x = torch.randn(2, 8)
    forward = 2 * 2 * (8 * 16 + 16 * 4)
    backward = 2 * 2 * (8 * 16 + 2 * 16 * 4)  # the first layer's input needs no gradient
    with torch.no_grad():
        model(x)
    assert meter.take().model == forward
    loss = model(x).sum()
    assert meter.take().model == forward
    loss.backward(retain_graph=True)
    loss.backward()
    model(x)
    assert meter.take().model == forward + 2 * backward


def test_passes_before_one_backward_and_frozen_parts_are_counted_as_they_are() -> None:
    frozen, head = torch.nn.Linear(8, 8), torch.nn.Linear(8, 2)
    frozen.requires_grad_(False)
    model = torch.nn.Sequential(frozen, head)
    meter = FlopMeter(model)
    (model(torch.randn(4, 8)).sum() + model(torch.randn(4, 8)).sum()).backward()
    assert meter.take().model == 2 * (2 * 4 * (8 * 8 + 8 * 2) + 2 * 4 * 8 * 2)


def test_grouped_queries_convolutions_and_recurrence_have_formulas() -> None:
    class Mixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv1d(4, 8, 3, padding=1)
            self.recurrence = torch.nn.GRU(8, 8, batch_first=True)

        def forward(self, x: Any) -> Any:
            y, _ = self.recurrence(self.convolution(x).transpose(1, 2))
            q = y.view(y.shape[0], y.shape[1], 4, 2).transpose(1, 2)
            kv = q[:, :2]
            return torch.nn.functional.scaled_dot_product_attention(q, kv, kv, enable_gqa=True)

    meter = FlopMeter(model := Mixed())
    with torch.no_grad():
        model(torch.randn(2, 4, 10))
    convolution = 2 * 2 * 10 * 4 * 8 * 3
    recurrence = 2 * 2 * 10 * 3 * 8 * (8 + 8)
    attention = 2 * 2 * 2 * 4 * 10 * 10 * 2
    assert meter.take() == Counted(convolution + recurrence + attention, 0, 1)


def test_mixed_precision_counts_the_same() -> None:
    model = Transformer(SIZES)
    meter = FlopMeter(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for _ in transformer.steps(model, model, SIZES, 1):
            pass
    assert meter.take().model == SIZES.flop()


def test_what_cannot_be_counted_is_unknown_with_a_reason_and_the_training_goes_on() -> None:
    class Choosing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.linear(x) if float(x.sum()) > 0 else x

    meter = FlopMeter(model := Choosing())
    assert model(torch.ones(1, 4)).shape == (1, 4)
    counted = meter.take()
    assert counted.model == 0
    assert "fake" in str(counted.unknown)
    assert "not called" in str(meter.take().unknown)


def test_operators_without_a_formula_are_named() -> None:
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    def shaped(x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)

    twice = torch.library.custom_op("tests::twice", doubled, mutates_args=())
    twice.register_fake(shaped)

    class Model(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return twice(x)

    meter = FlopMeter(model := Model())
    model(torch.ones(1))
    assert meter.uncounted == {"tests.twice"}


def test_the_parts_of_a_model_without_a_call_of_its_own_are_followed_and_metrics_never_run_twice() -> None:
    class Metric(torch.nn.Module):
        calls = 0

        def forward(self, x: Any) -> Any:
            Metric.calls += 1
            return x

    class Steps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)])
            self.metric = Metric()

        def training_step(self, x: Any) -> Any:
            for part in self.parts:
                x = part(x)
            return self.metric(x).sum()

    model = Steps()
    meter = FlopMeter(model)
    model.training_step(torch.ones(3, 4)).backward()
    assert meter.take() == Counted(2 * 3 * (16 + 4) + 2 * 3 * (16 + 2 * 4), 0, 2)
    assert Metric.calls == 1
    meter.close()
    model.training_step(torch.ones(3, 4))
    assert meter.take().passes == 0


def test_a_pass_that_fails_does_not_spoil_the_next() -> None:
    model = torch.nn.Linear(4, 4)
    meter = FlopMeter(model)
    with pytest.raises(RuntimeError):
        model(torch.ones(1, 5))
    assert meter.take().passes == 0
    model(torch.ones(1, 4))
    assert meter.take().model == 32


def test_the_books_of_a_node_hold_the_count_by_hand_of_a_training_with_nothing_but_the_hook(tmp_path: Path) -> None:
    house.make(tmp_path, house.treaty(now_ms()), trustme.CA()).journal.close()
    script = house.ROOT / "tests" / "support" / "flop_training.py"

    async def scene() -> None:
        async with serving(tmp_path / "node") as site:
            child = await metered(tmp_path / "node", sys.executable, str(script), "5")
            assert await child.wait() == 0
            await until(lambda: total(books(site), "training", "flop_model") >= 5 * SIZES.flop())
            assert total(books(site), "training", "flop_model") == 5 * SIZES.flop()
            recomputed = site.journal._value("SELECT max(CAST(recomputed AS INTEGER)) FROM sample")  # pyright: ignore[reportPrivateUsage]
            assert recomputed == 5 * (SIZES.blocks() + SIZES.scores())

    asyncio.run(scene())
