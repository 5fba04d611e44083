"""What shipping costs: each copy in a format of service beside the same network in float, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from robustprune.report.groups import Group, accuracy, difference, group
from robustprune.report.markdown import NONE, Part, Row
from robustprune.results.claims import CLEAN, WORST, share, title
from robustprune.results.records import CaseResult
from robustprune.results.runs import counted
from robustprune.results.words import p_value, percent, points, points_between

TITLE = "What shipping costs"

TOLD = (
    "Each copy answers by itself, and its float network lends it slopes. The changes are those of the copy alone, from "
    "the same network in float, under the attacks that both saw, in points over samples and runs. Only the copy is "
    "shown images made on parent and float network too, and asked by attacks that need no slopes; what these alone "
    "broke stands apart, and is in the worst case of the copy. A copy that resists more is not safer for it: rounding "
    "hides slopes, which the checks of masked gradients and the attacks that only ask have to show."
)


def parts(cases: Sequence[CaseResult]) -> Iterator[Part]:
    """Yield the table; nothing where no case ships as something else."""
    named = {case.case: case for case in cases}
    copies = [one for one in group(cases) if one.first.twin in named]
    if copies:
        yield TITLE, (TOLD,), [_row(one, named) for one in copies]


def _row(copies: Group, named: Mapping[str, CaseResult]) -> Row:
    twins = tuple(named[case.twin] for case in copies.cases if case.twin)
    alike = [_under_the_same(case, twin) for case, twin in zip(copies.cases, twins, strict=True)]
    pairs, more = Group(cases=tuple(alike), parents=twins), [*map(_lost, copies.cases, alike)]
    return {
        "model": copies.first.family,
        "what ships": copies.first.strategy,
        "removed": str(copies.removed),
        "recipe": copies.first.recipe or NONE,
        "runs": counted(copies.cases),
        "clean %": _accuracy(copies, CLEAN),
        "clean, change": _change(pairs, CLEAN),
        "worst case %": _accuracy(copies, WORST),
        "worst case, change": _change(pairs, WORST),
        "added attacks alone": points(fmean(more)),
        "float": _size(twins[0]),
        "copy": _size(copies.first),
    }


def _under_the_same(copy: CaseResult, twin: CaseResult) -> CaseResult:
    """Return a copy with the outcomes of those attacks alone that its float network saw too."""
    seen = {title(outcome) for outcome in twin.outcomes if not outcome.transferred}
    return replace(copy, outcomes=[outcome for outcome in copy.outcomes if title(outcome) in seen])


def _lost(whole: CaseResult, alike: CaseResult) -> float:
    """Return what the other attacks took from the worst case, a share of the samples, negative."""
    return share(whole.worst) - share(alike.worst)


def _accuracy(one: Group, measure: str) -> str:
    found = accuracy(one, measure)
    return NONE if found is None else percent(found.mean)


def _change(one: Group, measure: str) -> str:
    found = difference(one, measure)
    return NONE if found is None else f"{points_between(found.difference, found.low, found.high)}, p {p_value(found.p)}"


def _size(case: CaseResult) -> str:
    return f"{case.cost.file_bytes / 1e3:,.0f} kB"
