"""Calling the plain layers of a network without what torch does around every call of a module.

A small network spends a tenth of a pass in that. So where a module calls a child by its name, and the child is a plain
convolution, linear layer or identity without hooks, a copy finds the bare function under that name instead; the child
itself stays where it is. The numbers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

Call = Callable[[Tensor], Tensor]


def shortened(net: nn.Module) -> nn.Module:
    """Give `net`, a copy whose weights will not change, its shortcuts.

    >>> import torch
    >>> net, x = nn.Sequential(nn.Linear(2, 2)), torch.ones(1, 2)
    >>> torch.equal(net(x), shortened(net)(x))
    True
    """
    for parent in net.modules():
        for name, child in parent.named_children():
            call = bare(child)
            if call is not None:
                vars(parent).setdefault(name, call)
    return net


def lengthened(net: nn.Module) -> nn.Module:
    """Take the shortcuts away again."""
    for parent in net.modules():
        for name, _ in parent.named_children():
            if getattr(vars(parent).get(name), "__module__", "") == __name__:
                del vars(parent)[name]
    return net


def bare(layer: nn.Module) -> Call | None:
    """Return what a plain layer computes, as a function; None for any other module, and for one that is watched."""
    if type(layer) not in PLAIN or any(vars(layer).get(hooks) for hooks in HOOKS) or "forward" in vars(layer):
        return None
    return PLAIN[type(layer)](layer)


def convolution(layer: Any) -> Call | None:
    """Return a convolution, where the image is continued by zeros."""
    if layer.padding_mode != "zeros":
        return None
    given = (layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    return lambda x: functional.conv2d(x, *given)


def linear(layer: Any) -> Call:
    """Return a linear layer."""
    weight, bias = layer.weight, layer.bias
    return lambda x: functional.linear(x, weight, bias)


PLAIN: Mapping[type[nn.Module], Callable[[Any], Call | None]] = {
    nn.Conv2d: convolution,
    nn.Linear: linear,
    nn.Identity: lambda layer: lambda x: x,
}
"""Type of a layer -> what makes its function."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where torch keeps what watches a module."""
