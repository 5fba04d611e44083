"""Folding BatchNorm: exact, seen in the flow and not in the names, and refused where it would be wrong."""

import copy

import pytest
import torch
from attack_nets import SmallConv, images
from torch import nn

from robustprune.attacks.engine.fold import conv_bn_pairs, folded
from robustprune.attacks.engine.lean import attack_copy


def test_the_copy_is_the_same_function_with_less_in_it():
    net, x = SmallConv(), images(16)
    before = copy.deepcopy(net.state_dict())
    lean = folded(net, x)
    assert not [m for m in lean.modules() if isinstance(m, nn.BatchNorm2d)]
    assert torch.allclose(lean(x), net(x), atol=1e-5)
    assert not any(parameter.requires_grad for parameter in lean.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


def test_pairs_follow_the_flow_and_not_the_names():
    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn1, self.conv2 = nn.BatchNorm2d(2), nn.Conv2d(1, 2, 3)
            self.conv1, self.bn2 = nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)

        def forward(self, x):
            return self.bn2(self.conv1(torch.relu(self.bn1(self.conv2(x))))).flatten(1)

    net = Crossed().eval()
    assert conv_bn_pairs(net, images(1)) == [(net.conv2, net.bn1), (net.conv1, net.bn2)]


class Twice(nn.Module):
    """One convolution used twice, before two BatchNorms."""

    def __init__(self):
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), nn.BatchNorm2d(1)
        self.two.running_mean += 3

    def forward(self, x):
        return self.two(self.conv(self.one(self.conv(x)))).flatten(1)


class Looked(nn.Module):
    """The convolution's output is also used beside the BatchNorm."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)
        self.bn.running_mean += 3

    def forward(self, x):
        x = self.conv(x)
        return (self.bn(x) + x).flatten(1)


class Untracked(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1, track_running_stats=False)

    def forward(self, x):
        return self.bn(self.conv(x)).flatten(1)


@pytest.mark.parametrize("kind", [Twice, Looked, Untracked])
def test_what_cannot_be_folded_is_left_as_it_is(kind):
    net, x = kind().eval(), images(8)
    assert folded(net, x) is None
    lean = attack_copy(net, x)
    assert not lean.folded
    assert torch.allclose(lean.net(x), net(x), atol=1e-5)


def test_a_network_that_cannot_be_copied_is_attacked_itself():
    class Single(nn.Module):
        def __deepcopy__(self, memo):
            raise TypeError("there is but one")

        def forward(self, x):
            return x.flatten(1)

    net = Single()
    lean = attack_copy(net, images(2))
    assert (lean.net, lean.folded, lean.copied) == (net, False, False)
