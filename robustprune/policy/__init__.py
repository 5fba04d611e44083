"""What may be lost, and what follows: one function judges two measured networks, for whatever asks.

findings.py holds the verdicts, measures.py judges one measure at a time, policy.py holds the margins and `judge`, which
puts the findings together. A suite case, a stage of a roll-out, a review and its verification all ask `judge`. To add a
measure: a generator of `Finding` in measures.py, and a line in `judge`.

Beside what was approved: baseline.py compares the claims, settings.py says whether they can be compared, blocks.py
whether the approved blocks were removed, accepted.py what was accepted although it does not pass, detectable.py what a
baseline will show.
"""

from robustprune.policy.findings import Decision, Finding, Verdict
from robustprune.policy.policy import Policy, exit_code, judge, judge_all, load_policy

__all__ = ["Decision", "Finding", "Policy", "Verdict", "exit_code", "judge", "judge_all", "load_policy"]
