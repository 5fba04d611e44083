"""What two networks cost, side by side."""

from __future__ import annotations

from dataclasses import dataclass

from robustprune.results.costs import Cost, CostMeasure, doubt, measures


@dataclass(frozen=True, kw_only=True)
class CostChange:
    """One cost of two networks: the parent's `before`, the candidate's `now`."""

    measure: CostMeasure
    before: float
    now: float
    ratio: float | None
    range: tuple[float, float] | None = None
    """Quartiles of a ratio of runs in turn."""
    busy: bool = False

    @property
    def doubt(self) -> str:
        """Write how far the ratio can be believed, see `doubt`."""
        return doubt(self.range, self.busy)


def changes(new: Cost, old: Cost) -> list[CostChange]:
    """Compare what two networks cost, by every measure that both have: what is counted first, then what is timed."""
    found = []
    for measure in sorted(measures([new]), key=lambda one: one.timed):
        before, now = measure.value(old), measure.value(new)
        if before is not None and now is not None:
            found.append(
                CostChange(
                    measure=measure,
                    before=before,
                    now=now,
                    ratio=measure.over(new, old),
                    range=measure.range(new),
                    busy=measure.busy(new) or measure.busy(old),
                )
            )
    return found
