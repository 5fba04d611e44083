"""Networks that behave otherwise under attack than in service, each in its own way; and two that do not."""

from __future__ import annotations

import sys

import torch
from torch import nn

CALLS = [0]


class Honest(nn.Module):
    """Two layers; `hard` rounds its input first, and so has no gradient to follow."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.inner, self.outer = nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 10)

    def plain(self, x):
        return self.outer(torch.relu(self.inner(self.flat(x))))

    def hard(self, x):
        return self.plain((x * 3).round() / 3)

    def forward(self, x):
        return self.hard(x) if self.watched(x) else self.plain(x)

    def watched(self, x):
        return False


class Normalised(Honest):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(64)

    def plain(self, x):
        return self.outer(torch.relu(self.inner(self.norm(self.flat(x)))))


class ByBatch(Honest):
    def watched(self, x):
        return len(x) >= 4


class ByCalls(Honest):
    def watched(self, x):
        CALLS[0] += 1
        return CALLS[0] > 3


class ByGradMode(Honest):
    def watched(self, x):
        return torch.is_grad_enabled()


class ByInput(Honest):
    def watched(self, x):
        return x.requires_grad


class ByModules(Honest):
    def watched(self, x):
        return "robustprune" in sys.modules


class ByCopy(Honest):
    """Its copies compute the same, and hide the way there."""

    def __deepcopy__(self, memo):
        other = Hidden()
        other.load_state_dict(self.state_dict())
        return other.eval()


class Hidden(Honest):
    def plain(self, x):
        return super().plain(x.detach()) + 0 * x.sum()


class ByWeights(Honest):
    """Its weights are what they are only while they are frozen."""

    def watched(self, x):
        return not self.inner.weight.requires_grad


class Quits(Honest):
    """Ends the process that asks it."""

    def forward(self, x):
        sys.exit(0)
