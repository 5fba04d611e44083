"""Similarity of blocks: 1 for a copy, whatever a block returns its tensor in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustprune.run.similarity import layer_similarity


class Attended(nn.Module):
    """Returns (tensor, None), as attention layers do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x), None


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Attended(), Attended()])

    def forward(self, x):
        for block in self.blocks:
            x, _ = block(x)
        return x.mean((2, 3))


def test_blocks_that_return_their_tensor_beside_none():
    torch.manual_seed(0)
    net, other, x = Net(), Net(), torch.rand(30, 3, 8, 8)
    assert layer_similarity(net, net, x) == pytest.approx({"blocks.0": 1, "blocks.1": 1})
    assert layer_similarity(net, other, x)["blocks.1"] < 0.9999
