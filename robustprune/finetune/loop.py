"""The training loop, read from top to bottom.

Choices. SGD with Nesterov momentum, as the published layer-pruning work has it. The batches of an epoch
differ by at most one sample: none is dropped, none is too small for BatchNorm. Distillation follows Hinton et
al. 2015 (arXiv 1503.02531); with adversarial training the teacher looks at the clean image and the student at
the attacked one (Goldblum et al. 2019, arXiv 1905.09747). The inner attack is PGD (Madry et al. 2017, arXiv
1706.06083) on the network in eval mode: its iterates leave BatchNorm's running statistics alone, and dropout
does not blur its gradient. Only the step that learns from its last iterate is made in training mode. On a CPU
weights and images are kept channels-last while training, which is 1.2 times as fast there, where the network runs so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustprune.data import Split
from robustprune.errors import InputError
from robustprune.finetune.augment import AUGMENTS
from robustprune.finetune.context import layout_for, training
from robustprune.finetune.recipe import Adversarial, Recipe, learning_rate
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What is known after an epoch: how many are done of how many, mean loss and accuracy on what was shown."""

    done: int
    total: int
    loss: float
    accuracy: float


Tick = Callable[[Epoch], None]
"""Called after each epoch."""


class DivergedError(InputError):
    """The loss is no longer a finite number: the learning rate is too high for this network."""


def finetune(
    model: nn.Module,
    data: Split,
    recipe: Recipe,
    seed: int,
    teacher: nn.Module | None = None,
    tick: Tick | None = None,
) -> None:
    """Train `model` in place, on its own device. The same seed gives the same weights on the same machine.

    Order, augmentation, random starts and dropout follow `seed`; the global generators are left as they were,
    and so are the training flags of the modules and the teacher. Parameters that do not require gradients
    stay as they are. Raises DivergedError when the loss is not finite, InputError where a recipe that
    distils gets no teacher.
    """
    if recipe.distill and teacher is None:
        raise InputError(f"recipe {recipe.name!r} distils (distill={recipe.distill}), expected a teacher")
    if recipe.samples is not None:
        data = data.balanced(recipe.samples, seed)
    optimizer = _optimizer(model, recipe)
    device = next(model.parameters()).device
    draws = torch.Generator().manual_seed(seed)
    batches = math.ceil(len(data) / recipe.batch_size)
    step, steps = 0, recipe.epochs * batches
    layout = layout_for(model, data.x[:2], device)
    with training(model, device, seed, layout):
        if recipe.recalibrate:
            recalibrate(model, data.x, recipe.batch_size, layout)
        for epoch in range(recipe.epochs):
            total, right = torch.zeros((), device=device), torch.zeros((), device=device)
            for chosen in torch.randperm(len(data), generator=draws).tensor_split(batches):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(recipe, step, steps)
                x = AUGMENTS[recipe.augment](data.x[chosen], draws)
                x, y = x.to(device, memory_format=layout), data.y[chosen].to(device)
                loss, logits = batch_loss(model, x, y, recipe, teacher, draws)
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
                total += loss.detach() * len(chosen)
                right += (logits.detach().argmax(1) == y).sum()
                step += 1
            if not math.isfinite(float(total)):
                when = f"epoch {epoch + 1} of {recipe.epochs}"
                raise DivergedError(
                    f"recipe {recipe.name!r}: the loss is not finite in {when}; use a lr below {recipe.lr:g}"
                )
            if tick is not None:
                seen = {"loss": float(total) / len(data), "accuracy": float(right) / len(data)}
                tick(Epoch(done=epoch + 1, total=recipe.epochs, **seen))


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise InputError("the network has no parameter that requires a gradient: nothing to train")
    return torch.optim.SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )


def batch_loss(
    model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe, teacher: nn.Module | None, draws: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the loss of one batch (mean over samples) and its logits, attacked first where the recipe says so."""
    seen = x if recipe.adversarial is None else attacked(model, x, y, recipe.adversarial, draws)
    logits = model(shown(model, seen))
    loss = torch.zeros((), device=x.device)
    if recipe.distill < 1:
        truth = F.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
        loss = loss + (1 - recipe.distill) * truth
    if teacher is not None and recipe.distill > 0:
        with evaluating(teacher), torch.no_grad():
            target = teacher(shown(teacher, x))
        loss = loss + recipe.distill * distillation_loss(logits, target, recipe.temperature)
    return loss, logits


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T² KL(softmax(teacher / T), softmax(student / T)), the mean over the rows of two (n, k) logits.

    Its gradient by the student's logits is T (softmax(student / T) - softmax(teacher / T)) / n (Hinton et al.
    2015, equation 2, times T², which keeps it comparable with the cross-entropy's). 0 where the two agree.

    >>> float(distillation_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), 2.0))
    0.0
    """
    ours, theirs = (F.log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def attacked(model: nn.Module, x: Tensor, y: Tensor, settings: Adversarial, draws: torch.Generator) -> Tensor:
    """Return PGD iterates that raise the cross-entropy, from a random start, within eps of `x` and in [0, 1]."""
    start = torch.rand(x.shape, generator=draws) * 2 - 1
    adversarial = (x + settings.eps * start.to(x.device)).clamp(0, 1)
    low, high = x - settings.eps, x + settings.eps
    with evaluating(model):
        for _ in range(settings.steps):
            adversarial.requires_grad_()
            loss = F.cross_entropy(model(shown(model, adversarial)), y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, adversarial)
            moved = adversarial.detach() + settings.step * gradient.sign()
            adversarial = moved.clamp(low, high).clamp(0, 1)
    return adversarial


@torch.no_grad()
def recalibrate(
    model: nn.Module, x: Tensor, batch_size: int = 128, layout: torch.memory_format = torch.contiguous_format
) -> None:
    """Estimate BatchNorm's running statistics anew from images `x`, as the mean over equal batches.

    Removing blocks changes what later layers see. No weight moves and dropout stays off. A batch takes every
    k-th image, so that sorted data are mixed.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    device = next(model.parameters()).device
    with evaluating(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        batches = math.ceil(len(x) / batch_size) if norms else 0
        for first in range(batches):
            model(shown(model, x[first::batches].to(device, memory_format=layout)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
