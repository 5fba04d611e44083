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
from math import prod
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from robustprune.criteria.arrays import Array, Labels
from robustprune.criteria.changes import Changes, Moved
from robustprune.criteria.probe import Parts, Pass, Probe
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
    moved: dict[str, Moved]


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
    memory: int = 2**30
    """Bytes that one batch may keep while blocks are taken out one by one."""
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
        return {name: moved.influence for name, moved in self._moves.items()}

    @property
    def turned(self) -> dict[str, float]:
        """Block -> mean angle between its input and output, as a share of a half turn."""
        return {name: moved.angle for name, moved in self._moves.items()}

    @property
    def _moves(self) -> dict[str, Moved]:
        return self._sweep.moved if "_sweep" in vars(self) else self._moved

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
    def places(self) -> dict[str, nn.Module]:
        """Block name -> the module whose place its stand-in takes: the block itself, or what ends a branch."""
        return {block.name: module_named(self.model, block.at) for block in self.blocks}

    @cached_property
    def skips(self) -> dict[str, Skip]:
        """Block name -> the module that stands in for it when it is removed."""
        return self._stand_ins()

    def _stand_ins(self) -> dict[str, Skip]:
        return {block.name: block.stand_in() for block in self.blocks}

    def batches(self, kept: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Copies (x, y) of at most `batch_size` samples, on the model's device, in the order of the data.

        Of fewer where what the blocks return is `kept` and would take more than `memory`.
        """
        device = next((p.device for p in self.model.parameters()), self.x.device)
        size = min(self.batch_size, max(1, self.memory // self._kept)) if kept else self.batch_size
        for start in range(0, len(self.x), size):
            part = slice(start, start + size)
            yield self.x[part].to(device, copy=True), self.y[part].to(device)

    @property
    def _kept(self) -> int:
        """About how many bytes a Tape keeps of one sample: what blocks and the modules beside them return, as float32.

        A Transformer keeps every token of every block.
        """
        return sum(4 * prod(block.shape) * (2 + len(block.idle)) for block in self.blocks)

    @cached_property
    def _sweep(self) -> _Sweep:
        tape, changes = Tape(self.model, self.places, self.skips), self._changes()
        parts = {name: Parts(f"the network without block {name}") for name in self.modules}
        dense = Parts("the unpruned network")
        with evaluating(self.model), torch.no_grad(), Probe(self.model, self.places.values()) as probe:
            for x, _ in self.batches(kept=True):
                with changes.watched():
                    dense.add(tape.record(x), probe.features, len(x))
                for name in self.modules:
                    parts[name].add(tape.without(name), probe.features, len(x))
        whole, moved = dense.whole(), changes.means()
        return _Sweep(dense=whole, without={n: part.whole() for n, part in parts.items()}, moved=moved)

    def _changes(self) -> Changes:
        sums = {block.name: block.branch.sum for block in self.blocks if block.branch is not None}
        holders = {name: module_named(self.model, one.inside) for name, one in sums.items()}
        whole = {name: module for name, module in self.places.items() if name not in sums}
        return Changes(whole, self._stand_ins(), {name: (holders[name], one) for name, one in sums.items()})

    @cached_property
    def _moved(self) -> dict[str, Moved]:
        changes = self._changes()
        with evaluating(self.model), torch.no_grad(), changes.watched():
            for x, _ in self.batches():
                self.model(x)
        return changes.means()
