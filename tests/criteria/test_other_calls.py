"""Criteria on blocks that return (tensor, None) or go on with a later argument score as on blocks that do not."""

import pytest
import torch
from torch import nn

from robustprune.criteria import Cka, Taylor
from robustprune.criteria.context import ScoringContext
from robustprune.models import find_blocks

X = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3


class Unit(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.conv = kind, nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, first, second=None):
        x = second if self.kind == "second" else first
        y = x + torch.tanh(self.conv(x))
        return (y, None) if self.kind == "pair" else y


class Net(nn.Module):
    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.units, self.head = kind, nn.ModuleList(Unit(kind) for _ in range(3)), nn.Linear(3, 3)

    def forward(self, x):
        for unit in self.units:
            out = unit(torch.ones(1), x) if self.kind == "second" else unit(x)
            x = out[0] if self.kind == "pair" else out
        return self.head(x.mean((2, 3)))


def scores(kind, criterion):
    net = Net(kind).eval()
    return criterion(ScoringContext(net, find_blocks(net, X), X, Y))


@pytest.mark.parametrize("criterion", [Cka(), Taylor()])
@pytest.mark.parametrize("kind", ["pair", "second"])
def test_scores_are_those_of_plain_blocks(kind, criterion):
    plain = scores("plain", criterion)
    assert len(plain) == 3
    assert scores(kind, criterion) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("kind", ["pair", "second"])
def test_influence_is_that_of_plain_blocks(kind):
    nets = [Net(name).eval() for name in (kind, "plain")]
    mine, plain = (ScoringContext(net, find_blocks(net, X), X, Y).influence for net in nets)
    assert mine == pytest.approx(plain, rel=1e-6)
