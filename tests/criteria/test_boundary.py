"""The nearest boundary against closed forms of linear networks and networks that are really pruned."""

import numpy as np
import pytest
import torch
from torch import nn

from robustprune.criteria import ScoringContext
from robustprune.criteria.boundary import GradientAlignment, MarginDrop, NearestBoundary
from robustprune.errors import InputError
from robustprune.models.blocks import Block, find_blocks
from robustprune.models.resnet import CifarResNet
from robustprune.prune import remove

ALL = NearestBoundary(share=1.0, targets=9)
DUAL = {"Linf": 1, "L2": 2, "L1": np.inf}


class Affine(nn.Module):
    """A block y = x A + b; its skip path is x itself."""

    def __init__(self, matrix, shift):
        super().__init__()
        self.matrix, self.shift = nn.Parameter(torch.tensor(matrix)), nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        return x @ self.matrix + self.shift


def affine_context(n=12, classes=3):
    """Two affine blocks, the second of which does nothing, and a linear head: everything is known in closed form."""
    rng = np.random.default_rng(0)
    matrix, shift = rng.normal(size=(5, 5)), rng.normal(size=5)
    net = nn.Sequential(Affine(matrix, shift), Affine(np.eye(5), np.zeros(5)), nn.Linear(5, classes).double())
    blocks = [Block(name=name, container="", stage=0, position=int(name), shape=(5,)) for name in ("0", "1")]
    x, y = torch.from_numpy(rng.random((n, 5))), torch.from_numpy(rng.integers(0, classes, n))
    return ScoringContext(net, blocks, x, y, batch_size=5), matrix, shift


def exact(ctx, matrix, shift, norm):
    """Signed distance |w x + c| / |w|* to the nearest of all boundaries, with everything in numpy."""
    head = ctx.model[2]
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    slopes, logits = matrix @ weight.T, (ctx.x.numpy() @ matrix + shift) @ weight.T + bias
    found = []
    for row, true in zip(logits, ctx.y.numpy(), strict=True):
        others = [k for k in range(len(row)) if k != true]
        dual = [np.linalg.norm(slopes[:, true] - slopes[:, k], DUAL[norm]) for k in others]
        found.append(min((row[true] - row[k]) / size for k, size in zip(others, dual, strict=True)))
    return np.array(found)


@pytest.mark.parametrize("norm", DUAL)
def test_distances_of_a_linear_network_are_exact(norm):
    ctx, matrix, shift = affine_context()
    boundary = NearestBoundary(norm=norm, share=1.0, targets=9)
    box = {"Linf": 1.0, "L2": 5**0.5, "L1": 5.0}[norm]
    with_, without = exact(ctx, matrix, shift, norm), exact(ctx, np.eye(5), np.zeros(5), norm)
    found = boundary(ctx)
    np.testing.assert_allclose(found.distance, with_.clip(-box, box), rtol=1e-9)
    np.testing.assert_allclose(found.without["0"], without.clip(-box, box), rtol=1e-9)
    assert (with_ < 0).any(), "misclassified samples are among them"
    assert (with_ > 0).any(), "and right ones"
    drop = (with_.clip(-box, box) - without.clip(-box, box)).mean()
    assert MarginDrop(boundary=boundary)(ctx) == pytest.approx({"0": drop, "1": 0.0}, abs=1e-12)


def test_directions_of_a_linear_network_are_exact():
    """With two classes the direction is that of the one boundary there is."""
    ctx, matrix, _ = affine_context(classes=2)
    weight = ctx.model[2].weight.detach().numpy()
    difference = weight[0] - weight[1]
    turned = matrix @ difference
    cosine = turned @ difference / np.linalg.norm(turned) / np.linalg.norm(difference)
    scores = GradientAlignment(boundary=ALL)(ctx)
    assert scores == pytest.approx({"0": 1 - cosine, "1": 0.0}, abs=1e-9)
    assert scores["0"] > 0.1
    scale = ctx.model[0].matrix.data
    scale.copy_(3 * torch.eye(5))
    again = ScoringContext(ctx.model, ctx.blocks, ctx.x, ctx.y)
    assert GradientAlignment(boundary=ALL)(again)["0"] == pytest.approx(0, abs=1e-12), "longer, but not turned"


