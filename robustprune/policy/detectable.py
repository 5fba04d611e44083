"""What will a later comparison with this baseline be able to see? The smallest drop found in 80 % of the trials.

Where the weights are given the same networks are compared sample by sample: as many samples must break as the exact
test needs. Where networks are trained again, with as many runs as here, a difference that breaks samples and mends none
has at most the variance 2 MS / R + drop / n, MS the mean square of strategy x run in the baseline: what a run's
beginning, such as its parent, does to all strategies alike is in both sides and plays no part, what it does to one of
them counts here as if training again changed it, so smaller drops may be seen. The level is that of the first step of
Holm, so with less company smaller drops are seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from robustprune.policy.policy import Policy
from robustprune.results.claims import claims
from robustprune.results.crossed import Spread
from robustprune.results.records import CaseResult
from robustprune.results.runs import key_of, run_names, spread_of_pairs
from robustprune.results.significance import mcnemar

POWER = 0.8


def detectable_drops(cases: Sequence[CaseResult], policy: Policy) -> Mapping[str, Mapping[str, float | None]]:
    """Return subject -> claim -> the smallest drop (a proportion) that is detected; None where one run allows none."""
    subjects: dict[str, list[CaseResult]] = {}
    for case in cases:
        subjects.setdefault(case.subject, []).append(case)
    names = {subject: [*claims(members[0])] for subject, members in subjects.items()}
    alpha = (1 - policy.confidence) / sum(map(len, names.values()))
    trained = [members for members in subjects.values() if not members[0].as_given]
    spreads = {claim: spread_of_pairs(trained, claim) for found in names.values() for claim in found}
    return {
        subject: {
            claim: exact_drop(len(members[0].labels), alpha)
            if members[0].as_given
            else trained_drop(spreads[claim].get(key_of(members)), _size(members), alpha)
            for claim in names[subject]
        }
        for subject, members in subjects.items()
    }


def exact_drop(n: int, alpha: float) -> float | None:
    """Return the share of n samples that must break, for McNemar's exact test to say so; None where n are too few.

    >>> round(exact_drop(300, 0.05), 3)
    0.026
    """
    from scipy.optimize import brentq
    from scipy.stats import binom

    least = next((broken for broken in range(1, n + 1) if mcnemar(0, broken) < alpha), None)
    if least is None:
        return None
    return float(brentq(lambda share: binom.sf(least - 1, n, share) - POWER, 0.0, 1.0))


def trained_drop(spread: Spread | None, size: tuple[int, int], alpha: float) -> float | None:
    """Return the drop that a test over (n samples, R runs) finds; None where nothing is known of how runs vary.

    >>> same, less = (trained_drop(Spread(variance=v, df=20), (300, 4), 0.05) for v in (0.0, 1e-4))
    >>> round(same, 3), round(less, 3)
    (0.029, 0.035)
    """
    from scipy.stats import t

    n, runs = size
    if spread is None or runs < 2:
        return None
    quantile = float(t.isf(alpha / 2, spread.df) + t.ppf(POWER, spread.df)) ** 2
    return (quantile / n + sqrt((quantile / n) ** 2 + 4 * quantile * spread.variance / runs)) / 2


def _size(cases: Sequence[CaseResult]) -> tuple[int, int]:
    return len(cases[0].labels), len(set(run_names(cases)))
