"""Perplexity, and how that of two language models compares, paired over the same windows of text. No torch.

Perplexity is exp of the mean surprise of a token (negative log-likelihood, in nats). Tokens of one window are not
independent, so a window is what is sampled: the interval of a ratio follows from the differences between two models in
each window (Student's t), on the scale of logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev

from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """How surprised a model was by windows of text: nats for each window, `tokens` predicted in each."""

    surprise: tuple[float, ...]
    tokens: int

    def __post_init__(self) -> None:
        if not self.surprise or self.tokens < 1 or not all(map(math.isfinite, self.surprise)):
            raise InputError(
                f"perplexity of {len(self.surprise)} windows of {self.tokens} tokens: expected one or more of each, "
                "and finite surprises"
            )

    @property
    def value(self) -> float:
        """The perplexity: 1 is never surprised, the size of the vocabulary is guessing.

        >>> round(Perplexity(surprise=(2 * math.log(8), 2 * math.log(2)), tokens=2).value, 6)
        4.0
        """
        return math.exp(fmean(self.surprise) / self.tokens)


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """One perplexity over another, with its interval and the p-value of no difference; above 1 is worse."""

    value: float
    low: float
    high: float
    p: float
    windows: int

    def __str__(self) -> str:
        """Write it for people.

        >>> print(Ratio(value=1.25, low=1.2, high=1.302, p=0.0004, windows=64))
        x 1.250 [1.200, 1.302], p < .001, 64 windows
        """
        p = "p < .001" if self.p < 0.001 else f"p {self.p:.3f}"
        return f"x {self.value:.3f} [{self.low:.3f}, {self.high:.3f}], {p}, {self.windows} windows"


def ratio(ours: Perplexity, theirs: Perplexity, confidence: float = 0.95) -> Ratio:
    """Compare two models on the same windows. InputError for other windows, or fewer than two.

    >>> same = Perplexity(surprise=(1.0, 2.0, 4.0), tokens=2)
    >>> found = ratio(same, same)
    >>> found.value, found.p
    (1.0, 1.0)
    """
    if (len(ours.surprise), ours.tokens) != (len(theirs.surprise), theirs.tokens) or len(ours.surprise) < 2:
        raise InputError(
            f"perplexities over {len(ours.surprise)} and {len(theirs.surprise)} windows of {ours.tokens} and "
            f"{theirs.tokens} tokens: expected the same windows, two or more"
        )
    gaps = [(one - other) / ours.tokens for one, other in zip(ours.surprise, theirs.surprise, strict=True)]
    middle, error = fmean(gaps), stdev(gaps) / math.sqrt(len(gaps))
    reach, p = student(middle, error, len(gaps) - 1, confidence)
    return Ratio(
        value=math.exp(middle), low=math.exp(middle - reach), high=math.exp(middle + reach), p=p, windows=len(gaps)
    )


def student(middle: float, error: float, freedom: float, confidence: float) -> tuple[float, float]:
    """Return half the width of the interval of a mean, and the two-sided p-value (Student's t)."""
    from scipy.special import stdtr, stdtrit

    if error == 0:
        return 0.0, 1.0 if middle == 0 else 0.0
    return float(stdtrit(freedom, (1 + confidence) / 2)) * error, 2 * float(stdtr(freedom, -abs(middle) / error))
