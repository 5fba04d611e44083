"""What was measured, as plain data without torch: records, the list of claims, the list of costs, statistics, words.

records.py holds the dataclasses and their JSON form, claims.py what is claimed of a network (clean, each attack, the
worst case), costs.py what it costs, statistics.py intervals over samples, significance.py exact tests, crossed.py
intervals and tests over samples and training runs, runs.py which cases are a run, overstated.py by how much robust
accuracy is too high, optimality.py how much of the strength of all attacks one has, agreement.py how far orders agree,
voters.py what the criteria said of each network, seen.py and entrants.py who was measured where over several suites,
pooled.py and moderated.py their differences, checks.py the list of validity checks, trust.py what they add up to,
words.py numbers as people read them.
To add a cost: a field of `Cost`, and an entry of `costs.COSTS`.
"""

from robustprune.results.costs import Cost
from robustprune.results.records import (
    BROKEN,
    BROKEN_EARLIER,
    CLEAN_ERROR,
    FAILED,
    ROBUST,
    Accepted,
    CaseResult,
    Check,
    Outcomes,
    Trust,
    load,
    load_accepted,
    packed,
    save,
)

__all__ = [
    "BROKEN",
    "BROKEN_EARLIER",
    "CLEAN_ERROR",
    "FAILED",
    "ROBUST",
    "Accepted",
    "CaseResult",
    "Check",
    "Cost",
    "Outcomes",
    "Trust",
    "load",
    "load_accepted",
    "packed",
    "save",
]
