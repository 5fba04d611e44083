"""What a recipe says it costs is what hooks count while it is followed."""

from dataclasses import replace

import pytest
import torch
from tiny_trainings import blobs, recipe, small
from torch import nn

from robustprune.finetune import RECIPES, Adversarial, Passes, cost, finetune
from robustprune.finetune.features import IMAGES
from robustprune.models import CifarResNet

PGD = Adversarial(eps=0.1, steps=3)


class Counting(nn.Module):
    """A network that counts the samples that go through it, forward and backward; a copy has counts of its own."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, {"forwards": 0, "backwards": 0}

    def forward(self, x):
        self.seen["forwards"] += len(x)
        logits = self.net(x)
        if logits.requires_grad:
            logits.register_hook(self.back)
        return logits

    def back(self, slope):
        self.seen["backwards"] += len(slope)


def residual(seed=0):
    return CifarResNet(8, width=2, in_channels=1, classes=3)


def counted(settings, n=30):
    """Passes that hooks count; without the two images that tell where a teacher's stages end."""
    make = residual if settings.features else small
    model, teacher = Counting(make()), Counting(make(1))
    finetune(model, blobs(n), settings, seed=0, teacher=teacher)
    assert teacher.seen["backwards"] == 0
    return Passes(**model.seen, teacher=teacher.seen["forwards"] - (IMAGES if settings.features else 0))


@pytest.mark.parametrize(
    "settings",
    [
        recipe(),
        recipe(epochs=0),
        recipe(epochs=0, recalibrate=True),
        recipe(samples=12, recalibrate=True, distill=0.5),
        recipe(distill=0.5, features=1.0, adversarial=PGD),
        recipe(adversarial=PGD),
        recipe(adversarial=replace(PGD, clean=0.5), distill=1.0),
        recipe(adversarial=replace(PGD, gamma=0.01)),
        recipe(adversarial=Adversarial.fgsm_rs(0.1), hold_out=0.2),
        recipe(adversarial=Adversarial.trades(0.1)),
        recipe(adversarial=replace(Adversarial.trades(0.1), gamma=0.01), hold_out=0.1),
        recipe(adversarial=Adversarial.trades(0.1, beta=1), distill=1.0),
        recipe(adversarial=Adversarial.rslad(0.1), distill=1.0),
        recipe(adversarial=replace(PGD, against="teacher", teacher_sees="same"), distill=1.0),
        recipe(adversarial=replace(PGD, clean=0.5, teacher_sees="same"), distill=0.5, train="head"),
        recipe(hold_out=0.3, recalibrate=True, train="norms"),
    ],
    ids=range(16),
)
def test_what_a_recipe_costs_is_what_is_counted(settings):
    assert counted(settings) == cost(settings, 30)


@pytest.mark.parametrize("name", RECIPES)
def test_named_recipes_cost_what_they_say(name):
    settings = replace(RECIPES[name](), epochs=min(1, RECIPES[name]().epochs))
    assert counted(settings) == cost(settings, 30)


def test_with_patience_it_is_the_most_that_there_may_be():
    """A rate of nearly nothing: no epoch is better than the first, so two are trained and not ten."""
    settings = recipe(epochs=10, lr=1e-12, hold_out=0.2, patience=1)
    found, most, short = counted(settings), cost(settings, 30), cost(replace(settings, epochs=2), 30)
    assert found == short
    assert found.forwards < most.forwards


def test_the_cost_by_hand():
    """TRADES on 90 of 100 images, 10 held out, 5 epochs of 10 steps.

    Trained: 10 steps, the clean outputs for them, and both images once: 13 forwards, 12 backwards. Held out: 10 steps
    and the answer.
    """
    settings = recipe(epochs=5, adversarial=Adversarial.trades(0.1), hold_out=0.1)
    assert cost(settings, 100) == Passes(forwards=5 * (90 * 13 + 10 * 11), backwards=5 * (90 * 12 + 10 * 10), teacher=0)
    assert cost(recipe(epochs=5, samples=50, distill=1.0), 100) == Passes(forwards=250, backwards=250, teacher=250)


def test_counting_counts():
    net = Counting(small())
    net(torch.rand(4, 1, 8, 8)).sum().backward()
    with torch.no_grad():
        net(torch.rand(3, 1, 8, 8))
    assert net.seen == {"forwards": 7, "backwards": 4}
