"""The same shape trained from scratch: nothing of what the weights were is left."""

import pytest
import torch
from tiny_trainings import blobs, recipe, small, weights
from torch import nn

from robustprune.errors import InputError
from robustprune.finetune import RECIPES, finetune
from robustprune.finetune.anew import forget


def trained(model, **settings):
    finetune(model, blobs(), recipe(**settings), seed=3, teacher=small(seed=9))
    return weights(model)


@pytest.mark.parametrize("settings", [{}, {"distill": 0.5, "temperature": 2.0}])
def test_what_was_learned_before_plays_no_part(settings):
    one, other = (trained(small(seed=seed), anew=True, **settings) for seed in (0, 1))
    assert torch.equal(one, other)
    kept, other = (trained(small(seed=seed), **settings) for seed in (0, 1))
    assert not torch.allclose(kept, other)


def test_the_seed_draws_the_initial_weights_as_a_new_network_does():
    torch.manual_seed(5)
    fresh = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3))
    old = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3))
    old[1].running_var.fill_(9.0)
    torch.manual_seed(5)
    forget(old)
    assert torch.equal(weights(old), weights(fresh))


def test_statistics_go_with_the_weights_and_without_any():
    for layer in (nn.BatchNorm2d(2), nn.BatchNorm2d(2, affine=False)):
        layer.running_mean.fill_(7.0)
        forget(nn.Sequential(layer))
        assert layer.running_mean.tolist() == [0.0, 0.0]


def test_frozen_layers_stay():
    net = small()
    before = net[0].weight.clone()
    net[0].requires_grad_(False)
    forget(net)
    assert torch.equal(net[0].weight, before)


def test_what_no_layer_can_draw_is_named():
    class WithToken(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.token = nn.Linear(4, 4), nn.Parameter(torch.zeros(4))

    with pytest.raises(InputError, match=r"anew: WithToken holds 'token' \(1 in all\)"):
        forget(WithToken())


def test_attention_is_drawn_anew():
    layer = nn.MultiheadAttention(8, 2)
    before = layer.in_proj_weight.clone()
    forget(layer)
    assert not torch.equal(layer.in_proj_weight, before)


@pytest.mark.parametrize("settings", [{"train": "head"}, {"recalibrate": True}])
def test_it_is_whole_or_not_at_all(settings):
    with pytest.raises(InputError, match="expected train='all' and no recalibrate"):
        recipe(anew=True, **settings)


def test_a_recipe_has_it():
    assert RECIPES["anew"]().anew
