"""Counts against hand calculation, published figures and the file itself."""

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from robustprune.cost import measure
from robustprune.cost.counts import count_macs, count_params, counted_macs, file_bytes
from robustprune.errors import InputError
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


def last(rnn):
    """What a recurrent layer gives at the last of its steps, of images (n, 16, 8, 8) as 64 steps."""
    return Through(rnn, lambda rnn, x: rnn(x.flatten(2).transpose(1, 2))[0][:, -1])


class Through(nn.Module):
    """Layers, and how they are used."""

    def __init__(self, layers, use):
        super().__init__()
        self.layers, self.use = layers, use

    def forward(self, x):
        return self.use(self.layers, x)


class Deformable(nn.Module):
    def __init__(self):
        super().__init__()
        self.offset = nn.Conv2d(16, 18, 3, padding=1)
        self.conv = torchvision.ops.DeformConv2d(16, 8, 3, padding=1, groups=2)

    def forward(self, x):
        return self.conv(x, self.offset(x))


class Queried(nn.Module):
    """Attention pooling with a learned query that is expanded over the batch."""

    def __init__(self):
        super().__init__()
        self.query, self.attention = nn.Parameter(torch.randn(1, 1, 16)), nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(self.query.expand(len(x), -1, -1), tokens, tokens)[0]


WEIGHT = torch.randn(10, 16)


@pytest.mark.parametrize(
    ("net", "macs"),
    [
        (Deformable(), 64 * 18 * 16 * 9 + 64 * 8 * 8 * 9),
        (last(nn.LSTM(16, 8, batch_first=True)), 64 * 4 * 8 * (16 + 8)),
        (last(nn.LSTM(16, 8, 2, batch_first=True, bidirectional=True)), 2 * 64 * 4 * 8 * (16 + 8 + 16 + 8)),
        (last(nn.GRU(16, 8, batch_first=True)), 64 * 3 * 8 * (16 + 8)),
        (last(nn.RNN(16, 8, batch_first=True)), 64 * 8 * (16 + 8)),
        (Through(WEIGHT, lambda w, x: torch.stack([w @ v for v in x.mean((2, 3))])), 160),
        (Through(WEIGHT, lambda w, x: torch.addmv(torch.zeros(10), w, x[0, :, 0, 0])), 160),
        (Through(WEIGHT, lambda w, x: torch.einsum("ki,nihw->nkhw", w, x)), 64 * 160),
        (Through(None, lambda _, x: x[0].flatten(1) @ x[0].flatten(1).T), 16 * 16 * 64),
        (Queried(), 16 * 16 * (1 + 2 * 64 + 1) + 2 * 64 * 16),
    ],
    ids=["deformable", "lstm", "two-way lstm", "gru", "rnn", "vector", "addmv", "einsum", "product", "query"],
)
def test_every_product_is_counted_by_hand(net, macs):
    assert counted_macs(net.eval(), torch.rand(2, 16, 8, 8)) == (macs, ())


@pytest.mark.parametrize(
    ("use", "name"),
    [
        (lambda layer, x: layer(x[:, :, 0, 0], x[:, :, 1, 0]), "aten._trilinear"),
        (lambda layer, x: torch.cdist(x.flatten(2), x.flatten(2)), "aten._cdist_forward"),
    ],
)
def test_what_multiplies_and_is_not_counted_is_named(use, name):
    net, x = Through(nn.Bilinear(16, 16, 4), use), torch.rand(1, 16, 8, 8)
    assert counted_macs(net, x) == (0, (name,))
    with pytest.warns(UserWarning, match=name):
        assert count_macs(net, x) == 0
    assert measure(net, x, batches=(1,), seconds=0.01).not_counted == (name,)


@pytest.mark.filterwarnings("ignore")
def test_packed_weights_are_counted_or_their_layer_is_named():
    quantise = torch.ao.quantization.quantize_dynamic
    net = quantise(nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).eval(), {nn.Linear})
    assert counted_macs(net, torch.rand(3, 1, 8, 8)) == (64 * 32 + 32 * 10, ())
    assert count_params(net) == 64 * 32 + 32 + 32 * 10 + 10
    with pytest.raises(InputError, match=r"file size: 1\._packed_params"):
        file_bytes(net)
    with pytest.raises(InputError, match=r"parameters: 0\._all_weight_values\.0"):
        count_params(quantise(nn.Sequential(nn.LSTM(8, 4)), {nn.LSTM}))


def test_counting_casts_copies_and_says_what_does_not_run():
    class Eager(nn.Sequential):
        def forward(self, x):
            return super().forward(x.sub_(0.5))

    x = torch.rand(2, 1, 4, 4)
    before = x.clone()
    cost = measure(Eager(nn.Flatten(), nn.Linear(16, 2)).double(), x, batches=(1,), seconds=0.01)
    assert cost.macs == 32
    assert torch.equal(x, before)
    with pytest.raises(InputError, match=r"fails on input \(1, 1, 4, 4\): RuntimeError: .*channels"):
        count_macs(nn.Conv2d(3, 4, 1), x)
