"""The comparison table: numbers first (`rows`, `comparison`), text later (`formats`).

`rows` is tidy: one number a row, with its unit, n, seed and interval. `comparison` has one row per network
and budget, seeds folded together, as wide as it must be; all its numbers stay numbers.

Seeds share their samples, so their counts are not pooled: the sample is the unit of every interval and test
(`statistics.paired_seeds`), and the range over seeds stands beside the mean, because no interval over
samples says what training again would do. p-values are adjusted (Holm) over the rows of the table, for each
measure: a reader scans a column and asks which networks differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from robustprune.errors import InputError
from robustprune.report import groups as grouping
from robustprune.report.contest import strategies
from robustprune.report.formats import display, to_csv, to_latex, to_markdown
from robustprune.report.groups import Group
from robustprune.report.notes import notes
from robustprune.results import CaseResult
from robustprune.statistics import holm, paired, wilson

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["comparison", "display", "notes", "rows", "strategies", "to_csv", "to_latex", "to_markdown"]


def rows(cases: Sequence[CaseResult], confidence: float = 0.95) -> DataFrame:
    """Return every number of every case, one a row.

    Columns: suite, case, model, strategy, recipe, seed, removed, measure, unit, value, low, high, n, k,
    difference, difference_low, difference_high, fixed, broken, p. Accuracies are shares of n; low and high
    are Wilson's (for latency the quartiles); differences are to the parent, with Tango's interval and
    McNemar's exact p, unadjusted. What does not apply is missing.
    """
    from pandas import DataFrame

    by_name = {case.case: case for case in cases}
    found = []
    for case in (case for group in grouping.group(cases) for case in group.cases):
        head = {name: getattr(case, name) for name in _HEAD} | {"removed": len(case.removed)}
        parent = by_name[case.parent] if case.parent else None
        numbers = [*_accuracies(case, parent, cases, confidence), *_costs(case)]
        found += [{**head, **number} for number in numbers]
    columns = [*_HEAD, "removed", "measure", "unit", "value", "low", "high", "n", "k", *_DIFFERENCES]
    return DataFrame(found, columns=columns)


_HEAD = ["suite", "case", "model", "strategy", "recipe", "seed"]
_DIFFERENCES = ["difference", "difference_low", "difference_high", "fixed", "broken", "p"]


def comparison(cases: Sequence[CaseResult], confidence: float = 0.95) -> DataFrame:
    """Return one row per (model, strategy, recipe, blocks removed): parent, controls, strategies.

    Columns: model, strategy, recipe, seeds, n, removed, removable, macs, macs_saved, params, params_saved,
    file_bytes, memory_bytes; `latency_ms B` and `latency_ratio B` for every batch size B; for every measure
    M (clean, each attack, worst case): `M`, `M low`, `M high` (interval), `M min`, `M max` (over seeds), `M
    difference`, `M difference low`, `M difference high`, `M p`, `M p holm`; trust. Shares are proportions,
    `_saved` are shares of the parent's. `attrs["notes"]` holds the sentences a reader needs beside the
    numbers, `attrs["measures"]` the names M.
    """
    from pandas import DataFrame

    if not cases:
        raise InputError("comparison: no cases; expected at least one, the parent")
    every = grouping.group(cases)
    names = grouping.measures(cases)
    table = [_identity(group) | _group_costs(group) for group in every]
    for measure in names:
        for row, columns in zip(table, _measured(every, measure, confidence), strict=True):
            row.update(columns)
    for row, group in zip(table, every, strict=True):
        row["trust"] = group.trust
    frame = DataFrame(table)
    frame.attrs["measures"] = names
    frame.attrs["notes"] = notes(cases, confidence)
    return frame


def _identity(group: Group) -> dict[str, Any]:
    case = group.first
    return {
        "model": case.model,
        "strategy": case.strategy,
        "recipe": case.recipe,
        "seeds": len(group.cases),
        "n": len(case.labels),
        "removed": group.removed,
        "removable": len(case.blocks),
    }


def _group_costs(group: Group) -> dict[str, Any]:
    """Means over the seeds; most are equal for all of them."""
    costs = [case.cost for case in group.cases]
    bases = [case.cost for case in group.parents or group.cases]
    batches = [*dict.fromkeys(batch for cost in costs for batch in cost.latency_ms)]
    found: dict[str, Any] = {}
    for name in ("macs", "params"):
        mine, theirs = (fmean(getattr(cost, name) for cost in some) for some in (costs, bases))
        found |= {name: mine, f"{name}_saved": 1 - mine / theirs if theirs else None}
    found["file_bytes"] = fmean(cost.file_bytes for cost in costs)
    for batch in batches:
        medians = [cost.latency_ms[batch][1] for cost in costs if batch in cost.latency_ms]
        ratios = [cost.latency_ratio[batch] for cost in costs if batch in cost.latency_ratio]
        found |= {
            f"latency_ms {batch}": fmean(medians),
            f"latency_ratio {batch}": fmean(ratios) if ratios else None,
        }
    found["memory_bytes"] = fmean(cost.memory_bytes for cost in costs)
    return found


def _measured(every: Sequence[Group], measure: str, confidence: float) -> Iterator[dict[str, float | None]]:
    """Yield a measure's columns for every row; p-values are adjusted over the rows that have one."""
    pairs = [grouping.difference(group, measure, confidence) for group in every]
    adjusted = iter(holm([pair.p for pair in pairs if pair is not None]))
    for group, pair in zip(every, pairs, strict=True):
        share = grouping.accuracy(group, measure, confidence)
        yield {
            measure: share.mean if share else None,
            f"{measure} low": share.low if share else None,
            f"{measure} high": share.high if share else None,
            f"{measure} min": share.least if share else None,
            f"{measure} max": share.most if share else None,
            f"{measure} difference": pair.difference if pair else None,
            f"{measure} difference low": pair.low if pair else None,
            f"{measure} difference high": pair.high if pair else None,
            f"{measure} p": pair.p if pair else None,
            f"{measure} p holm": next(adjusted) if pair else None,
        }


