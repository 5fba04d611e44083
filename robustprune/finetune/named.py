"""Recipes by name. For images that must not be mirrored, such as digits, replace `augment` by "shift"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from robustprune.finetune.adversarial import Adversarial
from robustprune.finetune.recipe import Recipe

EPS = 8 / 255
"""The usual budget on CIFAR-10."""


def recalibrate_only() -> Recipe:
    """No training: BatchNorm's statistics are estimated anew (seconds)."""
    return Recipe(name="recalibrate", epochs=0, lr=0.1, recalibrate=True)


def plain() -> Recipe:
    """30 epochs on the labels, one cycle to 0.05, shifted and mirrored images."""
    return Recipe(name="plain", epochs=30, lr=0.05, augment="crop-flip")


def anew() -> Recipe:
    """The recipe plain from initial weights: what the shape alone is worth."""
    return replace(plain(), name="anew", anew=True)


def held_out() -> Recipe:
    """The recipe plain, of which the best epoch on a tenth of the training images is kept."""
    return replace(plain(), name="plain-held-out", hold_out=0.1, patience=10)


def distil() -> Recipe:
    """30 epochs on the parent's outputs at temperature 2, one cycle to 0.05, shifted and mirrored images."""
    return Recipe(name="distill", epochs=30, lr=0.05, augment="crop-flip", distill=1.0)


def distil_short() -> Recipe:
    """The recipe distill in 5 epochs, for a first look."""
    return Recipe(name="distill-short", epochs=5, lr=0.05, augment="crop-flip", distill=1.0)


def distil_stages() -> Recipe:
    """9 epochs on the parent's outputs and on what comes out of its stages, one cycle to 0.1 (FitNets' hints)."""
    return Recipe(
        name="distill-stages", epochs=9, lr=0.1, augment="crop-flip", distill=0.9, temperature=4.0, features=3.0
    )


def norms() -> Recipe:
    """The recipe distill-short on norm layers only, after BatchNorm's statistics were estimated anew."""
    return replace(distil_short(), name="norms", train="norms", recalibrate=True)


def head() -> Recipe:
    """The recipe distill-short on the last linear layer only, after BatchNorm's statistics were estimated anew."""
    return replace(distil_short(), name="head", train="head", recalibrate=True)


def near() -> Recipe:
    """The recipe distill-short on what stands next to a cut only, after BatchNorm's statistics were estimated anew."""
    return replace(distil_short(), name="near", train="near", recalibrate=True)


def adversarial() -> Recipe:
    """30 epochs of PGD training at 8/255 with 7 steps, one cycle to 0.05, shifted and mirrored images."""
    return Recipe(name="adversarial", epochs=30, lr=0.05, augment="crop-flip", adversarial=Adversarial(eps=EPS))


def fgsm_rs() -> Recipe:
    """The recipe adversarial with one step of 1.25 eps from a random start (FGSM-RS)."""
    return replace(adversarial(), name="fgsm-rs", adversarial=Adversarial.fgsm_rs(EPS))


def trades() -> Recipe:
    """The recipe adversarial with the loss of TRADES, beta 6, and 10 steps."""
    return replace(adversarial(), name="trades", adversarial=Adversarial.trades(EPS))


def awp() -> Recipe:
    """The recipe adversarial on weights that are perturbed too, by 0.005 of their norms (AWP)."""
    return replace(adversarial(), name="awp", adversarial=Adversarial(eps=EPS, gamma=0.005))


def rslad() -> Recipe:
    """The recipe adversarial on the parent's outputs, which the attack moves away from in 10 steps (RSLAD)."""
    settings = Adversarial.rslad(EPS)
    return replace(adversarial(), name="rslad", adversarial=settings, distill=1.0, temperature=1.0)


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "recalibrate": recalibrate_only,
    "plain": plain,
    "anew": anew,
    "plain-held-out": held_out,
    "distill": distil,
    "distill-short": distil_short,
    "distill-stages": distil_stages,
    "norms": norms,
    "head": head,
    "near": near,
    "adversarial": adversarial,
    "fgsm-rs": fgsm_rs,
    "trades": trades,
    "awp": awp,
    "rslad": rslad,
}
"""Name -> factory."""
