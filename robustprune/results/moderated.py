"""How much training runs vary: few runs tell little, so comparisons made side by side lend each other what they know.

Moderated variances (Smyth, Stat. Appl. Genet. Mol. Biol. 3(1), 2004): the true variances of comparisons are taken to be
drawn from a scaled inverse chi-square distribution, which is fitted by the moments of the logarithms of the estimates.
Where these vary no more than chance they become one; where they differ each keeps more of its own. It is fitted to all
comparisons that either of the two strategies takes part in, and no variance becomes less than its own: a strategy that
varies more than the others would else be taken to be as calm as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from robustprune.results.crossed import Spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 4
"""Variances to which a distribution is fitted; with fewer each keeps its own. Equal ones count once."""

ROUNDING = 1e-15
"""A variance below this is none."""


def own(ends: Sequence[NDArray[np.float64]]) -> list[Spread]:
    """Return the runs' part of the variance of a mean over strata, stratum by stratum, from their run means.

    >>> import numpy as np
    >>> own([np.array([0.1, 0.3]), np.array([0.2, 0.2])])[0].variance.__round__(6)
    0.0025
    """
    share = len(ends) ** 2
    return [Spread(variance=float(some.var(ddof=1)) / len(some) / share, df=len(some) - 1) for some in ends]


def alone(terms: Sequence[Spread]) -> Spread:
    """Return the variance of a comparison that stands alone."""
    return Spread(variance=math.fsum(term.variance for term in terms), df=_degrees([terms]))


def moderated(terms: Sequence[Spread], beside: Sequence[Sequence[Spread]], strategies: int) -> Spread:
    """Return the variance of one comparison from its `own` terms, and those of the comparisons of the same runs beside.

    The degrees of freedom are never more than so many strategies have together.
    """
    every = [terms, *beside]
    value, df = math.fsum(term.variance for term in terms), _degrees(every)
    sums = [math.fsum(term.variance for term in some) for some in every]
    prior = _prior([*{f"{one:.9e}": one for one in sums if one > ROUNDING}.values()], df)
    most = max(df, (strategies - 1) * math.fsum(term.df for term in terms))
    if math.isinf(prior.df):
        return Spread(variance=max(value, prior.variance), df=most)
    shrunk = (df * value + prior.df * prior.variance) / (df + prior.df)
    return Spread(variance=max(value, shrunk), df=min(df + prior.df, most))


def _degrees(terms: Sequence[Sequence[Spread]]) -> float:
    """Return the degrees of freedom of a sum of terms (Satterthwaite), by what each is worth on average."""
    columns = [(math.fsum(term.variance for term in column), column[0].df) for column in zip(*terms, strict=True)]
    whole = math.fsum(value for value, _ in columns)
    if whole <= 0:
        return math.fsum(df for _, df in columns)
    return whole * whole / math.fsum(value**2 / df for value, df in columns)


def _prior(variances: Sequence[float], df: float) -> Spread:
    """Fit the distribution from which variances with `df` degrees of freedom come (Smyth 2004, section 6.2)."""
    import numpy as np
    from scipy.special import digamma, polygamma

    if len(variances) < LEAST:
        return Spread(variance=0.0, df=0)
    logs = np.log(variances) - digamma(df / 2) + math.log(df / 2)
    more = float(logs.var(ddof=1)) - float(polygamma(1, df / 2))
    if more <= 0:
        return Spread(variance=float(np.mean(variances)), df=math.inf)
    half = _inverse_trigamma(more)
    return Spread(variance=math.exp(float(logs.mean()) + float(digamma(half)) - math.log(half)), df=2 * half)


def _inverse_trigamma(value: float) -> float:
    """Return the x at which the trigamma function, which falls, has a value.

    >>> round(_inverse_trigamma(3.14159265358979**2 / 6), 9)
    1.0
    """
    from scipy.optimize import brentq
    from scipy.special import polygamma

    return float(brentq(lambda x: float(polygamma(1, x)) - value, 1e-6, 2.0 + 1.0 / value))
