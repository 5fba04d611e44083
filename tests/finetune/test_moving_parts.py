"""Training a part of a network: what moves, and that the rest stays bit by bit."""

import copy

import pytest
import torch
from tiny_trainings import blobs, recipe, small
from torch import nn

from robustprune.errors import InputError
from robustprune.finetune import Adversarial, finetune, next_to
from robustprune.finetune.parts import moving
from robustprune.models import CifarResNet
from robustprune.prune import remove


def resnet():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return CifarResNet(20, width=2, in_channels=1)


def changed(before, model):
    """Names of parameters and buffers that are no longer what they were."""
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


def trained(model, near=(), **settings):
    before = copy.deepcopy(model.state_dict())
    settings = {"epochs": 1, "lr": 0.1, **settings}
    finetune(model, blobs(24), recipe(**settings), seed=0, near=near, teacher=copy.deepcopy(model))
    return changed(before, model)


def of(model, names):
    """Every parameter and buffer below these modules."""
    return {key for key in model.state_dict() if any(key.startswith(f"{name}.") for name in names)}


def test_all_moves_everything():
    model = resnet()
    assert trained(model) == {*model.state_dict()}


def test_only_norm_layers_move_and_their_statistics():
    model = resnet()
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert trained(model, train="norms") == of(model, norms)


@pytest.mark.parametrize(
    "settings", [{}, {"adversarial": Adversarial(eps=0.1, steps=2, gamma=0.01)}, {"hold_out": 0.2}]
)
def test_only_the_head_moves_and_no_running_statistic(settings):
    model = resnet()
    last = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    assert trained(model, train="head", **settings) == of(model, [last])


def test_only_what_stands_next_to_a_cut_moves():
    parent = resnet()
    gone = ["layer1.1", "layer3.2"]
    pruned = remove(parent, gone, torch.rand(2, 1, 8, 8))
    near = next_to(parent, gone)
    assert near[:3] == ("layer1.0", "layer1.2", "layer3.1")
    assert isinstance(parent.get_submodule(near[3]), nn.Linear)
    assert trained(pruned, near, train="near") == of(pruned, near)


def test_without_a_cut_near_is_all():
    model = resnet()
    assert trained(model, train="near") == {*model.state_dict()}


def test_a_head_is_trained_as_it_would_be_on_the_features_of_the_rest():
    """The rest is a fixed function: training the head of the network is training it alone on what comes before."""
    model, data = small(dropout=0.5), blobs(24)
    alone, body = copy.deepcopy(model[-1]), copy.deepcopy(model[:-1]).eval()
    finetune(model, data, recipe(epochs=1, batch_size=24, train="head"), seed=0)
    nn.functional.cross_entropy(alone(body(data.x)), data.y).backward()
    slope = alone.weight.grad + 5e-4 * alone.weight.detach()
    assert torch.allclose(model[-1].weight, alone.weight.detach() - 0.05 * 1.9 * slope, atol=1e-6)


def test_flags_come_back_and_what_its_owner_froze_stays():
    model = small().train()
    model[0].eval()
    model[1].weight.requires_grad_(False)
    flags = [(module.training, [p.requires_grad for p in module.parameters()]) for module in model.modules()]
    found = trained(model, train="norms")
    assert found == {"1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert [(m.training, [p.requires_grad for p in m.parameters()]) for m in model.modules()] == flags


def test_flags_come_back_after_an_error():
    model = small()

    def fails():
        with moving(model, "head"):
            assert [parameter.requires_grad for parameter in model.parameters()] == [False] * 4 + [True] * 2
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_network_without_such_a_part_is_refused():
    with pytest.raises(InputError, match="train='norms': Sequential has no such layer"):
        finetune(small(norm=False), blobs(12), recipe(train="norms"), seed=0)


class Nested(nn.Module):
    """A stem, two stages of blocks in lists within lists, something without weights, and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 1, 3)
        self.stages = nn.ModuleList([nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(2))) for _ in range(2)])
        self.nothing, self.pool, self.head = None, nn.Flatten(), nn.Linear(4, 2)


@pytest.mark.parametrize(
    ("removed", "near"),
    [
        (["stages.0.0"], ("stem", "stages.0.1")),
        (["stages.0.1"], ("stages.0.0", "stages.1.0")),
        (["stages.0.0", "stages.0.1"], ("stem", "stages.1.0")),
        (["stages.1.1"], ("stages.1.0", "head")),
        (["stages.0.1", "stages.1.0", "stages.1.1"], ("stages.0.0", "head")),
        (["stages.0.0", "stages.1.1"], ("stem", "stages.0.1", "stages.1.0", "head")),
        (["stem"], ("stages.0.0",)),
        ([], ()),
    ],
)
def test_neighbours_are_looked_for_outwards(removed, near):
    assert next_to(Nested(), removed) == near
