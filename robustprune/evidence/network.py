"""Is this the network, and are these the images? Checks 2 and 4 to 7."""

from __future__ import annotations

import copy

import torch
from torch import nn

from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.probes import counting_autograd, gradients, logits_of, normalised, share
from robustprune.evidence.registry import Seen, check, holds
from robustprune.models.checkpoints import weights_hash
from robustprune.models.modes import evaluating
from robustprune.models.normalize import Normalize

PASSES = 5
"""Forward passes that have to agree."""

RANDOM_GAP = 1e-4
"""Largest difference of normalised logits that is rounding, not randomness."""

PROBABILITY_GAP = 1e-5
"""How near to [0,1], and to a sum of 1, outputs are probabilities."""


@check(2, "input domain", blocking=True)
def input_domain(ctx: EvidenceContext) -> Seen:
    """All x lie in [0,1], and the model predicts as the bare one does on normalised input, on every image."""
    low, high = float(ctx.x.min()), float(ctx.x.max())
    if not (low >= 0 and high <= 1):
        return holds(False, f"images lie in {low:.4g}..{high:.4g}, expected 0..1: normalisation belongs in the model")
    inside = [module for module in ctx.model.modules() if isinstance(module, Normalize)]
    if len(inside) > 1:
        return holds(False, f"{len(inside)} Normalize layers: the images are normalised more than once")
    seen = f"images lie in {low:.4g}..{high:.4g}; "
    if not inside:
        return holds(True, seen + "the model takes them as they are (no Normalize layer)")
    x, _ = ctx.few
    bare = logits_of(_without(ctx.model, inside[0]), inside[0](x), ctx.batch_size)
    same = logits_of(ctx.model, x, ctx.batch_size).argmax(1) == bare.argmax(1)
    return holds(bool(same.all()), seen + f"bare model on normalised input agrees on {share(int(same.sum()), len(x))}")


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
    """Five passes give the same correct count and normalised logits; else the attacks must average (EOT)."""
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
    return holds(averaged, f"{seen}: random; " + ("an attack with EOT ran" if averaged else "EOT is required"))


@check(6, "logits, not probabilities", blocking=True)
def logits_not_probabilities(ctx: EvidenceContext) -> Seen:
    """The outputs are not all within [0,1] with rows that sum to 1."""
    out = logits_of(ctx.model, ctx.few[0], ctx.batch_size)
    if not torch.isfinite(out).all():
        return holds(False, "outputs are not all finite")
    inside = float(out.min()) >= -PROBABILITY_GAP and float(out.max()) <= 1 + PROBABILITY_GAP
    ones = bool(((out.sum(1) - 1).abs() <= PROBABILITY_GAP).all())
    seen = f"outputs {float(out.min()):.3g}..{float(out.max()):.3g}, rows sum to {float(out.sum(1).mean()):.4g}"
    return holds(not (inside and ones), seen + (": probabilities; leave the softmax out" if inside and ones else ""))


@check(7, "no optimisation at inference", blocking=True)
def no_optimisation(ctx: EvidenceContext) -> Seen:
    """The forward pass starts no backward pass."""
    x = ctx.few[0][:2]
    with evaluating(ctx.model), torch.enable_grad(), counting_autograd() as called:
        ctx.model(x.clone().requires_grad_())
    names = ", ".join(sorted(set(called)))
    return holds(not called, f"backward passes inside forward: {len(called)}" + (f" ({names})" if called else ""))


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
