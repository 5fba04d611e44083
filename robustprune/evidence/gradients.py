"""Can the network be attacked by gradients at all? Checks 8 and 9."""

from __future__ import annotations

import torch
from torch import Tensor

from robustprune.attacks.contract.losses import margin
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.probes import gradients, logits_of, share
from robustprune.evidence.registry import Seen, check, holds, skipped
from robustprune.evidence.scales import SCALES
from robustprune.evidence.sizes import SEED
from robustprune.models.artefact import Artefact

ROUGH = 0.1
"""Largest mean relative change of the margin over noise."""

FALSE_GRADIENTS, MANY = 0.1, 0.05
"""Shares of images: that many false gradients are a failure, that many missing ones block."""

PROBE_STEP = 0.01
"""L2 length of the step along the gradient: short enough for any network, long enough for float32."""

SMOOTH_IMAGES = 16
"""Images whose loss is looked at for smoothness."""


@check(8, in_a_ball=True)
def gradients_exist(ctx: EvidenceContext) -> Seen:
    """Every image has a non-zero, finite input gradient that points where the loss rises.

    A very confident network can have a cross-entropy gradient that vanishes in float32 while its margin has
    one: then the check fails only if no attack with another loss ran. If the margin's vanishes too, or steps
    along it do not raise the margin, no white-box attack can be believed. That an attack by queries ran too excuses
    nothing: it is weaker than gradients are where there are any, so its number is no measure of robustness.
    """
    x, y = _right(ctx)
    if not len(x):
        return skipped("no image of the subset is predicted right, so there is nothing to attack")
    ce, raw = (gradients(ctx.model, x, y, loss, ctx.batch_size) for loss in ("ce", "margin"))
    if raw.cut:
        return holds(False, raw.cut)
    n, none = len(x), (ce.missing & raw.missing) | ~torch.isfinite(ce.length) | ~torch.isfinite(raw.length)
    flat = ce.missing & ~none
    false = (_rise(ctx, x, y, raw.grad) <= 0) & ~none
    seen = f"none or not finite for both losses: {share(int(none.sum()), n)}; none for the cross-entropy alone: "
    seen += f"{share(int(flat.sum()), n)}; margin does not rise along it: {share(int(false.sum()), n)}"
    shares = (int(none.sum()) / n, int(flat.sum()) / n, int(false.sum()) / n)
    return _judged(ctx, shares, seen)


def _judged(ctx: EvidenceContext, shares: tuple[float, float, float], seen: str) -> Seen:
    """Decide check 8 from the shares of images with no gradient, with none of the cross-entropy, with a false one."""
    none, flat, false = shares
    ran = [one for one in ctx.outcomes if not one.error]
    if none:
        return holds(False, seen, blocking=none > MANY)
    if false > FALSE_GRADIENTS:
        return holds(False, seen + ": the gradient is not the loss's")
    if flat and not any(one.objective == "margin" for one in ran):
        return holds(False, seen + ": the attacks used cross-entropy alone", blocking=flat > MANY)
    return holds(True, seen)


@check(9, in_a_ball=True)
def smooth_loss(ctx: EvidenceContext) -> Seen:
    """The margin changes by 10 % or less, on average, over random uniform noise (`noise_radius`).

    Pintor et al. (2106.09947): relative change of the loss of each image, averaged over directions, at most 1. Their
    loss is that of the attack; here the margin, because a cross-entropy near zero has no meaningful relative change.
    """
    x, y = (part[:SMOOTH_IMAGES] for part in _right(ctx))
    if not len(x):
        return skipped("no image of the subset is predicted right")
    radius = noise_radius(ctx)
    generator = torch.Generator().manual_seed(SEED)
    before = margin(logits_of(ctx.model, x, ctx.batch_size), y.cpu())
    noise = [(2 * torch.rand(x.shape, generator=generator) - 1) * radius for _ in range(ctx.sizes.directions)]
    moved = [(x + one.to(x)).clamp(0, 1) for one in noise]
    shown = [torch.cat(moved)] if ctx.passes == 1 else moved  # a random network draws the same for the same batch
    after = torch.cat([logits_of(ctx.model, images, ctx.batch_size) for images in shown])
    after = margin(after, y.cpu().repeat(len(moved))).view(len(moved), -1)
    change = float(((after - before).abs() / before.abs().clamp(min=1e-12)).clamp(max=1).mean())
    seen = f"mean relative change of the margin {change:.3f} over {ctx.sizes.directions} random directions"
    seen += f" of +-{radius * 255:.2g}/255"
    return holds(change <= ROUGH, seen)


def noise_radius(ctx: EvidenceContext) -> float:
    """Half the budget of a pixel, at most 1/255: the scale of an attack's step, not of its whole budget."""
    norm, eps = ctx.threat
    return min(SCALES[norm].per_pixel(eps, ctx.x[0].numel()), 2 / 255) / 2


def probe_step(ctx: EvidenceContext) -> float:
    """L2 length of the step; of what ships half its budget's, since its gradient is lent and its numbers are coarse."""
    norm, eps = ctx.threat
    pixels = ctx.x[0].numel()
    half = SCALES[norm].per_pixel(eps, pixels) * pixels**0.5 / 2
    return max(PROBE_STEP, half) if isinstance(ctx.model, Artefact) else PROBE_STEP


def _right(ctx: EvidenceContext) -> tuple[Tensor, Tensor]:
    """The images of the subset that are predicted right."""
    x, y = ctx.few
    right = (ctx.logits.argmax(1) == y.cpu()).to(x.device)
    return x[right], y[right]


def _rise(ctx: EvidenceContext, x: Tensor, y: Tensor, grad: Tensor) -> Tensor:
    """Return by how much the margin rises (n,) after a short step along its gradient, all from the same draws."""
    length = grad.flatten(1).norm(dim=1).clamp(min=1e-30).reshape(-1, *[1] * (x.ndim - 1))
    ahead = x + probe_step(ctx) * grad / length
    before, after = (margin(logits_of(ctx.model, point, ctx.batch_size), y.cpu()) for point in (x, ahead))
    return (after - before).to(grad.device)
