"""The comparison table: its numbers; their text is made in `formats`.

It has one row per network and budget, runs folded together, as wide as it must be; all its numbers stay numbers.

Every change is over samples and training runs (`results.crossed`), and the range over runs stands beside the mean. One
run says nothing about training again: its interval is over samples, and it has no p-value. p-values are adjusted (Holm)
over the rows of the table, for each measure: a reader scans a column and asks which strategies differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isnan
from statistics import fmean, geometric_mean
from typing import TYPE_CHECKING, Any

from robustprune.errors import InputError
from robustprune.report.groups import Accuracy, Group, accuracy, difference, group, over_rows
from robustprune.report.notes import notes, threats
from robustprune.results import claims, recall, surprise
from robustprune.results.costs import Cost, CostMeasure, measures
from robustprune.results.records import CaseResult
from robustprune.results.runs import run_names, spread_of_changes
from robustprune.results.significance import holm

if TYPE_CHECKING:
    from pandas import DataFrame


def comparison(cases: Sequence[CaseResult], confidence: float = 0.95) -> DataFrame:
    """Return one row per (model, strategy, recipe, blocks removed): parent, controls, strategies.

    Columns: model, strategy, recipe, runs, n, removed, removable, units; for every cost its `column` and what stands
    `beside` it (`results.costs`), such as macs and macs_saved, for what is timed also `low`, `high`, quartiles of the
    ratio, and `busy`, 1 where the machine was in any run; for every claim M (clean, each attack, worst case): `M`, `M
    low`, `M high` (interval), `M min`, `M max` (over runs), `M difference`, `M difference low`, `M difference high`,
    `M p`, `M p holm`; with two classes for sensitivity and specificity, clean and in the worst case, a share with
    `low`, `high`, `min` and `max`; of language models perplexity (`min`, `max` over runs) and perplexity_ratio to the
    parent's with `low`, `high` and `p adjusted` (Holm); overstated, how far robust accuracy is at most above that of
    the attack `overstated_beside`, `overstated_found`, what of it is certain, and `overstated_bounded`, whether that is
    a bound; trust, the worst of the row's `cases`, and `trust_cases`, in how many of them; skipped, how many checks of
    the attack were; findings, what failed of the network and the sample. Shares are proportions, `_saved` are shares of
    the parent's. `attrs["notes"]` holds the sentences a reader needs beside the numbers, `attrs["threats"]` the
    threats that the worst case is over, where one is no ball of a norm.
    """
    from pandas import DataFrame

    if not cases:
        raise InputError("comparison: no cases; expected at least one, the parent")
    every = group(cases)
    costs = measures([case.cost for one in every for case in one.cases])
    table = [_identity(one) | _costs(one, costs) for one in every]
    for claim in claims.measures(cases):
        for row, columns in zip(table, _measured(every, claim, confidence), strict=True):
            row.update(columns)
    for title, label, claim in recall.measures(cases):
        for row, one in zip(table, every, strict=True):
            row |= _share(title, over_rows([recall.recalled(case, label, claim) for case in one.cases], confidence))
    if surprise.measured(cases):
        for row, columns in zip(table, _perplexities(every, confidence), strict=True):
            row.update(columns)
    for row, one in zip(table, every, strict=True):
        row |= _overstated(one)
        row["trust"] = one.trust
        row["trust_cases"] = one.trusts.count(one.trust)
        row["cases"] = len(one.cases)
        row["skipped"] = one.skipped
        row["findings"] = "; ".join(one.findings)
    frame = DataFrame(table)
    frame.attrs["notes"] = notes(cases, confidence)
    frame.attrs["threats"] = threats(cases)
    return frame


def _identity(one: Group) -> dict[str, Any]:
    case = one.first
    return {
        "model": case.family,
        "strategy": case.strategy,
        "recipe": case.recipe,
        "runs": len(set(run_names(one.cases))),
        "n": len(case.labels),
        "removed": one.removed,
        "removable": len(case.blocks),
        "units": case.units,
    }


def _overstated(one: Group) -> dict[str, Any]:
    """Return by how much a row's robust accuracy is too high; None where that was not measured."""
    found = one.overstated
    return {
        "overstated": found.bound if found else None,
        "overstated_found": found.found if found else None,
        "overstated_beside": found.beside if found else None,
        "overstated_bounded": found.bounded if found else None,
    }


