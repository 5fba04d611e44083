"""Does the attack do what it says, wherever it is run? Checks 3, 20 and 25."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.threat import THREATS, threat
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.luck import UNDECIDED, passes_of, predicted_shares, undecided
from robustprune.evidence.planted import findings
from robustprune.evidence.probes import share
from robustprune.evidence.registry import Seen, check, holds, skipped
from robustprune.evidence.sizes import SEED
from robustprune.evidence.trials import allowed
from robustprune.results.records import BROKEN, Outcomes

AGREE, PLANTED_ERROR = 0.999, 0.01
"""Share of samples on which batches of 1 and of N agree; share of planted answers that may be wrong."""


ROUNDING = 1e-3
"""Difference of logits in float32, as a share of the largest, that sums in another order explain on any device."""


@check(3)
def budget_kept(ctx: EvidenceContext) -> Seen:
    """Every sample that counts as broken was broken within eps + 1e-6, by a perturbation that is a number."""
    if not ctx.outcomes:
        return skipped("no outcomes were given")
    over = [one.attack for one in ctx.outcomes if _beyond(one)]
    spent = sum(one.status.count(BROKEN) for one in ctx.outcomes)
    seen = f"{spent} broken samples of {len(ctx.outcomes)} attacks"
    return holds(not over, seen + (f"; budget exceeded by {', '.join(over)}" if over else " within budget"))


@check(20, in_a_ball=True)
def planted_found(ctx: EvidenceContext) -> Seen:
    """On two planted networks of known robust distances the attacks find 99 % of what there is, and no more."""
    results = findings(tuple(a for a in ctx.attacks if (a.norm, a.eps) == ctx.threat), ctx.logits.shape[1])
    if not results:
        return skipped("no attack of this threat model searches with gradients or queries")
    worst = max(result.error for result in results)
    seen = "; ".join(str(result) for result in results)
    return holds(worst <= PLANTED_ERROR, seen)


@check(25)
def batch_invariance(ctx: EvidenceContext) -> Seen:
    """Batches of 1 and of N give the same logits up to rounding, and predictions and outcomes on 99.9 %.

    Outcomes may differ on one sample. Other logits or predictions block: what is broken then depends on its company.
    Of a random network what most passes predict, on the images that they agree on, and no fewer than three in four do.
    """
    x, y = ctx.few
    passes = [passes_of(ctx, x, size) for size in (len(x), 1)]
    whole, single = (one.mean(0) for one in passes)
    shares = [predicted_shares(one) for one in passes]
    sure = torch.stack([one.amax(1) >= 1 - UNDECIDED for one in shares]).all(0)
    differ = int(((shares[0].argmax(1) != shares[1].argmax(1)) & sure).sum())
    m = min(ctx.sizes.single, len(x))
    apart = _outcomes(ctx, x[:m], y[:m], 1) != _outcomes(ctx, x[:m], y[:m], m)
    gap = float((whole - single).abs().max() / whole.abs().max().clamp(min=1e-12))
    seen = f"predictions differ on {share(differ, len(x))} (logits by {gap:.2g} of the largest); "
    seen += f"outcomes differ on {share(int(apart.sum()), m)}"
    outcomes = allowed(m, 1 - AGREE) + undecided(ctx)
    alike = differ <= (1 - AGREE) * len(x) and (ctx.passes > 1 or gap <= rounding_of(ctx.model))
    return holds(alike and int(apart.sum()) <= outcomes, seen, blocking=not alike)


def rounding_of(model: nn.Module) -> float:
    """Return the difference of logits, as a share of the largest, that the type of the model's weights explains.

    >>> rounding_of(nn.Linear(1, 1)), rounding_of(nn.Linear(1, 1).bfloat16())
    (0.001, 0.0625)
    """
    types = {tensor.dtype for tensor in model.parameters() if tensor.is_floating_point()}
    return max([ROUNDING, *(8 * torch.finfo(one).eps for one in types)])


def _beyond(one: Outcomes) -> bool:
    """Whether a sample counts as broken at a distance that is beyond the budget, or that is not a number."""
    limit = threat(one.norm, one.eps).limit if one.norm in THREATS else one.eps
    return any(letter == BROKEN and not d <= limit for letter, d in zip(one.status, one.distance, strict=True))


def _outcomes(ctx: EvidenceContext, x: Tensor, y: Tensor, batch_size: int) -> Tensor:
    """Return the outcome letters of the reference attack, or of the first that tries transforms, as numbers (m,)."""
    short = ctx.attacks[0]
    if ctx.in_a_ball:
        short = ctx.reference.change(steps=min(ctx.reference.steps, 10), alpha=None)
    found = evaluate(ctx.model, x, y, [short], seed=SEED, batch_size=batch_size, device=ctx.device, prepared=ctx.ready)
    return torch.tensor([ord(letter) for letter in found.outcomes[0].status])
