"""The network under attack: a lean copy to take gradients from, and the original as judge.

Everything is counted here, in samples that went forward and samples that went backward, so that no attack
can forget to count. The original model in plain float32 decides alone what is adversarial: a success on the
lean copy (BatchNorm folded, low precision) is only a candidate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.found import Passes
from robustprune.errors import InputError
from robustprune.models.lending import shown

MAJORITY = 0.5
"""The share of passes beyond which a random network is wrong."""


class Counted(nn.Module):
    """A network that counts the samples that pass through it, forward and backward, into `passes`.

    The network gets a private copy of the images, in the type of its weights, and never an empty batch. `classes` is
    how many logits it gave last, 0 before. It owns one empty parameter on the right device, since
    torchattacks looks for the device on the first parameter and knows none for a network that has no parameters.
    """

    def __init__(self, net: nn.Module, passes: Passes, device: torch.device) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        self.net = net
        self.passes = passes
        self.classes = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (m, classes) of `x` (m, C, H, W) as float32."""
        if not len(x):
            return x.flatten(1).sum(1, keepdim=True).expand(0, max(self.classes, 1))
        self.passes.forwards += len(x)
        logits: Tensor = self.net(shown(self.net, x))
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
            shape = tuple(getattr(logits, "shape", ())) or type(logits).__name__
            raise InputError(f"model: expected logits of shape ({len(x)}, classes), found {shape}")
        self.classes = logits.shape[1]
        if logits.requires_grad:
            logits.register_hook(self._backward)
        return logits.float()

    def _backward(self, grad: Tensor) -> None:
        self.passes.backwards += len(grad)


@dataclass
class Target:
    """What an attack may use: `model` gives gradients (already eval, frozen, perhaps folded), `judge` decides.

    `low` is the copy in bfloat16, where there is one; with `on_trial` it is used only where it pays. `batch_size`
    shrinks when memory runs out. `keep`: the perturbed images are wanted; `near`: the iterates that came nearest to
    success, too. `parents`: other networks, for transfer. `tick(m)` is called when m samples are decided.
    """

    model: Counted
    judge: Counted
    device: torch.device
    batch_size: int
    passes: Passes
    low: Counted | None = None
    on_trial: bool = False
    ratio: list[float | None] = field(default_factory=list)
    """The time of a pass of `low` over one of `model`, once it was taken; None in it: `low` does not run."""
    keep: bool = False
    near: bool = False
    parents: tuple[nn.Module, ...] = ()
    guides: Mapping[nn.Module, nn.Module] = field(default_factory=dict)
    """Lean copies of parents, of those for which they are known."""
    tick: Callable[[int], None] = lambda decided: None
    notes: dict[str, Any] = field(default_factory=dict)
    copies: bool = True
    """Whether a deep copy of the network was seen to be the same function, so that workers may have their own."""
    fresh: int = 1
    """How many passes of the judge a verdict takes; above 1 the network is taken to be random."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the work of other threads is no longer wanted."""

    def shrink(self, reason: BaseException) -> bool:
        """Halve the batch if `reason` is that memory ran out; return whether trying again makes sense."""
        if self.batch_size == 1 or not out_of_memory(reason):
            return False
        self.batch_size //= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return True

    @property
    def random(self) -> bool:
        """Whether the network has random parts, so that one pass of it says little."""
        return self.fresh > 1

    @torch.no_grad()
    def wrong(self, x: Tensor, y: Tensor, share: Tensor | float = MAJORITY) -> Tensor:
        """Return (m, bool) where the original model misclassifies in more than a `share` (or (m,)) of fresh passes.

        A deterministic network makes one pass, and any share is the same. Logits that are not a number are wrong.
        """
        votes = torch.stack([misclassified(self.judge(x), y) for _ in range(self.fresh)]).sum(0)
        return votes > share * self.fresh


def misclassified(logits: Tensor, y: Tensor) -> Tensor:
    """Return (m, bool) where the largest logit is not the true class, or any logit is not a number.

    >>> logits = torch.tensor([[1.0, 2.0], [2.0, 1.0], [float("nan"), 0.0]])
    >>> misclassified(logits, torch.tensor([0, 0, 0])).tolist()
    [True, False, True]
    """
    return (logits.argmax(1) != y) | logits.isnan().any(1)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on whichever device.

    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("shape mismatch"))
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
