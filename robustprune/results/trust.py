"""What validity checks add up to: for one network, and for the runs of one subject."""

from __future__ import annotations

from collections.abc import Sequence

from robustprune.results.overstated import NUMBER, over_runs, pooled
from robustprune.results.records import CaseResult, Check, Trust

ESSENTIAL = (2, 3, 4, 5, 8, 12, 21, 28)
"""Without a pass in each of these there is no evidence that the number is one: it is SUSPECT at best."""

ORDER: tuple[Trust, ...] = ("INVALID", "SUSPECT", "TRUSTED")
"""From the worst."""


def trust(checks: Sequence[Check]) -> Trust:
    """Return what the checks add up to.

    INVALID: a blocking check failed. SUSPECT: another one failed, or one of `ESSENTIAL` was not made. Else TRUSTED.

    >>> trust([Check(number=9, name="loss is smooth enough", status="fail", evidence="0.3")])
    'SUSPECT'
    >>> trust([])
    'SUSPECT'
    """
    failed = [check for check in checks if check.status == "fail"]
    if any(check.blocking for check in failed):
        return "INVALID"
    made = {check.number for check in checks if check.status != "skipped"}
    return "SUSPECT" if failed or not made.issuperset(ESSENTIAL) else "TRUSTED"


def trusts(runs: Sequence[CaseResult]) -> list[Trust]:
    """Return what the number of each run of one subject is worth, where the runs answer together for check 15.

    The mean of their robust accuracies is what is said of the subject. So where every run was held beside a stronger
    attack, the pooled bound decides, not that of each run: none is TRUSTED where it is beyond the policy's margin, and
    where it is within, a run is not SUSPECT for too few survivors of its own.
    """
    found = [case.trust for case in runs]
    margins = {one.margin for each in over_runs(runs).values() for one in each}
    allowed = [margin for margin in margins if margin is not None]
    if len(runs) < 2 or not allowed or None in margins:
        return found
    if any(pooled(each) > min(allowed) for each in over_runs(runs).values()):
        return [min(one, "SUSPECT", key=ORDER.index) for one in found]
    return [trust(_without(case)) if case.trust == "SUSPECT" else case.trust for case in runs]


def _without(case: CaseResult) -> list[Check]:
    """The checks of a case but the one that its subject answers for."""
    return [check for check in case.checks if check.number != NUMBER]
