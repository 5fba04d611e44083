"""The lean copy that gradients are taken from, as lean as the network lets it be.

Folded, in channels_last, with shortcuts and a copy are choices of ours: each is made only where the network runs with
it, forward and backward, and gives the logits of the original on real samples. Otherwise it is left out, and noted but
for the shortcuts, which change no number.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.target import out_of_memory
from robustprune.attacks.engine.fold import TOLERANCE, agrees, folded
from robustprune.attacks.engine.guard import forked_generators
from robustprune.attacks.engine.shortcuts import lengthened, shortened
from robustprune.models.lending import is_text, shown

SAMPLES = 16
"""How many real samples the copy's logits are compared on."""

TWO, GREY = 2, 0.5
"""How many images go backward through the copy, to see that it lets them; they are grey, no sample is looked at so."""


@dataclass(frozen=True, kw_only=True)
class Lean:
    """The network that gradients are taken from: `folded` says of BatchNorm, `fallen` names what was left out."""

    net: nn.Module
    folded: bool = False
    copied: bool = True
    """Whether it is a copy; else it is the original itself."""
    fallen: tuple[str, ...] = ()


def attack_copy(model: nn.Module, x: Tensor, random: bool = False) -> Lean:
    """Return a deep copy without parameter gradients, folded and in channels_last where the network allows it.

    `x` (m, C, H, W) are real samples. Where no copy does what the original does, it is the original (already frozen by
    the caller). A `random` network answers otherwise each time: of its copies it is asked only that they run.

    >>> attack_copy(nn.Flatten(), torch.rand(1, 1, 2, 2)).folded
    False
    """
    makers: list[tuple[str, Callable[[], nn.Module | None]]] = [
        ("folded", lambda: folded(model, x)),
        ("copied", lambda: copy.deepcopy(model).requires_grad_(False)),
    ]
    fallen: list[str] = []
    for name, make in makers:
        for layout in layouts(x):
            net = _made(make)
            if net is None:
                break
            with quiet():
                net = net.to(memory_format=torch.channels_last) if layout else net
                if (not random and works(model, shortened(net), x, random)) or works(model, lengthened(net), x, random):
                    return Lean(net=net, folded=name == "folded", fallen=tuple(fallen))
            fallen.append(f"{name}, {layout}" if layout else name)
    return Lean(net=model, copied=False, fallen=(*fallen, "any copy"))


def layouts(x: Tensor) -> tuple[str, ...]:
    """Return the layouts to try for samples `x`, the faster first; "" is the usual one.

    Processors are for channels_last. On a GPU float32 convolutions without TensorFloat32 are for the usual one.

    >>> layouts(torch.zeros(2, 3, 8, 8)), layouts(torch.zeros(2, 8))
    (('channels_last', ''), ('',))
    """
    if x.ndim != 4:
        return ("",)
    return ("", "channels_last") if x.device.type == "cuda" else ("channels_last", "")


def works(model: nn.Module, other: nn.Module, x: Tensor, random: bool) -> bool:
    """Whether `other` runs on `x`, forward and backward, and gives the logits of `model`; draws nothing of ours."""
    try:
        with forked_generators(x.device):
            backward(other, torch.full_like(x[:TWO], GREY))
            return random or agrees(model, other, x, TOLERANCE)
    except Exception as error:
        return out_of_memory(error) and len(x) > 1 and works(model, other, x[: len(x) // 2], random)


def backward(net: nn.Module, x: Tensor) -> None:
    """Take a gradient at `x`, where the network lets any through; of texts there is none."""
    if is_text(x):
        net(shown(net, x))
        return
    adv = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = net(shown(net, adv))
        if logits.requires_grad:
            torch.autograd.grad(logits.sum(), adv, allow_unused=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's remarks about memory formats to ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _made(make: Callable[[], nn.Module | None]) -> nn.Module | None:
    try:
        return make()
    except Exception:
        return None
