"""One real forward, written down: which tensor came from which, and which module it happened in.

Finding blocks needs the flow of data, and only running the network shows it for every nn.Module: symbolic
tracing fails on data-dependent Python, and class names say nothing about other people's code. Operations are
recorded below autograd (a dispatch mode), where `x + y`, `torch.add` and `x += y` are one operation, and
modules through hooks.

A value is the content of a piece of memory (storage, offset, sizes, strides) until something writes to it. So
a view that is undone again is the value it began as, and an in-place operation gives the same memory a new
value. All tensors are kept until the end of the recording, so that no memory is used twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from robustprune.models.modes import evaluating


@dataclass(frozen=True)
class Value:
    """The content of one tensor at one time; the number has no meaning but to tell values apart."""

    number: int


@dataclass(frozen=True)
class Operation:
    """One operation; `name` is ATen's, without "aten::" and the in-place underscore; tensors are Values."""

    name: str
    args: tuple[Any, ...]
    options: Mapping[str, Any]
    outputs: tuple[Value, ...]

    @property
    def inputs(self) -> list[Value]:
        """All values it reads."""
        return [
            value for value in _leaves((self.args, tuple(self.options.values()))) if isinstance(value, Value)
        ]


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

    operations: list[Operation] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    weights: dict[str, Value] = field(default_factory=dict)


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
        recorder = _Recorder()
        for name, parameter in model.named_parameters(remove_duplicate=False):
            recorder.trace.weights[name] = recorder.value(parameter)
        stack.enter_context(_watched(model, recorder))
        args, kwargs = _copied(tuple(args)), {key: _copied(arg) for key, arg in (kwargs or {}).items()}
        with recorder:
            model(*args, **kwargs)
    return recorder.trace


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch annotates neither of these
    """Writes every operation into `trace`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self._memory: dict[int, dict[tuple[Any, ...], Value]] = {}
        self._kept: list[Tensor] = []
        self._count = 0
        self._paused = False

    def extremes(self, tensor: Tensor) -> Tensor | None:
        """(least, greatest) number in a floating-point tensor; not recorded."""
        self._paused = True
        try:
            return torch.stack(tensor.aminmax()) if tensor.is_floating_point() and tensor.numel() else None
        finally:
            self._paused = False

    def value(self, tensor: Tensor) -> Value:
        """The value a tensor has now."""
        storage, view = _place(tensor)
        known = self._memory.setdefault(storage, {})
        if view not in known:
            known[view] = self._new(tensor)
        return known[view]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        read = self._values(args), {key: self._values(arg) for key, arg in kwargs.items()}
        result = func(*args, **kwargs)
        side_effects: list[Operation] = []
        outputs = [self._write(tensor, side_effects) for tensor in _written(func, args, kwargs)]
        outputs += [
            value for tensor in _leaves(result) if isinstance(tensor, Tensor) for value in self._see(tensor)
        ]
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        self.trace.operations += [Operation(name, *read, tuple(outputs)), *side_effects]
        return result

    def _values(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return self.value(argument)
        if isinstance(argument, list | tuple):
            return tuple(self._values(part) for part in argument)
        return argument

    def _see(self, tensor: Tensor) -> list[Value]:
        """The new value of a result; none where it is memory that is known already."""
        count = self._count
        value = self.value(tensor)
        return [value] if self._count > count else []

    def _write(self, tensor: Tensor, side_effects: list[Operation]) -> Value:
        """The new value of a tensor that was written to; what shares its memory changes as a side effect."""
        storage, view = _place(tensor)
        known = self._memory[storage]
        others = {place: value for place, value in known.items() if place != view}
        written = known[view] = self._new(tensor)
        for place, before in others.items():
            known[place] = self._new(tensor)
            side_effects.append(Operation("partly written", (before, written), {}, (known[place],)))
        return written

    def _new(self, tensor: Tensor) -> Value:
        self._kept.append(tensor)
        self._count += 1
        return Value(self._count)


@contextmanager
def _watched(model: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Hooks on every module that put its calls into the recorder's trace."""
    open_calls: list[Call] = []

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caller = open_calls[-1].module if open_calls else None
        call = Call(module, caller, len(recorder.trace.operations))
        x = first_argument(*args, **kwargs)
        if isinstance(x, Tensor):
            call.input, call.shape, call.extremes = recorder.value(x), tuple(x.shape), recorder.extremes(x)
        recorder.trace.calls.append(call)
        open_calls.append(call)

    def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        call = open_calls.pop()
        call.end = len(recorder.trace.operations)
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


def _place(tensor: Tensor) -> tuple[int, tuple[Any, ...]]:
    """Where a tensor lies: its storage, and what of it. Strides along axes of length one have no meaning."""
    if tensor.layout != torch.strided:
        return id(tensor), ()
    strides = tuple(
        step if length > 1 else 0 for step, length in zip(tensor.stride(), tensor.shape, strict=True)
    )
    return tensor.untyped_storage()._cdata, (
        tensor.storage_offset(),
        tuple(tensor.shape),
        strides,
        tensor.dtype,
    )


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors among the arguments that the operation's schema says it writes to."""
    written = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            written.append(args[position] if position < len(args) else kwargs.get(argument.name))
    return [tensor for tensor in _leaves(written) if isinstance(tensor, Tensor)]


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, list | tuple):
        for part in tree:
            yield from _leaves(part)
    else:
        yield tree


def _copied(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return argument.detach().clone()
    if isinstance(argument, list | tuple):
        return (
            type(argument)(_copied(part) for part in argument)
            if type(argument) in (list, tuple)
            else argument
        )
    return argument
