"""How many classes and channels a network must have for a weight file: what its builder has to be told.

What changes its shape when a network is built with one class more is its head; the file's shape there says how many
classes it holds. So no list of names of heads is kept. Nothing is loaded: networks are built without numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from robustprune.models.weight_names import fitting

Outline = Mapping[str, Tensor]
"""Names and shapes of weights, as tensors without numbers."""


def followed(
    build: Callable[[Mapping[str, int]], Outline], held: dict[str, Tensor], usual: Mapping[str, int]
) -> dict[str, int]:
    """Return the counts in which what a file holds differs from a network that is built with the `usual` ones.

    `build` gives the outline of the network for such counts. A weight of two axes or more decides, and only where its
    other axes agree: the network is then no larger than the file.

    >>> import torch
    >>> made = lambda counts: nn.Sequential(nn.Conv2d(counts["c"], 4, 3), nn.Linear(4, counts["k"])).state_dict()
    >>> followed(made, made({"c": 1, "k": 7}), {"k": 10, "c": 3})
    {'k': 7, 'c': 1}
    """
    here = build(usual)
    named = fitting(held, here)
    if all(named[name].shape == tensor.shape for name, tensor in here.items() if name in named):
        return {}
    found: dict[str, int] = {}
    for argument, count in usual.items():
        for name, tensor in build({**usual, argument: count + 1}).items():
            if name in here and name in named and tensor.ndim > 1 and tensor.shape != here[name].shape:
                told = _count(named[name], here[name], tensor, count)
                if told is not None and told != count:
                    found.setdefault(argument, told)
    return found


def _count(held: Tensor, usual: Tensor, more: Tensor, count: int) -> int | None:
    """Return the count for the shape in a file, from the shapes for `count` and for one more."""
    if held.ndim != usual.ndim or usual.ndim != more.ndim:
        return None
    axes = [axis for axis in range(usual.ndim) if usual.shape[axis] != more.shape[axis]]
    others = all(held.shape[axis] == usual.shape[axis] for axis in range(usual.ndim) if axis not in axes)
    if len(axes) != 1 or not others:
        return None
    each = more.shape[axes[0]] - usual.shape[axes[0]]
    rest = usual.shape[axes[0]] - each * count
    return (held.shape[axes[0]] - rest) // each


def outlined(net: nn.Module) -> Outline:
    """Return the names and shapes of a network's weights."""
    return {name: tensor.to("meta") for name, tensor in net.state_dict().items()}
