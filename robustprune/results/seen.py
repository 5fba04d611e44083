"""What a contest over suites needs of every case, small enough to keep thousands: right or wrong, blocks, MACs.

A suite of 1,000 cases on 2,000 images is half a gigabyte as results and four megabytes so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustprune.errors import InputError
from robustprune.results.claims import CLEAN, WORST, right, title
from robustprune.results.records import CaseResult, Trust
from robustprune.results.trust import trusts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bits = NDArray[np.uint8]

MEASURES = (WORST, CLEAN)
SCRATCH = "trained from scratch"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One network of one suite."""

    suite: str
    case: str
    family: str
    """That of the parent."""
    strategy: str
    recipe: str
    seed: int
    units: str
    combines: bool
    removed: frozenset[str]
    samples: str
    """Which images: their hash, or the suite where none was kept."""
    n: int
    parent: str
    """Which parent: the hash of its weights, or its name where none was kept."""
    macs: float
    """As a share of the parent's."""
    bits: Mapping[str, Bits]
    """Measure -> for every sample, eight to a byte, whether it holds; empty for what was not attacked."""
    attacks: tuple[str, ...]
    data: str
    trust: Trust

    @property
    def reference(self) -> str:
        """What it is called where it is no strategy but something to compare with; "" for a strategy.

        A network is taken to be trained from scratch where its strategy, recipe or model says so.
        """
        if any("scratch" in name for name in (self.strategy, self.recipe, self.case.partition("/")[0])):
            return SCRATCH
        return "" if self.removed else self.strategy

    def row(self, measure: str) -> Bits:
        """Return 1 for every sample for which a measure holds, else 0."""
        import numpy as np

        return np.unpackbits(self.bits[measure], count=self.n)

    def share(self, measure: str) -> float:
        """Return the share of samples for which it holds."""
        return float(self.row(measure).mean())


def seen(cases: Sequence[CaseResult]) -> list[Seen]:
    """Keep what is needed of a suite's attacked cases. InputError where a parent is missing, or samples differ."""
    if cases and not cases[0].labels:
        raise InputError(f"{cases[0].suite}: its cases have no samples, expected one or more")
    by_name, worth = {case.case: case for case in cases}, _worth(cases)
    found = []
    for case in cases:
        if (case.labels, case.sample_hash) != (cases[0].labels, cases[0].sample_hash):
            raise InputError(f"{case.suite}: {case.case} and {cases[0].case} are not about the same samples")
        if case.parent is not None and case.parent not in by_name:
            raise InputError(f"{case.suite}: {case.case}: its parent {case.parent!r} is not among the cases")
        parent = case if case.parent is None else by_name[case.parent]
        if parent.cost.macs and not case.cost.macs:
            raise InputError(f"{case.suite}: {case.case}: a network of 0 MACs, expected some as its parent has")
        if case.outcomes and case.twin is None:
            found.append(_seen(case, parent, worth[case.case]))
    if cases and not found:
        raise InputError(f"{cases[0].suite}: no case was attacked, expected outcomes of one attack or more")
    return found


def _worth(cases: Sequence[CaseResult]) -> dict[str, Trust]:
    """Return what the number of each case is worth, where the runs of one subject answer together."""
    subjects: dict[tuple[str, str, str, int], list[CaseResult]] = {}
    for case in cases:
        subjects.setdefault((case.family, case.strategy, case.recipe, len(case.removed)), []).append(case)
    return {case.case: trust for some in subjects.values() for case, trust in zip(some, trusts(some), strict=True)}


def _seen(case: CaseResult, parent: CaseResult, worth: Trust) -> Seen:
    import numpy as np

    return Seen(
        suite=case.suite,
        case=case.case,
        family=parent.family,
        strategy=case.strategy,
        recipe=case.recipe,
        seed=case.seed,
        units=case.units,
        combines=case.combines,
        removed=frozenset(case.removed),
        samples=case.sample_hash or case.suite,
        n=len(case.labels),
        parent=parent.weights_hash or f"{parent.suite}/{parent.model}",
        macs=case.cost.macs / parent.cost.macs if parent.cost.macs else 1.0,
        bits={measure: np.packbits(np.array(right(case, measure), dtype=bool)) for measure in MEASURES},
        attacks=tuple(title(outcome) for outcome in case.outcomes),
        data=str(case.environment.get("data", "")),
        trust=worth,
    )
