"""How surprised a language model was by the token of each sample, as its case notes it down; perplexities from there.

A case's sample is one window of text and the token that follows, so its perplexity counts one token a sample. Over
several training runs the ratio to the parent is drawn over samples and runs, on the scale of logarithms: the mean has
the variance of the samples plus that of the runs beyond what the samples explain (as `results.crossed` has it for
accuracies), with Welch and Satterthwaite's degrees of freedom. Runs of other strategies lend nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean, variance

from robustprune.errors import InputError
from robustprune.results.perplexity import Perplexity, Ratio, ratio, student
from robustprune.results.records import CaseResult, Outcomes
from robustprune.results.runs import Pair, run_names

SURPRISE = "surprise"
"""The note of a case's first outcome: nats for each sample, of the network that is not attacked."""


def noted(outcomes: Sequence[Outcomes], surprise: Sequence[float]) -> list[Outcomes]:
    """Return the outcomes of a case, the first of which holds the surprise of each sample."""
    first, *others = outcomes
    return [replace(first, notes={**first.notes, SURPRISE: [round(one, 6) for one in surprise]}), *others]


def perplexity(case: CaseResult) -> Perplexity | None:
    """Return the perplexity of a case; None where what it predicts is no token. InputError for a damaged note."""
    found = case.outcomes[0].notes.get(SURPRISE) if case.outcomes else None
    if found is None:
        return None
    if not isinstance(found, list) or len(found) != len(case.labels) or not all(map(_surprise, found)):
        raise InputError(f"{case.case}: its surprises are damaged; expected a number of 0 or more for each sample")
    return Perplexity(surprise=tuple(found), tokens=1)


def measured(cases: Iterable[CaseResult]) -> bool:
    """Whether any of the cases has a perplexity."""
    return any(perplexity(case) is not None for case in cases)


def beside(pairs: Sequence[Pair], confidence: float = 0.95) -> Ratio | None:
    """Return the ratio of the perplexities of cases to those of their parents; None where one has none.

    Over several runs its `p` is of no difference when one trains again; one run speaks of these very networks.
    """
    found = [(perplexity(case), perplexity(parent)) for case, parent in pairs]
    whole = [(ours, theirs) for ours, theirs in found if ours is not None and theirs is not None]
    if not whole or len(whole) < len(found):
        return None
    if len({*run_names([case for case, _ in pairs])}) == 1:
        ours, theirs = (
            Perplexity(surprise=_mean([pair[side].surprise for pair in whole]), tokens=1) for side in (0, 1)
        )
        return ratio(ours, theirs, confidence)
    runs: dict[str, list[Sequence[float]]] = {}
    for name, (ours, theirs) in zip(run_names([case for case, _ in pairs]), whole, strict=True):
        gaps = [one - other for one, other in zip(ours.surprise, theirs.surprise, strict=True)]
        runs.setdefault(name, []).append(gaps)
    return drawn_again([_mean(rows) for rows in runs.values()], confidence)


def drawn_again(runs: Sequence[Sequence[float]], confidence: float = 0.95) -> Ratio:
    """Return the ratio over two runs or more, from the differences of each run (rows) on the same samples, in nats.

    >>> drawn_again([[0.1, 0.3], [0.1, 0.3]]).value.__round__(6) == round(math.exp(0.2), 6)
    True
    """
    count, n = len(runs), len(runs[0])
    if count < 2 or n < 2:
        raise InputError(f"perplexity over {count} runs of {n} samples: expected two of each, or more")
    means, columns = [fmean(row) for row in runs], _mean(runs)
    middle = fmean(means)
    rest = sum(
        (value - mean - column + middle) ** 2
        for row, mean in zip(runs, means, strict=True)
        for value, column in zip(row, columns, strict=True)
    ) / ((count - 1) * (n - 1))
    samples, between = variance(columns) / n, variance(means)
    extra = max(0.0, between - rest / n) / count
    total = samples + extra
    share = samples**2 / (n - 1) + (between / count) ** 2 / (count - 1) * (extra > 0)
    reach, p = student(middle, math.sqrt(total), total**2 / share if share else n - 1, confidence)
    return Ratio(value=math.exp(middle), low=math.exp(middle - reach), high=math.exp(middle + reach), p=p, windows=n)


def _mean(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(fmean(column) for column in zip(*rows, strict=True))


def _surprise(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
