"""What a reader may not have expected, found by rules in the numbers: a line a rule, also where it finds nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from robustprune.report.across.comparisons import PARTS, Comparison
from robustprune.report.across.tables import Found
from robustprune.results.agreement import spearman
from robustprune.results.claims import CLEAN, WORST
from robustprune.results.entrants import Entrant, Setting, average
from robustprune.results.words import percent, points_between

NOBODY = "none"


def surprises(found: Found) -> list[str]:
    """Return all lines."""
    return [
        *_beside_chance(found),
        _consensus_below_average(found),
        *_turned(found),
        _identical(found),
        _orders(found),
        _firsts(found),
    ]


def _beside_chance(found: Found) -> Iterator[str]:
    """Say which criteria are worse, and which better than the mean random draw."""
    chance = found.field.chance
    if chance is None:
        yield "No random choice of blocks took part: whether a criterion is worse than chance is not known."
        return
    for measure in (WORST, CLEAN):
        pairs = [one for one in found.claims(measure) if one.theirs.name == chance.name]
        for end in ("worse", "better"):
            names = [_with_interval(one) for one in pairs if one.result == end]
            yield f"Significantly {end} than chance, {measure}: {len(names)} of {len(pairs)}: {_list(names)}."


def _consensus_below_average(found: Found) -> str:
    mean = found.field.mean.name
    pairs = [one for one in found.claims(WORST) if one.theirs.name == mean and one.ours.kind == "consensus"]
    names = [_with_interval(one) for one in pairs if one.result == "worse"]
    return f"A consensus significantly below the {mean}, {WORST}: {_list(names)}."


def _turned(found: Found) -> Iterator[str]:
    """Say beside whom the lead is ahead in one part of the settings and behind in another, both beyond 95 %."""
    for part in PARTS:
        by_other: dict[str, list[Comparison]] = {}
        for one in found.every:
            if one.scope.field == part and one.measure == WORST and one.found is not None:
                by_other.setdefault(one.theirs.name, []).append(one)
        lines = [line for some in by_other.values() for line in _opposite(some)]
        if len({one.scope.name for some in by_other.values() for one in some}) > 1:
            where = {"removed": "number of blocks"}.get(part, part)
            asked = f"{found.field.lead.name} ahead in one {where} and behind in another, both intervals beyond 0"
            yield f"{asked} (without adjustment), {WORST}: {_list(lines)}."


def _opposite(some: Sequence[Comparison]) -> Iterator[str]:
    up = [one.scope.name for one in some if one.found is not None and one.found.low > 0]
    down = [one.scope.name for one in some if one.found is not None and one.found.high < 0]
    if up and down:
        yield f"beside {some[0].theirs.name} ahead in {', '.join(up)}, behind in {', '.join(down)}"


def _identical(found: Found) -> str:
    """Say which strategies took the same blocks in every pair of networks that they share."""
    everyone = [*found.field.strategies]
    groups: list[list[str]] = []
    for one, other in combinations(everyone, 2):
        pairs = [*_blocks(one, other)]
        if pairs and all(mine == theirs for mine, theirs in pairs):
            near = next((group for group in groups if one.name in group or other.name in group), None)
            if near is None:
                groups.append(near := [])
            near += [name for name in (one.name, other.name) if name not in near]
    return f"The same blocks in every network: {_list([' = '.join(group) for group in groups])}."


def _blocks(one: Entrant, other: Entrant) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Yield what both took, network by network."""
    for where in one.common(other):
        mine, theirs = one.entries[where].removed, other.entries[where].removed
        yield from ((mine[seed], theirs[seed]) for seed in mine if seed in theirs)


def _orders(found: Found) -> str:
    """Say whether robust and clean accuracy put the strategies in one order, over those in all settings of the lead."""
    settings = [*found.field.lead.entries]
    whole = [one for one in found.field.strategies if all(where in one.entries for where in settings)]
    values = {measure: [average(one, measure, of=settings) for one in whole] for measure in (WORST, CLEAN)}
    first = {measure: max(zip(values[measure], whole, strict=True), key=lambda pair: pair[0]) for measure in values}
    tops = "; ".join(f"first by {measure}: {one.name}, {percent(share)}" for measure, (share, one) in first.items())
    rank = spearman(values[WORST], values[CLEAN])
    said = f"{rank:+.2f}" if rank == rank else "not defined"
    return f"Rank correlation of robust and clean accuracy over the {len(whole)} strategies: {said}; {tops}."


def _firsts(found: Found) -> str:
    """Say how often each strategy is first, over suites, families, recipes and numbers of blocks."""
    cells: dict[tuple[str | int, ...], list[Setting]] = {}
    for where in found.field.lead.entries:
        cells.setdefault((where.suite, where.family, where.recipe, where.removed), []).append(where)
    firsts: Counter[str] = Counter()
    for settings in cells.values():
        values = {one.name: average(one, WORST, of=settings) for one in found.field.strategies}
        known = {name: value for name, value in values.items() if value == value}
        firsts[max(known, key=known.__getitem__)] += 1
    shown = ", ".join(f"{name} {count}" for name, count in firsts.most_common())
    return f"First by {WORST}, over {len(cells)} combinations of suite, family, recipe and number of blocks: {shown}."


def _with_interval(one: Comparison) -> str:
    pair = one.found
    return one.ours.name if pair is None else f"{one.ours.name} {points_between(pair.difference, pair.low, pair.high)}"


def _list(names: Sequence[str]) -> str:
    return "; ".join(names) or NOBODY
