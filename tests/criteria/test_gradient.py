"""Gate gradients against finite differences of networks whose gates are really turned."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer
from torchvision.models.resnet import BasicBlock, ResNet

from robustprune.criteria import ScoringContext, Taylor
from robustprune.criteria.gradient import gate_gradients
from robustprune.errors import InputError
from robustprune.models.blocks import find_blocks
from robustprune.models.resnet import CifarResNet
from robustprune.models.skip import make_skip

NETS = {
    "resnet": lambda: CifarResNet(14, "B", width=4),
    "in-place": lambda: ResNet(BasicBlock, [2, 2, 1, 1]),
    "vit": lambda: VisionTransformer(32, 8, 3, 2, 32, 64),
}


@pytest.fixture(params=NETS)
def ctx(request):
    torch.manual_seed(0)
    net, x = NETS[request.param]().eval().double(), torch.rand(6, 3, 32, 32).double()
    blocks = find_blocks(net, x)
    if request.param == "vit":
        nn.init.normal_(net.heads.head.weight)
    return ScoringContext(net, blocks, x, torch.arange(6) % 3, batch_size=4)


def losses(ctx, block, gate):
    """Cross-entropy of every sample with one block's gate at `gate`."""
    module, skip = ctx.model.get_submodule(block.name), make_skip(block.activations)
    own = module.forward
    module.forward = lambda x: gate * own(x.clone()) + (1 - gate) * skip(x.clone())
    with torch.no_grad():
        result = nn.functional.cross_entropy(ctx.model(ctx.x), ctx.y, reduction="none")
    del module.forward
    return result.numpy()


def test_gate_gradients_are_finite_differences(ctx):
    gradients, mean, per_sample = gate_gradients(ctx), Taylor()(ctx), Taylor(per_sample=True)(ctx)
    assert list(gradients) == [block.name for block in ctx.blocks]
    step = 1e-7
    for block in ctx.blocks:
        slope = (losses(ctx, block, 1 + step) - losses(ctx, block, 1 - step)) / (2 * step)
        np.testing.assert_allclose(gradients[block.name], slope, rtol=1e-4, atol=1e-6)
        assert np.abs(slope).max() > 1e-4
        assert mean[block.name] == pytest.approx(slope.mean() ** 2, rel=1e-3, abs=1e-9)
        assert per_sample[block.name] == pytest.approx((slope**2).mean(), rel=1e-3)


def test_nothing_is_left_behind():
    torch.manual_seed(0)
    net, x = CifarResNet(8, width=4).train(), torch.rand(4, 3, 8, 8)
    net.linear.weight.grad = torch.ones_like(net.linear.weight)
    ctx = ScoringContext(net, find_blocks(net, x), x, torch.arange(4))
    with torch.no_grad():
        assert min(Taylor()(ctx).values()) > 0, "also where gradients are switched off outside"
    assert all(module.training and "forward" not in vars(module) for module in net.modules())
    assert all(p.requires_grad for p in net.parameters())
    assert net.linear.weight.grad.eq(1).all()
    assert sum(p.grad is not None for p in net.parameters()) == 1


def test_names_say_which_square():
    assert [Taylor().name, Taylor(per_sample=True).name] == ["taylor", "taylor-per-sample"]


def test_a_broken_gradient_is_named():
    net, x = CifarResNet(8, width=4), torch.rand(4, 3, 8, 8)
    blocks = find_blocks(net, x)
    nn.init.constant_(net.linear.weight, torch.nan)
    with pytest.raises(InputError, match=f"block {blocks[0].name}: the gradient of its gate is NaN"):
        Taylor()(ScoringContext(net, blocks, x, torch.arange(4)))
