"""What an attacker may do to a text: move its embedded tokens within a ball, or exchange words.

The ball is that of all tokens of a text together, and its radius is in units of the mean length of a word vector, as
`FromEmbedding` gives texts: eps 0.5 moves one word by half the length of a usual word vector, or four words by a
quarter. Padding and special tokens, such as [CLS], stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.threat import L2, rows
from robustprune.errors import InputError
from robustprune.models.lending import is_text
from robustprune.models.texts.network import FREE
from robustprune.results.exchanged import EMBEDDING, WORDS


def check_kind(x: Tensor, attacks: Iterable[Attack]) -> None:
    """Refuse attacks on texts where the samples `x` (n, ...) are images, and the other way round."""
    for attack in attacks:
        if (attack.norm in (EMBEDDING, WORDS)) != is_text(x):
            kind = "texts, expected EmbeddingPGD or Substitution" if is_text(x) else "images, expected one on images"
            raise InputError(f"attack {attack.name!r} ({attack.threat}) and samples that are {kind}")


@dataclass(frozen=True)
class EmbeddingBall(L2):
    """The free tokens of an embedded text (m, T, D + 1) move by eps at most, all together, in no box."""

    norm = EMBEDDING
    usual = 0.1

    @property
    def limit(self) -> float:
        """The largest size that still counts as inside: rounding adds up over the tokens."""
        return self.eps * (1 + 1e-5) + 1e-6

    def project(self, adv: Tensor, x: Tensor, radius: Tensor | None = None) -> Tensor:
        """Return the nearest point of the ball, with all that is not free put back.

        >>> x = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 0.0, 2.0]]])
        >>> EmbeddingBall(eps=0.5).project(x + 4, x).flatten().tolist()[:3]
        [0.0, 0.0, 1.0]
        """
        delta = (adv - x) * free(x)
        factor = ((self.eps if radius is None else radius) / self.size(delta).clamp(min=1e-12)).clamp(max=1)
        return x + delta * rows(factor, delta)

    def steepest(self, grad: Tensor, adv: Tensor) -> Tensor:
        """Return the gradient at the free tokens, scaled to length 1."""
        return super().steepest(grad * free(adv), adv)

    def inside(self, adv: Tensor, x: Tensor) -> Tensor:
        """Return (m, bool) where `adv` is finite, in the ball up to rounding, and has moved free tokens alone."""
        delta = adv - x
        fixed = (delta * (1 - free(x)) == 0).flatten(1).all(1)
        return fixed & torch.isfinite(adv).flatten(1).all(1) & (self.size(delta) <= self.limit)

    def start(self, x: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        """Return a random point of the ball around every text."""
        return self.project(x + self.noise(x, generators), x)


def free(x: Tensor) -> Tensor:
    """Return, in the shape of embedded texts (m, T, D + 1), 1 for what may move and 0 elsewhere."""
    mask = (x[..., -1:] == FREE).to(x.dtype).expand(x.shape).clone()
    mask[..., -1] = 0
    return mask
