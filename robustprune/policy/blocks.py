"""Were the approved blocks removed? A choice is no matter of luck: from the same parent it is the same everywhere.

Where the parent is the approved one, weight for weight, a strategy must remove as many blocks as before, and the same
ones, unless rounding decided: the scores are the approved ones but for rounding, and they hardly tell the blocks apart.
A consensus ranks the scores of its voters, so there a hair's breadth in a voter may decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robustprune.policy.findings import Decision
from robustprune.results.records import CaseResult

CLAIM = "blocks removed"

ROUNDING = 0.01
"""Scores that differ by at most this share of their range are the same but for rounding."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What became of the choice of one subject; `reason` says of the first case what is different, "" if nothing is."""

    subject: str
    before: str
    now: str
    reason: str

    @property
    def verdict(self) -> Decision:
        """FAIL where a case removed other blocks than approved."""
        return "FAIL" if self.reason else "PASS"

    def __str__(self) -> str:
        """Write it as one line for people."""
        return f"{self.subject}, {CLAIM}: {self.verdict}" + (f", {self.reason}" if self.reason else "")

    @property
    def facts(self) -> dict[str, str]:
        """The pieces of text that `Change.facts` has."""
        plain = dict.fromkeys(("difference", "n", "runs", "newly broken"), "-")
        found = {"verdict": self.verdict, "case": self.subject, "claim": CLAIM, "before": self.before, "now": self.now}
        return {**found, **plain, "needed": self.reason or "-"}


def choices(now: Sequence[CaseResult], before: Sequence[CaseResult]) -> list[Choice]:
    """Hold the choices of every subject against the approved ones, over the cases whose parents are the same."""
    here, there = ({case.case: case for case in side} for side in (now, before))
    found: dict[str, list[tuple[CaseResult, CaseResult]]] = {}
    for case in now:
        base = there.get(case.case)
        if base is not None and (case.removed or base.removed) and _same_parent(case, base, here, there):
            found.setdefault(case.subject, []).append((case, base))
    return [_choice(subject, pairs) for subject, pairs in found.items()]


def other_blocks(now: CaseResult, before: CaseResult) -> str:
    """Say why a choice is not the approved one; "" where it is, or where rounding decided."""
    if set(now.removed) == set(before.removed):
        return ""
    which = f"{', '.join(now.removed) or 'none'} instead of {', '.join(before.removed) or 'none'}"
    if len(now.removed) != len(before.removed):
        return f"{now.case} removed {len(now.removed)} blocks where {len(before.removed)} were approved: {which}"
    own = before.scores.get(now.strategy)
    if own is None:  # not one-shot: what was chosen later depends on training in between
        return ""
    voters = {name: row for name, row in before.scores.items() if not (before.combines and name == now.strategy)}
    for name, row in voters.items():
        block = _differing(row, now.scores.get(name, {}))
        if block is not None:
            return f"{now.case} removed {which}: {name} scores {block} otherwise than when it was approved"
    if before.combines or _tied(own, set(now.removed) ^ set(before.removed)):
        return ""
    return f"{now.case} removed {which}, by the same scores"


def _choice(subject: str, pairs: Sequence[tuple[CaseResult, CaseResult]]) -> Choice:
    reasons = [(reason, pair) for pair in pairs if (reason := other_blocks(*pair))]
    reason, (now, before) = reasons[0] if reasons else ("", pairs[0])
    return Choice(subject=subject, before=", ".join(before.removed), now=", ".join(now.removed), reason=reason)


def _same_parent(
    case: CaseResult, base: CaseResult, here: Mapping[str, CaseResult], there: Mapping[str, CaseResult]
) -> bool:
    new, old = here.get(str(case.parent)), there.get(str(base.parent))
    return new is not None and old is not None and bool(new.weights_hash) and new.weights_hash == old.weights_hash


def _differing(before: Mapping[str, float], now: Mapping[str, float]) -> str | None:
    """Return a block whose score differs by more than rounding, or that has none any more."""
    allowed = ROUNDING * _range(before)
    return next(
        (name for name, value in before.items() if not abs(now.get(name, float("inf")) - value) <= allowed), None
    )


def _tied(scores: Mapping[str, float], blocks: set[str]) -> bool:
    """Whether the scores of these blocks differ by no more than rounding."""
    found = {name: scores[name] for name in blocks if name in scores}
    return len(found) == len(blocks) and _range(found) <= ROUNDING * _range(scores)


def _range(scores: Mapping[str, float]) -> float:
    return max(scores.values()) - min(scores.values()) if scores else 0.0
