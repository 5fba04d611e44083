"""Taking blocks out: which may go, which go first, and a new, really smaller model without them.

A mask or zeroed weights would keep the cost; here the layers are gone from a deep copy. Where an
nn.Sequential runs the block, it is deleted, and what remains keeps its names: the weights of layer1.2 are
still called so after layer1.1 has gone, so a pruned model shares its parent's names, and its weight file can
be read beside the parent's. (`del sequential[i]` would number anew.) Elsewhere (a ModuleList, an attribute)
code outside may index the children or call them with more arguments; there a stand-in without parameters
takes the block's place and hands its first argument on.

The parent's factory and the list of removed names are enough to build a pruned model again:
`remove(factory(), names)`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from math import fsum, isnan

from torch import nn

from robustprune.errors import InputError
from robustprune.models.blocks import Block, is_sequential, module_named, resolve
from robustprune.models.probe import Example
from robustprune.models.skip import Zeros, settings_of


def remove(model: nn.Module, names: Sequence[str | Block], example: Example | None = None) -> nn.Module:
    """A deep copy of `model` without these blocks; `model` itself stays as it is.

    In eval mode its logits are those of `model` with the blocks bypassed. Blocks from `find_blocks` are used
    as they are; bare names are looked up, which takes one forward of `example` (a batch of the model's input)
    or, without one, of noise that fits.
    Raises InputError for names that do not exist, are not removable (with close names) or come twice.

    >>> from robustprune.models.resnet import CifarResNet
    >>> parent = CifarResNet(20)
    >>> list(remove(parent, ["layer1.1"]).layer1._modules), len(parent.layer1)
    (['0', '2'], 3)
    """
    blocks = resolve(model, names, example)
    pruned = copy.deepcopy(model)
    for block in blocks:
        _take_out(pruned, block)
    return pruned


def eligible(blocks: Sequence[Block], protect_first: bool = True) -> list[Block]:
    """The blocks that may go. The paper never removes the first of a stage: 24 of ResNet-56's 25 may.

    >>> from robustprune.models.resnet import CifarResNet
    >>> from robustprune.models.blocks import find_blocks
    >>> import torch
    >>> [block.name for block in eligible(find_blocks(CifarResNet(14), torch.rand(1, 3, 8, 8)))]
    ['layer1.1', 'layer2.1', 'layer3.1']
    """
    return [block for block in blocks if not (protect_first and block.first)]


def most_removable(blocks: Sequence[Block], keep_per_stage: int = 1, protect_first: bool = True) -> int:
    """How many blocks can go: of every stage, `keep_per_stage` eligible ones stay.

    With the paper's rule (a stage keeps two blocks: its first, and one of the eligible) 21 of ResNet-56's 27.
    """
    return sum(_free(eligible(blocks, protect_first), keep_per_stage).values())


def count_to_remove(remove: int | float, blocks: Sequence[Block], protect_first: bool = True) -> int:
    """How many blocks a strategy's `remove` means: as stated, or the stated share of the eligible ones, at least 1.

    >>> blocks = [Block(name=n, container="", stage=0, position=i, shape=(1,)) for i, n in enumerate("abcd")]
    >>> count_to_remove(3, blocks), count_to_remove(0.5, blocks)
    (3, 2)
    """
    return remove if isinstance(remove, int) else max(1, round(remove * len(eligible(blocks, protect_first))))


def check_count(count: int, blocks: Sequence[Block], keep_per_stage: int = 1, protect_first: bool = True) -> None:
    """Raise InputError if `count` blocks are more than can go; it says which settings would let how many go."""
    most = most_removable(blocks, keep_per_stage, protect_first)
    if count <= most:
        return
    if not blocks:
        raise InputError(
            f"{count} blocks to remove, but the network has no removable block; `robustprune blocks` says why"
        )
    raise InputError(
        f"{count} blocks to remove, but at most {most} of {len(blocks)} can go with keep_per_stage={keep_per_stage}, "
        f"protect_first={protect_first}; {other_settings(blocks, keep_per_stage, protect_first)}"
    )


def other_settings(blocks: Sequence[Block], keep_per_stage: int = 1, protect_first: bool = True) -> str:
    """Which settings would let how many more blocks go, in words."""
    counts = {
        "": most_removable(blocks, keep_per_stage, protect_first),
        " if none is kept (keep_per_stage=0)": most_removable(blocks, 0, protect_first),
        " if first blocks may go (protect_first=False)": most_removable(blocks, keep_per_stage, protect_first=False),
    }
    both, most = most_removable(blocks, 0, protect_first=False), max(counts.values())
    ways = [f"{count}{way}" for way, count in counts.items() if count > counts[""]]
    return ", ".join([*ways, *([f"{both} with both"] if both > most else [])]) or "no other setting lets more go"


def choose(
    scores: Mapping[str, float],
    blocks: Sequence[Block],
    count: int,
    keep_per_stage: int = 1,
    protect_first: bool = True,
) -> list[str]:
    """The names of the `count` blocks to remove: the eligible ones with the lowest scores (higher = keep).

    Lowest first; among equal scores the earlier block. A stage that has no more than `keep_per_stage`
    eligible blocks left is passed over. Raises InputError if a score is missing or NaN, or if fewer than
    `count` can go.

    >>> blocks = [Block(name=n, container="", stage=0, position=i, shape=(1,)) for i, n in enumerate("abc")]
    >>> choose({"a": 3.0, "b": 1.0, "c": 2.0}, blocks, 2)
    ['b', 'c']
    """
    candidates = eligible(blocks, protect_first)
    _check(scores, blocks, candidates, count, keep_per_stage, protect_first)
    free = _free(candidates, keep_per_stage)
    chosen: list[str] = []
    for block in sorted(candidates, key=lambda block: scores[block.name]):
        if len(chosen) < count and free[block.stage] > 0:
            free[block.stage] -= 1
            chosen.append(block.name)
    return chosen


def choose_run(
    scores: Mapping[str, float],
    blocks: Sequence[Block],
    count: int,
    keep_per_stage: int = 1,
    protect_first: bool = True,
) -> list[str]:
    """The names of `count` neighbouring blocks to remove: the run with the lowest sum of scores (higher = keep).

    Neighbours are eligible blocks that follow each other in the network, in the manner of Gromov et al. 2024 (arXiv
    2403.17887), who measure the run as a whole instead. A run goes on over what has to stay: a protected first block, a
    projection, and the last of a stage once no more than `keep_per_stage` eligible blocks would be left of it. In the
    order of the network; of equal runs the earliest. Raises InputError as `choose` does.

    >>> blocks = [Block(name=n, container="", stage=0, position=i, shape=(1,)) for i, n in enumerate("abcd")]
    >>> choose_run({"a": 1.0, "b": 9.0, "c": 3.0, "d": 4.0}, blocks, 2)
    ['c', 'd']
    """
    candidates = eligible(blocks, protect_first)
    _check(scores, blocks, candidates, count, keep_per_stage, protect_first)
    runs = [_run(candidates[start:], count, _free(candidates, keep_per_stage)) for start in range(len(candidates))]
    whole = [run for run in runs if len(run) == count] or [[]]
    return min(whole, key=lambda run: fsum(scores[name] for name in run))


def _run(candidates: Sequence[Block], count: int, free: dict[int, int]) -> list[str]:
    """The first `count` blocks that may go, if no stage gives more of them than are `free` in it."""
    run: list[str] = []
    for block in candidates:
        if len(run) < count and free[block.stage] > 0:
            free[block.stage] -= 1
            run.append(block.name)
    return run


def _free(candidates: Sequence[Block], keep_per_stage: int) -> dict[int, int]:
    """Stage -> how many of its candidates can go."""
    sizes = Counter(block.stage for block in candidates)
    return {stage: max(0, size - keep_per_stage) for stage, size in sizes.items()}


def _check(
    scores: Mapping[str, float],
    blocks: Sequence[Block],
    candidates: Sequence[Block],
    count: int,
    keep_per_stage: int,
    protect_first: bool,
) -> None:
    if count < 0 or keep_per_stage < 0:
        raise InputError(f"choose: count {count}, keep_per_stage {keep_per_stage}; expected 0 or more")
    unscored = [block.name for block in candidates if isnan(scores.get(block.name, float("nan")))]
    if unscored:
        raise InputError(f"choose: no score for {', '.join(unscored[:3])}; expected a number for every eligible block")
    check_count(count, blocks, keep_per_stage, protect_first)


def _take_out(model: nn.Module, block: Block) -> None:
    """Every place that holds the block's module loses it: deleted from an nn.Sequential, else replaced."""
    module = module_named(model, block.at)
    skip = block.stand_in()
    skip.settings = settings_of(module)
    for idle, blanks in block.idle:
        beside = module_named(model, idle)
        _replace(model, beside, Zeros(blanks, settings_of(beside)))
    for parent in list(model.modules()):
        for name in [name for name, child in parent._modules.items() if child is module]:
            if block.in_sequential and is_sequential(parent) and block.plain:
                del parent._modules[name]
            else:
                setattr(parent, name, skip)


def _replace(model: nn.Module, module: nn.Module, other: nn.Module) -> None:
    """Put another module into every place that holds this one."""
    for parent in list(model.modules()):
        for name in [name for name, child in parent._modules.items() if child is module]:
            setattr(parent, name, other)
