"""Shortcuts around module calls: the same numbers, hooks are heard, and networks that look at their layers run."""

import copy

import pytest
import torch
from attack_nets import images
from torch import nn

from robustprune.attacks.engine.lean import attack_copy
from robustprune.attacks.engine.shortcuts import bare, lengthened, shortened


class Named(nn.Module):
    """Calls its layers by name."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.skip = nn.Identity()
        self.linear = nn.Linear(64, 4)

    def forward(self, x):
        return self.linear(torch.relu(self.skip(self.conv(x))).flatten(1))


class Curious(Named):
    """Looks at the weight of a layer that it calls by name."""

    def forward(self, x):
        return super().forward(x) + self.linear.weight.sum()


@pytest.fixture
def x():
    return images(6)


def test_logits_and_gradients_are_the_same_to_the_last_bit(x):
    net = Named().eval()
    short = shortened(copy.deepcopy(net))
    assert {"conv", "skip", "linear"} <= vars(short).keys()
    results = []
    for one in (net, short):
        point = x.clone().requires_grad_()
        logits = one(point)
        results.append((logits, torch.autograd.grad(logits.square().sum(), point)[0]))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert vars(lengthened(short)).keys() == vars(net).keys()


def test_a_layer_that_is_watched_or_changed_is_called_as_ever():
    heard, layer = [], nn.Linear(2, 2)
    assert bare(nn.Linear(2, 2)) is not None
    layer.register_forward_hook(lambda *seen: heard.append(seen))
    net = shortened(nn.ModuleDict({"layer": layer}))
    assert "layer" not in vars(net)
    net.layer(torch.ones(1, 2))
    assert len(heard) == 1
    assert bare(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")) is None
    assert bare(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))) is None


def test_a_network_that_looks_at_its_layers_is_copied_without(x):
    plain, curious = (attack_copy(net.eval().requires_grad_(False), x) for net in (Named(), Curious()))
    assert ("linear" in vars(plain.net), "linear" in vars(curious.net)) == (True, False)
    assert (plain.fallen, curious.fallen) == ((), ())
    assert torch.allclose(curious.net(x), Curious()(x), atol=1e-5)
