"""Ablation loss against networks that are really pruned."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from robustprune.criteria import AblationLoss, OnInputs, ScoringContext
from robustprune.criteria.behaviour import mean_loss
from robustprune.models.blocks import find_blocks
from robustprune.models.resnet import CifarResNet
from robustprune.prune import remove


@pytest.fixture
def ctx():
    torch.manual_seed(0)
    net, x = CifarResNet(14, width=4).eval(), torch.rand(6, 3, 16, 16)
    return ScoringContext(net, find_blocks(net, x), x, torch.arange(6), batch_size=4)


def loss(net, x, y):
    with torch.no_grad():
        return cross_entropy(net.eval()(x), y).item()


def test_ablation_loss_is_that_of_the_pruned_network(ctx):
    for block in ctx.blocks:
        rise = loss(remove(ctx.model, [block]), ctx.x, ctx.y) - loss(ctx.model, ctx.x, ctx.y)
        assert AblationLoss()(ctx)[block.name] == pytest.approx(rise, abs=1e-4)


def test_ablation_loss_on_given_adversarial_inputs(ctx):
    """The step is made against the scored network, and every pruned network sees the same images."""

    def step(model, x, y):
        x = x.clone().requires_grad_(True)
        gradient = torch.autograd.grad(cross_entropy(model.eval()(x), y), x)[0]
        return (x.detach() + 8 / 255 * gradient.sign()).clamp(0, 1)

    attacked = step(ctx.model, ctx.x, ctx.y)
    scores = OnInputs(criterion=AblationLoss(), inputs=step)(ctx)
    for block in ctx.blocks:
        rise = loss(remove(ctx.model, [block]), attacked, ctx.y) - loss(ctx.model, attacked, ctx.y)
        assert scores[block.name] == pytest.approx(rise, abs=1e-4)
    assert scores != pytest.approx(AblationLoss()(ctx), abs=1e-3)


def test_mean_loss_is_cross_entropy():
    logits, labels = 30 * torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 4
    assert mean_loss(logits.double().numpy(), labels.numpy()) == pytest.approx(cross_entropy(logits, labels).item())
