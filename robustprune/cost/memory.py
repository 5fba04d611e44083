"""How much memory one forward pass needs at its peak: weights, input, and the activations alive at one time.

On CUDA the allocator keeps that figure itself. Elsewhere every tensor that an operator returns is followed
until it is freed. That is exact for tensors, repeatable to the byte and the same on every machine, but it
does not see scratch memory inside an operator.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from robustprune.models.lending import shown
from robustprune.models.modes import evaluating

CUDA_METHOD = "CUDA allocator's peak: weights + input + activations + scratch"
FOLLOWED_METHOD = "live tensors followed: weights + input + activations, without scratch inside operators"


class LiveTensors(TorchDispatchMode):
    """Follows the storages that operators make inside the context: `live` bytes now, `peak` bytes so far.

    Storages of `known` tensors, views and results written in place are not new. A tensor freed
    after the context still counts down.

    >>> with LiveTensors() as memory:
    ...     a = torch.zeros(10)
    ...     b = a + 1
    ...     del a, b
    >>> memory.peak, memory.live
    (80, 0)
    """

    def __init__(self, known: Sequence[Tensor] = ()) -> None:
        TorchDispatchMode.__init__(self)
        self.live = self.peak = 0
        self._held = [tensor.untyped_storage() for tensor in known]
        self._known = {id(storage) for storage in self._held}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._follow(leaf.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if id(storage) in self._known:
            return
        self._known.add(id(storage))
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, id(storage), storage.nbytes())

    def _forget(self, identity: int, size: int) -> None:
        self._known.discard(identity)
        self.live -= size


def peak_memory(model: nn.Module, x: Tensor) -> tuple[int, str]:
    """Return the peak bytes of one forward pass of batch `x`, and how they were measured.

    The pass is in eval mode, without gradients. Weights (parameters and buffers) and the input are included;
    what else lies on the device is not.

    >>> peak_memory(nn.Linear(10, 5), torch.zeros(2, 10))[0]  # 55 weights, 20 inputs, 10 outputs
    340
    """
    x = shown(model, x)
    held = [*model.parameters(), *model.buffers(), x]
    base = sum({storage.data_ptr(): storage.nbytes() for storage in map(Tensor.untyped_storage, held)}.values())
    with evaluating(model), torch.no_grad():
        if x.device.type == "cuda":
            return base + _cuda_peak(model, x), CUDA_METHOD
        with LiveTensors(held) as memory:
            model(x)
    return base + memory.peak, FOLLOWED_METHOD


def _cuda_peak(model: nn.Module, x: Tensor) -> int:
    model(x)
    torch.cuda.synchronize(x.device)
    torch.cuda.reset_peak_memory_stats(x.device)
    before = torch.cuda.memory_allocated(x.device)
    model(x)
    torch.cuda.synchronize(x.device)
    return torch.cuda.max_memory_allocated(x.device) - before
