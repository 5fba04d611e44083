"""Hints: a student is compared with its teacher at the end of each stage, and comes closer there."""

import copy

import pytest
import torch
from tiny_trainings import recipe
from torch import nn
from torch.nn import functional as F

from robustprune.data import Split
from robustprune.errors import InputError
from robustprune.finetune import finetune
from robustprune.finetune.features import Ends, ends_of
from robustprune.finetune.losses import batch_loss, prepared
from robustprune.models.resnet import CifarResNet
from robustprune.models.vit import VisionTransformer
from robustprune.prune import remove

GONE = ["layer1.2", "layer2.1", "layer3.1", "layer3.2"]


def parent():
    torch.manual_seed(0)
    return CifarResNet(20, in_channels=1, mean=[0.5], std=[0.5], width=4).eval()


def images(n=24):
    draws = torch.Generator().manual_seed(1)
    return Split(torch.rand(n, 1, 8, 8, generator=draws), torch.arange(n) % 10)


def stages(net, x):
    """What comes out of the stages, by running the layers by hand."""
    x = F.relu(net.bn1(net.conv1(net.normalize(x))))
    found = []
    for layer in (net.layer1, net.layer2, net.layer3):
        x = layer(x)
        found.append(x)
    return found


@torch.no_grad()
def relative(net, teacher, x):
    pairs = zip(stages(net, x), stages(teacher, x), strict=True)
    return sum(float(((a - b) ** 2).sum() / (b**2).sum()) for a, b in pairs) / 3


def test_the_loss_is_what_one_computes_by_hand():
    teacher, data = parent(), images()
    student, with_hints, without = remove(teacher, GONE).eval(), recipe(distill=0.5, features=2.0), recipe(distill=0.5)
    draws, ends = torch.Generator(), ends_of(student, teacher, data.x)
    with torch.no_grad():
        batch = prepared(student, data.x, data.y, with_hints, teacher, draws, ends)
        more, _ = batch_loss(student, batch, with_hints)
        less, _ = batch_loss(student, prepared(student, data.x, data.y, without, teacher, draws), without)
        assert float(more - less) == pytest.approx(2 * relative(student, teacher, data.x), rel=1e-4)
        assert relative(student, teacher, data.x) > 0.01


def test_a_network_beside_itself_has_nothing_to_learn_from_hints():
    teacher, data = parent(), images()
    twin, settings = copy.deepcopy(teacher), recipe(distill=1.0, features=5.0)
    batch = prepared(twin, data.x, data.y, settings, teacher, torch.Generator(), ends_of(twin, teacher, data.x))
    loss, _ = batch_loss(twin, batch, settings)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)


def test_training_on_hints_brings_the_stages_closer():
    """Beside the same training without them; the teacher is left as it was."""
    teacher, data, gaps = parent(), images(64), {}
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    for weight in (0.0, 3.0):
        student = remove(teacher, GONE)
        finetune(student, data, recipe(epochs=6, distill=0.9, features=weight), seed=0, teacher=teacher)
        gaps[weight] = relative(student.eval(), teacher, data.x)
    assert gaps[3.0] < 0.8 * gaps[0.0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not any(module._forward_hooks for net in (student, teacher) for module in net.modules())


def test_a_stage_ends_in_what_is_left_of_it():
    teacher = parent()
    student = remove(teacher, ["layer1.1", "layer1.2", "layer2.1"])
    ends = ends_of(student, teacher, images().x)
    ours = [student.layer1[0], student.layer2._modules["2"], student.layer3[2]]
    assert list(map(id, ends.student)) == list(map(id, ours))
    theirs = [teacher.layer1[2], teacher.layer2[2], teacher.layer3[2]]
    assert list(map(id, ends.teacher)) == list(map(id, theirs))


def test_a_transformer_has_one_stage():
    torch.manual_seed(0)
    net = VisionTransformer(size=8, patch=4, in_channels=1, width=8, layers=2, heads=2, norm="layer").eval()
    found = ends_of(net, net, images().x)
    assert len(found.student) == 1
    assert found.student[0] is found.teacher[0]


def test_what_cannot_be_compared_is_said():
    data = images()
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(InputError, match="no residual blocks"):
        finetune(copy.deepcopy(flat), data, recipe(distill=0.5, features=1.0), seed=0, teacher=flat)
    with pytest.raises(InputError, match=r"up to layer1\.2 the student has none"):
        finetune(flat, data, recipe(distill=0.5, features=1.0), seed=0, teacher=parent())
    with pytest.raises(InputError, match=r"distill=0 with features=1\.0"):
        recipe(features=1.0)
    assert not Ends().student
