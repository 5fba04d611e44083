import pytest
import torch
from block_zoo import (
    ARCHITECTURES,
    REMOVABLE,
    MlpWithSkip,
    NotRemovable,
    PreActivation,
    Removable,
    Residual,
    Shared,
    SqueezeExcitation,
    WritesToInput,
    expected,
    images,
    lively,
    made,
    plain_cnn,
    small_net,
)
from bypassing import bypass
from torch import nn
from torchvision.models import densenet121, vit_b_16

from robustprune.errors import InputError
from robustprune.models import CifarResNet, find_blocks, weights_hash
from robustprune.models.blocks import resolve
from robustprune.models.skip import make_skip

X = images(3, 3, 16, 16)
COUNTS = {"resnet18": 5, "resnet50": 12, "mobilenet_v2": 10, "convnext_tiny": 18, "small vit": 4}


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def names(model, x=X):
    return [block.name for block in find_blocks(model, x)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_finds_exactly_the_residual_units(name):
    model, x = made(name)
    blocks = find_blocks(model, x)
    assert [block.name for block in blocks] == expected(name, model)
    assert len(blocks) == COUNTS.get(name, len(blocks))
    assert all(model.get_submodule(block.name) is not model for block in blocks)
    assert all(f"{block.container}.{block.name.split('.')[-1]}".strip(".") == block.name for block in blocks)


def test_vit_b_16_and_other_models_without_numbers():
    with torch.device("meta"):
        vit, x = vit_b_16(), torch.empty(1, 3, 224, 224)
    assert names(vit, x) == [f"encoder.layers.encoder_layer_{index}" for index in range(12)]


def test_resnet56_has_nine_eight_eight():
    blocks = find_blocks(CifarResNet(56, width=4), images(1, 3, 32, 32))
    stages = [[block for block in blocks if block.stage == stage] for stage in range(3)]
    assert [len(stage) for stage in stages] == [9, 8, 8]
    assert len(blocks) == 25
    assert [stage[0].shape for stage in stages] == [(4, 32, 32), (8, 16, 16), (16, 8, 8)]
    assert [block.name for block in blocks if block.first] == ["layer1.0"]
    assert [block.position for block in stages[1]] == list(range(1, 9))


@pytest.mark.parametrize("example", [images(2, 1, 7, 11), images(1, 1, 8, 8)])
def test_any_size_and_channels(example):
    assert len(find_blocks(CifarResNet(14, "B", in_channels=1, width=2), example)) == 4


@pytest.mark.parametrize("model", [plain_cnn(), densenet121(), small_net(SqueezeExcitation()), nn.Linear(4, 4)])
def test_nothing_without_skip_paths(model):
    x = torch.rand(2, 4) if isinstance(model, nn.Linear) else images(2, 3, 32, 32)
    assert find_blocks(model.eval(), x) == []


@pytest.mark.parametrize(
    "kind",
    [
        "doubled",
        "constant",
        "two branches",
        "norm after",
        "scaled",
        "weightless",
        "shifted",
        "product",
        "halved in place",
        "halved through a view",
        "weights unused",
        "joined by a view",
    ],
)
def test_units_without_a_skip_path(kind):
    assert names(small_net(NotRemovable(kind), Residual())) == ["3"]


@pytest.mark.parametrize("kind", REMOVABLE.split(","))
def test_ways_to_write_a_skip_path(kind):
    model = small_net(Removable(kind)).eval()
    assert names(model) == ["2"]
    with torch.no_grad(), bypass(model, ["2"]):
        torch.testing.assert_close(model(X), model[3](model[:2](X)))


def test_the_outermost_unit_is_the_block_and_the_smallest_on_request():
    inner = nn.Sequential(MlpWithSkip(16), nn.Linear(16, 16))

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return x + self.inner(x)

    model = small_net(Outer())
    assert names(model) == ["2"]
    assert [block.name for block in find_blocks(model, X, unit="smallest")] == ["2.inner.0"]
    assert [block.name for block in find_blocks(model, X, unit="branch")] == ["2"]
    with pytest.raises(InputError, match=r"unit='largest'.*outermost, smallest, branch"):
        find_blocks(model, X, unit="largest")
    assert [block.name for block in resolve(model, ["2.inner.0"], X)] == ["2.inner.0"]
    with pytest.raises(InputError, match=r"2\.inner\.0 lies in 2"):
        resolve(model, ["2.inner.0", "2"], X)


def test_wrapped_blocks_form_one_stage():
    layers = [nn.Sequential(Residual(), nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(3)]
    blocks = find_blocks(small_net(*layers), X)
    assert [(block.name, block.stage, block.first) for block in blocks] == [
        ("2.0", 0, True),
        ("3.0", 0, False),
        ("4.0", 0, False),
    ]


def test_module_called_twice_needs_a_path_in_both_calls():
    assert names(Shared(mixed=False)) == ["block"]
    assert names(Shared(mixed=True)) == []


def test_block_whose_weights_are_read_outside_stays():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.one, self.two = nn.Conv2d(3, 4, 1), Residual(), Residual()

        def forward(self, x):
            x = self.two(self.one(torch.relu(self.stem(x))))
            return x.mean((2, 3)) @ self.one.conv.weight.mean((2, 3))

    assert names(Reader()) == ["two"]


def test_written_through_a_view_is_still_followed():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 2, 3, padding=1)

        def forward(self, x):
            branch = torch.zeros_like(x)
            branch[:, :2] = self.conv(x)
            return x + branch

    class Overwritten(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            out = x + self.conv(x)
            out[:, :2] = 0
            return out

    assert names(small_net(Halves(), Overwritten())) == ["2"]


def test_transformer_encoders_of_torch():
    def encoder(norm_first):
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
        return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    tokens = images(2, 5, 8)
    assert names(encoder(True), tokens) == ["layers.0", "layers.1"]
    assert names(encoder(False), tokens) == ["layers.1"]  # what comes into the first one is not normalised
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    ("after", "kept"),
    [
        (nn.ReLU(), nn.ReLU),
        (nn.ReLU(inplace=True), nn.ReLU),
        (nn.ReLU6(), nn.Hardtanh),
        (nn.GELU(approximate="tanh"), nn.GELU),
        (nn.SELU(), nn.SELU),
        (nn.LeakyReLU(0.2), nn.LeakyReLU),
        (nn.Identity(), None),
        (nn.Dropout(), None),
        (Function(lambda x: x.clamp(min=0)), nn.Hardtanh),
        (Function(lambda x: x.clamp_(-1, 1)), nn.Hardtanh),
        (Function(lambda x: x.clamp_max(0.5)), nn.Hardtanh),
        (Function(lambda x: x.clamp_min(0.5)), nn.Hardtanh),
    ],
)
def test_the_activation_of_the_skip_path_stays_where_it_does_something(after, kept):
    x = 4 * torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Identity(), Residual(after=after))
    (block,) = find_blocks(model, x)
    skip = make_skip(block.activations)
    assert [type(layer) for layer in skip] == ([kept] if kept else [])
    torch.testing.assert_close(skip(x), after.eval()(x.clone()))
    with bypass(model.eval(), ["1"]):
        torch.testing.assert_close(model(x), after(x.clone()))


