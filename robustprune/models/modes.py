"""Contexts that lend a model out and bring it back exactly as it was.

The training flag is set on every module by hand instead of through `model.eval()`: networks override
`train()` to merge weights or to keep BatchNorm frozen, and a measurement may do neither. For the same reason
every module gets its OWN flag back; one `model.train()` would thaw what its owner had frozen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Every module in eval mode; on the way out, also by an error, each has its own training flag again.

    >>> net = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3).eval())
    >>> with evaluating(net):
    ...     [module.training for module in net]
    [False, False]
    >>> [module.training for module in net]
    [True, False]
    """
    flags = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in flags:
            module.training = False
        yield model
    finally:
        for module, training in flags:
            module.training = training


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """`evaluating`, and no parameter takes gradients; flags and `.grad` come back as they were.

    Gradients with respect to the INPUT still flow, and an error puts everything back too. The parameters' own `.grad`
    tensors are set aside, so code that writes to `.grad` in here cannot change them.

    >>> net = nn.Linear(2, 1)
    >>> with frozen(net):
    ...     any(parameter.requires_grad for parameter in net.parameters())
    False
    >>> all(parameter.requires_grad for parameter in net.parameters())
    True
    """
    before = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    with evaluating(model):
        try:
            for parameter, _, _ in before:
                parameter.requires_grad_(False)
                parameter.grad = None
            yield model
        finally:
            for parameter, requires_grad, gradient in before:
                parameter.requires_grad_(requires_grad)
                parameter.grad = gradient
