"""What validity checks add up to: can the number be believed, and apart from that, what is wrong with what it is of.

Trust derives from the checks of the attack alone (checks.py says which they are). A class that suffers, or a sample
that is too small for a claim, is true of an honest number too: such findings stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from robustprune.results.checks import kind_of
from robustprune.results.overstated import NUMBER, over_runs, pooled
from robustprune.results.records import CaseResult, Check, Trust

ESSENTIAL = (2, 3, 4, 5, 8, 12, 21, 28)
"""Without a pass in each of these there is no evidence that the number is one: it is SUSPECT at best."""

APPLIES = "applies"
"""Figure of a check that was skipped: False where it makes no sense under the threat, which says nothing against it."""

ORDER: tuple[Trust, ...] = ("INVALID", "SUSPECT", "TRUSTED")
"""From the worst."""


def trust(checks: Sequence[Check]) -> Trust:
    """Return what the checks of the attack add up to.

    INVALID: a blocking check failed. SUSPECT: another one failed, or one of `ESSENTIAL` was not made. Else TRUSTED.

    >>> trust([Check(number=9, name="loss is smooth enough", status="fail", evidence="0.3")])
    'SUSPECT'
    >>> trust([])
    'SUSPECT'
    """
    failed = [check for check in checks if check.status == "fail" and kind_of(check.number) == "attack"]
    if any(check.blocking for check in failed):
        return "INVALID"
    made = {check.number for check in checks if check.status != "skipped"}
    asked = {check.number for check in checks if applies(check)}
    excused = {check.number for check in checks} - asked
    return "SUSPECT" if failed or not (made | excused).issuperset(ESSENTIAL) else "TRUSTED"


def applies(check: Check) -> bool:
    """Whether a check makes sense under the threat that it was to be made for.

    >>> applies(Check(number=12, name="", status="skipped", evidence="", figures={"applies": False}))
    False
    """
    return check.figures.get(APPLIES, True) is not False


def findings(cases: Sequence[CaseResult]) -> list[str]:
    """Name the checks that failed and are not about the attack, in how many of the cases where not in all.

    >>> findings([])
    []
    """
    failed: dict[tuple[int, str], set[str]] = {}
    for case in cases:
        for check in case.checks:
            if check.status == "fail" and kind_of(check.number) != "attack":
                failed.setdefault((check.number, check.name), set()).add(case.case)
    every = len(cases)
    return [
        f"{name} failed" + (f" ({len(where)} of {every})" if len(where) < every else "")
        for (_, name), where in sorted(failed.items())
    ]


def skipped(cases: Sequence[CaseResult]) -> int:
    """Return how many checks of the attack were skipped in any of the cases.

    A check that one threat model skips and another makes is skipped, too.
    """
    return len(
        {
            check.number
            for case in cases
            for check in case.checks
            if check.status == "skipped" and applies(check) and kind_of(check.number) == "attack"
        }
    )


def standing(worst: Trust, missing: int, beside: Sequence[str] = (), of: str = "") -> str:
    """Write trust in words: in which cases, how many checks were skipped, and what else was found.

    >>> standing("TRUSTED", 4, ["class floor failed"])
    'TRUSTED, 4 skipped; class floor failed'
    """
    left_out = f", {missing} skipped" if missing and worst == "TRUSTED" else ""
    return "; ".join([f"{worst}{of}{left_out}", *beside])


def in_words(case: CaseResult) -> str:
    """Write what one case's number is worth."""
    return standing(believed(case), skipped([case]), findings([case]))


def believed(case: CaseResult) -> Trust:
    """Return what a case's number is worth.

    Earlier versions wrote SUSPECT for what is not about the attack; so that is derived anew.
    """
    return trust(case.checks) if case.trust == "SUSPECT" and case.checks else case.trust


def trusts(runs: Sequence[CaseResult]) -> list[Trust]:
    """Return what the number of each run of one subject is worth, where the runs answer together for check 15.

    The mean of their robust accuracies is what is said of the subject. So where every run was held beside a stronger
    attack, the pooled bound decides, not that of each run: none is TRUSTED where it is beyond the policy's margin, and
    where it is within, a run is not SUSPECT for too few survivors of its own.
    """
    found = [believed(case) for case in runs]
    margins = {one.margin for each in over_runs(runs).values() for one in each}
    allowed = [margin for margin in margins if margin is not None]
    if len(runs) < 2 or not allowed or None in margins:
        return found
    if any(pooled(each) > min(allowed) for each in over_runs(runs).values()):
        return [min(one, "SUSPECT", key=ORDER.index) for one in found]
    return [trust(_without(case)) if one == "SUSPECT" else one for case, one in zip(runs, found, strict=True)]


def _without(case: CaseResult) -> list[Check]:
    """Return the checks of a case but the one that its subject answers for."""
    return [check for check in case.checks if check.number != NUMBER]
