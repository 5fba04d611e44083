import pytest
import torch
from torch import nn

from robustprune.models import evaluating, frozen


def network():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 3)).train()
    model[1].eval()
    model[4].bias.requires_grad_(False)
    return model


def flags(model):
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("context", [evaluating, frozen])
def test_own_flags_come_back_also_after_an_error(context):
    model = network()
    before, grads = flags(model), [weights.requires_grad for weights in model.parameters()]
    with context(model) as same:
        assert same is model
        assert not any(flags(model))
    assert flags(model) == before
    with pytest.raises(ZeroDivisionError), context(model):
        raise ZeroDivisionError
    assert flags(model) == before
    assert [weights.requires_grad for weights in model.parameters()] == grads


def test_train_and_eval_of_the_owner_are_not_called():
    class Merging(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("merges weights")

    with evaluating(Merging(1, 1)) as model:
        assert not model.training
    assert model.training


def test_frozen_leaves_gradients_exactly():
    model = network()
    model(torch.rand(2, 1, 4, 4)).sum().backward()
    before = [(weights.grad, None if weights.grad is None else weights.grad.clone()) for weights in model.parameters()]
    x = torch.rand(2, 1, 4, 4, requires_grad=True)
    with frozen(model):
        assert not any(weights.requires_grad for weights in model.parameters())
        model(x).sum().backward()
        for weights in model.parameters():
            weights.grad = torch.full_like(weights, 7.0)
    assert x.grad.abs().sum() > 0
    for weights, (gradient, values) in zip(model.parameters(), before, strict=True):
        assert weights.grad is gradient
        assert gradient is None or torch.equal(gradient, values)
