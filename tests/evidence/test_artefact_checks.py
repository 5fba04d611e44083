"""Checks of the evidence on what ships: its own numbers are coarse, and its gradients are lent."""

from __future__ import annotations

import torch
from torch import nn

from robustprune.attacks import PGD
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.gradients import gradients_exist
from robustprune.evidence.network import input_domain
from robustprune.models import Normalize
from robustprune.models.artefact import Artefact
from robustprune.models.runtimes import Runtime

X = torch.rand(24, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def linear(seed: int) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(2, 16, generator=torch.Generator().manual_seed(seed)))
    return net.eval()


class Coarse(Runtime):
    """Rounds pixels to multiples of 1/16, and so has no slope anywhere."""

    kind, sha256, bytes = "coarse", "00", 0

    def __init__(self, net):
        self.net = net

    def answer(self, x):
        return self.net((x * 16).round() / 16)


def context(twin, eps=0.1):
    runtime = Coarse(linear(1))
    return EvidenceContext(
        model=Artefact(runtime, twin), x=X, y=runtime(X).argmax(1), attacks=[PGD(eps=eps, loss="margin")]
    )


def test_gradients_of_its_twin_lead_although_its_own_are_flat():
    assert gradients_exist(context(linear(1))).status == "pass"


def test_gradients_of_a_stranger_do_not_and_block():
    found = gradients_exist(context(linear(2)))
    assert (found.status, found.blocking) == ("fail", True)
    assert "the gradient is not the loss's" in found.evidence


def test_without_a_twin_there_are_none():
    found = gradients_exist(context(None))
    assert (found.status, found.blocking) == ("fail", True)


def test_the_normalisation_of_its_twin_is_not_its_own():
    """Taken out of the twin it would change nothing of what the file says."""
    twin = nn.Sequential(Normalize([0.3], [0.2]), linear(1))
    assert input_domain(context(twin)).status == "pass"