def _accuracies(
    case: CaseResult, parent: CaseResult | None, cases: Sequence[CaseResult], confidence: float
) -> Iterator[dict[str, Any]]:
    for measure in grouping.measures(cases):
        now = grouping.right(case, measure)
        if now is None:
            continue
        low, high = wilson(sum(now), len(now), confidence)
        number = {"measure": measure, "unit": "share", "value": sum(now) / len(now), "low": low, "high": high}
        number |= {"n": len(now), "k": sum(now)} | dict.fromkeys(_DIFFERENCES)
        before = grouping.right(parent, measure) if parent else None
        if before is not None:
            pair = paired(before, now, confidence)
            ends = (pair.difference, pair.low, pair.high, pair.fixed, pair.broken, pair.p)
            number |= dict(zip(_DIFFERENCES, ends, strict=True))
        yield number


def _costs(case: CaseResult) -> Iterator[dict[str, Any]]:
    cost = case.cost
    yield _number("macs", "MACs a sample", cost.macs)
    yield _number("params", "parameters", cost.params)
    yield _number("file size", "bytes", cost.file_bytes)
    yield _number("memory", "bytes", cost.memory_bytes)
    for batch, (low, median, high) in cost.latency_ms.items():
        yield _number(f"latency, batch {batch}", "ms", median) | {"low": low, "high": high}
    for batch, ratio in cost.latency_ratio.items():
        yield _number(f"latency ratio, batch {batch}", "of the parent's", ratio)


def _number(measure: str, unit: str, value: float) -> dict[str, Any]:
    absent = dict.fromkeys(["low", "high", "n", "k", *_DIFFERENCES])
    return {"measure": measure, "unit": unit, "value": value} | absent
