"""What was measured, as plain data without torch: records, the list of claims, the list of costs, statistics, words.

records.py holds the dataclasses and their JSON form, claims.py what is claimed of a network (clean, each attack, the
worst case), costs.py what it costs, statistics.py intervals and tests, words.py numbers as people read them. To add a
cost: a field of `Cost`, and an entry of `costs.COSTS`.
"""

from robustprune.results.costs import Cost
from robustprune.results.records import (
    BROKEN,
    BROKEN_EARLIER,
    CLEAN_ERROR,
    FAILED,
    ROBUST,
    CaseResult,
    Check,
    Outcomes,
    Trust,
    load,
    save,
)

__all__ = [
    "BROKEN",
    "BROKEN_EARLIER",
    "CLEAN_ERROR",
    "FAILED",
    "ROBUST",
    "CaseResult",
    "Check",
    "Cost",
    "Outcomes",
    "Trust",
    "load",
    "save",
]
