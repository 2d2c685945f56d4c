"""The FLOP of a PyTorch training by the model method: counted once per shape of the inputs, multiplied by passes.

*How.* When the model has run on inputs of a shape for the first time, the same pass is made once more on *fake* tensors
(shapes without data: nothing is computed, no memory of an accelerator is used, no random number is drawn, no weight,
buffer or gradient changes) under ``torch.utils.flop_counter``. What that finds is added for every later pass of that
shape: the forward part when the model has returned, the backward part when gradients arrive at its output. So a
backward that is never run is not counted, and one that is run twice is.

*What it sees.* Matrix products, convolutions and attention of everything inside the model, a multiplication and an
addition as two operations; attention in full, also where a mask leaves half of it out. PyTorch's own formulas lack the
fused attention of CPUs, grouped matrix products and products with vectors: they are here. ``torch.compile`` changes
nothing: what is counted is the module that was compiled (one that is compiled by ``model.compile(fullgraph=True)`` must
be so before the meter is made, which otherwise breaks the graph at its edge).

*Recomputation is told apart.* Forward work that runs again in the backward (activation checkpointing, and the scores
that fused attention computes a second time) is no part of the model method; it is ``recomputed``. Both together are
what the hardware executes.

*What it cannot see.* Products outside the model's own calls (a loss with weights of its own); element-wise work and the
optimiser (a per cent or less of a transformer); kernels of other libraries without a formula (named by
:attr:`FlopMeter.uncounted`; ``torch.utils.flop_counter.register_flop_formula`` teaches one); which way data-dependent
control flow goes. Plain numbers among the arguments are taken to change nothing. A model that cannot be run on fake
tensors (parameters in shards, operators without a fake form) has *unknown* FLOP, with the reason, never zero: give the
figure yourself then.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, TypeAlias, cast

import torch
import torch.utils.checkpoint
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import graph
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry, sdpa_flop_count

MAX_SHAPES: Final = 1024
"""Shapes that are counted at most; a training that has more of them gives its own figure."""
PLUMBING: Final = frozenset({"aten", "prim", "prims", "c10d", "_c10d_functional", "_dtensor", "fsdp", "profiler"})
"""Operators of PyTorch itself: those of them that multiply matrices have a formula."""

Formula: TypeAlias = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Passes:
    """FLOP of one forward and one backward pass of one shape, and what the backward computes a second time."""

    forward: int
    backward: int
    recomputed: int


@dataclass(slots=True)
class Counted:
    """FLOP since the last look, and passes of the model; ``unknown``: why ``model`` is not all of it."""

    model: int = 0
    recomputed: int = 0
    passes: int = 0
    unknown: str | None = None


class FlopMeter:
    """Counts the passes of one model. Not thread-safe; costs some microseconds a pass once a shape is known."""

    def __init__(self, model: Any) -> None:
        """Follow *model*, as the training calls it: the module, its wrapper, or what ``torch.compile`` made of it.

        One whose own call is never made (a Lightning module with a ``training_step`` alone) is followed by its parts.
        """
        self._undo: list[Callable[[], object]] = []
        self._costs: dict[object, Passes | str] = {}
        self._depth = 0
        self._counting = False
        self._now = Counted()
        self.uncounted: set[str] = set()
        """Operators of other libraries that ran in the model and have no formula."""
        for module in _called(model):
            self._follow(module)

    @property
    def shapes(self) -> int:
        """How many shapes were counted."""
        return len(self._costs)

    def take(self) -> Counted:
        """Return what was counted since this was called last, and begin anew."""
        taken, self._now = self._now, Counted()
        self._depth = 0  # a pass that failed never ended
        if taken.passes == 0:
            taken.unknown = "the model that the hook was given was not called; give it the one that the training calls"
        return taken

    def close(self) -> None:
        """Follow no longer."""
        while self._undo:
            self._undo.pop()()

    # -- below -------------------------------------------------------------------------------------------------------

    def _follow(self, module: Any) -> None:
        """Be told of every outermost call of *module*; never from inside of what dynamo compiles."""

        def before(_module: Any, _arguments: Any, _named: Any) -> None:
            self._depth += 1

        def after(called: Any, arguments: Any, named: Any, output: Any) -> None:
            self._depth -= 1
            if self._depth == 0 and not self._counting:
                self._passed(called, arguments, named, output)

        before, after = torch.compiler.disable(before), torch.compiler.disable(after)
        compiled = getattr(module, "_compiled_call_impl", None)
        if compiled is None:
            for handle in (
                module.register_forward_pre_hook(before, with_kwargs=True),
                module.register_forward_hook(after, with_kwargs=True),
            ):
                self._undo.append(handle.remove)
            return

        def call(*arguments: Any, **named: Any) -> Any:  # module.compile(): hooks would be inside of what is compiled
            before(module, arguments, named)
            output = compiled(*arguments, **named)
            after(module, arguments, named, output)
            return output

        module._compiled_call_impl = call
        self._undo.append(lambda: setattr(module, "_compiled_call_impl", compiled))

    def _passed(self, module: Any, arguments: Any, named: Any, output: Any) -> None:
        graded = torch.is_grad_enabled()
        key = (id(module), module.training, graded, _shape(arguments), _shape(named))
        cost = self._costs.get(key)
        if cost is None:
            cost = self._costs[key] = self._count(module, arguments, named, graded)
        now = self._now
        now.passes += 1
        if isinstance(cost, str):
            now.unknown = cost
            return
        now.model += cost.forward
        if graded and cost.backward:
            self._await(cost, output)

    def _await(self, cost: Passes, output: Any) -> None:
        """Add the backward pass when gradients arrive at *output*: once a backward, whatever parts of it they reach."""
        last = -1

        def arrived(_gradient: Any) -> None:
            nonlocal last
            task = torch._C._current_graph_task_id()
            if task != last:
                last = task
                self._now.model += cost.backward
                self._now.recomputed += cost.recomputed

        for tensor in _graded(output):
            tensor.register_hook(arrived)

    def _count(self, module: Any, arguments: Any, named: Any, graded: bool) -> Passes | str:
        if len(self._costs) >= MAX_SHAPES:
            return f"inputs of more than {MAX_SHAPES} shapes; pad them to fewer"
        self._counting = True
        gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
        try:
            return self._replay(_inner(module), arguments, named, graded)
        except Exception as error:  # noqa: BLE001  whatever a model raises on fake tensors, its training must go on
            said = str(error).strip().partition("\n")[0][:160]
            return f"the model does not run on fake tensors: {type(error).__name__}: {said}"
        finally:
            self._counting = False
            torch.clear_autocast_cache()
            for parameter, gradient in gradients:  # of a model that keeps its weights elsewhere too
                if parameter.grad is not gradient:
                    parameter.grad = gradient

    def _replay(self, module: Any, arguments: Any, named: Any, graded: bool) -> Passes:
        """Run one pass on fake tensors and return its FLOP."""
        fake: Any = FakeTensorMode(allow_non_fake_inputs=True)
        tally = _Tally()
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            chips = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
            stack.enter_context(torch.random.fork_rng(devices=chips))  # checkpointing sets states of its own
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.set_grad_enabled(graded))
            if hasattr(torch.compiler, "set_stance"):  # parts of the model that are compiled run as they were written
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            held = {f"of.{name}": _fake(fake, tensor) for name, tensor in _held(module)}
            arguments, named = _faked(fake, arguments), _faked(fake, named)
            for mode in (fake, _Foreign(self.uncounted), tally.mode()):
                stack.enter_context(mode)
            torch.func.functional_call(_Pass(module, graded), held, (arguments, named))
        return Passes(tally.forward, tally.backward, tally.recomputed)


# -- counting one pass -----------------------------------------------------------------------------------------------


class _Pass(torch.nn.Module):
    """Forward and backward of a module in one call: what is done again in the backward sees the same fake weights."""

    def __init__(self, of: Any, graded: bool) -> None:
        super().__init__()
        self.of, self._graded = of, graded

    def forward(self, arguments: Any, named: Any) -> None:
        reached = list(_graded(self.of(*arguments, **named)))
        if self._graded and reached:
            torch.autograd.backward(reached, [torch.ones_like(tensor) for tensor in reached])


class _Tally:
    """Sums what formulas say, by the part of the pass in which the operator ran."""

    def __init__(self) -> None:
        self.forward = self.backward = self.recomputed = 0

    def mode(self) -> Any:
        """Return PyTorch's counter, with all its formulas and ours, adding up here."""
        formulas: dict[Any, Formula] = {**flop_registry, **_formulas()}
        return FlopCounterMode(display=False, custom_mapping={op: self._told(op, f) for op, f in formulas.items()})

    def _told(self, op: Any, formula: Formula) -> Formula:
        twice = str(op) in _SCORES_TWICE

        def told(*arguments: Any, **named: Any) -> int:
            flop = int(formula(*arguments, **named))
            if torch._C._current_graph_task_id() == -1:
                self.forward += flop
            elif _recomputing():
                self.recomputed += flop
            else:
                scores = _scores(arguments, flop) if twice else 0
                self.backward += flop - scores
                self.recomputed += scores
            return flop

        told._get_raw = True  # type: ignore[attr-defined]  # it takes the operator's own arguments
        return told


