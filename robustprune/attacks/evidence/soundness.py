"""Does the attack do what it says, wherever it is run? Checks 3, 20 and 25."""

from __future__ import annotations

import torch
from torch import Tensor

from robustprune.attacks.base import BUDGET_TOLERANCE, Attack
from robustprune.attacks.distance import norms
from robustprune.attacks.engine import evaluate
from robustprune.attacks.evidence.context import EvidenceContext
from robustprune.attacks.evidence.planted import findings
from robustprune.attacks.evidence.probes import logits_of, share
from robustprune.attacks.evidence.registry import Seen, check, holds, skipped
from robustprune.attacks.evidence.trials import allowed
from robustprune.results import BROKEN

AGREE = 0.999
PLANTED_ERROR = 0.01


@check(3, "budget kept", blocking=True)
def budget_kept(ctx: EvidenceContext) -> Seen:
    """No perturbed image lies beyond eps + 1e-6, outside [0,1], or is not finite; no broken sample was paid
    too much."""
    if not ctx.outcomes and not any(one is not None for one in ctx.adversarials):
        return skipped("no outcomes were given")
    over = [one.attack for one in ctx.outcomes if _beyond(one.status, one.distance, one.eps)]
    spent = [d for one in ctx.outcomes for s, d in zip(one.status, one.distance, strict=True) if s == BROKEN]
    for attack, images in zip(ctx.attacks, ctx.adversarials, strict=False):
        if images is not None and not _within(images, ctx.x, attack):
            over.append(attack.name)
    seen = f"{len(spent)} broken samples of {len(ctx.outcomes)} attacks" + (
        " and their images" if ctx.adversarials else ""
    )
    return holds(
        not over,
        seen + (f"; budget exceeded by {', '.join(dict.fromkeys(over))}" if over else " within budget"),
    )


@check(20, "attack unit test", blocking=True)
def planted_found(ctx: EvidenceContext) -> Seen:
    """On two planted networks whose robust distances are known the attacks find 99 % of what there is, and no
    more."""
    k = logits_of(ctx.model, ctx.few[0][:1]).shape[1]
    attacks = list(ctx.attacks) or [ctx.reference]
    norm, eps = ctx.threat
    results = findings(tuple(a for a in attacks if (a.norm, a.eps) == (norm, eps)), k)
    if not results:
        return skipped("no attack of this threat model searches with gradients or queries")
    worst = max(result.error for result in results)
    seen = "; ".join(str(result) for result in results)
    return holds(worst <= PLANTED_ERROR, seen)


@check(25, "batch invariance")
def batch_invariance(ctx: EvidenceContext) -> Seen:
    """Batches of 1 and of N give the same predictions and outcomes on 99.9 % (or on all but one sample)."""
    x, y = ctx.few
    whole, single = logits_of(ctx.model, x, len(x)), logits_of(ctx.model, x, 1)
    differ = int((whole.argmax(1) != single.argmax(1)).sum())
    m = min(ctx.sizes.single, len(x))
    apart = _outcomes(ctx, x[:m], y[:m], 1) != _outcomes(ctx, x[:m], y[:m], m)
    gap = float((whole - single).abs().max() / whole.abs().max().clamp(min=1e-12))
    seen = f"predictions differ on {share(differ, len(x))} (logits by {gap:.2g} of the largest); "
    seen += f"outcomes differ on {share(int(apart.sum()), m)}"
    slack = (1 - AGREE) * len(x)
    return holds(differ <= slack and int(apart.sum()) <= allowed(m, 1 - AGREE), seen)


def _beyond(status: str, distance: list[float], eps: float) -> bool:
    """Whether a sample counts as broken at a distance that is beyond the budget, or that is not a number."""
    pairs = zip(status, distance, strict=True)
    return any(letter == BROKEN and not d <= eps + BUDGET_TOLERANCE for letter, d in pairs)


def _within(images: Tensor, x: Tensor, attack: Attack) -> bool:
    delta = images.cpu().double() - x.cpu().double()
    if not torch.isfinite(delta).all() or float(images.min()) < 0 or float(images.max()) > 1:
        return False
    return bool((norms(delta, attack.norm) <= attack.eps + BUDGET_TOLERANCE).all())


def _outcomes(ctx: EvidenceContext, x: Tensor, y: Tensor, batch_size: int) -> Tensor:
    """Return the outcome letters of the reference attack as numbers (m,)."""
    short = ctx.reference.change(steps=min(ctx.reference.steps, 10), alpha=None)
    found = evaluate(ctx.model, x, y, [short], seed=ctx.seed, batch_size=batch_size, device=ctx.device)
    return torch.tensor([ord(letter) for letter in found.outcomes[0].status])
