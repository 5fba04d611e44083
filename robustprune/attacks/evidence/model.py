"""Is this the network, are these the images, can it be attacked by gradients? Checks 2 and 4 to 9."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from robustprune.attacks.evidence.context import EvidenceContext
from robustprune.attacks.evidence.probes import (
    counting_autograd,
    gradients,
    logits_of,
    normalised,
    share,
)
from robustprune.attacks.evidence.registry import Seen, check, holds, skipped
from robustprune.attacks.stepped import margin
from robustprune.models.checkpoints import weights_hash
from robustprune.models.modes import evaluating
from robustprune.models.normalize import Normalize

PASSES = 5
RANDOM_GAP = 1e-4
PROBABILITY_GAP = 1e-5
ROUGH = 0.1
FALSE_GRADIENTS, MANY = 0.1, 0.05
PROBE_STEP = 0.01
"""L2 length of the step along the gradient: short enough for any network, long enough for float32."""
SMOOTH_IMAGES = 16
NEEDS_NO_CE_GRADIENT = ("CW", "APGD-T", "APGD-DLR", "FAB", "Square")
NEEDS_NO_GRADIENT = ("Square", "Transfer")


@check(2, "input domain", blocking=True)
def input_domain(ctx: EvidenceContext) -> Seen:
    """0 <= x <= 1, and the wrapped model predicts as the bare one does on normalised input, on every
    image."""
    low, high = float(ctx.x.min()), float(ctx.x.max())
    if not (low >= 0 and high <= 1):
        return holds(
            False, f"images lie in {low:.4g}..{high:.4g}, expected 0..1: normalisation belongs in the model"
        )
    inside = [module for module in ctx.model.modules() if isinstance(module, Normalize)]
    if len(inside) > 1:
        return holds(False, f"{len(inside)} Normalize layers: the images are normalised more than once")
    x, _ = ctx.few
    if ctx.bare is not None and ctx.mean is not None and ctx.std is not None:
        layer = Normalize(ctx.mean, ctx.std).to(x.device)
        with torch.no_grad():
            bare = ctx.bare(layer(x)).float().cpu()
    elif inside:
        bare = logits_of(_without(ctx.model, inside[0]), inside[0](x), ctx.batch_size)
    else:
        return holds(
            True,
            f"images lie in {low:.4g}..{high:.4g}; the model takes them as they are (no Normalize layer)",
        )
    same = logits_of(ctx.model, x, ctx.batch_size).argmax(1) == bare.argmax(1)
    agree = share(int(same.sum()), len(x))
    return holds(
        bool(same.all()),
        f"images lie in {low:.4g}..{high:.4g}; bare model on normalised input agrees on {agree}",
    )


@check(4, "eval mode", blocking=True)
def eval_mode(ctx: EvidenceContext) -> Seen:
    """No module is in training mode, and looking at the model changes none of its parameters and buffers.

    The attacks put every module in eval mode, so a training flag matters only where the network then computes
    something else, or changes itself: that blocks, a flag without effect does not.
    """
    training = [name or "the model itself" for name, module in ctx.model.named_modules() if module.training]
    if training:
        shown = ", ".join(training[:3]) + (", ..." if len(training) > 3 else "")
        effect = _training_matters(ctx)
        seen = f"{len(training)} modules in training mode ({shown}), "
        seen += "which changes what the network computes" if effect else "without effect on what it computes"
        return holds(False, f"{seen}; call model.eval()", blocking=effect)
    before = ctx.weights_before or weights_hash(ctx.model)
    x, y = ctx.few
    gradients(ctx.model, x, y, batch_size=ctx.batch_size)
    changed = weights_hash(ctx.model) != before
    since = "since before the attack" if ctx.weights_before else "by a forward and backward pass"
    return holds(
        not changed,
        f"no module training; parameters and buffers {'CHANGED' if changed else 'unchanged'} {since}",
    )


@check(5, "deterministic", blocking=True)
def deterministic(ctx: EvidenceContext) -> Seen:
    """Five passes give the same correct count and the same normalised logits; else the attacks must average
    (EOT)."""
    x, y = ctx.few
    passes = [logits_of(ctx.model, x, ctx.batch_size) for _ in range(PASSES)]
    right = {int((one.argmax(1) == y.cpu()).sum()) for one in passes}
    first = normalised(passes[0])
    gap = max(float((normalised(one) - first).norm(dim=1).max()) for one in passes[1:])
    counts = "same" if len(right) == 1 else "different"
    seen = f"{PASSES} passes: {counts} correct count, largest logit gap {gap:.2g}"
    if len(right) == 1 and gap <= RANDOM_GAP:
        return holds(True, seen)
    averaged = any(one.settings.get("eot", 1) > 1 for one in ctx.outcomes)
    return holds(
        averaged, f"{seen}: random; " + ("an attack with EOT ran" if averaged else "EOT is required")
    )


@check(6, "logits, not probabilities", blocking=True)
def logits_not_probabilities(ctx: EvidenceContext) -> Seen:
    """The outputs are not all within [0,1] with rows that sum to 1."""
    out = logits_of(ctx.model, ctx.few[0], ctx.batch_size)
    if not torch.isfinite(out).all():
        return holds(False, "outputs are not all finite")
    inside = float(out.min()) >= -PROBABILITY_GAP and float(out.max()) <= 1 + PROBABILITY_GAP
    ones = bool(((out.sum(1) - 1).abs() <= PROBABILITY_GAP).all())
    seen = (
        f"outputs {float(out.min()):.3g}..{float(out.max()):.3g}, rows sum to {float(out.sum(1).mean()):.4g}"
    )
    return holds(
        not (inside and ones), seen + (": probabilities; leave the softmax out" if inside and ones else "")
    )


@check(7, "no optimisation at inference", blocking=True)
def no_optimisation(ctx: EvidenceContext) -> Seen:
    """The forward pass starts no backward pass."""
    x = ctx.few[0][:2]
    with evaluating(ctx.model), torch.enable_grad(), counting_autograd() as called:
        ctx.model(x.clone().requires_grad_())
    names = ", ".join(sorted(set(called)))
    return holds(
        not called, f"backward passes inside forward: {len(called)}" + (f" ({names})" if called else "")
    )


@check(8, "gradients exist", blocking=True)
def gradients_exist(ctx: EvidenceContext) -> Seen:
    """Every image has a non-zero, finite input gradient that points where the loss rises.

    A very confident network can have a cross-entropy gradient that vanishes in float32 while its margin has
    one: then the check fails only if no attack with another loss ran. If the margin's vanishes too, or steps
    along it do not raise the margin, no white-box attack can be believed.
    """
    x, y = _right(ctx)
    if not len(x):
        return skipped("no image of the subset is predicted right, so there is nothing to attack")
    ce, raw = (gradients(ctx.model, x, y, loss, ctx.batch_size) for loss in ("ce", "margin"))
    n, none = len(x), int((ce.missing & raw.missing).sum())
    odd = int((~torch.isfinite(ce.length) | ~torch.isfinite(raw.length)).sum())
    flat = int((ce.missing & ~raw.missing).sum())
    false = int((_rise(ctx.model, x, y, raw.grad) <= 0).sum()) if not raw.cut else n
    seen = f"zero or non-finite for both losses: {share(none, n)}; for cross-entropy alone: {flat}; "
    seen += f"margin does not rise along it: {share(false - none if false > none else 0, n)}"
    if raw.cut:
        return holds(False, raw.cut)
    if none or odd:
        grave = (none + odd) / n > MANY and not _ran(ctx, NEEDS_NO_GRADIENT)
        return holds(False, seen, blocking=grave)
    if false / n > FALSE_GRADIENTS:
        return holds(
            False, seen + ": the gradient is not the loss's", blocking=not _ran(ctx, NEEDS_NO_GRADIENT)
        )
    if flat and not (_ran(ctx, NEEDS_NO_CE_GRADIENT) or _ran_margin(ctx)):
        return holds(False, seen + ": the attacks used cross-entropy alone", blocking=flat / n > MANY)
    return holds(True, seen)


@check(9, "loss is smooth enough")
def smooth_loss(ctx: EvidenceContext) -> Seen:
    """The margin changes by 10 % or less, on average, over random uniform noise of half the budget.

    Pintor et al. (2106.09947): relative change of the loss of each image, averaged over directions, at most
    1. Their loss is that of the attack; here the margin, because a cross-entropy near zero has no meaningful
    relative change.
    """
    x, y = (part[:SMOOTH_IMAGES] for part in _right(ctx))
    if not len(x):
        return skipped("no image of the subset is predicted right")
    radius = noise_radius(ctx)
    generator = torch.Generator().manual_seed(ctx.seed)
    before = margin(logits_of(ctx.model, x, ctx.batch_size), y.cpu())
    total = torch.zeros(len(x))
    for _ in range(ctx.sizes.directions):
        noise = (2 * torch.rand(x.shape, generator=generator) - 1) * radius
        moved = margin(logits_of(ctx.model, (x + noise.to(x)).clamp(0, 1), ctx.batch_size), y.cpu())
        total += ((moved - before).abs() / before.abs().clamp(min=1e-12)).clamp(max=1)
    change = float((total / ctx.sizes.directions).mean())
    seen = f"mean relative change of the margin {change:.3f} over {ctx.sizes.directions} random directions"
    seen += f" of +-{radius * 255:.2g}/255"
    return holds(change <= ROUGH, seen)


def noise_radius(ctx: EvidenceContext) -> float:
    """Half the budget of a pixel, at most 1/255: the scale of an attack's step, not of its whole budget."""
    norm, eps = ctx.threat
    per_pixel = eps if norm == "Linf" else eps / ctx.x[0].numel() ** 0.5
    return min(per_pixel, 2 / 255) / 2


