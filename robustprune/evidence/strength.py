"""Was the attack strong enough to be believed? Checks 10 to 14, 17 and 18.

All of them attack, on a seeded subset of the images. Tolerances in points become whole samples there, and a single
sample is never held against an attack: with 64 images it is 1.6 points, and says nothing about half a point. Nor is one
that a random network gets right in about half of its passes: its verdict may fall either way.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from robustprune.attacks.algorithms.noise import Noise
from robustprune.attacks.algorithms.transfer import Transfer
from robustprune.attacks.contract.target import MAJORITY
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.luck import right_share, undecided
from robustprune.evidence.probes import share
from robustprune.evidence.registry import Seen, check, holds, skipped
from robustprune.evidence.scales import SCALES
from robustprune.evidence.trials import alone, averaging, robust_share, slack, watched_path
from robustprune.results.records import ROBUST

LAST_STEPS, MOVES = 10, 0.05
"""In the last 10 steps the running minimum of a path's loss, scaled to [0,1], moves by .05 at most."""

UNBOUNDED_ROBUST = 0.01
"""Largest share of images that may resist an attack without a budget."""

HALF_POINT, FIFTH_POINT = 0.005, 0.002


@check(10, tier="standard", in_a_ball=True)
def no_silent_success(ctx: EvidenceContext) -> Seen:
    """Nothing adversarial was met on the path of an attack that then reports the sample robust."""
    path = watched_path(ctx)
    silent = sum(met and letter == ROBUST for met, letter in zip(path.met, path.status, strict=True))
    return holds(
        silent == 0,
        f"{ctx.reference.name}: {share(silent, len(path.status))} robust with an adversarial iterate",
    )


@check(11, tier="standard", in_a_ball=True)
def converged(ctx: EvidenceContext) -> Seen:
    """The running minimum of the loss, scaled to [0,1] on each path, moves by .05 or less in the last 10 steps.

    Only paths of samples that resist count: a broken one has ended. The mean over them is held to the
    threshold. A path that ended early has come back to an earlier iterate, and moves no more. On a random network the
    minimum would fall by noise alone, and the drift of the loss takes its place.
    """
    path, steps = watched_path(ctx), ctx.reference.steps
    left = [-margins for margins, letter in zip(path.margins, path.status, strict=True) if letter == ROBUST]
    if not left:
        return holds(True, f"{ctx.reference.name} leaves nothing robust in the subset of {len(path.status)}")
    movement = late_drift if ctx.reference.eot > 1 else late_movement
    moves = sum(movement(losses, steps) for losses in left) / len(left)
    return holds(moves <= MOVES, f"{ctx.reference.name}: mean movement {moves:.3f} over {len(left)} paths that resist")


@check(12, in_a_ball=True)
def unbounded_wins(ctx: EvidenceContext) -> Seen:
    """With eps = 1 (any image) and 200 steps or more, robust accuracy is at most 1 %."""
    attack = ctx.reference.change(eps=1.0, norm="Linf", steps=ctx.sizes.unbounded_steps, alpha=None)
    resist = alone(ctx, attack)
    return holds(
        sum(resist) <= UNBOUNDED_ROBUST * len(resist),
        f"{attack.name} at eps 1: {robust_share(resist)} robust",
    )


@check(13, in_a_ball=True)
def sweep_falls(ctx: EvidenceContext) -> Seen:
    """Robust accuracy falls with eps (half a point or one sample of slack); at 0 it is clean accuracy."""
    scale = SCALES[ctx.threat[0]]
    counts = [sum(alone(ctx, ctx.reference.change(eps=eps * scale.unit, alpha=None))) for eps in ctx.sizes.sweep]
    right = int((right_share(ctx) > MAJORITY).sum())
    rise = max(later - earlier for earlier, later in pairwise(counts))
    same = ctx.sizes.sweep[0] != 0 or abs(counts[0] - right) <= undecided(ctx)
    seen = ", ".join(f"{eps:g}: {count}" for eps, count in zip(ctx.sizes.sweep, counts, strict=True))
    seen = f"robust of {len(ctx.chosen)} at eps in {scale.label}: {seen}; clean {right}"
    return holds(same and rise <= slack(ctx, HALF_POINT), seen)


@check(14, in_a_ball=True)
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
    return holds(sum(many) <= sum(one) + slack(ctx, HALF_POINT), seen)


@check(17, in_a_ball=True)
def beats_transfer(ctx: EvidenceContext) -> Seen:
    """Images made on the parent break no more than those made on the network (.2 points or one sample)."""
    if ctx.parent is None:
        return skipped("no parent was given to transfer from")
    reference = ctx.reference
    moved = Transfer(eps=reference.eps, norm=reference.norm, steps=reference.steps, loss=reference.loss, retries=0)
    theirs, ours = alone(ctx, averaging(ctx, moved)), alone(ctx, reference)
    seen = f"robust to images made on the parent {robust_share(theirs)}, "
    seen += f"to {reference.name} {robust_share(ours)}"
    return holds(sum(theirs) >= sum(ours) - slack(ctx, FIFTH_POINT), seen)


@check(18, in_a_ball=True)
def noise_is_weaker(ctx: EvidenceContext) -> Seen:
    """Random noise of the same budget leaves at least as many robust as PGD does (one sample of slack)."""
    noise = Noise(eps=ctx.reference.eps, norm=ctx.reference.norm)
    loud, sharp = alone(ctx, noise), alone(ctx, ctx.reference)
    seen = f"robust to {noise.name} {robust_share(loud)}, to {ctx.reference.name} {robust_share(sharp)}"
    return holds(sum(loud) >= sum(sharp) - 1 - undecided(ctx), seen)


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


def late_drift(losses: Tensor, steps: int, last: int = LAST_STEPS) -> float:
    """Return how far a noisy loss drifts down over the last of `steps` steps, with the path scaled to [0,1].

    Twice what the second half of them lies below the first; negative where it rises, so that noise cancels over paths.

    >>> late_drift(torch.tensor([9.0, 3.0, 2.0, 1.0, 1.0, 1.0]), steps=6, last=4)
    0.125
    >>> late_drift(torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]), steps=5, last=4)
    0.0
    """
    low, high = losses.min(), losses.max()
    early, late = ((losses - low) / (high - low).clamp(min=1e-12))[-min(last, steps, len(losses)) :].tensor_split(2)
    return 2 * float(early.mean() - late.mean()) if len(early) else 0.0
