"""Is the file what was made of the twin? Asked before anything is attacked, and whether it takes pixels in [0,1].

Two networks that learned the same task agree on real images; on images whose pixels were shuffled they do not, and a
file made of a network does. Seen on digits: int8 files correlate with their network by .999 there, other trainings of
it by .2 to .5, and the same with one block fewer by .7.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustprune.data import Split
from robustprune.errors import InputError
from robustprune.models import evaluating
from robustprune.models.artefact import Artefact
from robustprune.models.lending import shown
from robustprune.models.runtimes import Runtime
from robustprune.run.fits import one_line

ALIKE = 0.9
"""Correlation of the logits from which on a file is taken to be its twin's (our threshold)."""

BETTER = 0.2
"""Share of the images by which another range of pixels has to be better, where there is no twin to compare with."""

IMAGES = 256

RANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "pixels in 0..255": lambda x: 255 * x,
    "pixels in -1..1": lambda x: 2 * x - 1,
    "channels last": lambda x: x.permute(0, *range(2, x.ndim), 1).contiguous(),
}
"""What else a file may take than pixels in [0,1], channels first."""


def check_belongs(net: Artefact, sample: Split, who: str) -> None:
    """Refuse a file that is not its twin's, or takes its pixels otherwise; `who` names it. InputError, one line.

    Without a twin it is compared with the labels: another range that predicts far better is named.
    """
    some = sample.balanced(min(IMAGES, len(sample)), seed=0)
    score = _beside_twin(net, some.x) if net.twin is not None else _beside_labels(net, some)
    with one_line(f"{who} does not run on {len(some)} images"):
        found = score(lambda x: x)
    if net.twin is not None and found >= ALIKE:
        return
    others = {name: _tried(score, changed) for name, changed in RANGES.items()}
    best = max(others, key=lambda name: others[name])
    if others[best] >= (ALIKE if net.twin is not None else found + BETTER):
        raise InputError(f"{who}: takes {best}; expected pixels in [0, 1], channels first: convert inside the file")
    if net.twin is not None:
        raise InputError(
            f"{who}: not made of its twin: their logits correlate by {found:.2f}, expected {ALIKE} or more; "
            "give the network and weights that it was exported from"
        )


Score = Callable[[Callable[[Tensor], Tensor]], float]
"""How well the file does where images are changed in some way before it sees them."""


def _beside_twin(net: Artefact, x: Tensor) -> Score:
    """Score by the correlation with the twin, on real images and on shuffled ones, the lower of the two."""
    assert net.twin is not None
    images = (x, shuffled(x))
    with evaluating(net), torch.no_grad():
        wanted = [net.twin(shown(net.twin, one)).float() for one in images]

    def score(changed: Callable[[Tensor], Tensor]) -> float:
        pairs = zip(images, wanted, strict=True)
        return min(correlation(_logits(net.runtime, changed(one), want.shape), want) for one, want in pairs)

    return score


def _beside_labels(net: Artefact, sample: Split) -> Score:
    """Score by accuracy."""
    return lambda changed: float((net.runtime(changed(sample.x)).argmax(1) == sample.y).float().mean())


def correlation(a: Tensor, b: Tensor) -> float:
    """Return the correlation of two tables of logits (n, classes), each class about its mean; nan counts as 0.

    >>> a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0]])
    >>> correlation(a, 2 * a + 1), correlation(a, -a)
    (1.0, -1.0)
    """
    a, b = (one.double() - one.double().mean(0) for one in (a, b))
    return round(float(((a * b).sum() / (a.norm() * b.norm())).nan_to_num()), 6)


def shuffled(x: Tensor) -> Tensor:
    """Return images (n, ...) of the same pixels in another order, each in its own; always the same."""
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(x.flatten(1).shape, generator=generator).argsort(1)
    return x.flatten(1).gather(1, order.to(x.device)).reshape(x.shape)


def _logits(runtime: Runtime, x: Tensor, shape: torch.Size) -> Tensor:
    """Return the logits of a file; zeros, which correlate with nothing, where it gives another shape."""
    logits = runtime(x)
    return logits if logits.shape == shape else torch.zeros(shape)


def _tried(score: Score, changed: Callable[[Tensor], Tensor]) -> float:
    """Return the score of another range; -1 where the file does not run on it."""
    try:
        return score(changed)
    except Exception:
        return -1.0
