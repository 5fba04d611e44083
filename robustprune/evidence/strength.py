"""Was the attack strong enough to be believed? Checks 10 to 18.

All of them attack, on a seeded subset of the images. Tolerances in points become whole samples there, and a single
sample is never held against an attack: with 64 images it is 1.6 points, and says nothing about half a point.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from robustprune.attacks.algorithms.autoattack import Square
from robustprune.attacks.algorithms.noise import Noise
from robustprune.attacks.algorithms.transfer import Transfer
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.probes import logits_of, share
from robustprune.evidence.registry import Seen, check, holds, skipped
from robustprune.evidence.scales import SCALES
from robustprune.evidence.trials import allowed, alone, newly_broken, robust_share, watched_path
from robustprune.results.records import BROKEN, ROBUST

LAST_STEPS, MOVES = 10, 0.05
"""In the last 10 steps the running minimum of a path's loss, scaled to [0,1], moves by .05 at most."""

UNBOUNDED_ROBUST = 0.01
"""Largest share of images that may resist an attack without a budget."""

HALF_POINT, ONE_POINT, FIFTH_POINT = 0.005, 0.01, 0.002


@check(10, "no silent success", tier="standard")
def no_silent_success(ctx: EvidenceContext) -> Seen:
    """Nothing adversarial was met on the path of an attack that then reports the sample robust."""
    path = watched_path(ctx)
    silent = sum(met and letter == ROBUST for met, letter in zip(path.met, path.status, strict=True))
    return holds(
        silent == 0,
        f"{ctx.reference.name}: {share(silent, len(path.status))} robust with an adversarial iterate",
    )


@check(11, "converged", tier="standard")
def converged(ctx: EvidenceContext) -> Seen:
    """The running minimum of the loss, scaled to [0,1] on each path, moves by .05 or less in the last 10 steps.

    Only paths of samples that resist count: a broken one has ended. The mean over them is held to the
    threshold. A path that ended early has come back to an earlier iterate, and moves no more.
    """
    path, steps = watched_path(ctx), ctx.reference.steps
    left = [-margins for margins, letter in zip(path.margins, path.status, strict=True) if letter == ROBUST]
    if not left:
        return holds(True, f"{ctx.reference.name} leaves nothing robust in the subset of {len(path.status)}")
    moves = sum(late_movement(losses, steps) for losses in left) / len(left)
    return holds(moves <= MOVES, f"{ctx.reference.name}: mean movement {moves:.3f} over {len(left)} paths that resist")


@check(12, "unbounded attack wins", blocking=True)
def unbounded_wins(ctx: EvidenceContext) -> Seen:
    """With eps = 1 (any image) and 200 steps or more, robust accuracy is at most 1 %."""
    attack = ctx.reference.change(eps=1.0, norm="Linf", steps=ctx.sizes.unbounded_steps, alpha=None)
    resist = alone(ctx, attack)
    return holds(
        sum(resist) <= UNBOUNDED_ROBUST * len(resist),
        f"{attack.name} at eps 1: {robust_share(resist)} robust",
    )


@check(13, "eps sweep falls", blocking=True)
def sweep_falls(ctx: EvidenceContext) -> Seen:
    """Robust accuracy falls with eps (half a point or one sample of slack); at 0 it is clean accuracy."""
    scale = SCALES[ctx.threat[0]]
    counts = [sum(alone(ctx, ctx.reference.change(eps=eps * scale.unit, alpha=None))) for eps in ctx.sizes.sweep]
    right = int((logits_of(ctx.model, ctx.few[0], ctx.batch_size).argmax(1) == ctx.few[1].cpu()).sum())
    rise = max(later - earlier for earlier, later in pairwise(counts))
    same = ctx.sizes.sweep[0] != 0 or counts[0] == right
    seen = ", ".join(f"{eps:g}: {count}" for eps, count in zip(ctx.sizes.sweep, counts, strict=True))
    seen = f"robust of {len(ctx.chosen)} at eps in {scale.label}: {seen}; clean {right}"
    return holds(same and rise <= allowed(len(ctx.chosen), HALF_POINT), seen)


