"""What changed between two networks, on networks whose difference is known by construction."""

from __future__ import annotations

import torch
from planted_models import Masked, Wrapped
from torch import nn

from robustprune.models import CifarResNet
from robustprune.prune import remove
from robustprune.review.anatomy import anatomy, compare
from robustprune.review.anatomy_text import structure_lines

X = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def net(depth=20, width=4):
    return CifarResNet(depth, width=width, in_channels=1)


def changes(before, after):
    return compare(anatomy(before, X), anatomy(after, X))


def test_an_identical_network_has_no_change():
    one = net()
    found = changes(one, one)
    assert found.none
    assert found.same_weights == found.shared_weights > 50
    assert "the structure is the same" in structure_lines(found)
    assert f"weights: all {found.shared_weights} tensors that both hold are equal" in structure_lines(found)


def test_removed_blocks_are_named_and_counted():
    parent = net()
    found = changes(parent, remove(parent, ["layer1.1", "layer3.2"], X))
    assert [(layer.name, layer.kind) for layer in found.gone] == [
        ("layer1.1", "BasicBlock"),
        ("layer3.2", "BasicBlock"),
    ]
    assert found.gone[0].params == sum(p.numel() for p in parent.get_submodule("layer1.1").parameters())
    assert found.blocks == (9, 7)
    assert found.counts["Conv2d"] == (19, 15)
    assert not found.added
    assert not found.altered


def test_another_depth_has_shorter_stages():
    found = changes(net(32), net(20))
    assert found.blocks == (15, 9)
    assert [layer.name for layer in found.gone] == [f"layer{s}.{i}" for s in (1, 2, 3) for i in (3, 4)]
    lines = structure_lines(found)
    assert lines[0] == "residual blocks: 15 -> 9, counting those that cannot be removed"
    assert lines[1].startswith("gone: layer1.3 to layer1.4 (2 BasicBlock, ")


def test_the_reverse_direction_adds():
    found = changes(net(20), net(32))
    assert not found.gone
    assert [layer.name for layer in found.added][:2] == ["layer1.3", "layer1.4"]


def test_another_width_is_altered_layer_by_layer():
    found = changes(net(width=4), net(width=8))
    assert "conv1.weight: (4, 1, 3, 3) -> (8, 1, 3, 3)" in found.altered
    assert not found.gone
    assert found.blocks == (9, 9)


def test_a_wrapper_is_seen_as_one_and_what_it_adds_is_named():
    wrapped = Wrapped()
    found = changes(wrapped.net, wrapped)
    assert found.wrapper == "the candidate is a Wrapped that holds the parent's layers in its 'net'"
    assert [(layer.name, layer.kind, layer.params) for layer in found.added] == [("head", "Softplus", 0)]
    assert not found.gone
    assert found.same_weights == found.shared_weights


def test_a_parent_that_wraps_the_candidate_loses_what_is_around_it():
    wrapped = Wrapped()
    found = changes(wrapped, wrapped.net)
    assert found.wrapper == "the parent is a Wrapped that holds the candidate's layers in its 'net'"
    assert [layer.name for layer in found.gone] == ["head"]


def test_another_class_with_the_same_layers_is_altered():
    found = changes(CifarResNet(14, width=8, in_channels=1), Masked(14, width=8, in_channels=1))
    assert found.altered == ("the network: class CifarResNet -> Masked",)
    assert not found.none


def test_weights_that_differ_are_counted():
    torch.manual_seed(0)
    one, other = net(), net()
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        other.linear.bias += 1
    found = changes(one, other)
    assert found.shared_weights - found.same_weights == 1


class Attributes(nn.Module):
    """Blocks as attributes: what goes leaves a stand-in behind, since the forward calls it by name."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), Residual()
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        return self.out(self.second(self.first(x.flatten(1))))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 64)

    def forward(self, x):
        return x + self.inner(x)


def test_a_stand_in_without_weights_counts_as_gone():
    parent = Attributes()
    found = changes(parent, remove(parent, ["second"], X))
    assert [layer.name for layer in found.gone] == ["second"]
    assert found.blocks == (1, 0)
    assert not found.altered


def test_networks_without_a_common_name_are_described_by_counts():
    found = changes(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), Attributes())
    assert found.counts["Linear"] == (1, 3)
    assert "weights: none has a name that both networks know" in structure_lines(found)
