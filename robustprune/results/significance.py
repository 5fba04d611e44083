"""Exact tests on paired samples, and what becomes of a p-value that has company. scipy is imported where it is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache


def mcnemar(fixed: int, broken: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (Psychometrika 12, 1947): equally likely?

    >>> mcnemar(0, 5), mcnemar(0, 0)
    (0.0625, 1.0)
    """
    from scipy.stats import binomtest

    if fixed + broken == 0:
        return 1.0
    return float(binomtest(fixed, fixed + broken, 0.5).pvalue)


def sign_flip(differences: Sequence[int]) -> float:
    """Return the exact two-sided p-value of "each sample's difference is as likely to have the other sign".

    With differences of -1, 0 and 1 this is McNemar's exact test. With sums over several seeds it is its extension that
    treats the SAMPLE as the unit: the seeds share their samples, so counting them as independent would be wrong. The
    distribution of the sum over all sign patterns is built exactly, one group of equal sizes at a time.

    >>> round(sign_flip([-1] * 5), 6), round(sign_flip([-3, -2, 0]), 6)
    (0.0625, 0.5)
    """
    import numpy as np

    sizes = Counter(abs(value) for value in differences if value)
    total = sum(size * count for size, count in sizes.items())
    chances = np.ones(1)
    for size, count in sizes.items():
        group = np.zeros(size * count + 1)
        group[::size] = _fair_coins(count)
        chances = np.convolve(chances, group)
    sums = np.abs(total - 2 * np.arange(total + 1))
    return min(1.0, float(chances[sums >= abs(sum(differences))].sum()))


@cache
def _fair_coins(count: int) -> list[float]:
    """Return the chance of 0, 1, ..., `count` heads; remembered, since a table asks for the same ones many times."""
    import numpy as np
    from scipy.stats import binom

    return [float(chance) for chance in np.asarray(binom.pmf(np.arange(count + 1), count, 0.5))]


def holm(pvalues: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, Scand. J. Stat. 6, 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(pvalues)
    so_far = 0.0
    for rank, index in enumerate(sorted(range(len(pvalues)), key=lambda i: pvalues[i])):
        so_far = max(so_far, min(1.0, (len(pvalues) - rank) * pvalues[index]))
        adjusted[index] = so_far
    return adjusted
