import copy
import functools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from robustprune.errors import InputError
from robustprune.models import CifarResNet, cifar10_resnet, find_blocks, load_weights, resnet4b
from robustprune.models.resnet import Subsample
from robustprune.prune import remove

A_BLOCK = 4_718_592


def macs(model):
    """Multiply-accumulates of convolutions and linear layers for a 3 x 32 x 32 image, counted in hooks."""
    total: list[int] = []
    model = copy.deepcopy(model).eval()

    def count(module, args, out):
        if isinstance(module, nn.Conv2d):
            total.append(out[0].numel() * module.weight[0].numel())
        elif isinstance(module, nn.Linear):
            total.append(module.weight.numel())

    for module in model.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.rand(1, 3, 32, 32))
    return sum(total)


@functools.cache
def parent_and_blocks(depth, shortcut):
    parent = CifarResNet(depth, shortcut)
    return parent, {block.name: block for block in find_blocks(parent, torch.rand(1, 3, 8, 8))}, macs(parent)


@pytest.mark.parametrize(
    ("depth", "b", "a"),
    [
        (56, 125_747_840, 125_485_696),
        (44, 97_436_288, 97_174_144),
        (32, 69_124_736, 68_862_592),
        (20, 40_813_184, 40_551_040),
    ],
)
def test_published_macs(depth, b, a):
    assert macs(CifarResNet(depth, "B")) == b
    assert macs(CifarResNet(depth, "A")) == a


def test_macs_of_resnet110_in_millions():
    assert round(macs(CifarResNet(110, "B")) / 1e6, 2) == 253.15


@pytest.mark.parametrize(
    ("depth", "shortcut", "removed", "percent"),
    [
        (56, "B", 10, 37.52),
        (56, "B", 15, 56.29),
        (56, "B", 16, 60.04),
        (56, "B", 19, 71.30),
        (56, "B", 20, 75.05),
        (56, "B", 21, 78.80),
        (56, "A", 10, 37.60),
        (56, "A", 15, 56.40),
        (56, "A", 21, 78.97),
        (110, "B", 27, 50.33),
        (110, "B", 41, 76.42),
        (110, "B", 48, 89.47),
        (44, "B", 11, 53.27),
        (32, "B", 8, 54.61),
    ],
)
def test_published_reductions(depth, shortcut, removed, percent):
    parent, blocks, whole = parent_and_blocks(depth, shortcut)
    candidates = [f"layer{stage}.{index}" for index in range(1, (depth - 2) // 6) for stage in (3, 1, 2)]
    pruned = remove(parent, [blocks[name] for name in candidates[:removed]])
    left = macs(pruned)
    assert whole - left == removed * A_BLOCK
    assert round(100 * (1 - left / whole), 2) == percent


def data(name):
    root = os.environ.get("ROBUSTPRUNE_DATA")
    if not root or not (Path(root) / name).exists():
        pytest.skip(f"ROBUSTPRUNE_DATA does not name a folder with {name}")
    return Path(root) / name


@pytest.mark.parametrize(
    ("model", "file", "correct"),
    [
        (lambda: cifar10_resnet(20), "cifar10_resnet20-12fca82f.th", 915),
        (lambda: cifar10_resnet(32), "cifar10_resnet32-d509ac18.th", 928),
        (lambda: cifar10_resnet(56), "cifar10_resnet56-4bfd9763.th", 926),
        (resnet4b, "cifar10_robust_resnet4b.pth", 771),
    ],
)
def test_published_weights_predict_as_published(model, file, correct):
    net = load_weights(model(), data(f"checkpoints/{file}")).eval()
    with np.load(data("cifar10/test_first_1000.npz")) as stored:
        x, y = torch.from_numpy(stored["x"]).permute(0, 3, 1, 2) / 255, torch.from_numpy(stored["y"]).long()
    with torch.no_grad():
        predicted = torch.cat([net(batch).argmax(1) for batch in x.split(125)])
    assert int((predicted == y).sum()) == correct


@pytest.mark.parametrize(("height", "width"), [(32, 32), (7, 10), (1, 1)])
def test_option_a_is_a_strided_1x1_convolution_with_fixed_weights(height, width):
    x = torch.rand(2, 4, height, width)
    kernel = torch.zeros(8, 4, 1, 1)
    kernel[2:6, :, 0, 0] = torch.eye(4)
    torch.testing.assert_close(Subsample(2, 4)(x), functional.conv2d(x, kernel, stride=2))


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 9, 5), (2, 1, 3)])
def test_any_input_size(shortcut, channels, height, width):
    net = CifarResNet(8, shortcut, in_channels=channels, classes=7, width=3)
    assert net(torch.rand(2, channels, height, width)).shape == (2, 7)


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_depth_counts_convolutions_and_the_linear_layer(depth):
    net = CifarResNet(depth, "A", width=2)
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in net.modules()) == depth
    projections = {name for name in CifarResNet(depth, "B", width=2).state_dict() if "shortcut" in name}
    assert {name.rsplit(".", 2)[0] for name in projections} == {"layer2.0.shortcut", "layer3.0.shortcut"}


def test_normalisation_is_inside():
    torch.manual_seed(0)
    net = CifarResNet(8, in_channels=1, width=2, mean=[0.5], std=[0.25]).eval()
    bare = CifarResNet(8, in_channels=1, width=2).eval()
    bare.load_state_dict(net.state_dict())
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(net(x), bare((x - 0.5) / 0.25))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 52}, "50 or 56"),
        ({"depth": 57}, "56 or 62"),
        ({"depth": 2}, "8 or 14"),
        ({"depth": 20, "shortcut": "C"}, "'A'"),
        ({"depth": 20, "width": 0}, "width 0"),
        ({"depth": 20, "mean": [0.5] * 3}, "neither"),
        ({"depth": 20, "in_channels": 1, "mean": [0.5] * 3, "std": [0.5] * 3}, "1 values"),
    ],
)
def test_refuses_what_cannot_be_built(arguments, message):
    with pytest.raises(InputError, match=message):
        CifarResNet(**arguments)
