"""How much training runs vary: few runs tell little, so comparisons made side by side lend each other what they know.

Moderated variances (Smyth, Stat. Appl. Genet. Mol. Biol. 3(1), 2004): the true variances of all comparisons are taken
to be drawn from a scaled inverse chi-square distribution, which is fitted by the moments of the logarithms of the
estimates. Where these vary no more than chance they become one; where they differ each keeps more of its own. It is
fitted to every two strategies, not only to those that are asked about, so that one which varies more than the others
shows as a difference and not as the rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustprune.results.crossed import Spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 4
"""Variances to which a distribution is fitted; with fewer each keeps its own."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What many comparisons of the same runs say of the variance of one."""

    own_df: float
    """Degrees of freedom of one comparison's own variance, by what each stratum is worth on average."""
    prior: Spread
    """The distribution's scale and its degrees of freedom: infinite where all are one, 0 where nothing was learned."""
    most: float
    """Degrees of freedom that all of them have together."""

    def spread(self, terms: Sequence[Spread]) -> Spread:
        """Moderate one comparison's own variance (`own`)."""
        value = math.fsum(term.variance for term in terms)
        if math.isinf(self.prior.df):
            return Spread(variance=self.prior.variance, df=self.most)
        whole = self.own_df + self.prior.df
        moderated = (self.own_df * value + self.prior.df * self.prior.variance) / whole
        return Spread(variance=moderated, df=min(whole, self.most))


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


def learned(strategies: Sequence[Sequence[NDArray[np.float64]]], pairs: Sequence[tuple[int, int]]) -> Learned:
    """Fit to these pairs of strategies, each strategy its run means stratum by stratum; equal variances count once."""
    terms = [own([a - b for a, b in zip(strategies[one], strategies[other], strict=True)]) for one, other in pairs] or [
        own(strategies[0])
    ]
    df = _degrees(terms)
    sums = [math.fsum(term.variance for term in some) for some in terms]
    known = [*{f"{value:.9e}": value for value in sums if value > 1e-15}.values()]
    sides = {side for pair in pairs for side in pair}
    most = max(df, (len(sides) - 1) * sum(term.df for term in terms[0]))
    return Learned(own_df=df, prior=_prior(known, df), most=most)


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
