"""Layers scored by criteria and taken out; what that costs in perplexity, window by window beside the whole model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from robustprune.criteria import EIGHT, Criterion, ScoringContext
from robustprune.criteria.consensus import Consensus
from robustprune.models import Block, find_blocks
from robustprune.models.texts.causal import NextToken, layers_of, shortened, surprise
from robustprune.names import find
from robustprune.prune import choose
from robustprune.results.perplexity import Perplexity, Ratio, ratio
from robustprune.results.significance import holm
from robustprune.ship.language.windows import Windows

OWN = "model."
"""Before the names of the model's modules, where it is wrapped as a network."""


@dataclass(frozen=True, kw_only=True)
class Shorter:
    """What one criterion took out, and what that did to the perplexity."""

    criterion: str
    removed: tuple[str, ...]
    perplexity: Perplexity
    ratio: Ratio
    parameters: int
    """That are left."""
    p_holm: float = 1.0
    """The p-value, adjusted for all criteria that were compared."""


def named(name: str) -> Criterion:
    """Make a criterion by its name; the consensus is that of the metrics which need no classes.

    What is predicted is one of many tokens, and few of them come twice: nothing can be said of a class.
    """
    if name != "consensus":
        found: Criterion = find("criteria", name)
        return found
    return Consensus(name=name, voters=tuple(one for one in EIGHT if getattr(one, "family", "") != "gaussian"))


def whole(model: nn.Module, windows: Windows) -> Perplexity:
    """Return the perplexity of a model on the windows for comparing."""
    found, tokens = surprise(model, windows.evaluation)
    return Perplexity(surprise=tuple(found), tokens=tokens)


def layers(model: nn.Module, example: Tensor) -> list[Block]:
    """Return the layers as blocks of the wrapped network, in order of execution."""
    name, _ = layers_of(model)
    return [one for one in find_blocks(NextToken(model), example) if one.name.startswith(f"{OWN}{name}.")]


def compared(
    model: Any,
    windows: Windows,
    count: int,
    criteria: Sequence[Criterion],
    tick: Callable[[str], None] = lambda stage: None,
    seed: int = 0,
) -> Iterator[Shorter]:
    """Take `count` layers out by each criterion, scored on the windows for scoring, and compare with the whole.

    The last token of a window is what is predicted there. p-values are adjusted by Holm's method over the criteria.
    """
    x, y = windows.scoring[:, :-1], windows.scoring[:, -1]
    context = ScoringContext(NextToken(model), layers(model, x), x, y, seed=seed, batch_size=16)
    before = whole(model, windows)
    found = []
    for criterion in criteria:
        tick(f"score by {criterion.name}")
        chosen = choose(context.score(criterion), context.blocks, count, protect_first=False)
        removed = tuple(one.name.removeprefix(OWN) for one in context.blocks if one.name in chosen)
        tick(f"perplexity without {', '.join(removed)}")
        found.append((criterion.name, removed, *_measured(model, removed, windows)))
    ratios = [ratio(perplexity, before) for *_, perplexity, _ in found]
    for (name, removed, perplexity, left), one, p in zip(found, ratios, holm([one.p for one in ratios]), strict=True):
        yield Shorter(criterion=name, removed=removed, perplexity=perplexity, ratio=one, parameters=left, p_holm=p)


def _measured(model: nn.Module, removed: Sequence[str], windows: Windows) -> tuple[Perplexity, int]:
    short = shortened(model, removed)
    return whole(short, windows), sum(parameter.numel() for parameter in short.parameters())
