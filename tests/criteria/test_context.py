"""Prefix replay is exact, computes nothing twice, and leaves the model alone."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
import torch
from bypassing import bypass
from torch import nn
from torch.nn.functional import cosine_similarity
from torchvision.models import VisionTransformer, mobilenet_v2, resnet18
from torchvision.models.convnext import CNBlock, CNBlockConfig, ConvNeXt

from robustprune.criteria import AblationLoss, BlockInfluence, OnInputs, ScoringContext, Taylor
from robustprune.errors import InputError
from robustprune.models.blocks import Block, find_blocks
from robustprune.models.resnet import CifarResNet

ZOO = {
    "resnet-option-A": lambda: CifarResNet(14, "A", width=4, mean=(0.5,) * 3, std=(0.25,) * 3),
    "resnet-option-B": lambda: CifarResNet(14, "B", width=4),
    "resnet18": resnet18,
    "mobilenet": partial(mobilenet_v2, width_mult=0.25),
    "vit": partial(VisionTransformer, 32, 8, 3, 2, 32, 64),
    "convnext": partial(ConvNeXt, [CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 2)]),
}


def seeded(make):
    """A random network whose BatchNorm layers know their input, so that every block matters."""
    torch.manual_seed(1)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, CNBlock):
            nn.init.ones_(module.layer_scale)
    with torch.no_grad():
        net.train()(torch.rand(8, 3, 32, 32))
    return net


def context(net, n=5, batch_size=3, **settings):
    x = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blocks = find_blocks(net, x[:2])
    return ScoringContext(net, blocks, x, torch.arange(n) % 2, batch_size=batch_size, **settings)


def head_input(net, x):
    """The input of the network's last linear layer."""
    seen = []
    last = [m for m in net.modules() if isinstance(m, nn.Linear)][-1]
    hook = last.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    logits = net(x)
    hook.remove()
    return seen[-1].numpy(), logits.numpy()


@pytest.mark.parametrize("name", ZOO)
def test_replay_equals_bypass(name):
    net = seeded(ZOO[name])
    ctx = context(net)
    assert len(ctx.blocks) >= 3
    net.eval()
    with torch.no_grad():
        features, logits = head_input(net, ctx.x)
        np.testing.assert_allclose(ctx.features, features, atol=1e-5)
        np.testing.assert_allclose(ctx.logits, logits, atol=1e-5)
        for block in ctx.blocks:
            with bypass(net, [block]):
                features, logits = head_input(net, ctx.x)
            np.testing.assert_allclose(ctx.without(block.name).features, features, atol=1e-5)
            np.testing.assert_allclose(ctx.without(block.name).logits, logits, atol=1e-5)
            change = np.abs(features - ctx.features).max()
            assert change > 1e-3 * np.abs(ctx.features).max(), "a bypass that changes nothing proves nothing"


@pytest.mark.parametrize("name", ZOO)
def test_no_layer_before_the_removed_block_runs_twice(name, monkeypatch):
    net = seeded(ZOO[name])
    ctx = context(net, n=3, batch_size=3)
    runs = Counter()
    for kind in (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm, nn.MultiheadAttention):

        def counted(self, *args, own=kind.forward, **kwargs):
            runs[self] += 1
            return own(self, *args, **kwargs)

        monkeypatch.setattr(kind, "forward", counted)
    with torch.no_grad():
        net.eval()(ctx.x)
    order = list(runs)
    assert set(runs.values()) == {1}
    places = {b.name: [order.index(m) for m in ctx.modules[b.name].modules() if m in runs] for b in ctx.blocks}
    runs.clear()
    _ = ctx.logits
    for place, module in enumerate(order):
        behind = sum(max(inside) < place for inside in places.values())
        assert runs[module] == 1 + behind, f"layer {place}: the full pass, and one for each block before it"


def test_every_criterion_shares_the_passes():
    ctx = context(seeded(ZOO["resnet-option-A"]))
    calls = []
    hook = ctx.model.linear.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(2):
        _ = ctx.features, ctx.logits, ctx.influence, AblationLoss()(ctx)
    hook.remove()
    assert len(calls) == 2 * (1 + len(ctx.blocks)), "two batches, each full and without every block"


def test_influence_alone_takes_one_forward_pass():
    ctx, other = (context(seeded(ZOO["resnet-option-A"])) for _ in range(2))
    calls = []
    ctx.model.linear.register_forward_hook(lambda *_: calls.append(1))
    alone = BlockInfluence()(ctx)
    assert len(calls) == 2
    _ = other.logits
    assert BlockInfluence()(other) == pytest.approx(alone)


