"""What became of every claim since it was approved, for a CI job to post; and what a baseline can show at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from robustprune.policy.detectable import detectable_drops
from robustprune.policy.policy import Policy
from robustprune.report.markdown import NONE, pipe
from robustprune.results.claims import measures
from robustprune.results.records import CaseResult


def summary(facts: Sequence[Mapping[str, str]], left_out: Sequence[str] = (), accepted: Sequence[str] = ()) -> str:
    """Write what became of all claims (`Change.facts`) as Markdown; what passed is counted only.

    `accepted` are the verdicts of the suite's policy, other than PASS, that were accepted.

    >>> print(summary([{"verdict": "PASS"}], ["cifar10: no data"]))
    ### robustprune: 1 PASS
    <BLANKLINE>
    - left out: cifar10: no data
    <BLANKLINE>
    """
    tally = Counter(one["verdict"] for one in facts)
    counts = ", ".join(
        f"{tally[verdict]} {verdict}" for verdict in ("FAIL", "UNTRUSTED", "INCONCLUSIVE", "PASS") if tally[verdict]
    )
    parts = [f"### robustprune: {counts or 'nothing compared'}"]
    open_ = sorted((one for one in facts if one["verdict"] != "PASS"), key=lambda one: one["verdict"])
    if open_:
        parts.append(pipe([*open_[0]], [[*one.values()] for one in open_]))
    if accepted:
        parts.append(accepted_line(accepted))
    if left_out:
        parts.append("\n".join(f"- left out: {line}" for line in left_out))
    return "\n\n".join(parts) + "\n"


def accepted_line(accepted: Sequence[str]) -> str:
    """Count what passes only because it was accepted.

    >>> accepted_line(["FAIL", "INCONCLUSIVE", "FAIL"])
    'accepted when it was approved, although the policy says otherwise: 2 FAIL, 1 INCONCLUSIVE'
    """
    tally = Counter(accepted)
    counts = ", ".join(f"{tally[verdict]} {verdict}" for verdict in sorted(tally))
    return f"accepted when it was approved, although the policy says otherwise: {counts}"


def power_table(cases: Sequence[CaseResult], policy: Policy) -> str:
    """Write the smallest drop, in points, that a comparison with this baseline finds in 80 % of the trials."""
    found, names = detectable_drops(cases, policy), measures(cases)
    rows = [[subject, *(_in_points(drops.get(name)) for name in names)] for subject, drops in found.items()]
    text = (
        "The smallest drop, in points, that a comparison with this baseline finds in 80 % of the trials, or a smaller "
        "one: networks from files are compared outcome by outcome, networks that are trained again over samples and "
        "runs, as if another training changed as much as the strategies differ between runs. '-': one run, nothing can "
        "be said."
    )
    return f"{text}\n\n{pipe(['case', *names], rows)}\n"


def _in_points(drop: float | None) -> str:
    return NONE if drop is None else f"{100 * drop:.1f}"
