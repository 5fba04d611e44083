"""The multiply-accumulates of every operator that a forward pass makes, and the names of those that nobody counts.

Convolutions and matrix products are counted by torch's own registry (`torch.utils.flop_counter`), what it does not know
by the entries here. An operator of two or more floating tensors that is in neither, and that does not go element by
element, is named: a smaller number never comes without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Count = Callable[[tuple[Any, ...], Tensor], int]
"""From an operator's arguments and its result to its multiply-accumulates."""


def _entries(place: int) -> Count:
    """Count the entries of the argument at `place`: each is multiplied once."""
    return lambda args, out: int(args[place].numel())


def _filters(args: tuple[Any, ...], out: Tensor) -> int:
    """Count a convolution by its weight (out, in / groups, ...), the second argument."""
    return int(out.numel() * args[1][0].numel())


def _recurrent(args: tuple[Any, ...], out: Tensor) -> int:
    """Count a recurrent layer that runs as one operator: input (steps, n, in) times both weights."""
    x, ours, theirs = args[:3]
    return int(x.numel() // x.shape[-1] * (ours.numel() + theirs.numel()))


OWN: dict[str, Count] = {
    "aten.mv": _entries(0),
    "aten.addmv": _entries(1),
    "aten.dot": _entries(0),
    "aten.vdot": _entries(0),
    "aten.mkldnn_rnn_layer": _recurrent,
    "torchvision.deform_conv2d": _filters,
}

FREE = (
    *("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "weight_norm"),
    *("cat", "stack", "copy", "index", "scatter", "where", "masked", "fill", "embedding"),
    *("grid_sampler", "unpool", "prelu", "quantize", "complex", "polar", "searchsorted", "bucketize", "loss", "equal"),
)
"""Parts of names of operators that only move, pick, compare or scale what they get: no product over a sum."""


class Operators(TorchDispatchMode):
    """Counts what runs inside the context: `macs`, and `unknown`, the names of what is not counted."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.macs = 0
        self.unknown: dict[str, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = getattr(func, "_overloadpacket", func)
        known = packet in flop_registry or str(packet) in OWN
        if not known and hasattr(func, "decompose") and func is not torch.ops.prim.device.default:
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        out = func(*args, **kwargs)
        if packet in flop_registry:
            self.macs += int(flop_registry[packet](*args, **kwargs, out_val=out)) // 2
        elif str(packet) in OWN:
            self.macs += OWN[str(packet)](args, out)
        elif (packed := _packed(func, args)) is not None:
            self.macs += int(out.numel() * packed[0].numel())
        elif multiplies(func, tree_leaves((args, kwargs))):
            self.unknown[str(packet)] = None
        return out


def multiplies(func: Any, leaves: Iterable[Any]) -> bool:
    """Whether an operator may multiply and add: it takes several floating tensors, and not element by element."""
    name, tags = str(func), getattr(func, "tags", ())
    given = [one for one in leaves if isinstance(one, torch.ScriptObject | Tensor)]
    floating = [one for one in given if not isinstance(one, Tensor) or one.is_floating_point() or one.is_quantized]
    free = torch.Tag.pointwise in tags or any(part in name for part in FREE)
    return len(floating) > 1 and not free


def _packed(func: Any, args: tuple[Any, ...]) -> Tensor | None:
    """Return the weight (out, in, ...) that a quantised linear layer or convolution keeps packed; None for others."""
    name = str(func)
    plain = name.startswith("quantized.") and "transpose" not in name and ("linear" in name or "conv" in name)
    packs = [one for one in args if isinstance(one, torch.ScriptObject) and hasattr(one, "unpack")]
    if not plain or not packs:
        return None
    weight: Tensor = packs[0].unpack()[0]
    return weight
