"""The loss of one step: the images as they are shown, what the teacher says of them, and what is learned from that.

Distillation follows Hinton et al. 2015 (arXiv 1503.02531). The inner attack is PGD (Madry et al. 2017, arXiv
1706.06083) on the network in eval mode: its iterates leave BatchNorm's running statistics alone, and dropout does not
blur its gradient. Only what is learned from its last iterate is computed in training mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustprune.finetune.adversarial import Adversarial, Image
from robustprune.finetune.features import Ends, Heard, full, gap, heard
from robustprune.finetune.recipe import Recipe
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What one step learns from: images, labels, and what the teacher answers to the images that it looks at."""

    images: Mapping[Image, Tensor]
    y: Tensor
    said: Mapping[Image, Tensor]
    ends: Ends = field(default_factory=Ends)
    """Where student and teacher are compared inside."""
    given: Mapping[Image, Heard] = field(default_factory=dict)
    """What the teacher gave there, for each image that it looked at."""
    heed: Tensor | None = None
    """(n,) what the label of each image weighs; None where all weigh alike."""


def heeds(y: Tensor, recipe: Recipe) -> Tensor | None:
    """Return (n,) what each label weighs: the rarer its class, the more, so that all classes weigh alike, 1 on average.

    None where the recipe makes no difference. The formula is scikit-learn's: n / (classes that occur * n of the class).

    >>> heeds(torch.tensor([0, 1, 1, 1]), Recipe(name="r", epochs=1, lr=0.1, class_weights="balanced"))
    tensor([2.0000, 0.6667, 0.6667, 0.6667])
    """
    if recipe.class_weights is None:
        return None
    _, place, counts = y.unique(return_inverse=True, return_counts=True)
    weight: Tensor = len(y) / (len(counts) * counts)
    return weight[place]


def prepared(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    teacher: nn.Module | None,
    draws: torch.Generator,
    ends: Ends | None = None,
) -> Batch:
    """Attack a batch where the recipe says so, and ask the teacher."""
    ends = ends or Ends()
    images: dict[Image, Tensor] = {"clean": x}
    said, given = dict[Image, Tensor](), dict[Image, Heard]()

    def ask(view: Image) -> None:
        if teacher is not None and view in recipe.asked:
            with heard(ends.teacher) as given[view]:
                said[view] = answers(teacher, images[view])

    ask("clean")
    settings = recipe.adversarial
    if settings is not None:
        target = {"labels": lambda: y, "outputs": lambda: answers(model, x), "teacher": lambda: said["clean"]}
        images["attacked"] = attacked(model, x, target[settings.against](), settings, draws)
        ask("attacked")
    return Batch(images=images, y=y, said=said, ends=ends, given=given)


def batch_loss(model: nn.Module, batch: Batch, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return the loss of one batch (mean over samples), and its logits: of the attacked images where there are any."""
    logits, inside = dict[Image, Tensor](), dict[Image, Heard]()
    for view in recipe.views:
        with heard(batch.ends.student) as inside[view]:
            logits[view] = full(model(shown(model, batch.images[view])))
    loss = torch.zeros((), device=batch.y.device)
    for view, weight in recipe.weights.items():
        loss = loss + weight * _fit(logits[view], batch, view, recipe)
        if recipe.features:
            loss = loss + weight * recipe.features * gap(inside[view], batch.given[recipe.taught[view]])
    if recipe.adversarial is not None and recipe.adversarial.beta:
        loss = loss + recipe.adversarial.beta * distillation_loss(logits["attacked"], logits["clean"], 1.0)
    return loss, logits[recipe.views[-1]]


def _fit(logits: Tensor, batch: Batch, view: Image, recipe: Recipe) -> Tensor:
    """What labels and teacher say of the logits of one image."""
    loss = torch.zeros((), device=batch.y.device)
    if recipe.distill < 1:
        loss = loss + (1 - recipe.distill) * truth(logits, batch, recipe)
    if recipe.distill:
        said = batch.said[recipe.taught[view]]
        loss = loss + recipe.distill * distillation_loss(logits, said, recipe.temperature)
    return loss


def truth(logits: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the cross-entropy of the labels, the mean over the images; where labels weigh, the weighted mean."""
    if batch.heed is None:
        return F.cross_entropy(logits, batch.y, label_smoothing=recipe.label_smoothing)
    each = F.cross_entropy(logits, batch.y, label_smoothing=recipe.label_smoothing, reduction="none")
    return (batch.heed * each).sum() / batch.heed.sum()


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T² KL(softmax(teacher / T), softmax(student / T)), the mean over the rows of two (n, k) logits.

    Its gradient by the student's logits is T (softmax(student / T) - softmax(teacher / T)) / n (Hinton et al.
    2015, equation 2, times T², which keeps it comparable with the cross-entropy's). 0 where the two agree.

    >>> float(distillation_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), 2.0))
    0.0
    """
    ours, theirs = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def attacked(model: nn.Module, x: Tensor, target: Tensor, settings: Adversarial, draws: torch.Generator) -> Tensor:
    """Return PGD iterates from a random start, within eps of `x` and in [0, 1].

    They raise the cross-entropy where `target` holds labels, (n,), else the KL divergence from it, logits (n, k).
    """
    start = torch.rand(x.shape, generator=draws) * 2 - 1
    adversarial = (x + settings.eps * start.to(x.device)).clamp(0, 1)
    low, high = x - settings.eps, x + settings.eps
    with evaluating(model):
        for _ in range(settings.steps):
            adversarial.requires_grad_()
            logits = full(model(shown(model, adversarial)))
            loss = F.cross_entropy(logits, target, reduction="sum") if target.ndim == 1 else _gap(logits, target)
            (gradient,) = torch.autograd.grad(loss, adversarial)
            moved = adversarial.detach() + settings.step * gradient.sign()
            adversarial = moved.clamp(low, high).clamp(0, 1)
    return adversarial


def _gap(logits: Tensor, target: Tensor) -> Tensor:
    return len(target) * distillation_loss(logits, target, 1.0)


@torch.no_grad()
def answers(model: nn.Module, x: Tensor) -> Tensor:
    """Logits of images in eval mode, which nothing is learned through."""
    with evaluating(model):
        return full(model(shown(model, x)))
