"""What the samples of a batch carry from one step of an attack to the next."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

State = dict[str, Tensor]
"""Tensors whose first dimension is the samples in the batch.

'row' (the sample's number), 'x', 'y', the iterate 'adv', 'run' (the restart, or value of c), 'step' (steps taken in
this run), and what the attack adds.
"""


def size(state: State) -> int:
    """Return how many samples a state holds; an empty dictionary holds none."""
    return state["row"].shape[0] if state else 0


def take(state: State, index: Tensor | slice) -> State:
    """Return the samples `index` (numbers, a mask or a slice) of a state."""
    if isinstance(index, slice) or not state:
        return {name: value[index] for name, value in state.items()}
    chosen = index.nonzero().flatten() if index.dtype == torch.bool else index
    return {name: value.index_select(0, chosen) for name, value in state.items()}


def join(states: Sequence[State]) -> State:
    """Put the samples of several states behind each other."""
    states = [state for state in states if size(state)] or list(states[:1])
    if len(states) == 1:
        return states[0]
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}