_SCORES_TWICE = frozenset(
    f"aten.{name}_backward"
    for name in (
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_fused_attention_overrideable",
        "_scaled_dot_product_cudnn_attention",
        "_flash_attention",
        "_efficient_attention",
    )
)
"""Fused attention keeps no scores: its backward computes them again, one product of its five."""


def _scores(arguments: Any, flop: int) -> int:
    """Return how much of a fused backward's *flop* computes scores again.

    Of its five products three have the width of a query, two that of a value.
    """
    query, value = int(arguments[1].shape[-1]), int(arguments[3].shape[-1])
    return flop * query // (3 * query + 2 * value)


_CALL: Any = torch.nn.Module._call_impl.__code__
_ENGINE: Any = graph._engine_run_backward.__code__
_CHECKPOINT: Any = torch.utils.checkpoint.__file__


def _recomputing() -> bool:
    """Say, from inside a backward pass, whether forward work is being done again.

    Then a module is called, or checkpoint's own code runs, above the engine.
    """
    frame: Any = inspect.currentframe()
    while frame is not None and frame.f_code is not _ENGINE:
        if frame.f_code is _CALL or frame.f_code.co_filename == _CHECKPOINT:
            return True
        frame = frame.f_back
    return False


class _Foreign(TorchDispatchMode):  # type: ignore[misc]
    """Notes operators that are not PyTorch's own and have no formula."""

    def __init__(self, found: set[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "namespace", "aten") not in PLUMBING and func._overloadpacket not in flop_registry:
            self._found.add(str(func._overloadpacket))
        return func(*args, **(kwargs or {}))


def _formulas() -> dict[Any, Formula]:
    """Return the formulas that PyTorch lacks, for those operators that this version of it has."""
    from torch.utils.flop_counter import sdpa_backward_flop_count

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_flop_count(query.shape, key.shape, value.shape))

    def attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return int(sdpa_backward_flop_count(gradient.shape, query.shape, key.shape, value.shape))

    def grouped(a: Any, b: Any, *_: Any, **__: Any) -> int:
        # rows (2D by 3D), columns (3D by 2D) or the inner dimension (2D by 2D) are divided among the groups
        both = int(a.shape[0]) if a.dim() == b.dim() == 3 else 1
        return 2 * both * int(a.shape[-2]) * int(a.shape[-1]) * int(b.shape[-1])

    def product(a: Any, b: Any, *_: Any, **__: Any) -> int:
        return 2 * int(a.numel()) * int(b.shape[-1])

    def vector(*arguments: Any, **_: Any) -> int:
        tensors = [item for item in arguments if isinstance(item, torch.Tensor)]
        return 2 * max(int(item.numel()) for item in tensors)

    def added(_: Any, a: Any, b: Any, *__: Any, **___: Any) -> int:
        return product(a, b)

    ours: dict[str, Formula] = {
        "_scaled_dot_product_flash_attention_for_cpu": attention,
        "_scaled_dot_product_flash_attention_for_cpu_backward": attention_backward,
        "_scaled_dot_product_fused_attention_overrideable": attention,
        "_scaled_dot_product_fused_attention_overrideable_backward": attention_backward,
        "_grouped_mm": grouped,
        "_scaled_grouped_mm": grouped,
        "mv": vector,
        "addmv": vector,
        "dot": vector,
        "vdot": vector,
        "addbmm": added,
        "_int_mm": product,
    }
    found = ((getattr(torch.ops.aten, name, None), formula) for name, formula in ours.items())
    return {op: formula for op, formula in found if op is not None and op not in flop_registry}


