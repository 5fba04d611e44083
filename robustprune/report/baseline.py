"""What became of every claim since it was approved, for a CI job to post."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from robustprune.report.markdown import pipe


def summary(facts: Sequence[Mapping[str, str]], left_out: Sequence[str] = ()) -> str:
    """Write what became of all claims (`Change.facts`) as Markdown; what passed is counted only.

    >>> print(summary([{"verdict": "PASS"}], ["cifar10: no data"]))
    ### robustprune: 1 PASS
    <BLANKLINE>
    - left out: cifar10: no data
    <BLANKLINE>
    """
    tally = Counter(one["verdict"] for one in facts)
    counts = ", ".join(f"{tally[verdict]} {verdict}" for verdict in ("FAIL", "INCONCLUSIVE", "PASS") if tally[verdict])
    parts = [f"### robustprune: {counts or 'nothing compared'}"]
    open_ = sorted((one for one in facts if one["verdict"] != "PASS"), key=lambda one: one["verdict"])
    if open_:
        parts.append(pipe([*open_[0]], [[*one.values()] for one in open_]))
    if left_out:
        parts.append("\n".join(f"- left out: {line}" for line in left_out))
    return "\n\n".join(parts) + "\n"
