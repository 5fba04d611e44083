"""The validity checks on texts: which are made as on images, which behind the embedding, which anew, which not.

A text has no pixels to brighten and no gradient of its own. What asks about outcomes and records asks the same of
texts; what needs a gradient is made behind the embedding. The others attack images, and are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.algorithms.texts.embedded import EmbeddingPGD
from robustprune.evidence.context import EvidenceContext
from robustprune.evidence.probes import logits_of, share
from robustprune.evidence.registry import CHECKS, Seen, entered, holds, skipped
from robustprune.evidence.trials import alone, robust_share
from robustprune.models.texts.network import FromEmbedding, text_network
from robustprune.results.exchanged import EMBEDDING, WORDS
from robustprune.results.records import BROKEN, Check, Outcomes

AS_THEY_ARE = (1, 5, 6, 19, 21, 22, 23, 24, 26, 27, 28, 29)
"""Checks that ask texts what they ask images."""

BEHIND = (4, 7, 8)
"""Checks that are made behind the embedding."""

UNBOUNDED = 10.0
"""Budget, in mean lengths of a word vector, with which any text becomes any other."""

MOST_ROBUST = 0.01
"""Share that may resist it."""

ROUNDING = 1e-4
"""Difference of logits, as a share of the largest, that is rounding."""


def check_text(number: int, ctx: EvidenceContext) -> Check:
    """Make the check of that number on texts; one that makes no sense there is skipped, with the reason."""
    if number in BEHIND:
        return CHECKS[number].run(behind(ctx))
    if number == 19 and ctx.threat[0] == WORDS:
        return entered(number, skipped("exchanges of words are judged by the margin itself, not by a loss"))
    if number in AS_THEY_ARE:
        return CHECKS[number].run(ctx)
    own = OWN.get(number)
    return entered(number, skipped("it is made of images, and these are texts") if own is None else own(ctx))


def behind(ctx: EvidenceContext) -> EvidenceContext:
    """Return the context of the same network behind its embedding, in a ball of the same size."""
    net = FromEmbedding(text_network(ctx.model, "evidence")).eval()
    attacks = (PGD(eps=min(ctx.threat[1], 1.0), norm="L2"),)
    x = net.embedded(ctx.x.to(ctx.device))
    return replace(ctx, model=net, x=x, attacks=attacks, weights_before=None, prepared=(), memo={})


def input_domain(ctx: EvidenceContext) -> Seen:
    """All token numbers are of the vocabulary, and from its embedding on the network answers the same."""
    net = FromEmbedding(text_network(ctx.model, "evidence")).eval()
    top, size = int(ctx.x.max()), net.net.embedding.num_embeddings
    if top >= size:
        return holds(False, f"token numbers up to {top}, expected below {size}")
    texts, _ = ctx.few
    found = logits_of(net, net.embedded(texts), ctx.batch_size)
    gap = float((found - ctx.logits).abs().max() / ctx.logits.abs().max().clamp(min=1e-12))
    seen = f"token numbers up to {top} of {size}; behind its embedding the network differs by {gap:.2g} of the largest"
    return holds(gap <= ROUNDING, f"{seen} logit")


def budget_kept(ctx: EvidenceContext) -> Seen:
    """Every text that counts as broken was broken within its budget: a length behind the embedding, or words."""
    over = [one.attack for one in ctx.outcomes if _beyond(one)]
    spent = sum(one.status.count(BROKEN) for one in ctx.outcomes)
    seen = f"{spent} broken texts of {len(ctx.outcomes)} attacks"
    return holds(not over, seen + (f"; budget exceeded by {', '.join(over)}" if over else " within budget"))


def unbounded_wins(ctx: EvidenceContext) -> Seen:
    """With the word vectors free to go anywhere at most 1 % resist."""
    if ctx.threat[0] != EMBEDDING:
        return skipped("words have neighbours alone: no number of exchanges makes any text of any other")
    resist = alone(ctx, EmbeddingPGD(eps=UNBOUNDED, steps=ctx.sizes.unbounded_steps, retries=0))
    return holds(sum(resist) <= MOST_ROBUST * len(resist), f"at eps {UNBOUNDED:g}: {robust_share(resist)} robust")


def batch_invariance(ctx: EvidenceContext) -> Seen:
    """Batches of 1 and of N give the same logits up to rounding, and the same predictions."""
    texts, _ = ctx.few
    single = logits_of(ctx.model, texts, 1)
    gap = float((ctx.logits - single).abs().max() / single.abs().max().clamp(min=1e-12))
    differ = int((ctx.logits.argmax(1) != single.argmax(1)).sum())
    seen = f"predictions differ on {share(differ, len(texts))} (logits by {gap:.2g} of the largest)"
    return holds(differ == 0 and gap <= ROUNDING, seen)


OWN: Mapping[int, Callable[[EvidenceContext], Seen]] = {
    2: input_domain,
    3: budget_kept,
    12: unbounded_wins,
    25: batch_invariance,
}
"""Checks that are made anew for texts."""


def _beyond(one: Outcomes) -> bool:
    """Whether a text counts as broken beyond the budget, up to rounding."""
    limit = one.eps * (1 + 1e-5) + 1e-6
    spent = torch.tensor([d for letter, d in zip(one.status, one.distance, strict=True) if letter == BROKEN])
    return not bool((spent <= limit).all())
