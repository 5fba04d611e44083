"""What changed between two networks, in words. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robustprune.review.changes import Changes, Layer

SHOWN = 8
"""Longer lists are cut; verdict.json has them whole."""


def structure_lines(changes: Changes) -> list[str]:
    """Say what changed in the structure and in the weights, most important first."""
    return list(_lines(changes))


def _lines(changes: Changes) -> Iterator[str]:
    before, now = changes.blocks
    if before or now:
        counted = f"{before} -> {now}, counting those that cannot be removed" if before != now else f"{now}, as before"
        yield f"residual blocks: {counted}"
    if changes.wrapper:
        yield changes.wrapper
    if changes.gone:
        yield f"gone: {layers(changes.gone)}"
    if changes.added:
        yield f"added: {layers(changes.added)}"
    if changes.altered:
        yield f"altered: {_cut(changes.altered)}"
    counts = [f"{kind} {old} -> {new}" for kind, (old, new) in changes.counts.items() if old != new]
    if counts:
        yield f"layers: {', '.join(counts)}"
    if changes.none:
        yield "the structure is the same"
    yield _weights(changes)


def layers(found: Sequence[Layer]) -> str:
    """Name layers, runs of neighbours in short.

    >>> from robustprune.review.changes import Layer
    >>> layers([Layer(name=f"layer1.{i}", kind="BasicBlock", params=4672) for i in (3, 4, 5)])
    'layer1.3 to layer1.5 (3 BasicBlock, 14,016 parameters)'
    """
    runs = [list(run) for _, run in groupby(found, key=lambda one: (one.name.rpartition(".")[0], one.kind))]
    return _cut([text for run in runs for text in _run(run)])


def _run(run: Sequence[Layer]) -> Iterator[str]:
    """Yield one text for a run of consecutive numbers in one container, else one for each layer."""
    numbers = [one.name.rpartition(".")[2] for one in run]
    params = f"{sum(one.params for one in run):,} parameters"
    if len(run) > 1 and all(number.isdigit() for number in numbers):
        first, last = int(numbers[0]), int(numbers[-1])
        if [int(number) for number in numbers] == list(range(first, last + 1)):
            yield f"{run[0].name} to {run[-1].name} ({len(run)} {run[0].kind}, {params})"
            return
    for one in run:
        yield f"{one.name} ({one.kind}{f', {one.params:,} parameters' if one.params else ', no parameters'})"


def _weights(changes: Changes) -> str:
    same, shared = changes.same_weights, changes.shared_weights
    if not shared:
        return "weights: none has a name that both networks know"
    if same == shared:
        return f"weights: all {shared} tensors that both hold are equal"
    return f"weights: {shared - same} of {shared} tensors that both hold differ"


def _cut(texts: Sequence[str]) -> str:
    return "; ".join(texts[:SHOWN]) + (f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")
