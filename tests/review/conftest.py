"""A small network, trained once on digits, its planted successors, and one store for all reviews."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from planted_models import small
from review_desk import NETS, Desk, little_evidence

from robustprune.data import digits
from robustprune.finetune import Recipe, finetune
from robustprune.models import save_weights
from robustprune.prune import remove


@pytest.fixture(scope="module", autouse=True)
def _little_evidence():
    with little_evidence():
        yield


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """Weights of the parent, of a noisy copy, and of a copy that lost a block."""
    folder = tmp_path_factory.mktemp("desk")
    torch.manual_seed(0)
    net = small()
    finetune(net, digits().train, Recipe(name="train", epochs=5, lr=0.1, augment="shift"), seed=0)
    save_weights(net, folder / "parent.safetensors")
    save_weights(remove(net, ["layer2.1"]), folder / "pruned.safetensors")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in net.parameters():
            weights += 0.2 * weights.abs().mean() * torch.randn(weights.shape, generator=generator)
    save_weights(net, folder / "noisy.safetensors")
    return Desk(folder)


@pytest.fixture(scope="session")
def noisy(desk):
    """A review that fails."""
    return desk.review(f"{NETS}:small", "noisy.safetensors", command="robustprune review it")
