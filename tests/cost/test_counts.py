"""Counts against hand calculation, published figures and the file itself."""

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from robustprune.cost.counts import count_macs, count_params, file_bytes
from robustprune.models.resnet import CifarResNet


class Attention(nn.Module):
    """One attention layer, 2 heads, on (n, tokens, width)."""

    def __init__(self, width):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


def test_a_convolution_costs_outputs_times_weights_of_one_output():
    model = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    assert count_macs(model, torch.zeros(1, 3, 10, 10)) == 8 * 5 * 5 * (3 * 3 * 3)


def test_groups_and_depthwise_convolutions_see_their_group_only():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 6, 1, groups=2))
    assert count_macs(model, torch.zeros(1, 8, 6, 6)) == 8 * 4 * 4 * 9 + 6 * 4 * 4 * 4


def test_a_chain_is_the_sum_and_the_rest_is_free():
    layers = [
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 10),
    ]
    assert count_macs(nn.Sequential(*layers), torch.zeros(1, 1, 8, 8)) == 4 * 36 * 9 + 360


def test_the_batch_does_not_matter():
    model = nn.Linear(7, 5)
    assert count_macs(model, torch.zeros(1, 7)) == count_macs(model, torch.zeros(9, 7)) == 35


def test_attention_counts_projections_and_both_products():
    tokens, width = 5, 8
    projections, products = 4 * tokens * width * width, 2 * tokens * tokens * width
    assert count_macs(Attention(width), torch.zeros(1, tokens, width)) == projections + products


def test_counting_leaves_modes_statistics_and_settings_alone():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before, fast = model[1].running_mean.clone(), torch.backends.mha.get_fastpath_enabled()
    count_macs(model, torch.ones(1, 1, 4, 4))
    assert model[1].training
    assert torch.equal(model[1].running_mean, before)
    assert torch.backends.mha.get_fastpath_enabled() == fast


@pytest.mark.parametrize(
    ("depth", "shortcut", "macs"),
    [(20, "A", 40_551_040), (20, "B", 40_813_184), (56, "A", 125_485_696), (56, "B", 125_747_840)],
)
def test_cifar_resnets_cost_what_the_papers_say(depth, shortcut, macs):
    assert count_macs(CifarResNet(depth, shortcut), torch.zeros(1, 3, 32, 32)) == macs


def test_resnet18_costs_what_torchvision_says():
    """torchvision states 1.814 GFLOPS (it means MACs) and 11,689,512 parameters."""
    model = torchvision.models.resnet18()
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta
    macs = count_macs(model, torch.zeros(1, 3, 224, 224))
    assert macs == 1_814_073_344
    assert macs / 1e9 == pytest.approx(weights["_ops"], abs=5e-4)
    assert count_params(model) == weights["num_params"]


def test_shared_parameters_count_once_and_buffers_do_not():
    layer = nn.Linear(4, 4)
    assert count_params(nn.Sequential(layer, layer, nn.BatchNorm1d(4))) == 20 + 8


def test_the_size_is_that_of_the_file(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).to(memory_format=torch.channels_last)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    assert file_bytes(model) == (tmp_path / "model.safetensors").stat().st_size
    assert set(load_file(tmp_path / "model.safetensors")) == set(state)


def test_a_tied_layer_is_written_once():
    layer = nn.Linear(100, 100)
    once, twice = file_bytes(nn.Sequential(layer)), file_bytes(nn.Sequential(layer, layer))
    assert twice == once
    assert once > 4 * 10_100
