"""A stronger attack on a part, drawn at random, of the samples that the evaluation left robust.

It is AutoAttack's standard set, or what exists of it below four classes; under a norm for which it is not made here,
the reference attack with ten times the steps from five starts. Attacks of it that the evaluation ran are not run again.
The order of the survivors is drawn from a fixed seed, the network and the survivors: a second run draws the same one,
and the runs of a strategy draw apart from each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor, isinf

import torch

from robustprune.attacks.algorithms.autoattack import parts
from robustprune.attacks.algorithms.tiers import passes
from robustprune.attacks.contract.attack import FORWARD, Attack
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.sizes import SEED
from robustprune.evidence.trials import alone, averaging, outcomes_of
from robustprune.models import weights_hash
from robustprune.results.overstated import STANDARD, Overstated, highest, second_stage
from robustprune.results.records import BROKEN, FAILED, ROBUST, Outcomes, threat_name

LONGER, STARTS = 10, 5
"""The stand-in for AutoAttack has this many times the steps of the reference attack, from this many starts."""

PUBLISHED = 4
"""Fewest classes for which there is a published set."""

BY_LOGITS = "logits by query"
BY_QUERY = (BY_LOGITS, "labels by query")
"""What attacks know that ask the network and take no gradients."""


@dataclass(frozen=True, kw_only=True)
class Survivors:
    """The samples that resist, by their places in the data, in the order in which they are drawn."""

    order: list[int]
    n: int
    """Of how many samples."""
    after: str
    """What they resist."""
    draw: int
    """The seed of the order."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the stronger attack found; `error` says what went wrong, and then nothing is known.

    Of the `asked` samples that its attacks with gradients left, its attack by queries broke `by_query`.
    """

    found: Overstated
    asked: int
    by_query: int
    error: str


def survivors(ctx: EvidenceContext) -> Survivors:
    """Draw the order of all samples that the evaluation left robust.

    Without outcomes the reference attack on the subset stands in for the evaluation.
    """
    if "survivors" not in ctx.memo:
        chain = ctx.of_threat
        if chain:
            left = [i for i in range(len(ctx.x)) if all(one.status[i] == ROBUST for one in chain)]
        else:
            left = [i for i, resists in zip(ctx.chosen, alone(ctx, ctx.reference), strict=True) if resists]
        known = repr((SEED, ctx.threat, weights_hash(ctx.model), left))
        draw = int(hashlib.sha256(known.encode()).hexdigest()[:13], 16)
        mixed = torch.randperm(len(left), generator=torch.Generator().manual_seed(draw))
        n, after = (len(ctx.x), "all attacks") if chain else (len(ctx.chosen), ctx.reference.name)
        ctx.memo["survivors"] = Survivors(order=[left[i] for i in mixed], n=n, after=after, draw=draw)
    found: Survivors = ctx.memo["survivors"]
    return found


def newly_broken(ctx: EvidenceContext, attack: Attack, most: int) -> tuple[int, int]:
    """Return how many of the first `most` survivors this attack breaks, and how many there are."""
    rows = survivors(ctx).order[:most]
    key = ("newly broken", repr(attack), most)
    if key not in ctx.memo:
        ctx.memo[key] = _on(ctx, rows, [averaging(ctx, attack)], SEED + 1)[0].status.count(BROKEN) if rows else 0
    count: int = ctx.memo[key]
    return count, len(rows)


def stronger(ctx: EvidenceContext) -> Trial:
    """Run the stronger attack in two stages: on the first survivors, and on more where it breaks some of those."""
    if "stronger" not in ctx.memo:
        ctx.memo["stronger"] = _stronger(ctx)
    found: Trial = ctx.memo["stronger"]
    return found


def first_stage(ctx: EvidenceContext, attacks: Sequence[Attack], left: int) -> int:
    """Return how many of `left` survivors are attacked first: as many as `sizes.beside` pays for.

    0 where that would say nothing: even if none of them broke, in none of the runs whose bound is one, that would be
    beyond the margin.
    """
    if isinf(ctx.sizes.beside) or not attacks:
        return left
    chain = sum(one.forwards * FORWARD + one.backwards * (1 - FORWARD) for one in ctx.of_threat)
    paid = min(left, floor(ctx.sizes.beside * chain / passes(attacks)))
    at_best = highest(0, paid * ctx.pooled) * left / len(ctx.x)
    useless = ctx.margin is not None and paid < left and at_best > ctx.margin
    return 0 if useless else paid


def _stronger(ctx: EvidenceContext) -> Trial:
    drawn = survivors(ctx)
    beside, whole = _rival(ctx)
    attacks = [attack for attack in whole if not any(_is(attack, one) for one in ctx.of_threat)]
    first = first_stage(ctx, attacks, len(drawn.order))
    seen = _on(ctx, drawn.order[:first], attacks)
    broken = _count(seen, BROKEN)
    found = Overstated(
        n=drawn.n,
        survivors=len(drawn.order),
        first=first,
        first_broken=broken,
        attacked=first,
        broken=broken,
        threat=threat_name(*ctx.threat),
        beside=beside,
        margin=ctx.margin,
        draw=drawn.draw,
    )
    wanted = second_stage(first, broken, len(drawn.order))
    seen += _on(ctx, drawn.order[first:wanted], attacks)
    found = replace(found, attacked=wanted, broken=_count(seen, BROKEN))
    queries = [one for one in seen if one.knowledge in BY_QUERY]
    faults = [one.error or f"{one.attack} failed" for one in seen if one.error or FAILED in one.status]
    by_query = _count(queries, BROKEN)
    asked = by_query + _count(queries, ROBUST)
    return Trial(found=found, asked=asked, by_query=by_query, error=faults[0] if faults else "")


def _rival(ctx: EvidenceContext) -> tuple[str, tuple[Attack, ...]]:
    """Return what the number is held beside, by name, and its attacks."""
    norm, eps = ctx.threat
    classes = ctx.logits.shape[1]
    known = tuple(averaging(ctx, attack) for attack in parts(norm, eps, classes))
    if not known:
        reference = ctx.reference
        longer = reference.change(
            steps=LONGER * reference.steps, restarts=STARTS, alpha=None, random_start=True, name=""
        )
        return longer.name, (longer,)
    names = ", ".join(attack.name for attack in known)
    return STANDARD if classes >= PUBLISHED else names, known


def _is(attack: Attack, one: Outcomes) -> bool:
    """Whether these are the outcomes of that attack, whole."""
    settings = {name: value for name, value in one.settings.items() if name != "seed"}
    whole = not one.error and FAILED not in one.status
    return whole and (one.attack, settings) == (attack.name, attack.settings)


def _on(ctx: EvidenceContext, rows: Sequence[int], attacks: Sequence[Attack], seed: int = SEED) -> list[Outcomes]:
    """Run attacks on the samples at these places; nothing where there is nothing to run, or to attack."""
    if not rows or not attacks:
        return []
    return outcomes_of(ctx, ctx.model, (ctx.x[list(rows)], ctx.y[list(rows)]), attacks, seed)


def _count(seen: Sequence[Outcomes], letter: str) -> int:
    return sum(one.status.count(letter) for one in seen)
