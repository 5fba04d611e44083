"""One real forward, written down: which tensor came from which, and which module it happened in.

Finding blocks needs the flow of data, and only running the network shows it for every nn.Module: symbolic
tracing fails on data-dependent Python, and class names say nothing about other people's code. The recorder
sees the operations, hooks see the modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.models.modes import evaluating
from robustprune.models.recorder import Operation, Recorder, Value


@dataclass
class Call:
    """One call of one module: its first argument and result, None where these are not tensors of one shape.

    Operations `start` to `end` (exclusive) of the trace happened inside; `caller` is the module that called;
    `extremes` are the least and greatest number in the input, if it holds floating-point numbers.
    """

    module: nn.Module
    caller: nn.Module | None
    start: int
    input: Value | None = None
    output: Value | None = None
    shape: tuple[int, ...] = ()
    extremes: Tensor | None = None
    end: int = -1


@dataclass
class Trace:
    """What happened in one forward; `weights` are the parameters' values at its beginning, by full name."""

    operations: list[Operation]
    weights: dict[str, Value]
    calls: list[Call] = field(default_factory=list)


def trace(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> Trace:
    """Run `model(*args, **kwargs)` once in eval mode, without gradients, and return what happened.

    Tensors in `args` and `kwargs` are copied first, since a network may write to its input. The model is as
    it was.

    >>> [operation.name for operation in trace(nn.ReLU(inplace=True), [torch.ones(1)]).operations]
    ['relu']
    """
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_unfused_attention())
        recorder = Recorder()
        parameters = model.named_parameters(remove_duplicate=False)
        result = Trace(recorder.operations, {name: recorder.value(weights) for name, weights in parameters})
        stack.enter_context(_watched(model, recorder, result.calls))
        args, named = _copied(([*args], [*(kwargs or {}).values()]), {})
        with recorder:
            model(*args, **dict(zip(kwargs or {}, named, strict=True)))
    return result


@contextmanager
def _watched(model: nn.Module, recorder: Recorder, calls: list[Call]) -> Iterator[None]:
    """Hooks on every module that append its calls to `calls`."""
    open_calls: list[Call] = []

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caller = open_calls[-1].module if open_calls else None
        call = Call(module, caller, len(recorder.operations))
        x = first_argument(*args, **kwargs)
        if isinstance(x, Tensor):
            call.input, call.shape, call.extremes = recorder.value(x), tuple(x.shape), recorder.extremes(x)
        calls.append(call)
        open_calls.append(call)

    def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        call = open_calls.pop()
        call.end = len(recorder.operations)
        x = first_argument(*args, **kwargs)
        if isinstance(result, Tensor) and isinstance(x, Tensor):
            same = result.shape == call.shape and result.dtype == x.dtype
            call.output = recorder.value(result) if same else None

    with ExitStack() as stack:
        for module in model.modules():
            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leave, with_kwargs=True).remove)
        yield


def first_argument(*args: Any, **kwargs: Any) -> Any:
    """The first positional argument, else the first named one, else None: what a skip path hands on."""
    return next(iter((*args, *kwargs.values())), None)


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """torch's fused Transformer layer is one opaque operation; without it, its additions are seen."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _copied(argument: Any, known: dict[int, Tensor]) -> Any:
    """The argument with copies of its tensors; one tensor that comes twice stays one tensor."""
    if isinstance(argument, Tensor):
        if id(argument) not in known:
            known[id(argument)] = argument.detach().clone()
        return known[id(argument)]
    if type(argument) in (list, tuple):
        return type(argument)(_copied(part, known) for part in argument)
    return argument