def _costs(one: Group, costs: Sequence[CostMeasure]) -> dict[str, float | None]:
    """Return the columns of all costs."""
    found: dict[str, float | None] = {}
    for cost in costs:
        found |= _cost(one, cost)
    return found


def _cost(one: Group, measure: CostMeasure) -> dict[str, float | None]:
    """Return the columns of one cost: means over the runs, most of which are equal for all of them."""
    mine = _mean(measure.value, one.cases)
    found = {measure.column: mine}
    if measure.ratio is not None:
        found[measure.beside] = _mean(measure.ratio, one.cases)
        for end, place in (("low", 0), ("high", 1)):
            found[f"{measure.beside} {end}"] = _mean(_end(measure, place), one.cases)
        found[f"{measure.beside} busy"] = float(any(measure.busy(case.cost) for case in one.cases))
    elif measure.beside:
        theirs = _mean(measure.value, one.parents or one.cases)
        found[measure.beside] = 1 - mine / theirs if theirs and mine is not None else None
    return found


def _end(measure: CostMeasure, place: int) -> Callable[[Cost], float | None]:
    """Read one end of the quartiles of a ratio."""

    def end(cost: Cost) -> float | None:
        found = measure.range(cost)
        return found[place] if found else None

    return end


def _mean(value: Callable[[Cost], float | None], cases: Sequence[CaseResult]) -> float | None:
    values = [one for one in (value(case.cost) for case in cases) if one is not None]
    return fmean(values) if values else None


def _measured(every: Sequence[Group], measure: str, confidence: float) -> Iterator[dict[str, float | None]]:
    """Yield a claim's columns for every row; p-values are adjusted over the rows that have one."""
    spreads = spread_of_changes([one.pairs for one in every if one.parents is not None], measure)
    pairs = [difference(one, measure, confidence, spreads) for one in every]
    adjusted = iter(holm([pair.p for pair in pairs if pair is not None and not isnan(pair.p)]))
    for one, pair in zip(every, pairs, strict=True):
        p = pair.p if pair is not None and not isnan(pair.p) else None
        yield _share(measure, accuracy(one, measure, confidence)) | {
            f"{measure} difference": pair.difference if pair else None,
            f"{measure} difference low": pair.low if pair else None,
            f"{measure} difference high": pair.high if pair else None,
            f"{measure} p": p,
            f"{measure} p holm": None if p is None else next(adjusted),
        }


def _perplexities(every: Sequence[Group], confidence: float) -> Iterator[dict[str, float | None]]:
    """Yield the columns of perplexity for every row: geometric mean over the runs, ratio to the parents'."""
    ratios = [surprise.beside(one.pairs, confidence) if one.parents else None for one in every]
    adjusted = iter(holm([found.p for found in ratios if found is not None]))
    for one, found in zip(every, ratios, strict=True):
        values = [value.value for case in one.cases if (value := surprise.perplexity(case)) is not None]
        whole = len(values) == len(one.cases)
        yield {
            "perplexity": geometric_mean(values) if whole else None,
            "perplexity min": min(values) if whole else None,
            "perplexity max": max(values) if whole else None,
            "perplexity_ratio": found.value if found else None,
            "perplexity_ratio low": found.low if found else None,
            "perplexity_ratio high": found.high if found else None,
            "perplexity_ratio p adjusted": next(adjusted) if found else None,
        }


def _share(name: str, found: Accuracy | None) -> dict[str, float | None]:
    """Return the columns of a share: its mean over the runs, interval and range."""
    ends = {"": "mean", " low": "low", " high": "high", " min": "least", " max": "most"}
    return {f"{name}{end}": getattr(found, part) if found else None for end, part in ends.items()}