@check(14, "iterative beats single step")
def iterative_beats_single(ctx: EvidenceContext) -> Seen:
    """PGD leaves no more robust than one step of full length does (half a point or one sample of slack).

    Each is run alone: in a chain PGD would only see what the single step left.
    """
    eps = ctx.reference.eps
    single = ctx.reference.change(steps=1, alpha=eps, loss="ce", random_start=False, name="single step")
    one, many = alone(ctx, single), alone(ctx, ctx.reference)
    missed = sum(after and not before for before, after in zip(one, many, strict=True))
    seen = f"robust to a single step {robust_share(one)}, to {ctx.reference.name} {robust_share(many)}; "
    seen += f"{missed} broken by the single step alone"
    return holds(sum(many) <= sum(one) + allowed(len(one), HALF_POINT), seen)


@check(15, "more effort changes nothing")
def more_effort(ctx: EvidenceContext) -> Seen:
    """Ten times the steps, or five starts, on what is left robust lower it by a point or one sample at most."""
    steps = ctx.reference.steps * ctx.sizes.longer
    longer = ctx.reference.change(steps=steps, alpha=None, restarts=ctx.sizes.restarts, random_start=True)
    broken, seen = newly_broken(ctx, longer)
    return holds(broken <= allowed(len(ctx.chosen), ONE_POINT), seen)


@check(16, "white box beats black box", blocking=True)
def beats_black_box(ctx: EvidenceContext) -> Seen:
    """Queries break no more than .2 points (or one sample) of what gradients leave robust.

    An attack by queries that ran behind others is evidence enough; where none did, Square is tried.
    """
    norm, eps = ctx.threat
    ran = [one for one in ctx.of_threat if one.knowledge == "logits by query" and not one.error]
    if ran and len(ctx.of_threat) > len(ran):
        broken, n = sum(one.status.count(BROKEN) for one in ran), len(ctx.x)
        names = ", ".join(one.attack for one in ran)
        return holds(broken <= allowed(n, FIFTH_POINT), f"{names}, after the others, breaks {share(broken, n)}")
    if norm not in Square.norms:
        return skipped(f"no attack by queries is known here for {norm}")
    broken, seen = newly_broken(ctx, Square(eps=eps, norm=norm, queries=ctx.sizes.queries))
    return holds(broken <= allowed(len(ctx.chosen), FIFTH_POINT), seen)


@check(17, "white box beats transfer")
def beats_transfer(ctx: EvidenceContext) -> Seen:
    """Images made on the parent break no more than those made on the network (.2 points or one sample)."""
    if ctx.parent is None:
        return skipped("no parent was given to transfer from")
    reference = ctx.reference
    moved = Transfer(eps=reference.eps, norm=reference.norm, steps=reference.steps, loss=reference.loss, retries=0)
    theirs, ours = alone(ctx, moved), alone(ctx, reference)
    seen = f"robust to images made on the parent {robust_share(theirs)}, "
    seen += f"to {reference.name} {robust_share(ours)}"
    return holds(sum(theirs) >= sum(ours) - allowed(len(ours), FIFTH_POINT), seen)


@check(18, "noise is weaker", blocking=True)
def noise_is_weaker(ctx: EvidenceContext) -> Seen:
    """Random noise of the same budget leaves at least as many robust as PGD does (one sample of slack)."""
    noise = Noise(eps=ctx.reference.eps, norm=ctx.reference.norm)
    loud, sharp = alone(ctx, noise), alone(ctx, ctx.reference)
    seen = f"robust to {noise.name} {robust_share(loud)}, to {ctx.reference.name} {robust_share(sharp)}"
    return holds(sum(loud) >= sum(sharp) - 1, seen)


def late_movement(losses: Tensor, steps: int, last: int = LAST_STEPS) -> float:
    """Return how far the running minimum falls over the last steps of a path, with the path scaled to [0,1].

    A path with fewer than `steps` losses stays at its minimum for the rest.

    >>> late_movement(torch.tensor([4.0, 2.0, 0.0, 0.0, 1.0]), steps=5, last=3)
    0.0
    >>> late_movement(torch.tensor([2.0, 1.0, 0.0]), steps=3, last=2)
    0.5
    >>> late_movement(torch.tensor([2.0, 1.0, 0.0]), steps=6, last=2)
    0.0
    """
    low, high = losses.min(), losses.max()
    scaled = (losses - low) / (high - low).clamp(min=1e-12)
    running = torch.cat((scaled.cummin(0).values, torch.zeros(max(steps - len(losses), 0))))[-last:]
    return float(running[0] - running[-1])
