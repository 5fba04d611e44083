"""How long one forward pass takes.

Machines change speed while they are being measured, so a network and its parent are timed in turn, A B A B,
and the ratio is the median of the ratios of neighbours: a drift that lasts longer than one pair cancels out.
The garbage collector is off meanwhile, and a device that works behind the program's back is waited for before
the clock is read.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robustprune.models.modes import evaluating

FEWEST, MOST = 3, 1000
"""Timed rounds, whatever the time budget."""


def latency(model: nn.Module, x: Tensor, seconds: float, parent: nn.Module | None = None) -> NDArray[np.float64]:
    """Time forward passes of batch `x`, in eval mode, without gradients; milliseconds, one row a round.

    The first column is `model`, the second (where given) its `parent`, timed in turn. About `seconds` are
    spent, a fifth of them on warming up, but never fewer than 3 rounds. Everything has to be on one device.
    """
    networks = [model] if parent is None else [model, parent]
    calls = [_pass(network, x) for network in networks]
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


def quartiles(milliseconds: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile.

    >>> quartiles(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    (2.0, 3.0, 4.0)
    """
    low, middle, high = np.quantile(milliseconds, (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def ratio(milliseconds: NDArray[np.float64]) -> float:
    """Return the median over rounds of (first column / second column); 1.0 where there is one column only.

    >>> ratio(np.array([[1.0, 2.0], [10.0, 20.0], [3.0, 1.0]]))
    0.5
    """
    if milliseconds.shape[1] == 1:
        return 1.0
    return float(np.median(milliseconds[:, 0] / milliseconds[:, 1]))


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
