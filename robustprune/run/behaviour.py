"""What a network answers to a few images, and by which way: part of its name, whatever its code shows.

Two networks of one class and the same weights may compute something else: by a flag that cannot be seen, a scale, a
block that is passed over, a helper that was edited. Their answers tell them apart. One pass on one thread of the
processor gives the same answers each time; they are rounded, so that what differs by rounding is the same network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.data import Data
from robustprune.models import evaluating
from robustprune.models.lending import shown
from robustprune.run.executors.local import on_threads

IMAGES = 32
"""Images that are answered."""

STEPS = 256
"""Steps from 0 to the largest answer of a network, to which its answers are rounded."""


def probe(data: Data) -> Tensor:
    """The images that networks are asked about, the same whatever is sampled for the attacks."""
    return data.test.balanced(min(IMAGES, len(data.test)), seed=0).x


def answers(net: nn.Module, x: Tensor) -> str:
    """Name the logits that a network in eval mode gives for images x (n, C, H, W), up to rounding.

    The random numbers of the network, if it draws any from torch, are the same each time; one that still does not
    answer twice alike is called random.

    >>> double = nn.Sequential(nn.Flatten(), nn.Identity())
    >>> answers(double, torch.ones(1, 1, 2, 2)) == answers(double, torch.zeros(1, 1, 2, 2))
    False
    """
    first, second = (_rounded(_asked(net, x)) for _ in range(2))
    return first if first == second else "random"


def route(net: nn.Module, x: Tensor) -> list[Any]:
    """The modules that an image passes, in order, each with the shape that it gives.

    >>> route(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 1, 2, 2))
    [['0', [1, 4]], ['1', [1, 2]], ['', [1, 2]]]
    """
    passed: list[Any] = []
    with _watched(net, passed):
        _asked(net, x[:1])
    return passed


def _asked(net: nn.Module, x: Tensor) -> Any:
    place = next((tensor.device for tensor in net.parameters()), torch.device("cpu"))
    with on_threads(1), torch.random.fork_rng(devices=[]), evaluating(net), torch.no_grad():
        torch.manual_seed(0)
        return net(shown(net, x.to(place)))


def _rounded(logits: Any) -> str:
    if not isinstance(logits, Tensor):
        return type(logits).__name__
    values = logits.detach().cpu().double()
    steps = (values / values.abs().amax().clamp(min=1e-12) * STEPS).round()
    largest = f"{float(values.abs().amax()):.2e}"
    return hashlib.sha256(f"{largest} {tuple(steps.shape)} {steps.tolist()}".encode()).hexdigest()[:32]


@contextmanager
def _watched(net: nn.Module, passed: list[Any]) -> Iterator[None]:
    """Write down every module that is passed."""

    def seen(name: str, output: Any) -> None:
        passed.append([name, list(output.shape) if isinstance(output, Tensor) else type(output).__name__])

    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: seen(name, output))
        for name, module in net.named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
