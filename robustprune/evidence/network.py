"""Is this the network, and are these the images? Checks 2 and 4 to 7."""

from __future__ import annotations

import copy

import torch
from torch import nn

from robustprune.attacks.engine.random_parts import FRESH, RANDOM_GAP, spread
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.luck import undecided
from robustprune.evidence.probes import counting_autograd, draws, gradients, logits_of, share
from robustprune.evidence.registry import Seen, check, holds
from robustprune.evidence.sizes import SEED
from robustprune.models.artefact import Artefact
from robustprune.models.checkpoints import weights_hash
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating
from robustprune.models.normalize import Normalize

PASSES = 5
"""Forward passes that have to agree."""

BLIND = ("none", "the parent's gradients")
"""What attacks know that do not ask the network itself on their way, and so have nothing to average."""

PROBABILITY_GAP = 1e-5
"""How near to [0,1], and to a sum of 1, outputs are probabilities."""


@check(2)
def input_domain(ctx: EvidenceContext) -> Seen:
    """All x lie in [0,1], and the model predicts as the bare one does on normalised input, on every image."""
    low, high = float(ctx.x.min()), float(ctx.x.max())
    if not (low >= 0 and high <= 1):
        return holds(False, f"images lie in {low:.4g}..{high:.4g}, expected 0..1: normalisation belongs in the model")
    ships = isinstance(ctx.model, Artefact)  # then the layers are its twin's
    inside = [] if ships else [module for module in ctx.model.modules() if isinstance(module, Normalize)]
    if len(inside) > 1:
        return holds(False, f"{len(inside)} Normalize layers: the images are normalised more than once")
    seen = f"images lie in {low:.4g}..{high:.4g}; "
    if not inside:
        return holds(True, seen + f"the {'file' if ships else 'model'} takes them as they are (no Normalize layer)")
    x, _ = ctx.few
    bare = logits_of(_without(ctx.model, inside[0]), inside[0](x.clone()), ctx.batch_size)
    same = ctx.logits.argmax(1) == bare.argmax(1)
    return holds(bool(same.all()), seen + f"bare model on normalised input agrees on {share(int(same.sum()), len(x))}")


@check(4)
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


@check(5)
def deterministic(ctx: EvidenceContext) -> Seen:
    """Five passes give the same correct count and normalised logits; else all attacks must be made for that.

    So does a pass that records gradients: a network that notices it, and then computes something else, is attacked by
    the gradients of that. This blocks for a random network too, which then draws the same numbers.
    On a random network every attack by gradients or queries has to average several passes (EOT), and every verdict to
    be that of the majority of fresh passes. A network that answers otherwise although it draws the same numbers keeps
    a state: then no average helps.
    """
    x, y = ctx.few
    noticed = spread([logits_of(ctx.model, x, ctx.batch_size, recording=way) for way in (False, True)])
    if noticed > RANDOM_GAP and spread([logits_of(ctx.model, x, ctx.batch_size) for _ in range(2)]) <= RANDOM_GAP:
        return holds(False, f"logits differ by {noticed:.2g} between passes with and without recorded gradients")
    passes = [logits_of(ctx.model, x, ctx.batch_size, seed) for seed in range(PASSES)]
    right, gap = {int((one.argmax(1) == y.cpu()).sum()) for one in passes}, spread(passes)
    counts = "same" if len(right) == 1 else "different"
    seen = f"{PASSES} passes: {counts} correct count, largest logit gap {gap:.2g}"
    if len(right) == 1 and gap <= RANDOM_GAP:
        return holds(True, seen)
    if spread([logits_of(ctx.model, x, ctx.batch_size) for _ in range(PASSES)]) > RANDOM_GAP:
        return holds(False, f"{seen}, with the same seed too: the network keeps a state, or a generator of its own")
    lacks = _unprepared(ctx)
    seen += f": random, {undecided(ctx)} of {len(x)} images left to luck; "
    return holds(not lacks, seen + (lacks or "all attacks with EOT, judged by a majority of fresh passes"))


def _unprepared(ctx: EvidenceContext) -> str:
    """Say what the outcomes lack that those of a random network need."""
    ran = [one for one in ctx.outcomes if not one.error]
    single = [one.attack for one in ran if one.knowledge not in BLIND and one.settings.get("eot", 1) == 1]
    hasty = [one.attack for one in ran if one.notes.get("fresh passes", 1) == 1]
    if single or not ran:
        return "EOT is required, use eot=20" + (f": {', '.join(single)} ran without" if single else "")
    return f"a majority of fresh passes is required, use fresh={FRESH}: not so {', '.join(hasty)}" if hasty else ""


@check(6)
def logits_not_probabilities(ctx: EvidenceContext) -> Seen:
    """The outputs are not all within [0,1] with rows that sum to 1."""
    out = ctx.logits
    if not torch.isfinite(out).all():
        return holds(False, "outputs are not all finite")
    inside = float(out.min()) >= -PROBABILITY_GAP and float(out.max()) <= 1 + PROBABILITY_GAP
    ones = bool(((out.sum(1) - 1).abs() <= PROBABILITY_GAP).all())
    seen = f"outputs {float(out.min()):.3g}..{float(out.max()):.3g}, rows sum to {float(out.sum(1).mean()):.4g}"
    return holds(not (inside and ones), seen + (": probabilities; leave the softmax out" if inside and ones else ""))


@check(7)
def no_optimisation(ctx: EvidenceContext) -> Seen:
    """The forward pass starts no backward pass."""
    x = ctx.few[0][:2]
    with evaluating(ctx.model), torch.enable_grad(), draws(SEED, x.device), counting_autograd() as called:
        ctx.model(shown(ctx.model, x.clone().requires_grad_()))
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
    with torch.no_grad(), draws(SEED, x.device):
        handed = twin(shown(twin, x)).float().cpu()
    gap = (handed - logits_of(ctx.model, x, len(x))).abs().max()
    return bool(gap > RANDOM_GAP * handed.abs().max()) or weights_hash(twin) != before
