"""Every unit is listed, and of those that cannot go the operation that forbids it is named."""

import pytest
import torch
from block_zoo import Gated, NotRemovable, Residual, Shared, images, nested, plain_cnn, small_net
from torch import nn

from robustprune.models import CifarResNet, find_blocks, survey

X = images(2, 3, 16, 16)


def reasons(model, x=X):
    return {unit.name: unit.reason for unit in survey(model.eval(), x).units if unit.block is None}


def test_all_units_of_a_resnet_with_the_blocks_that_are_found():
    model = CifarResNet(14, "B", width=4).eval()
    found = survey(model, X)
    assert [unit.name for unit in found.units] == [f"layer{stage}.{index}" for stage in (1, 2, 3) for index in (0, 1)]
    assert found.blocks == find_blocks(model, X)
    assert found.remark == ""
    assert reasons(model)["layer2.0"] == (
        "the skip path has a convolution (layer2.0.shortcut.0), its input 4x16x16 and output 8x8x8 differ"
    )


def test_units_in_units():
    small = survey(nested().eval(), X, unit="smallest")
    assert [unit.name for unit in small.units if unit.block][:2] == ["2.0.0.position", "2.0.0.response"]
    assert [unit.name for unit in survey(nested().eval(), X).units] == ["2.0.0", "2.0.1", "2.1.0", "2.1.1"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("norm after", r"the skip path has a batch normalisation (2.norm)"),
        ("scaled", "the skip path has a multiplication (2)"),
        ("joined by a view", "the skip path has a transpose that is not undone"),
        ("doubled", "the skip path has an addition of something not computed from its input with weights (2)"),
        ("two branches", "the skip path has a convolution (2.conv)"),
    ],
)
def test_the_operation_that_forbids_it(kind, reason):
    assert reasons(small_net(NotRemovable(kind), Residual()))["2"] == reason


class Returning(Residual):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        return self.what(x, super().forward(x))


class Taking(nn.Module):
    """The network around it, which takes what it needs."""

    def __init__(self, what, take):
        super().__init__()
        self.stem, self.block, self.take = nn.Conv2d(3, 4, 1), Returning(what), take

    def forward(self, x):
        return self.take(self.block(self.stem(x))).mean((2, 3))


@pytest.mark.parametrize(
    ("what", "take", "reason"),
    [
        (lambda x, y: (y, x), lambda out: out[0], "it returns 2 tensors, expected one"),
        (lambda x, y: {"y": y}, lambda out: out["y"], "it returns dict, expected one tensor or (tensor, None)"),
        (
            lambda x, y: (y, 3),
            lambda out: out[0],
            "it returns more than a tensor, expected one tensor or (tensor, None)",
        ),
        (lambda x, y: y.double(), lambda out: out.float(), "the skip path has the operation _to_copy (block), "),
    ],
)
def test_what_it_returns(what, take, reason):
    found = reasons(Taking(what, take))
    assert found["block"].startswith(reason)


def test_calls_and_weights_outside():
    assert reasons(Shared(mixed=True))["block"] == "nothing is added to what it is given"

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.one = nn.Conv2d(3, 4, 1), Gated()

        def forward(self, x):
            return self.one(self.stem(x), True).mean((2, 3)) @ self.one.conv.weight.mean((2, 3))

    assert reasons(Reader())["one"] == "its weights are read outside it too"


def traced(way):
    model = CifarResNet(8, width=2).eval()
    ways = {
        "fx": torch.fx.symbolic_trace,
        "jit": lambda net: torch.jit.trace(net, X),
        "script": torch.jit.script,
        "export": lambda net: torch.export.export(net, (X,)).module(),
    }
    return ways[way](model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("way", ["fx", "jit", "script", "export"])
def test_a_traced_graph_says_so(way):
    found = survey(traced(way), X)
    assert found.blocks == []
    assert "a traced graph has no blocks" in found.remark


def test_why_there_are_none():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).eval()
    assert survey(encoder, images(2, 5, 8)).remark == (
        "none of 1 units of TransformerEncoder can go; "
        "layers.0: the skip path has a layer normalisation (layers.0.norm1)"
    )
    assert "there is no skip path" in survey(plain_cnn().eval(), X).remark


class Pair(nn.Module):
    """Two streams, each with a skip path of its own, as Transformer-in-Transformer has them."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)

    def forward(self, fine, coarse):
        fine = fine + self.fine(fine)
        return fine, coarse + self.coarse(fine)


class Streams(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Pair(), Pair()])

    def forward(self, x):
        fine, coarse = x, x.flip(3)
        for block in self.blocks:
            fine, coarse = block(fine, coarse)
        return coarse.mean((2, 3))


def test_blocks_of_two_tensors_are_named_with_the_reason():
    assert reasons(Streams()) == dict.fromkeys(("blocks.0", "blocks.1"), "it returns 2 tensors, expected one")
