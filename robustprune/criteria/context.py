"""What a criterion is, and its one argument: a network, its blocks and samples, and all that is computed from them.

A criterion is one question to one context: "how much does each block matter?", answered as block name -> score with
**higher = keep**.

Everything is lazy and computed once. Batches are the outer loop and candidates the inner one, so that only
one batch of activations is held, and every candidate costs the layers behind it and no more (see `replay`). A
second criterion costs no forward pass at all.

Features are float64 arrays on the CPU: metrics of tiny differences need the digits, and mps has no float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from robustprune.criteria.arrays import Array, Labels
from robustprune.criteria.probe import Changes, Parts, Pass, Probe
from robustprune.criteria.replay import Tape
from robustprune.errors import InputError
from robustprune.models.blocks import Block, module_named
from robustprune.models.modes import evaluating
from robustprune.models.skip import Skip

Inputs = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""(model, x, y) -> other inputs of the same shape and labels, adversarial ones for example."""

Found = TypeVar("Found")


@runtime_checkable
class Criterion(Protocol):
    """Gives every block of a context a score; higher = keep.

    A criterion may also have `family`, a string: criteria of one family measure nearly the same thing, and
    `robustprune.consensus.family_weights` lets each family count once.
    """

    @property
    def name(self) -> str:
        """The name under which scores are recorded."""
        ...

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """Block name -> score, for every block of `ctx`, finite, higher = keep."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Sweep:
    dense: Pass
    without: dict[str, Pass]
    influence: dict[str, float]


@dataclass(eq=False)
class ScoringContext:
    """A network, its candidate blocks and labelled samples; every criterion is scored on the same ones.

    `x`: (n, C, H, W) float32 in [0, 1], on any device; batches are moved to the model's. `y`: (n,) class
    numbers. The model is used in eval mode and left as it was: weights, training flags, gradients.

    Raises InputError for fewer than 2 samples, labels of another length, no blocks, or a batch size below 1;
    while computing, for features or logits with NaN or Inf (naming the block), and for a block that is never
    called.
    """

    model: nn.Module
    blocks: Sequence[Block]
    x: Tensor
    y: Tensor
    seed: int = 0
    batch_size: int = 128
    _others: dict[Inputs, ScoringContext] = field(default_factory=dict, init=False, repr=False)
    _scores: list[tuple[Criterion, dict[str, float]]] = field(default_factory=list, init=False, repr=False)
    _found: dict[Callable[[ScoringContext], Any], Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.x) < 2 or self.y.shape != self.x.shape[:1]:
            shapes = f"{tuple(self.x.shape)} and {tuple(self.y.shape)}"
            raise InputError(f"scoring samples: x and y have shapes {shapes}, expected n >= 2 images and n labels")
        if not self.blocks:
            raise InputError("scoring: no candidate blocks, expected at least one (see models.blocks.find_blocks)")
        if self.batch_size < 1:
            raise InputError(f"scoring: batch_size = {self.batch_size}, expected at least 1")

    @property
    def features(self) -> Array:
        """(n, d): input of the last linear layer behind the blocks, pooled over positions, or the logits."""
        return self._sweep.dense.features

    @property
    def logits(self) -> Array:
        """(n, k)."""
        return self._sweep.dense.logits

    @cached_property
    def labels(self) -> Labels:
        """(n,) class numbers."""
        return np.asarray(self.y.cpu().numpy(), dtype=np.int64)

    def without(self, name: str) -> Pass:
        """Features and logits with block `name` skipped. Raises InputError for a name that is no block."""
        if name not in self._sweep.without:
            known = ", ".join(block.name for block in self.blocks)
            raise InputError(f"scoring: {name!r} is no candidate block, expected one of {known}")
        return self._sweep.without[name]

    @property
    def influence(self) -> dict[str, float]:
        """Block -> 1 - mean cosine of its input and output. One plain forward pass if nothing ran before."""
        return self._sweep.influence if "_sweep" in vars(self) else self._influence

    def score(self, criterion: Criterion) -> dict[str, float]:
        """`criterion(self)`, computed once for all criteria that are equal."""
        found = next((scores for known, scores in self._scores if known == criterion), None)
        if found is None:
            found = criterion(self)
            self._scores.append((criterion, found))
        return dict(found)

    def on(self, inputs: Inputs) -> ScoringContext:
        """The context of the same network and labels on `inputs(model, x, y)`, made once per `inputs`."""
        if inputs not in self._others:
            self._others[inputs] = replace(self, x=inputs(self.model, self.x, self.y))
        return self._others[inputs]

    def once(self, work: Callable[[ScoringContext], Found]) -> Found:
        """`work(self)`, done once for all criteria that ask for equal work."""
        if work not in self._found:
            self._found[work] = work(self)
        found: Found = self._found[work]
        return found

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """Block name -> module."""
        return {block.name: module_named(self.model, block.name) for block in self.blocks}

    @cached_property
    def skips(self) -> dict[str, Skip]:
        """Block name -> the module that stands in for it when it is removed."""
        return self._stand_ins()

    def _stand_ins(self) -> dict[str, Skip]:
        return {block.name: block.stand_in() for block in self.blocks}

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Copies (x, y) of at most `batch_size` samples, on the model's device, in the order of the data."""
        device = next((p.device for p in self.model.parameters()), self.x.device)
        for start in range(0, len(self.x), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self.x[part].to(device, copy=True), self.y[part].to(device)

    @cached_property
    def _sweep(self) -> _Sweep:
        tape, changes = Tape(self.model, self.modules, self.skips), Changes(self.modules, self._stand_ins())
        parts = {name: Parts(f"the network without block {name}") for name in self.modules}
        dense = Parts("the unpruned network")
        with evaluating(self.model), torch.no_grad(), Probe(self.model, self.modules.values()) as probe:
            for x, _ in self.batches():
                with changes.watched():
                    dense.add(tape.record(x), probe.features, len(x))
                for name in self.modules:
                    parts[name].add(tape.without(name), probe.features, len(x))
        whole, influence = dense.whole(), changes.means()
        return _Sweep(dense=whole, without={n: part.whole() for n, part in parts.items()}, influence=influence)

    @cached_property
    def _influence(self) -> dict[str, float]:
        changes = Changes(self.modules, self._stand_ins())
        with evaluating(self.model), torch.no_grad(), changes.watched():
            for x, _ in self.batches():
                self.model(x)
        return changes.means()