# -- models and what they are given ----------------------------------------------------------------------------------


def _called(model: Any) -> list[Any]:
    """Return the modules whose outermost calls are the passes of *model*."""
    found = [model] if type(model).forward is not torch.nn.Module.forward else []
    if not found or hasattr(model, "training_step"):
        found += _parts(model)
    return found


def _parts(model: Any) -> list[Any]:
    """Return what *model* consists of, where a part has weights (a metric has none, and must not run twice)."""
    parts: list[Any] = []
    for child in model.children():
        if any(True for _ in child.parameters()):
            parts += [child] if type(child).forward is not torch.nn.Module.forward else _parts(child)
    return parts


def _inner(module: Any) -> Any:
    """Return the module inside wrappers: what data parallelism and ``torch.compile`` leave as it was."""
    while True:
        if isinstance(module, torch.nn.parallel.DistributedDataParallel | torch.nn.DataParallel):
            module = module.module
        elif hasattr(module, "_orig_mod"):
            module = module._orig_mod
        else:
            return module


def _held(module: Any) -> Iterator[tuple[str, Any]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _fake(fake: Any, tensor: Any) -> Any:
    return fake.from_tensor(tensor.detach(), static_shapes=True).requires_grad_(tensor.requires_grad)


def _faked(fake: Any, value: Any) -> Any:
    """Return *value* with fake tensors in the place of real ones, in tuples, lists, mappings and data classes."""

    def faked(tensor: Any) -> Any:
        return _fake(fake, tensor)

    return torch.utils._pytree.tree_map_only(torch.Tensor, faked, value)


def _shape(value: Any) -> object:
    """Return what decides how many FLOP a pass on *value* has: shapes, types, and switches."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.dtype, value.requires_grad
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, list | tuple):
        return tuple(_shape(item) for item in cast("list[Any]", value))
    if _named(value):
        return tuple((str(name), _shape(item)) for name, item in value.items())
    return type(value).__name__


def _named(value: Any) -> bool:
    return isinstance(value, Mapping)


def _graded(value: Any) -> Iterator[Any]:
    """Yield the tensors in a model's output that gradients may come to."""
    if isinstance(value, torch.Tensor):
        if value.requires_grad:
            yield value
    elif _named(value):
        for item in value.values():
            yield from _graded(item)
    elif isinstance(value, list | tuple):
        for item in cast("list[Any]", value):
            yield from _graded(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _graded(getattr(value, field.name))
