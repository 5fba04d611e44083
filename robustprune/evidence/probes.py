"""Small looks at a network that several checks share: logits, input gradients, margins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.losses import cross_entropy, margin
from robustprune.attacks.engine.guard import forked_generators
from robustprune.attacks.engine.random_parts import seed_generators
from robustprune.evidence.sizes import SEED
from robustprune.models.lending import is_text, shown
from robustprune.models.modes import evaluating, frozen

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": cross_entropy, "margin": margin}


@contextmanager
def draws(seed: int, device: torch.device) -> Iterator[None]:
    """Let a random network draw from `seed`, and leave the caller's generators alone.

    With the same seed and batches it computes the same function twice, of which one may ask what one asks of others.
    """
    with forked_generators(device):
        seed_generators(seed, device)
        yield


def logits_of(model: nn.Module, x: Tensor, batch_size: int = 128, seed: int = SEED, recording: bool = False) -> Tensor:
    """Return the logits (n, k) of `x`, float32 on the CPU, in eval mode; `seed` is for networks that draw.

    `recording`: in passes that record gradients of the images, as an attack makes them.
    """
    kept = []
    with evaluating(model), draws(seed, x.device), torch.set_grad_enabled(recording):
        for part in batches(x, batch_size):
            point = part.detach().clone().requires_grad_(recording and not is_text(part))
            kept.append(model(shown(model, point)).detach().float().cpu())
    return torch.cat(kept)


@dataclass
class Gradients:
    """Per sample: norm of the input gradient (n,), the gradient itself; `cut` says why there is none."""

    length: Tensor
    grad: Tensor
    cut: str = ""

    @property
    def missing(self) -> Tensor:
        """(n, bool) where the gradient is zero or not finite."""
        return ~(self.length > 0) | ~torch.isfinite(self.length)


def gradients(model: nn.Module, x: Tensor, y: Tensor, loss: str = "margin", batch_size: int = 128) -> Gradients:
    """Return the input gradients of 'ce' or 'margin' (largest other logit minus the true one) at `x`.

    A network that cuts the graph (detached, or computed without gradients) gives zeros and says so in `cut`.
    """
    kept, cut = [], ""
    with frozen(model), torch.enable_grad(), draws(SEED, x.device):
        for part, label in zip(batches(x, batch_size), batches(y, batch_size), strict=True):
            point = part.detach().clone().requires_grad_()
            value = LOSSES[loss](model(shown(model, point)).float(), label)
            grad = None
            if value.requires_grad:
                (grad,) = torch.autograd.grad(value.sum(), point, allow_unused=True)
            if grad is None:
                cut = "the logits do not depend on the image in the autograd graph (detached or no_grad)"
                grad = torch.zeros_like(part)
            kept.append(grad.detach())
    grad = torch.cat(kept)
    return Gradients(length=grad.flatten(1).norm(dim=1), grad=grad, cut=cut)


@contextmanager
def counting_autograd() -> Iterator[list[str]]:
    """Collect the names of functions that start a backward pass in this thread, from Python, while active.

    Every public way (`autograd.grad`, `Tensor.backward`, `torch.func.grad`) ends in one function; it is
    watched by the interpreter's profiling hook, which is put back afterwards.
    """
    called: list[str] = []
    before = sys.getprofile()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" and frame.f_code.co_name == "_engine_run_backward":
            called.append(frame.f_back.f_code.co_name if frame.f_back else "?")

    sys.setprofile(watch)
    try:
        yield called
    finally:
        sys.setprofile(before)


def share(count: int, n: int) -> str:
    """Write a count as a share.

    >>> share(1, 8)
    '1 of 8 (12.5 %)'
    """
    return f"{count} of {n}" + (f" ({100 * count / n:.1f} %)" if n else "")


def batches(x: Tensor, size: int) -> Iterator[Tensor]:
    """Yield `x` in parts of `size` rows.

    >>> [len(part) for part in batches(torch.zeros(5), 2)]
    [2, 2, 1]
    """
    for start in range(0, len(x), size):
        yield x[start : start + size]
