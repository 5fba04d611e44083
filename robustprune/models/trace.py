"""One real forward, written down: which tensor came from which, and which module it happened in.

Finding blocks needs the flow of data, and only running the network shows it for every nn.Module: symbolic
tracing fails on data-dependent Python, and class names say nothing about other people's code. The recorder
sees the operations, hooks see the modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.models.modes import evaluating
from robustprune.models.paths import LAYER_NORM
from robustprune.models.recorder import Operation, Recorder, Value
from robustprune.models.skip import Key, Place, Zeros, arguments


@dataclass
class Call:
    """One call of one module: the tensors among its arguments, and what it returned.

    Operations `start` to `end` (exclusive) of the trace happened inside; `caller` is the module that called;
    `extremes` are the least and greatest number of each input that holds floating-point numbers. `results` are what it
    returned, a tuple or list part by part, each tensor as its Value; `kind` is tuple or list, None for one thing alone.
    """

    module: nn.Module
    caller: nn.Module | None
    start: int
    inputs: dict[Key, Value] = field(default_factory=dict)
    extremes: dict[Key, Tensor | None] = field(default_factory=dict)
    first: Key | None = None
    """The first argument, if it is a tensor."""
    results: tuple[Any, ...] = ()
    kind: type | None = None
    end: int = -1

    def contains(self, index: int) -> bool:
        """Whether operation `index` happened inside."""
        return self.start <= index < self.end

    @property
    def output(self) -> Value | None:
        """The one tensor that it returned, alone or with None beside it."""
        tensors = [result for result in self.results if result is not None]
        return tensors[0] if len(tensors) == 1 and isinstance(tensors[0], Value) else None

    @property
    def place(self) -> Place | None:
        """Where that tensor stands in what it returned."""
        if self.kind is None or self.output is None:
            return None
        return Place(self.results.index(self.output), len(self.results), self.kind)


@dataclass
class Trace:
    """What happened in one forward; `weights` are the parameters' values at its beginning, by full name."""

    operations: list[Operation]
    weights: dict[str, Value]
    calls: list[Call] = field(default_factory=list)

    @cached_property
    def zeros(self) -> frozenset[Value]:
        """What the stand-ins of branches that are gone returned."""
        gone = [call for call in self.calls if isinstance(call.module, Zeros)]
        return frozenset(result for call in gone for result in call.results if isinstance(result, Value))

    @cached_property
    def normalised(self) -> frozenset[Value]:
        """What layer normalisations returned."""
        return frozenset(one.outputs[0] for one in self.operations if one.name == LAYER_NORM)


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
        stack.enter_context(unfused_attention())
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
        given = arguments(args, kwargs)
        tensors = {key: x for key, x in given.items() if isinstance(x, Tensor)}
        call.inputs = {key: recorder.value(x) for key, x in tensors.items()}
        call.extremes = {key: recorder.extremes(x) for key, x in tensors.items()}
        call.first = next((key for key in [*given][:1] if key in tensors), None)
        calls.append(call)
        open_calls.append(call)

    def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        call = open_calls.pop()
        call.end = len(recorder.operations)
        call.kind = type(result) if type(result) in (list, tuple) else None
        parts = [result] if call.kind is None else result
        call.results = tuple(recorder.value(part) if isinstance(part, Tensor) else part for part in parts)

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, torch.jit.ScriptModule):  # takes no hooks, and runs outside Python
                continue
            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leave, with_kwargs=True).remove)
        yield


@contextmanager
def unfused_attention() -> Iterator[None]:
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
    if type(argument) is dict:
        return {key: _copied(part, known) for key, part in argument.items()}
    return argument
