"""Honest networks reviewed against their own copy pass: small, large, with BatchNorm and without, robust and weak."""

from __future__ import annotations

import os
from pathlib import Path

import honest_models
import pytest
import torch
from review_desk import ATTACKS, Silent, little_evidence
from torch.nn import functional

from robustprune.attacks.algorithms.tiers import tier
from robustprune.data import cifar10, digits, npz
from robustprune.finetune import Adversarial, Recipe, finetune
from robustprune.models import save_weights
from robustprune.review.extras import Effort
from robustprune.review.gate import review
from robustprune.review.given import open_candidate, open_parent
from robustprune.review.request import Request
from robustprune.run.store import Store

NETS = Path(__file__).parent / "honest_models.py"
DEAR = "ROBUSTPRUNE_HONEST"
"""Set it to review all networks at the whole tier quick (about half an hour)."""

dear = pytest.mark.skipif(DEAR not in os.environ, reason=f"takes long: set {DEAR} to run it")

EPS = 0.02

EPOCHS = {"weak": 3}

TRAINED = ("narrow", "wide", "convolutions", "smooth", "residual", "transformer", "robust", "weak")
"""On digits; `robust` adversarially, `weak` at a glance."""

PUBLISHED = {
    "resnet4b": ("resnet4b", "cifar10_robust_resnet4b.pth", 2 / 255),
    "resnet20": ("cifar10-resnet20", "cifar10_resnet20-12fca82f.th", 1 / 255),
    "resnet56": ("cifar10-resnet56", "cifar10_resnet56-4bfd9763.th", 1 / 255),
    "trades": (f"{NETS}:trades", "mnist_trades_smallcnn.pt", 0.3),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Spec and weights of a network that is trained once."""
    folder = tmp_path_factory.mktemp("honest")

    def make(name):
        factory = {"robust": "wide", "weak": "narrow"}.get(name, name)
        file = folder / f"{name}.safetensors"
        if not file.is_file():
            torch.manual_seed(1)
            net = getattr(honest_models, factory)()
            if name == "robust":
                recipe = Recipe(name="robust", epochs=10, lr=0.1, adversarial=Adversarial(eps=0.1, steps=3))
                finetune(net, digits().train, recipe, seed=0)
            else:
                _fit(net, EPOCHS.get(name, 40))
            save_weights(net.eval(), file)
        return f"{NETS}:{factory}", file

    return make


def _fit(net, epochs):
    x, y = digits().train.x, digits().train.y
    step = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(epochs):
        for some in torch.randperm(len(x)).split(64):
            step.zero_grad()
            functional.cross_entropy(net(x[some]), y[some]).backward()
            step.step()


def against_itself(spec, file, data, attacks, tmp_path, **settings):
    """The review of a network in place of itself, with the policy that holds where none is given."""
    parent = open_parent(spec, file, data.test.x[:1])
    request = Request(
        candidate=open_candidate(spec, file, parent),
        parent=parent,
        data=data,
        attacks=attacks,
        batches=(1,),
        timing_seconds=0.05,
        **settings,
    )
    return review(request, Store(folder=tmp_path), Silent())


@pytest.mark.parametrize("name", ["narrow", "smooth", "transformer", "robust"])
def test_a_copy_passes_at_a_glance(name, trained, tmp_path):
    effort = Effort(transfer_steps=2, curve_samples=20, curve_steps=2, service_samples=8)
    attacks = [attack.change(eps=EPS, alpha=None) for attack in ATTACKS]
    with little_evidence():
        found = against_itself(*trained(name), digits(), attacks, tmp_path, effort=effort)
    assert found.verdict.verdict == "PASS", found.verdict.reasons


@dear
@pytest.mark.parametrize("name", TRAINED)
def test_a_copy_of_a_network_for_digits_passes_at_quick(name, trained, tmp_path):
    attacks = tier("quick", "Linf", EPS, 10)
    found = against_itself(*trained(name), digits(), attacks, tmp_path)
    assert found.verdict.verdict == "PASS", found.verdict.reasons


@dear
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_copy_of_a_published_network_passes_at_quick(name, tmp_path):
    root = os.environ.get("ROBUSTPRUNE_DATA")
    if not root:
        pytest.skip("needs published weights: set ROBUSTPRUNE_DATA")
    spec, file, eps = PUBLISHED[name]
    data = npz(Path(root) / "mnist" / "mnist_test_10000.npz", test_share=1) if name == "trades" else cifar10()
    attacks = tier("quick", "Linf", eps, 10)
    found = against_itself(spec, Path(root) / "checkpoints" / file, data, attacks, tmp_path, samples=400)
    assert found.verdict.verdict == "PASS", found.verdict.reasons
