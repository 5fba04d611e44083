"""Whether times that were measured can be believed, or are those of a machine that was busy with something else.

Times are milliseconds, one row a round; the first column is a network, the second (where there is one) its parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
Quartiles = tuple[float, float, float]

RATIO_SPREAD, TIME_SPREAD = 0.1, 0.25
"""Interquartile ranges, as shares of the median, from which on a ratio, or a time, is not steady."""

AGAIN = 2
"""Times that it is measured again at most."""

WAITING = 0.5
"""Tasks that wait for a processor, on average, from which on a machine is crowded."""


def quartiles(values: NDArray[np.float64]) -> Quartiles:
    """Return lower quartile, median and upper quartile.

    >>> quartiles(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    (2.0, 3.0, 4.0)
    """
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def ratios(times: Times) -> NDArray[np.float64]:
    """Return (first column / second column) of every round; 1.0 where there is one column only.

    >>> ratios(np.array([[1.0, 2.0], [10.0, 20.0], [3.0, 1.0]])).tolist()
    [0.5, 0.5, 3.0]
    """
    return times[:, 0] / times[:, -1]


def unsteadiness(times: Times) -> float:
    """Return how far rounds differ among themselves, as a share of what is allowed; above 1 they are not steady.

    It is that of the paired ratio or of a time, whichever is worse.

    >>> unsteadiness(np.array([[2.0, 4.0]] * 5)), round(unsteadiness(np.array([[2.0, 4.0], [3.0, 4.0], [4.0, 4.0]])), 3)
    (0.0, 3.333)
    """
    return max(_spread(ratios(times)) / RATIO_SPREAD, *(_spread(column) / TIME_SPREAD for column in times.T))


def steadiest(measure: Callable[[], Times], again: int = AGAIN) -> tuple[Times, bool]:
    """Measure until the rounds are steady, `again` times more at most; return the steadiest times, and if they are.

    >>> steadiest(lambda: np.array([[2.0], [2.0], [2.0]]))[1]
    True
    """
    best = measure()
    for _ in range(again):
        if unsteadiness(best) <= 1:
            break
        best = min(best, measure(), key=unsteadiness)
    return best, unsteadiness(best) <= 1


def crowded(load: float | None = None, processors: int | None = None) -> bool:
    """Tell whether there was more work in the last minute than there are processors, so that some of it had to wait.

    The load is the system's and counts our own work, which alone never exceeds the processors. False where the system
    does not say.

    >>> crowded(load=1.9, processors=2), crowded(load=4.0, processors=2)
    (False, True)
    """
    return (_load() if load is None else load) > (processors or os.cpu_count() or 1) + WAITING


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def _spread(values: NDArray[np.float64]) -> float:
    low, middle, high = quartiles(values)
    return (high - low) / middle if middle > 0 else 0.0