def test_both_are_those_of_pruned_networks():
    """Gradients of a network from which the block is gone, one sample at a time."""
    torch.manual_seed(1)
    net, x = CifarResNet(14, width=4).eval().double(), torch.rand(4, 3, 8, 8).double()
    ctx = ScoringContext(net, find_blocks(net, x), x, torch.tensor([3, 1, 0, 2]), batch_size=3)

    def looked(net, image, true):
        image = image[None].clone().requires_grad_()
        logits = net(image)[0]
        others = [k for k in logits.argsort(descending=True).tolist() if k != true]
        slopes = [torch.autograd.grad(logits[true] - logits[k], image, retain_graph=True)[0] for k in others]
        sizes = [(logits[true] - logits[k]).item() / s.abs().sum().item() for k, s in zip(others, slopes, strict=True)]
        return min(max(-1.0, min(sizes)), 1.0), slopes[0].flatten()

    pairs = [*zip(x, ctx.y.tolist(), strict=True)]
    dense = [looked(net, *pair) for pair in pairs]
    margins, turns = MarginDrop(boundary=ALL)(ctx), GradientAlignment(boundary=ALL)(ctx)
    for block in ctx.blocks:
        pruned = [looked(remove(net, [block]).eval(), *pair) for pair in pairs]
        drop = np.mean([a - b for (a, _), (b, _) in zip(dense, pruned, strict=True)])
        turn = np.mean(
            [1 - torch.cosine_similarity(a, b, 0).item() for (_, a), (_, b) in zip(dense, pruned, strict=True)]
        )
        assert margins[block.name] == pytest.approx(drop, rel=1e-6)
        assert turns[block.name] == pytest.approx(turn, rel=1e-6)
        assert turn > 1e-3, "or nothing was compared"


def test_more_targets_bring_the_boundary_nearer_and_a_share_is_drawn_by_the_seed():
    ctx, *_ = affine_context(n=40, classes=6)
    one, five = (NearestBoundary(share=1.0, targets=t)(ctx).distance for t in (1, 5))
    assert (five <= one).all()
    assert (five < one).any()
    some = NearestBoundary(targets=5, share=0.1)(ctx).distance
    assert len(some) == 4
    assert set(some.round(9)) <= set(five.round(9))
    ctx.seed = 7
    assert set(NearestBoundary(targets=5, share=0.1)(ctx).distance) != set(some)


def test_both_read_the_same_passes():
    ctx, *_ = affine_context()
    calls = []
    ctx.model[2].register_forward_hook(lambda *_: calls.append(1))
    GradientAlignment()(ctx), MarginDrop()(ctx)
    assert len(calls) == 1 + len(ctx.blocks), "one batch, whole and without every block"


def test_a_flat_network_is_as_far_from_its_boundary_as_the_box_is_wide():
    ctx, *_ = affine_context()
    with torch.no_grad():
        ctx.model[2].weight.zero_()
        ctx.model[2].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    found = ALL(ScoringContext(ctx.model, ctx.blocks, ctx.x, torch.zeros(12).long()))
    assert found.distance.tolist() == [1.0] * 12
    assert set(found.turn["0"]) == {0.0}


@pytest.mark.parametrize("settings", [{"targets": 0}, {"share": 0.0}, {"share": 1.5}, {"norm": "L7"}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(InputError, match="expected"):
        NearestBoundary(**settings)


def test_what_has_no_boundary_is_refused():
    ctx, *_ = affine_context(classes=1)
    with pytest.raises(InputError, match="logits of one class"):
        MarginDrop()(ScoringContext(ctx.model, ctx.blocks, ctx.x, torch.zeros(12).long()))
    ctx, *_ = affine_context()
    ctx.model[0].matrix.data.fill_(torch.nan)
    with pytest.raises(InputError, match="the unpruned network: gradients at the input are NaN or Inf"):
        MarginDrop()(ctx)
    with pytest.raises(InputError, match="has no gradients"):
        MarginDrop()(ScoringContext(ctx.model, ctx.blocks, torch.ones(3, 5).long(), torch.zeros(3).long()))
