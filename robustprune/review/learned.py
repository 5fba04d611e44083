"""What a candidate learned from, as far as a review can know it: validity checks 27 and 32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional

from robustprune.data import Split
from robustprune.data.base import concatenated
from robustprune.evidence.by_heart import Losses, Numbers, by_heart
from robustprune.evidence.claims import TRAINING, learned_from
from robustprune.evidence.probes import logits_of
from robustprune.evidence.registry import Seen, entered, skipped
from robustprune.models.device import device_of
from robustprune.results.records import Check

MOST = 1000
"""Images on either side of which the losses are compared."""

SEED = 32

UNSTATED = "cannot be known: every image of the data is a sample, and none was held out"


def others(data: Split, sample: Split) -> Split | None:
    """Return the images of `data` that are none of the sample, at most MOST; None where there are none."""
    known = set(sample.hashes())
    rest = [place for place, digest in enumerate(data.hashes()) if digest not in known]
    if not rest:
        return None
    left = data.take(rest)
    return left if len(left) <= MOST else left.balanced(MOST, SEED)


def learned_checks(
    candidate: nn.Module, parent: nn.Module, sample: Split, held_out: Split | None, training: Sequence[str] | None
) -> Iterator[Check]:
    """Make check 32, and check 27 where the hashes of training images are given; `held_out` is as `others` gives it."""
    if training is not None:
        yield entered(27, learned_from(sample.hashes(), {TRAINING: training}))
    yield entered(32, skipped(UNSTATED) if held_out is None else _by_heart(candidate, parent, sample, held_out))


def _by_heart(candidate: nn.Module, parent: nn.Module, sample: Split, held_out: Split) -> Seen:
    seen = sample if len(sample) <= MOST else sample.balanced(MOST, SEED)
    both = concatenated([seen, Split(held_out.x.to(seen.x.device), held_out.y.to(seen.y.device))])
    return by_heart(
        Losses(
            candidate=_losses(candidate, both),
            parent=_losses(parent, both),
            labels=both.y.cpu().numpy(),
            samples=(torch.arange(len(both)) < len(seen)).numpy(),
        )
    )


def _losses(net: nn.Module, images: Split) -> Numbers:
    """Return the cross-entropy of every image, as far as it is a number."""
    place = device_of(net, images.x.device)
    found = functional.cross_entropy(logits_of(net, images.x.to(place)), images.y.cpu(), reduction="none")
    losses: Numbers = found.nan_to_num(posinf=1e6).double().numpy()
    return losses
