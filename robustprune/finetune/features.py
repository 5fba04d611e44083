"""What a network gives at the end of each stage, beside what its teacher gives there.

These are the hints of FitNets (Romero et al. 2014, arXiv 1412.6550), at the end of every stage instead of one place. A
network that lost blocks has its parent's stages and shapes still, so nothing has to be fitted in between: what comes
out of a stage can be compared as it is, number by number, which teaches more in a short training than logits alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.blocks import Block, find_blocks

IMAGES = 2
"""So many images tell where stages end."""

TINY = 1e-12
"""Keeps a stage that gives nothing from being divided by its square."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ends:
    """The modules that end the stages of a student and of its teacher, stage by stage. Empty: nothing is compared."""

    student: Sequence[nn.Module] = ()
    teacher: Sequence[nn.Module] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """What modules gave in the last forward: a tensor each, by their place."""

    given: dict[int, Tensor] = field(default_factory=dict)


def ends_of(student: nn.Module, teacher: nn.Module, x: Tensor) -> Ends:
    """Return where the stages end, each in the last of its blocks in the teacher, of which `x` are a few inputs.

    In the student it is the same module or, where that has gone from an nn.Sequential, the one that now stands last
    before it. InputError where the teacher has no residual blocks, or the student is no pruned copy of it.

    >>> from robustprune.models.resnet import CifarResNet
    >>> from robustprune.prune import remove
    >>> parent = CifarResNet(20)
    >>> ends = ends_of(remove(parent, ["layer1.2", "layer1.1"]), parent, torch.rand(2, 3, 8, 8))
    >>> ends.teacher[0] is parent.layer1[2], len(ends.student)
    (True, 3)
    """
    last = {block.stage: block for block in find_blocks(teacher, x[:IMAGES])}
    if not last:
        raise InputError(f"features: {type(teacher).__name__} has no residual blocks, so that no stage ends anywhere")
    pairs = [(_left(student, block, teacher), teacher.get_submodule(block.name)) for block in last.values()]
    return Ends(student=[ours for ours, _ in pairs], teacher=[theirs for _, theirs in pairs])


def _left(student: nn.Module, end: Block, teacher: nn.Module) -> nn.Module:
    """The student's module that ends the stage that `end` ends in the teacher."""
    siblings = [name for name, _ in teacher.get_submodule(end.container).named_children()]
    there: dict[str, nn.Module] = dict(student.named_modules(remove_duplicate=False))
    for name in reversed(siblings[: end.position + 1]):
        ours = there.get(f"{end.container}.{name}".removeprefix("."))
        if ours is not None:
            return ours
    raise InputError(
        f"features: of the teacher's blocks up to {end.name} the student has none; expected a network that is its "
        "teacher without some blocks, with one or more left in each stage"
    )


@contextmanager
def heard(modules: Sequence[nn.Module]) -> Iterator[Heard]:
    """Listen to what these modules return; of several tensors the first. Gradients flow through what is heard."""
    found = Heard()
    hooks = [one.register_forward_hook(_ear(found.given, place)) for place, one in enumerate(modules)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _ear(given: dict[int, Tensor], place: int) -> Callable[[nn.Module, Any, Any], None]:
    def ear(module: nn.Module, arguments: Any, output: Any) -> None:
        given[place] = output if isinstance(output, Tensor) else next(one for one in output if isinstance(one, Tensor))

    return ear


def gap(ours: Heard, theirs: Heard) -> Tensor:
    """Return the squared gap of a student to its teacher relative to the teacher's square, the mean over the stages.

    0 where both give the same; 1 is what a student has that gives nothing. The teacher learns nothing from it.

    >>> zero, one = Heard(given={0: torch.zeros(2, 3)}), Heard(given={0: torch.ones(2, 3)})
    >>> float(gap(zero, one))
    1.0
    """
    pairs = [(full(ours.given[place]), full(goal).detach()) for place, goal in theirs.given.items()]
    return torch.stack([(a - b).pow(2).mean() / b.pow(2).mean().clamp(min=TINY) for a, b in pairs]).mean()


def full(x: Tensor) -> Tensor:
    """Return what a pass in half precision gave in float32, so that losses are; anything else as it is."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
