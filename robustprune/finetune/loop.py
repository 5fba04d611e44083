"""The training loop, read from top to bottom.

Choices. SGD with Nesterov momentum, as the published layer-pruning work has it. The batches of an epoch differ by at
most one sample: none is dropped, none is too small for BatchNorm. Weights and images are kept channels-last while
training where that is faster (1.2 times on a CPU) and the network runs so. What is held out is attacked with the same
random starts after every epoch, away from the labels whatever the training's attack raises: what differs between two
epochs is the network alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robustprune.data import Split
from robustprune.data.base import balanced_indices
from robustprune.errors import InputError
from robustprune.finetune.anew import forget
from robustprune.finetune.augment import AUGMENTS
from robustprune.finetune.awp import perturbed
from robustprune.finetune.context import layout_for, training
from robustprune.finetune.course import Course, Keeper
from robustprune.finetune.features import Ends, ends_of
from robustprune.finetune.losses import answers, attacked, batch_loss, heeds, prepared
from robustprune.finetune.parts import moving
from robustprune.finetune.recalibration import recalibrate
from robustprune.finetune.recipe import Recipe, learning_rate


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What is known after an epoch: how many are done of how many, mean loss and accuracy on what was shown."""

    done: int
    total: int
    loss: float
    accuracy: float
    held_out: float | None = None
    """Accuracy on the samples that are held out, attacked where the recipe attacks."""
    last: bool = False
    """Whether training ends here, be it that it stops early."""


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
    near: Sequence[str] = (),
    keeper: Keeper | None = None,
) -> None:
    """Train `model` in place, on its own device. The same seed gives the same weights on the same machine.

    Order, augmentation, random starts and dropout follow `seed`; the global generators are left as they were,
    and so are the training flags of the modules and the teacher. Parameters that do not require gradients
    stay as they are. `near` names the modules next to a cut, for a recipe that trains those. With a `keeper` each epoch
    is written down, and a training that was begun goes on: its weights end bit by bit as if it had never stopped.
    Raises DivergedError when the loss is not finite, InputError where a recipe that distils gets no teacher.
    """
    if recipe.distill and teacher is None:
        raise InputError(f"recipe {recipe.name!r} distils (distill={recipe.distill}), expected a teacher")
    data, held = split(data, recipe, seed)
    device = next(model.parameters()).device
    ends = ends_of(model, teacher, data.x[:2].to(device)) if recipe.features and teacher is not None else Ends()
    layout = layout_for(model, data.x[:2], device, low=recipe.precision == "bfloat16")
    with training(model, device, seed, layout), moving(model, recipe.train, near) as parameters:
        draws = torch.Generator().manual_seed(seed)
        optimizer = _optimizer(parameters, recipe)
        course = Course(model=model, optimizer=optimizer, parameters=parameters, draws=draws, device=device, ends=ends)
        begun = keeper.load() if keeper is not None else None
        if begun is not None:
            course.put_back(begun)
        elif recipe.anew:
            forget(model)
        elif recipe.recalibrate:
            recalibrate(model, data.x, recipe.batch_size, layout)
        while not course.over(recipe):
            loss, accuracy = _epoch(course, data, recipe, teacher, layout)
            outside = None if held is None else accuracy_on(model, held, recipe, seed, layout)
            course.finished(outside)
            if keeper is not None:
                keeper.save(course.state())
            if tick is not None:
                seen = Epoch(done=course.done, total=recipe.epochs, loss=loss, accuracy=accuracy, held_out=outside)
                tick(replace(seen, last=course.over(recipe)))
        course.settle()


def split(data: Split, recipe: Recipe, seed: int) -> tuple[Split, Split | None]:
    """Return what is trained on and what is held out, class-balanced: the recipe's share of the recipe's samples."""
    if recipe.samples is not None:
        data = data.balanced(recipe.samples, seed)
    _, held = recipe.shares(len(data))
    if not held:
        return data, None
    outside = torch.zeros(len(data), dtype=torch.bool)
    outside[torch.as_tensor(balanced_indices(data.y.cpu().numpy(), held, seed))] = True
    return data.take((~outside).nonzero()[:, 0]), data.take(outside.nonzero()[:, 0])


def _epoch(
    course: Course, data: Split, recipe: Recipe, teacher: nn.Module | None, layout: torch.memory_format
) -> tuple[float, float]:
    """Show every image once, in an order of its own; return mean loss and accuracy on what was shown."""
    device, batches, heed = course.device, math.ceil(len(data) / recipe.batch_size), heeds(data.y, recipe)
    total, right = torch.zeros((), device=device), torch.zeros((), device=device)
    for number, chosen in enumerate(torch.randperm(len(data), generator=course.draws).tensor_split(batches)):
        for group in course.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, course.done * batches + number, recipe.epochs * batches)
        x = AUGMENTS[recipe.augment](data.x[chosen], course.draws)
        x, y = x.to(device, memory_format=layout), data.y[chosen].to(device)
        loss, logits = _step(course, x, y, recipe, teacher, None if heed is None else heed[chosen].to(device))
        total += loss * len(chosen)
        right += (logits.argmax(1) == y).sum()
    if not math.isfinite(float(total)):
        when = f"epoch {course.done + 1} of {recipe.epochs}"
        raise DivergedError(f"recipe {recipe.name!r}: the loss is not finite in {when}; use a lr below {recipe.lr:g}")
    return float(total) / len(data), float(right) / len(data)


def _step(
    course: Course, x: Tensor, y: Tensor, recipe: Recipe, teacher: nn.Module | None, heed: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Learn from one batch; return its loss and logits as they were before."""
    gamma = recipe.adversarial.gamma if recipe.adversarial is not None else 0.0
    with _arithmetic(course.device, recipe):
        batch = replace(prepared(course.model, x, y, recipe, teacher, course.draws, course.ends), heed=heed)
        with perturbed(course.model, course.parameters, batch, recipe, gamma):
            loss, logits = batch_loss(course.model, batch, recipe)
            course.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
    course.optimizer.step()
    return loss.detach(), logits.detach()


def _arithmetic(device: torch.device, recipe: Recipe) -> torch.autocast:
    """Mixed precision, where the recipe says so. What is cast is not kept: weights move between passes (AWP)."""
    low = recipe.precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=low, cache_enabled=False)


def accuracy_on(model: nn.Module, held: Split, recipe: Recipe, seed: int, layout: torch.memory_format) -> float:
    """Return the accuracy on what is held out, in eval mode, attacked where the recipe attacks."""
    device, draws, right = next(model.parameters()).device, torch.Generator().manual_seed(seed), 0
    for chosen in torch.arange(len(held)).tensor_split(math.ceil(len(held) / recipe.batch_size)):
        x, y = held.x[chosen].to(device, memory_format=layout), held.y[chosen].to(device)
        x = x if recipe.adversarial is None else attacked(model, x, y, recipe.adversarial, draws)
        right += int((answers(model, x).argmax(1) == y).sum())
    return right / len(held)


def _optimizer(parameters: Sequence[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    if not parameters:
        raise InputError("the network has no parameter that requires a gradient: nothing to train")
    return torch.optim.SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )
