"""What shipping costs: each copy in a format of service beside the same network in float, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from robustprune.report.groups import Group, accuracy, difference, group
from robustprune.report.markdown import NONE, Part, Row
from robustprune.results.claims import CLEAN, WORST
from robustprune.results.records import CaseResult
from robustprune.results.runs import counted
from robustprune.results.words import p_value, percent, points_between

TITLE = "What shipping costs"

TOLD = (
    "Each copy answers by itself, and its float network lends it slopes. Beside the attacks of the suite stand images "
    "made on parent and float network, and attacks that only ask. The change is that of the copy alone, from the "
    "same network in float, in points over samples and runs. A copy that resists more is not safer for it: rounding "
    "hides slopes, which the checks of masked gradients and the attacks that only ask have to show."
)


def parts(cases: Sequence[CaseResult]) -> Iterator[Part]:
    """Yield the table; nothing where no case ships as something else."""
    named = {case.case: case for case in cases}
    copies = [one for one in group(cases) if one.first.twin in named]
    if copies:
        yield TITLE, (TOLD,), [_row(one, named) for one in copies]


def _row(copies: Group, named: Mapping[str, CaseResult]) -> Row:
    twins = Group(cases=copies.cases, parents=tuple(named[case.twin] for case in copies.cases if case.twin))
    shown: Row = {
        "model": copies.first.family,
        "what ships": copies.first.strategy,
        "removed": str(copies.removed),
        "recipe": copies.first.recipe or NONE,
        "runs": counted(copies.cases),
    }
    for name, measure in (("clean", CLEAN), ("worst case", WORST)):
        shown |= {f"{name} %": _accuracy(copies, measure), f"{name}, change": _change(twins, measure)}
    return shown | {"float": _size(twins.pairs[0][1]), "copy": _size(copies.first)}


def _accuracy(one: Group, measure: str) -> str:
    found = accuracy(one, measure)
    return NONE if found is None else percent(found.mean)


def _change(one: Group, measure: str) -> str:
    found = difference(one, measure)
    return NONE if found is None else f"{points_between(found.difference, found.low, found.high)}, p {p_value(found.p)}"


def _size(case: CaseResult) -> str:
    return f"{case.cost.file_bytes / 1e3:,.0f} kB"
