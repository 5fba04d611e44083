"""A text network behind its embedding, so that what attacks images in a ball attacks embedded texts too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.samples import Samples
from robustprune.attacks.contract.target import Counted, Target
from robustprune.models.texts.network import FromEmbedding, text_network


def behind(target: Target) -> tuple[Target, FromEmbedding]:
    """Return the target that takes embedded texts, and what embeds them. InputError for a network without embedding."""
    model, judge = (FromEmbedding(text_network(one.net, "attack on texts")) for one in (target.model, target.judge))
    counted = [Counted(net, target.passes, target.device) for net in (model, judge)]
    return replace(target, model=counted[0].eval(), judge=counted[1], low=None, on_trial=False), judge


def run_embedded(target: Target, samples: Samples, run: Callable[[Target, Samples], Found]) -> Found:
    """Let `run` attack the texts `samples` (m, T) behind the embedding; what it finds there is no text."""
    inner, judge = behind(target)
    found = run(inner, Samples(embedded(judge, samples.x, target), samples.y))
    target.batch_size = inner.batch_size
    found.adversarial = found.near = found.lead = None
    return found


def embedded(net: FromEmbedding, ids: Tensor, target: Target) -> Tensor:
    """Return the texts (m, T) behind the embedding, where they came from."""
    return net.embedded(ids.to(target.device)).to(ids.device)