def test_activation_that_changes_nothing_seen_is_left_out():
    model = nn.Sequential(nn.ReLU(), Residual(3, after=nn.ReLU()))
    assert [block.activations for block in find_blocks(model, X)] == [()]
    quiet = find_blocks(nn.Sequential(nn.ReLU(), Residual(3, after=nn.ReLU6())), 5 * X)
    assert [block.activations for block in quiet] == [()]
    loud = find_blocks(nn.Sequential(nn.ReLU(), Residual(3, after=nn.ReLU6())), 20 * X)
    assert [(a.name, *a.constants) for a in loud[0].activations] == [("hardtanh", 0.0, 6.0)]
    constant = find_blocks(nn.Sequential(Residual(3, after=nn.ReLU())), torch.zeros(2, 3, 4, 4))
    assert len(constant[0].activations) == 1


def test_the_model_stays_as_it_is():
    model = CifarResNet(14, width=4).train()
    model.layer2.eval()
    flags, before = [m.training for m in model.modules()], weights_hash(model)
    modules, x = dict(model.named_modules()), images(2, 3, 16, 16)
    blocks, original = find_blocks(model, x), x.clone()
    assert weights_hash(model) == before
    assert len(blocks) == 4
    assert [m.training for m in model.modules()] == flags
    assert dict(model.named_modules()) == modules
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    torch.testing.assert_close(x, original, rtol=0, atol=0)
    assert weights_hash(model) == before


def test_the_input_is_not_written_to():
    x = images(2, 4, 6, 6)
    kept = x.clone()
    model = nn.Sequential(WritesToInput(), PreActivation(4, 4, inplace=True), Residual(inplace=True))
    assert names(model, x) == ["0", "1", "2"]
    assert torch.equal(x, kept)


def test_one_tensor_given_twice():
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x, context):
            return x + self.conv(context)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.same, self.other = Attending(), Attending()

        def forward(self, x):
            return self.other(self.same(x, context=x), torch.ones_like(x))

    model = Net()
    assert names(model) == ["same"]
    with bypass(model, ["same"]):
        torch.testing.assert_close(model(X), X + model.other.conv(torch.ones_like(X)))


def test_bypass_is_by_hand():
    model = lively(small_net(Residual(), Residual(after=nn.ReLU())))
    stem, head = model[:2], model[4]
    with torch.no_grad(), bypass(model, ["2", "3"]):
        torch.testing.assert_close(model(X), head(stem(X)))
        assert len(list(model.parameters())) == 2 * 4 + 4


def test_refusals_say_what_would_work():
    model = CifarResNet(14, width=4).eval()
    with pytest.raises(InputError, match=r"'layer1\.7'.*did you mean.*layer1\.1"):
        resolve(model, ["layer1.7"])
    with pytest.raises(InputError, match=r"layer2\.0 is no removable block; did you mean .*layer2\.1"):
        resolve(model, ["layer2.0"])
    with pytest.raises(InputError, match=r"shape \(2, 5, 8, 8\)"):
        find_blocks(model, images(2, 5, 8, 8))
    with pytest.raises(InputError, match="example="):
        resolve(nn.Sequential(nn.Embedding(4, 4), Residual()), ["1"])