def _without(model: nn.Module, layer: Normalize) -> nn.Module:
    """Return a copy of the model with `layer` replaced by the identity."""
    names = [name for name, module in model.named_modules() if module is layer]
    twin = copy.deepcopy(model)
    if names == [""]:
        return nn.Identity()
    for name in names:
        twin.set_submodule(name, nn.Identity())
    return twin


def _training_matters(ctx: EvidenceContext) -> bool:
    """Whether the network as handed over computes something else than in eval mode, or changes itself."""
    x, _ = ctx.few
    twin = copy.deepcopy(ctx.model)
    before = weights_hash(twin)
    with torch.no_grad():
        handed = twin(x).float().cpu()
    gap = (handed - logits_of(ctx.model, x, len(x))).abs().max()
    return bool(gap > RANDOM_GAP * handed.abs().max()) or weights_hash(twin) != before


def _right(ctx: EvidenceContext) -> tuple[Tensor, Tensor]:
    """The images of the subset that are predicted right."""
    x, y = ctx.few
    right = (logits_of(ctx.model, x, ctx.batch_size).argmax(1) == y.cpu()).to(x.device)
    return x[right], y[right]


def _rise(model: nn.Module, x: Tensor, y: Tensor, grad: Tensor) -> Tensor:
    """Return by how much the margin rises (n,) after a short step along its gradient."""
    length = grad.flatten(1).norm(dim=1).clamp(min=1e-30).reshape(-1, *[1] * (x.ndim - 1))
    before, after = (
        margin(logits_of(model, point), y.cpu()) for point in (x, x + PROBE_STEP * grad / length)
    )
    return after - before


def _ran(ctx: EvidenceContext, names: tuple[str, ...]) -> bool:
    return any(one.attack.startswith(names) and not one.error for one in ctx.outcomes)


def _ran_margin(ctx: EvidenceContext) -> bool:
    return any(one.settings.get("loss") in ("margin", "dlr") for one in ctx.outcomes)
