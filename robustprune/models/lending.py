"""Lending a network out: images of its own to work on, and what it changes of itself is put back.

A network may normalise its input in place, or keep a running value in a buffer or a counter. Neither may reach the
caller's images, the next batch or the network that is handed back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, str, type(None))
"""Kinds of attributes that are remembered: what cannot be changed in place."""


def shown(model: nn.Module, x: Tensor) -> Tensor:
    """Return a private copy of `x`, in the type of the model's first floating parameter (or buffer), else as it is.

    Gradients flow through it. Token numbers stay what they are.

    >>> x = torch.zeros(2)
    >>> shown(nn.Linear(2, 1).double(), x).add_(1).dtype, x.tolist()
    (torch.float64, [0.0, 0.0])
    """
    if is_text(x):
        return x.clone()
    for tensor in chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return x.to(tensor.dtype, copy=True)
    return x.clone()


def is_text(x: Tensor) -> bool:
    """Whether samples are texts, token numbers in rows (n, T), and no images.

    >>> is_text(torch.zeros(2, 3)), is_text(torch.zeros(2, 3, dtype=torch.int64))
    (False, True)
    """
    return x.dtype == torch.int64 and x.ndim == 2


@dataclass(frozen=True)
class Memory:
    """What a network was: tensors that it keeps beside its parameters, with copies, and plain attributes."""

    tensors: list[tuple[dict[str, Any], str, str, Tensor, Tensor]]
    """Where it is kept, its name there and in the network, the tensor and a copy."""
    plain: list[tuple[nn.Module, dict[str, Any]]]

    @classmethod
    def of(cls, model: nn.Module) -> Memory:
        """Remember the network."""
        tensors, plain = [], []
        for path, module in model.named_modules():
            for place in (module._buffers, vars(module)):
                for name, value in place.items():
                    if isinstance(value, Tensor):
                        full = f"{path}.{name}" if path else name
                        tensors.append((place, name, full, value, value.detach().clone()))
            kept = {name: value for name, value in vars(module).items() if isinstance(value, PLAIN)}
            plain.append((module, kept))
        return cls(tensors, plain)

    @property
    def changed(self) -> list[str]:
        """Names of the tensors that are not as they were."""
        return [
            full
            for place, name, full, value, copy in self.tensors
            if place.get(name) is not value or not same(value, copy)
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back, in the same tensors."""
        for place, name, _, value, copy in self.tensors:
            if not same(value, copy):
                value.copy_(copy)
            place[name] = value
        for module, kept in self.plain:
            vars(module).update(kept)


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same values; what is not a number equals itself.

    >>> same(torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]))
    True
    """
    return torch.equal(a, b) or (a.is_floating_point() and bool(torch.isclose(a, b, 0, 0, equal_nan=True).all()))


@contextmanager
def restored(model: nn.Module) -> Iterator[Memory]:
    """Buffers and plain attributes are as before on the way out, also by an error.

    >>> net = nn.BatchNorm1d(1)
    >>> with restored(net):
    ...     _ = net(torch.rand(4, 1))
    >>> float(net.running_mean), int(net.num_batches_tracked)
    (0.0, 0)
    """
    memory = Memory.of(model)
    try:
        yield memory
    finally:
        memory.restore()
