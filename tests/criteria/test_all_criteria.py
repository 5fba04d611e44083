"""What every criterion in the registry promises, on a small network with one block that does nothing."""

import math
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import ot
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from robustprune.criteria import EIGHT, Criterion, ScoringContext
from robustprune.criteria.catalogue import CRITERIA
from robustprune.models.blocks import find_blocks
from robustprune.models.checkpoints import load_weights, weights_hash
from robustprune.models.resnet import CifarResNet

SIGNED = {"ablation-loss", "ablation-loss@adversarial", "margin-drop", "local-lipschitz"}
"""Below 0 where the network is better without the block."""

BLIND = {"random", "depth-first", "depth-last", "robust-consensus", *SIGNED}
"""Not expected to find the planted block: three look at nothing, and others may fall below its 0."""


def make_context(seed=0, planted="layer2.1"):
    torch.manual_seed(3)
    net, x = CifarResNet(14, width=4), torch.rand(40, 3, 16, 16)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net.train()(x)
    for parameter in net.get_submodule(planted).parameters():
        nn.init.zeros_(parameter)
    net.layer1[0].bn1.eval()
    return ScoringContext(net, find_blocks(net, x), x, torch.arange(40) % 4, seed=seed)


@pytest.fixture(scope="module")
def ctx():
    return make_context()


@pytest.fixture(scope="module")
def cifar_resnet56():
    root = Path(os.environ.get("ROBUSTPRUNE_DATA", "")).resolve()
    images = root / "cifar10" / "train_first_4000.npz"
    weights = next((root / "checkpoints").glob("cifar10_resnet56-*.th"), None)
    if "ROBUSTPRUNE_DATA" not in os.environ or not images.exists() or weights is None:
        pytest.skip("ROBUSTPRUNE_DATA does not lead to CIFAR-10 images and the published ResNet-56")
    with np.load(images) as stored:
        x, y = torch.from_numpy(stored["x"]), torch.from_numpy(stored["y"]).long()
    chosen = torch.cat([(y == label).nonzero()[:7, 0] for label in range(10)])
    net = CifarResNet(56, "A", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    load_weights(net, weights)
    x = x[chosen].permute(0, 3, 1, 2).float() / 255
    return ScoringContext(net, find_blocks(net, x), x, y[chosen])


@pytest.fixture(params=CRITERIA)
def criterion(request):
    return CRITERIA[request.param]()


def test_every_block_gets_a_finite_score(criterion, ctx):
    scores = criterion(ctx)
    assert list(scores) == [block.name for block in ctx.blocks]
    assert all(type(score) is float and math.isfinite(score) for score in scores.values())


def test_scores_are_repeatable(criterion, ctx):
    assert criterion(ctx) == criterion(make_context())


def test_the_model_stays_as_it_is(criterion):
    ctx = make_context()
    before, flags = weights_hash(ctx.model), [m.training for m in ctx.model.modules()]
    generator = torch.get_rng_state()
    criterion(ctx)
    assert weights_hash(ctx.model) == before
    assert [m.training for m in ctx.model.modules()] == flags
    assert all(p.grad is None and p.requires_grad for p in ctx.model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(ctx.x, make_context().x)


@pytest.mark.parametrize("name", [name for name in CRITERIA if name not in BLIND])
def test_a_block_that_does_nothing_goes_first(name, ctx):
    scores = CRITERIA[name]()(ctx)
    rest = [score for block, score in scores.items() if block != "layer2.1"]
    assert scores["layer2.1"] < min(rest), "higher = keep"
    if "consensus" not in name:
        assert scores["layer2.1"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", sorted(SIGNED))
def test_removing_a_block_that_does_nothing_changes_nothing(name, ctx):
    scores = CRITERIA[name]()(ctx)
    assert scores.pop("layer2.1") == 0
    assert min(map(abs, scores.values())) > 1e-6


def test_names_and_descriptions():
    for name, factory in CRITERIA.items():
        made = factory()
        assert isinstance(made, Criterion)
        assert made.name == name
        first = (factory.__doc__ or "").strip().partition("\n")[0]
        assert first.endswith((".", ":", ";")), f"{name}: one line that says what it does"
        assert made == factory(), "equal settings are equal criteria"
    assert [voter.name for voter in EIGHT] == [
        *("cka", "procrustes-cca", "procrustes", "permutation"),
        *("gaussian-0", "gaussian-1", "gaussian-2", "wasserstein"),
    ]


def test_published_resnet56(cifar_resnet56):
    """What the paper's metrics are known to agree on: shape metrics nearly the same, Wasserstein less so."""
    votes = {voter.name: cifar_resnet56.score(voter) for voter in EIGHT}

    def correlation(a, b):
        return spearmanr(list(votes[a].values()), list(votes[b].values())).statistic

    alike = [correlation(a, b) for a, b in combinations(("cka", "procrustes-cca", "procrustes", "permutation"), 2)]
    assert min(alike) > 0.8
    assert min(correlation("gaussian-0", name) for name in ("gaussian-1", "gaussian-2")) > 0.8
    assert correlation("wasserstein", "cka") < np.median(alike) - 0.05


def kernel_alignment(x, y):
    """CKA by its definition: HSIC of the two Gram matrices with the centring matrix."""
    centring = np.eye(len(x)) - 1 / len(x)
    a, b = x @ x.T @ centring, y @ y.T @ centring
    return 1 - np.trace(a @ b) / np.sqrt(np.trace(a @ a) * np.trace(b @ b))


def rotated_angle(x, y):
    """Procrustes by the nuclear norm: the largest <X, YQ> over rotations is the sum of the singular values of X'Y."""
    x, y = x - x.mean(0), y - y.mean(0)
    return np.arccos(np.linalg.norm(x.T @ y, "nuc") / np.linalg.norm(x) / np.linalg.norm(y))


def transported_angle(x, y):
    """Matching of neurons as optimal transport between uniform weights, by POT's network simplex."""
    x, y = x - x.mean(0), y - y.mean(0)
    products, weights = x.T @ y, np.ones(x.shape[1])
    plan = ot.emd(weights, weights, products.max() - products)
    return np.arccos(min(1.0, (plan * products).sum() / np.linalg.norm(x) / np.linalg.norm(y)))


def sorted_distance(x, y):
    """W1 of two samples of one size: the mean difference of their order statistics."""
    return np.abs(np.sort(x.ravel()) - np.sort(y.ravel())).mean()


INDEPENDENT = {
    "cka": kernel_alignment,
    "procrustes": rotated_angle,
    "permutation": transported_angle,
    "wasserstein": sorted_distance,
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_order_of_resnet56_is_that_of_an_independent_implementation(name, cifar_resnet56):
    scores = cifar_resnet56.score(CRITERIA[name]())
    others = [
        INDEPENDENT[name](cifar_resnet56.features, cifar_resnet56.without(block.name).features)
        for block in cifar_resnet56.blocks
    ]
    assert spearmanr([*scores.values()], others).statistic >= 0.99
    assert len(set(others)) == len(cifar_resnet56.blocks)
