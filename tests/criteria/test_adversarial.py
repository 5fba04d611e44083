"""Adversarial inputs and what is scored on them, against closed forms and networks that are really pruned."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from robustprune.criteria import AblationLoss, Cka, OnInputs, ScoringContext, cka
from robustprune.criteria.adversarial import (
    Adversarial,
    LocalLipschitz,
    adversarial_ablation_loss,
    adversarial_cka,
)
from robustprune.errors import InputError
from robustprune.models.blocks import Block, find_blocks
from robustprune.models.resnet import CifarResNet
from robustprune.prune import remove
from robustprune.run.code import PACKAGE, closure

FEW = Adversarial(eps=8 / 255, steps=3)


def small_context(n=6):
    torch.manual_seed(0)
    net, x = CifarResNet(8, width=4).eval(), torch.rand(n, 3, 8, 8)
    return ScoringContext(net, find_blocks(net, x), x, torch.arange(n), batch_size=4)


@pytest.fixture(scope="module")
def ctx():
    return small_context()


def linear(weight):
    """A network whose logits are linear in a 2x2 image."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, len(weight), bias=False))
    net[1].weight.data = torch.tensor(weight)
    return net


def test_on_a_linear_network_the_attack_ends_in_the_worst_corner():
    """Of two classes the loss rises along w_other - w_true everywhere: every pixel moves by eps to that side."""
    net = linear([[1.0, -2.0, 0.5, 3.0], [-1.0, 1.0, 2.0, 3.5]])
    x, y = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])
    away = torch.tensor([[-1.0, 1.0, 1.0, 1.0], [1.0, -1.0, -1.0, -1.0]]).view(2, 1, 2, 2)
    torch.testing.assert_close(Adversarial(eps=0.1, steps=4)(net, x, y), x + 0.1 * away)


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 8 / 255), ("L2", 0.5), ("L1", 4.0)])
def test_the_attack_stays_in_ball_and_box_and_raises_the_loss(ctx, norm, eps):
    made = Adversarial(eps=eps, norm=norm, steps=5)
    adv = made(ctx.model, ctx.x, ctx.y)
    order = {"Linf": torch.inf, "L2": 2, "L1": 1}[norm]
    sizes = (adv - ctx.x).flatten(1).norm(order, dim=1)
    assert sizes.max() <= eps * (1 + 1e-5)
    assert sizes.min() > eps / 4
    assert adv.min() >= 0
    assert adv.max() <= 1
    with torch.no_grad():
        before, after = (cross_entropy(ctx.model(z), ctx.y, reduction="none") for z in (ctx.x, adv))
    assert (after > before).all()


def test_a_sample_is_attacked_alike_in_any_batch_and_order(ctx):
    whole, single = FEW(ctx.model, ctx.x, ctx.y), Adversarial(eps=8 / 255, steps=3, batch_size=1)
    torch.testing.assert_close(single(ctx.model, ctx.x, ctx.y), whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(FEW(ctx.model, ctx.x.flip(0), ctx.y.flip(0)).flip(0), whole, atol=1e-6, rtol=0)
    assert not torch.equal(Adversarial(eps=8 / 255, steps=3, seed=1)(ctx.model, ctx.x, ctx.y), whole)


def test_scores_under_attack_are_those_of_pruned_networks(ctx):
    """Every block is taken out for good, and the very same images are shown to what is left."""
    adv = FEW(ctx.model, ctx.x, ctx.y)

    def shown(net, x):
        features = []
        hook = net.linear.register_forward_pre_hook(lambda module, args: features.append(args[0]))
        with torch.no_grad():
            logits = net.eval()(x)
        hook.remove()
        return features[0].double().numpy(), logits

    features, attacked = shown(ctx.model, adv)
    _, clean = shown(ctx.model, ctx.x)
    size = (adv - ctx.x).abs().flatten(1).amax(1)
    scores = [ctx.score(one) for one in (OnInputs(criterion=Cka(), inputs=FEW), LocalLipschitz(inputs=FEW))]
    losses = ctx.score(OnInputs(criterion=AblationLoss(), inputs=FEW))
    for block in ctx.blocks:
        pruned = remove(ctx.model, [block])
        (kept, there), (_, here) = shown(pruned, adv), shown(pruned, ctx.x)
        moved = ((there - here).norm(dim=1) - (attacked - clean).norm(dim=1)) / size
        assert scores[0][block.name] == pytest.approx(cka(features, kept), abs=1e-5)
        assert scores[1][block.name] == pytest.approx(moved.mean().item(), rel=1e-3)
        rise = cross_entropy(there, ctx.y) - cross_entropy(attacked, ctx.y)
        assert losses[block.name] == pytest.approx(rise.item(), abs=1e-5)
        assert min(abs(score[block.name]) for score in (*scores, losses)) > 1e-4, "or nothing was compared"


def test_lipschitz_of_a_linear_network_is_the_image_of_the_step():
    """z = W (2 x) with the block and W x without: the logits move half as far when it is skipped."""

    class Doubling(nn.Module):
        def forward(self, x):
            return 2 * x

    head = linear([[1.0, -2.0, 0.5, 3.0], [-1.0, 1.0, 2.0, 3.5]])
    net = nn.Sequential(Doubling(), *head)
    x, y = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])
    block = Block(name="0", container="", stage=0, position=0, shape=(1, 2, 2))
    step = np.array([-1.0, 1.0, 1.0, 1.0])
    moved = np.linalg.norm(head[1].weight.detach().double().numpy() @ step)
    found = LocalLipschitz(inputs=Adversarial(eps=0.1))(ScoringContext(net, [block], x, y))
    assert found["0"] == pytest.approx(-moved, rel=1e-5)


def test_all_under_attack_share_one_attack(ctx, monkeypatch):
    made = []
    own = Adversarial.__call__
    monkeypatch.setattr(Adversarial, "__call__", lambda self, *args: made.append(self) or own(self, *args))
    fresh = small_context()
    for criterion in (adversarial_cka(), adversarial_ablation_loss(), LocalLipschitz()):
        fresh.score(criterion)
    assert made == [Adversarial()]


def test_only_what_looks_at_attacks_depends_on_their_code():
    """Stored scores of the others stay as they are when an attack is changed."""

    def attacks(name):
        return [file for file in closure(PACKAGE / "criteria" / name) if PACKAGE / "attacks" in file.parents]

    assert attacks("consensus.py") == attacks("similarity.py") == []
    assert attacks("adversarial.py")
    assert attacks("boundary.py")


@pytest.mark.parametrize("settings", [{"eps": 0.0}, {"steps": 0}, {"batch_size": 0}, {"norm": "L7"}, {"eps": -1.0}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(InputError, match="expected"):
        Adversarial(**settings)


class Rounded(nn.Module):
    def forward(self, x):
        return x.detach().flatten(1)


def test_a_network_without_gradients_is_refused():
    with pytest.raises(InputError, match="no gradient reaches the input"):
        FEW(Rounded(), torch.rand(2, 3, 4, 4), torch.arange(2))
