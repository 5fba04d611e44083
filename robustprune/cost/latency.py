"""How long one forward pass takes.

Machines change speed while they are being measured, so a network and its parent are timed in turn, A B A B,
and the ratio is the median of the ratios of neighbours: a drift that lasts longer than one pair cancels out.
The garbage collector is off meanwhile, and a device that works behind the program's back is waited for before
the clock is read.

Other work on the machine cannot be timed away. It is noticed by rounds that differ among themselves, and by more work
than there are processors: then it is measured again, and what stays is marked. steadiness.py says when.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustprune.cost.steadiness import Quartiles, crowded, quartiles, ratios, steadiest
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating

FEWEST, MOST = 3, 1000
"""Timed rounds, whatever the time budget."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a forward pass takes, and how long beside the parent's; three numbers are quartiles over rounds."""

    milliseconds: Quartiles
    ratio: Quartiles
    """Of (this model / its parent) within a round; 1.0 three times where it has none."""
    busy: bool
    """The machine had other work: the numbers may be of that."""


def timed(model: nn.Module, x: Tensor, seconds: float, parent: nn.Module | None = None) -> Timing:
    """Time a forward pass of batch `x`, in turn with `parent`'s; on a busy machine up to three times, see `steadiest`.

    >>> timed(nn.Linear(4, 2), torch.zeros(1, 4), seconds=0.01).ratio
    (1.0, 1.0, 1.0)
    """
    busy = x.device.type == "cpu" and crowded()
    times, steady = steadiest(lambda: latency(model, x, seconds, parent))
    return Timing(milliseconds=quartiles(times[:, 0]), ratio=quartiles(ratios(times)), busy=busy or not steady)


def latency(model: nn.Module, x: Tensor, seconds: float, parent: nn.Module | None = None) -> NDArray[np.float64]:
    """Time forward passes of batch `x`, in eval mode, without gradients; milliseconds, one row a round.

    The first column is `model`, the second (where given) its `parent`, timed in turn. About `seconds` are
    spent, a fifth of them on warming up, but never fewer than 3 rounds. Everything has to be on one device.
    """
    networks = [model] if parent is None else [model, parent]
    calls = [_pass(network, shown(network, x)) for network in networks]
    with torch.inference_mode(), _quiet():
        if parent is None:
            with evaluating(model):
                return time_in_turn(calls, seconds)
        with evaluating(model), evaluating(parent):
            return time_in_turn(calls, seconds)


def time_in_turn(calls: Sequence[Callable[[], object]], seconds: float) -> NDArray[np.float64]:
    """Time `calls` one after another, round after round; return milliseconds, (rounds, calls).

    >>> time_in_turn([lambda: None, lambda: None], seconds=0.001).shape[1]
    2
    """
    _rounds(calls, seconds / 5, fewest=1)
    return _rounds(calls, seconds * 4 / 5, fewest=FEWEST)


@contextmanager
def threads_set(threads: int | None) -> Iterator[int]:
    """Use so many CPU threads inside (None: as many as now), yield their number, and put the old one back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield threads or before
    finally:
        torch.set_num_threads(before)


def _rounds(calls: Sequence[Callable[[], object]], seconds: float, fewest: int) -> NDArray[np.float64]:
    rounds: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < fewest or (len(rounds) < MOST and time.perf_counter() < end):
        rounds.append([_timed(call) for call in calls])
    return np.asarray(rounds)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _pass(network: nn.Module, x: Tensor) -> Callable[[], None]:
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(x.device.type)

    def forward() -> None:
        network(x)
        if wait is not None:
            wait()

    return forward


@contextmanager
def _quiet() -> Iterator[None]:
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
