"""Long attacks are made chunk by chunk, so that several workers share one, and a killed run goes on inside it.

A chunk is the same attack on some of the samples, a measurement of its own; the whole is joined from the chunks. What
is drawn belongs to a sample, so the cut changes nothing that is found. It follows from the suite alone: whatever works
on it makes the same batches. A short attack is left whole, since full batches are what makes a small network fast.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, TypeVar

from robustprune.attacks.algorithms.tiers import passes
from robustprune.results.each import WITHSTOOD, added
from robustprune.results.records import Outcomes
from robustprune.run.attacked import Attacked, Attacks, Result

LONG = 100_000
"""Passes, at most, of an attack that is left whole: minutes for a small network on one core."""

PARTS, SMALLEST, BATCHES = 2, 32, 2
"""A long one is cut into so many parts: none much smaller than this, none much larger than so many batches.

On one core two parts of 128 samples took 1.2 to 1.3 times as long as the whole, four 1.6 to 1.8 times.
"""

Value = TypeVar("Value")


def chunks(samples: int, attacks: Attacks, batch: int) -> int:
    """Return in how many chunks attacks on so many samples are made, `batch` of them at a time.

    >>> chunks(0, (), 128), chunks(10_000, (), 128)
    (1, 1)
    """
    if samples * passes(attacks) <= LONG:
        return 1
    size = max(SMALLEST, min(ceil(samples / PARTS), BATCHES * batch))
    return max(1, round(samples / size))


def chunk(whole: Attacked, number: int, count: int) -> Attacked:
    """Return the chunk `number` of `count`: one sample in so many, so that sorted data is dealt evenly."""
    if count == 1:
        return whole
    return replace(whole, sample=whole.sample.take(range(number, len(whole.sample), count)))


def joined(parts: Sequence[Result]) -> Result:
    """Return the result on all samples from those on the chunks, in the order of their numbers."""
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(part.outcomes for part in parts), strict=True)
    return Result(clean=dealt([part.clean for part in parts]), outcomes=[_joined(column) for column in columns])


def _joined(parts: Sequence[Outcomes]) -> Outcomes:
    """Join the outcomes of one attack. What was spent adds up; an error of one chunk is one of the whole."""
    return replace(
        parts[0],
        status="".join(dealt([part.status for part in parts])),
        distance=dealt([part.distance for part in parts]),
        steps=dealt([part.steps for part in parts]),
        forwards=sum(part.forwards for part in parts),
        backwards=sum(part.backwards for part in parts),
        seconds=sum(part.seconds for part in parts),
        error=next((part.error for part in parts if part.error), None),
        notes=_noted([part.notes for part in parts]),
    )


def dealt(hands: Sequence[Sequence[Value]]) -> list[Value]:
    """Put together what was dealt out one by one.

    >>> dealt(["adg", "be", "cf"])
    ['a', 'b', 'c', 'd', 'e', 'f', 'g']
    """
    return [hands[place % len(hands)][place // len(hands)] for place in range(sum(map(len, hands)))]


def _noted(notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join notes on how chunks were made; where they differ the least that was done is said.

    That is False before True, fewer passes, and bfloat16 before float32. What samples withstood adds up.
    """
    found: dict[str, list[Any]] = {}
    for one in notes:
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    counts = {WITHSTOOD: added(found.pop(WITHSTOOD))} if WITHSTOOD in found else {}
    return {name: min(values, key=json.dumps) for name, values in found.items()} | counts
