"""Criteria without data against numbers one can compute by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from robustprune.criteria import BnGamma, DepthFirst, DepthLast, Random, ScoringContext, WeightNorm
from robustprune.errors import InputError
from robustprune.models.blocks import find_blocks
from robustprune.models.resnet import CifarResNet


@pytest.fixture
def ctx():
    torch.manual_seed(0)
    net, x = CifarResNet(14, width=4), torch.rand(4, 3, 8, 8)
    return ScoringContext(net, find_blocks(net, x), x, torch.arange(4))


def test_depth_first_removes_the_shallowest_first(ctx):
    names = [block.name for block in ctx.blocks]
    first, last = DepthFirst()(ctx), DepthLast()(ctx)
    assert sorted(names, key=first.get) == names
    assert sorted(names, key=last.get) == names[::-1]


def test_random_follows_the_seed_and_nothing_else(ctx):
    other = ScoringContext(ctx.model, ctx.blocks, ctx.x, ctx.y, seed=1)
    torch.manual_seed(5)
    assert Random()(ctx) == Random()(ctx) != Random()(other)
    draws = [Random(draw=draw) for draw in range(5)]
    assert [draw.name for draw in draws] == ["random", "random-b", "random-c", "random-d", "random-e"]
    assert len({tuple(draw(ctx).values()) for draw in draws}) == 5


def test_random_is_fair(ctx):
    orders = []
    for seed in range(300):
        scores = Random()(ScoringContext(ctx.model, ctx.blocks, ctx.x, ctx.y, seed=seed))
        orders.append(min(scores, key=scores.get))
    counts = [orders.count(block.name) for block in ctx.blocks]
    expected = 300 / len(counts)
    assert sum((count - expected) ** 2 / expected for count in counts) < 20, "chi-squared, 3 degrees of freedom"


def test_weight_norm_is_the_mean_of_all_convolution_weights(ctx):
    for name, score in WeightNorm()(ctx).items():
        block = ctx.model.get_submodule(name)
        values = np.concatenate([block.conv1.weight.detach().ravel(), block.conv2.weight.detach().ravel()])
        assert score == pytest.approx(np.abs(values).mean(), rel=1e-5)


def test_gamma_of_the_last_batchnorm(ctx):
    block = ctx.model.layer2[1]
    nn.init.constant_(block.bn1.weight, 9)
    with torch.no_grad():
        block.bn2.weight.copy_(torch.tensor([-1.0, 0, 0, 0, 0, 0, 0, 3]))
    assert BnGamma()(ctx)["layer2.1"] == pytest.approx(0.5)


def test_blocks_without_batchnorm_or_weights_are_named(ctx):
    ctx.model.layer2[1].bn1 = ctx.model.layer2[1].bn2 = nn.Identity()
    with pytest.raises(InputError, match=r"block layer2.1 has no BatchNorm.*weight-norm"):
        BnGamma()(ctx)
    ctx.model.layer2[1].conv1 = ctx.model.layer2[1].conv2 = nn.Identity()
    with pytest.raises(InputError, match=r"block layer2.1 has no convolution or linear weights"):
        WeightNorm()(ctx)