def test_influence_is_one_minus_cosine():
    ctx = context(seeded(ZOO["resnet-option-B"]))
    measured, seen = ctx.influence, {}
    for name, module in ctx.modules.items():
        module.register_forward_hook(lambda m, args, out, at=name: seen.update({at: (args[0], out)}))
    with torch.no_grad():
        ctx.model.eval()(ctx.x)
    assert list(measured) == list(seen)
    for name, (before, after) in seen.items():
        cosine = cosine_similarity(before.flatten(1), after.flatten(1)).mean()
        assert measured[name] == pytest.approx(1 - cosine.item(), abs=1e-6)


def test_influence_of_tokens_is_per_token():
    ctx = context(seeded(ZOO["vit"]))
    name, module = next(iter(ctx.modules.items()))
    seen = []
    module.register_forward_hook(lambda m, args, out: seen.append(1 - cosine_similarity(args[0], out, 2)))
    with torch.no_grad():
        ctx.model.eval()(ctx.x)
    assert ctx.influence[name] == pytest.approx(seen[0].mean().item(), abs=1e-6)


def test_batch_size_changes_nothing():
    one, many = (context(seeded(ZOO["resnet-option-A"]), n=7, batch_size=size) for size in (1, 7))
    np.testing.assert_allclose(one.features, many.features, atol=1e-5)
    assert one.influence == pytest.approx(many.influence, abs=1e-6)
    assert AblationLoss()(one) == pytest.approx(AblationLoss()(many), abs=1e-5)


class Inplace(nn.Module):
    """A pre-activation block that changes its own input."""

    def __init__(self):
        super().__init__()
        self.act, self.conv = nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return x + self.conv(self.act(x))


class Glue(nn.Module):
    """In-place glue between modules, a block called twice, keyword arguments, no linear head."""

    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 3, 1), Inplace(), Inplace()
        self.embed, self.head = nn.Linear(32, 32), nn.Conv2d(3, 4, 1)

    def forward(self, x):
        x -= 0.5
        early = self.stem(self.embed(x))
        kept = early * 2
        early += 1  # changes what the stem returned
        out = self.b(self.b(self.a(early)))
        return self.head(input=out + kept)


def block(name):
    return Block(name=name, container="", stage=0, position=0, shape=())


