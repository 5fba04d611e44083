"""Who takes part in a contest over suites, by kind, and who is set beside whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from robustprune.errors import InputError
from robustprune.results.entrants import Entrant, average, chosen_elsewhere, mean_of

PUBLISHED, LEADS = "consensus", ("robust-consensus", "consensus")
"""The consensus as it was published; which one the page is about, the first of these that takes part."""

MEAN, ELSEWHERE = "average single criterion", "best criterion of the other runs"
"""What is no strategy of its own: a mean, and for every run the criterion that is best in all other runs."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """Who takes part, by kind; the lead is the consensus that the page is about."""

    lead: Entrant
    consensus: tuple[Entrant, ...]
    """The lead first."""
    singles: tuple[Entrant, ...]
    controls: tuple[Entrant, ...]
    """Chance, as the mean over its draws, and depth."""
    mean: Entrant
    """The average single criterion."""

    @property
    def strategies(self) -> tuple[Entrant, ...]:
        """All of them, without means of several."""
        return (*self.consensus, *self.singles, *self.controls)

    @property
    def chance(self) -> Entrant | None:
        """The mean over the random draws."""
        return next((one for one in self.controls if one.kind == "random"), None)

    def best(self, measure: str) -> Entrant:
        """The single criterion with the highest accuracy, of those that share most settings with the lead."""
        most = max(len(one.common(self.lead)) for one in self.singles)
        whole = [one for one in self.singles if len(one.common(self.lead)) == most]
        return max(whole, key=lambda one: average(one, measure))

    def elsewhere(self, measure: str) -> Entrant:
        """For every run the criterion that is best in all others."""
        return chosen_elsewhere(ELSEWHERE, self.singles, measure)

    def pairs(self, measure: str) -> Iterator[tuple[Entrant, Entrant]]:
        """Yield who is beside whom."""
        beside = [*self.singles, self.mean, self.elsewhere(measure), *self.controls]
        for place, ours in enumerate(self.consensus):
            yield from ((ours, theirs) for theirs in beside)
            yield from ((ours, theirs) for theirs in self.consensus[place + 1 :])
        chance = self.chance
        if chance is not None:
            yield from ((ours, chance) for ours in (*self.singles, *self.controls) if ours is not chance)


def field_of(found: Sequence[Entrant], suites: str) -> Field:
    """Sort entrants by kind. InputError where no consensus meets a criterion; `suites` names them in that line."""
    kinds = {kind: [one for one in found if one.kind == kind] for kind in ("consensus", "single", "random", "depth")}
    if not kinds["consensus"]:
        raise InputError(f"{suites}: no strategy that combines criteria, expected a consensus among them")
    if not kinds["single"]:
        raise InputError(f"{suites}: no strategy of a single criterion beside the consensus, expected one or more")
    lead = min(kinds["consensus"], key=lambda one: LEADS.index(one.name) if one.name in LEADS else len(LEADS))
    if not any(lead.common(one) for one in kinds["single"]):
        raise InputError(
            f"{suites}: {lead.name} has nothing in common with any single criterion, "
            "expected the same suite, parent, recipe and number of blocks"
        )
    draws = kinds["random"]
    chance = [replace(mean_of("random", draws), kind="random")] if len(draws) > 1 else draws
    return Field(
        lead=lead,
        consensus=(lead, *(one for one in kinds["consensus"] if one is not lead)),
        singles=tuple(kinds["single"]),
        controls=(*chance, *kinds["depth"]),
        mean=mean_of(MEAN, kinds["single"]),
    )
