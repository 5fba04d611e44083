"""How far may robust accuracy be above what a stronger attack leaves? Checks 15 and 16.

Both look at survivors drawn at random (stronger.py); a single sample is never held against an attack.
"""

from __future__ import annotations

from dataclasses import asdict

from robustprune.attacks.algorithms.autoattack import Square
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.probes import share
from robustprune.evidence.registry import Seen, check, holds, skipped
from robustprune.evidence.stronger import BY_LOGITS, BY_QUERY, newly_broken, stronger, survivors
from robustprune.evidence.trials import allowed
from robustprune.results.overstated import NUMBER, lowest
from robustprune.results.records import BROKEN

ONE_POINT, FIFTH_POINT = 0.01, 0.002

FEWEST = 2
"""Broken samples that say something about an attack."""


@check(NUMBER, in_a_ball=True)
def distance_bounded(ctx: EvidenceContext) -> Seen:
    """Robust accuracy is above AutoAttack's by no more than the policy's margin, at 95 %.

    Without a margin it fails where it is above by more than a point, at 95 %.
    """
    if not ctx.of_threat:
        return skipped("no outcomes were given")
    trial = stronger(ctx)
    found = trial.found
    if trial.error:
        return holds(False, f"could not be carried out: {trial.error}")
    if ctx.margin is None:
        least = lowest(found.broken, found.attacked) * found.survivors
        fine = found.broken < FEWEST or (found.broken if found.exact else least) <= ONE_POINT * found.n
    else:
        fine = found.bound <= ctx.margin
    return holds(fine, found.text, figures=asdict(found))


@check(16, in_a_ball=True)
def beats_black_box(ctx: EvidenceContext) -> Seen:
    """Queries break no more than .2 points (or one sample) of what gradients leave robust.

    An attack by queries that saw logits and ran behind others is evidence enough. Where none did, Square is tried on
    survivors, with few queries; and with all of its queries on those that the gradients of AutoAttack left.
    """
    ran = [one for one in ctx.of_threat if one.knowledge in BY_QUERY and not one.error]
    if ran and len(ctx.of_threat) > len(ran):
        broken, n = sum(one.status.count(BROKEN) for one in ran), len(ctx.x)
        names, fine = ", ".join(one.attack for one in ran), broken <= allowed(n, FIFTH_POINT)
        if not fine or any(one.knowledge == BY_LOGITS for one in ran):
            return holds(fine, f"{names}, after the others, breaks {share(broken, n)}")
    norm, eps = ctx.threat
    if norm not in Square.norms:
        return skipped(f"no attack by queries is known here for {norm}")
    left = survivors(ctx)
    if not left.order:
        return holds(True, f"nothing of {left.n} resists {left.after}")
    attack = Square(eps=eps, norm=norm, queries=ctx.sizes.queries)
    broken, tried = newly_broken(ctx, attack, ctx.sizes.samples)
    few = broken < FEWEST or broken / tried * len(left.order) <= FIFTH_POINT * left.n
    seen = f"{attack.name} breaks {broken} of {tried} of the {len(left.order)} that resist {left.after}"
    if not ctx.of_threat:
        return holds(few, seen)
    trial = stronger(ctx)
    least = lowest(trial.by_query, trial.asked) * len(left.order)
    fine = trial.by_query < FEWEST or least <= FIFTH_POINT * left.n
    return holds(few and fine, f"{seen}; Square breaks {trial.by_query} of {trial.asked} behind AutoAttack's gradients")