def test_in_place_networks_are_replayed_exactly():
    torch.manual_seed(0)
    net, x = Glue().eval(), torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blocks = [block("a"), block("b")]
    ctx = ScoringContext(net, blocks, x, torch.arange(5) % 4, batch_size=2)
    with torch.no_grad():
        np.testing.assert_allclose(ctx.logits, net(x.clone()).mean((2, 3)), atol=1e-5)
        for entry in blocks:
            with bypass(net, [entry]):
                expected = net(x.clone()).mean((2, 3)).numpy()
            np.testing.assert_allclose(ctx.without(entry.name).logits, expected, atol=1e-5)
            assert np.abs(expected - ctx.logits).max() > 0.01
    _ = ctx.influence, ScoringContext(net, blocks, ctx.x, ctx.y).influence, Taylor()(ctx)
    assert torch.equal(ctx.x, torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_array_equal(ctx.features, ctx.logits, "a linear layer before the blocks is not penultimate")


def test_the_model_is_given_back():
    net = seeded(ZOO["resnet18"])
    net.train()
    net.bn1.eval()
    flags = [m.training for m in net.modules()]
    before = {k: v.clone() for k, v in net.state_dict().items()}
    ctx = context(net)
    _ = ctx.logits
    assert [m.training for m in net.modules()] == flags
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not any("forward" in vars(m) or m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_the_model_is_given_back_after_an_error():
    net = seeded(ZOO["resnet-option-A"]).train()
    ctx = context(net)
    ctx.x = torch.rand(5, 4, 32, 32)
    with pytest.raises((RuntimeError, InputError)):
        _ = ctx.logits
    assert all(m.training for m in net.modules())
    assert not any("forward" in vars(m) or m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_other_inputs_are_made_once():
    made = []

    def darker(model, x, y):
        made.append(model)
        return x / 2

    ctx = context(seeded(ZOO["resnet-option-A"]))
    criterion = OnInputs(criterion=AblationLoss(), inputs=darker, label="dark")
    scores = criterion(ctx)
    assert criterion.name == "ablation-loss@dark"
    assert (
        criterion(ctx)
        == scores
        == AblationLoss()(ScoringContext(ctx.model, ctx.blocks, ctx.x / 2, ctx.y, batch_size=3))
    )
    assert scores != AblationLoss()(ctx)
    assert made == [ctx.model]


def test_equal_criteria_are_scored_once_and_so_is_equal_work():
    ctx, made = context(seeded(ZOO["resnet-option-A"])), []

    def work(given):
        made.append(given)
        return len(made)

    assert [ctx.once(work), ctx.once(work), ctx.on(halved).once(work)] == [1, 1, 2]
    assert made == [ctx, ctx.on(halved)]
    first, second = Counted(seen=made), Counted(seen=made)
    assert ctx.score(first) == ctx.score(second) == {"a": 3.0}
    assert ctx.score(Taylor()) != ctx.score(Taylor(per_sample=True))


def halved(model, x, y):
    return x / 2


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Scores by how often anything was made."""

    seen: list = field(compare=False)
    name = "counted"

    def __call__(self, ctx):
        self.seen.append(ctx)
        return {"a": float(len(self.seen))}


def test_bad_arguments_are_refused():
    good = context(seeded(ZOO["resnet-option-A"]))
    make = partial(ScoringContext, good.model)
    with pytest.raises(InputError, match="n >= 2"):
        make(good.blocks, good.x[:1], good.y[:1])
    with pytest.raises(InputError, match="n labels"):
        make(good.blocks, good.x, good.y[:4])
    with pytest.raises(InputError, match="no candidate blocks"):
        make([], good.x, good.y)
    with pytest.raises(InputError, match="batch_size = 0"):
        make(good.blocks, good.x, good.y, batch_size=0)
    with pytest.raises(InputError, match=r"'layer9' is no candidate block, expected one of layer1\.0"):
        good.without("layer9")
    with pytest.raises(InputError, match="expected 0 to 9"):
        AblationLoss()(make(good.blocks, good.x, good.y + 9))
    with pytest.raises(InputError, match="expected 0 to 9"):
        Taylor()(make(good.blocks, good.x, good.y + 9))


def test_a_block_that_breaks_the_numbers_is_named():
    net = seeded(ZOO["resnet-option-A"])
    ctx = context(net)
    with torch.no_grad():
        net.layer3[1].bn2.running_mean.fill_(torch.nan)
    with pytest.raises(InputError, match="the unpruned network: features of 5 samples are NaN or Inf"):
        _ = ctx.logits
    ctx = context(seeded(ZOO["resnet-option-A"]))
    name = ctx.blocks[1].name
    vars(ctx)["skips"] = {**ctx.skips, name: Broken()}
    with pytest.raises(InputError, match=f"without block {name}: features"):
        _ = ctx.logits


class Broken(nn.Module):
    def forward(self, x):
        return x * torch.nan


def test_a_block_that_is_never_called_is_named():
    ctx = context(seeded(ZOO["resnet-option-A"]))
    ctx.model.spare = nn.Identity()
    spare = block("spare")
    with pytest.raises(InputError, match="block spare: the forward pass never calls it"):
        _ = ScoringContext(ctx.model, [spare], ctx.x, ctx.y).logits
    with pytest.raises(InputError, match="block spare: the forward pass never calls it"):
        _ = ScoringContext(ctx.model, [spare], ctx.x, ctx.y).influence
    with pytest.raises(InputError, match="block spare: the forward pass never calls it"):
        Taylor()(ScoringContext(ctx.model, [spare, *ctx.blocks], ctx.x, ctx.y))


def test_a_block_that_does_not_exist_is_named():
    ctx = context(seeded(ZOO["resnet-option-A"]))
    with pytest.raises(InputError, match=r"no module 'layer1.7'.*layer1"):
        _ = ScoringContext(ctx.model, [block("layer1.7")], ctx.x, ctx.y).logits


def test_nested_blocks_are_refused():
    ctx = context(seeded(ZOO["resnet-option-A"]))
    nested = [block("layer1"), block("layer1.0")]
    with pytest.raises(InputError, match="contains another block"):
        _ = ScoringContext(ctx.model, nested, ctx.x, ctx.y).logits


class Wayward(nn.Module):
    """Calls its layers in another order every time."""

    def __init__(self):
        super().__init__()
        self.layers, self.turns = nn.ModuleList(nn.Linear(4, 4) for _ in range(3)), 0

    def forward(self, x):
        self.turns += 1
        for index in (0, 1) if self.turns % 2 else (1, 0):
            x = self.layers[index](x)
        return self.layers[2](x)


def test_a_network_whose_order_changes_is_refused():
    with pytest.raises(InputError, match="order of module calls"):
        _ = ScoringContext(Wayward(), [block("layers.2")], torch.rand(4, 4), torch.zeros(4).long()).logits
