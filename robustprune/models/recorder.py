"""Operations as they happen, and which values they read and make.

Operations are recorded below autograd (a dispatch mode), where `x + y`, `torch.add` and `x += y` are one
operation. A value is the content of a piece of memory (storage, offset, sizes, strides) until something
writes to it. So a view that is undone again is the value it began as, and an in-place operation gives the
same memory a new value. All tensors are kept until the end of the recording, so that no memory is used twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Value:
    """The content of one tensor at one time; the number has no meaning but to tell values apart."""

    number: int
    shape: tuple[int, ...] = ()
    dtype: torch.dtype | None = None

    def like(self, other: Value) -> bool:
        """Whether both have the same shape and type."""
        return (self.shape, self.dtype) == (other.shape, other.dtype)


@dataclass(frozen=True)
class Operation:
    """One operation; `name` is ATen's, without "aten::" and the in-place underscore; tensors are Values.

    `outputs` are what it wrote to, then its results; a view of known memory is the value that was there already.
    `function` computes it.
    """

    name: str
    args: tuple[Any, ...]
    options: Mapping[str, Any]
    outputs: tuple[Value, ...]
    function: Callable[..., Any] | None = None

    @cached_property
    def inputs(self) -> list[Value]:
        """All values it reads."""
        return [value for value in _leaves((self.args, tuple(self.options.values()))) if isinstance(value, Value)]


def dependents(operations: Iterable[Operation], x: Value) -> set[Value]:
    """All values that depend on `x` after these operations, itself included."""
    found = {x}
    for operation in operations:
        if not found.isdisjoint(operation.inputs):
            found.update(operation.outputs)
    return found


class Recorder(TorchDispatchMode):
    """While active (`with recorder:`), every operation is appended to `operations`."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.operations: list[Operation] = []
        self._memory: dict[int, dict[tuple[Any, ...], Value]] = {}
        self._kept: list[Tensor] = []
        self._count = 0
        self._paused = False

    def extremes(self, tensor: Tensor) -> Tensor | None:
        """(least, greatest) number in a floating-point tensor that holds any; not recorded."""
        if not tensor.is_floating_point() or tensor.is_meta or not tensor.numel():
            return None
        self._paused = True
        try:
            return torch.stack(tensor.aminmax())
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
        outputs += [self.value(tensor) for tensor in _leaves(result) if isinstance(tensor, Tensor)]
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        self.operations += [Operation(name, *read, tuple(outputs), func), *side_effects]
        return result

    def _values(self, argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return self.value(argument)
        if isinstance(argument, list | tuple):
            return tuple(self._values(part) for part in argument)
        return argument

    def _write(self, tensor: Tensor, side_effects: list[Operation]) -> Value:
        """The new value of a tensor that was written to; what shares its memory changes as a side effect."""
        storage, view = _place(tensor)
        known = self._memory[storage]
        others = {place: value for place, value in known.items() if place != view}
        written = known[view] = self._new(tensor)
        for place, before in others.items():
            known[place] = self._new(tensor, place[1], place[3])
            side_effects.append(Operation("partly written", (before, written), {}, (known[place],)))
        return written

    def _new(self, tensor: Tensor, shape: tuple[int, ...] | None = None, dtype: torch.dtype | None = None) -> Value:
        self._kept.append(tensor)
        self._count += 1
        return Value(self._count, tuple(tensor.shape) if shape is None else shape, dtype or tensor.dtype)


def _place(tensor: Tensor) -> tuple[int, tuple[Any, ...]]:
    """Where a tensor lies: its storage, and what of it. Strides along axes of length one have no meaning."""
    if tensor.layout != torch.strided:
        return id(tensor), ()
    strides = tuple(step if length > 1 else 0 for step, length in zip(tensor.stride(), tensor.shape, strict=True))
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
