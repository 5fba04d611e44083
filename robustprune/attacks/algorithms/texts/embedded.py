"""PGD on the embedded tokens of a text: how far a network's answer hangs on where exactly its word vectors lie."""

from __future__ import annotations

from dataclasses import dataclass

from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.contract.texts import EmbeddingBall
from robustprune.attacks.contract.threat import Norm
from robustprune.results.exchanged import EMBEDDING


@dataclass(frozen=True, kw_only=True)
class EmbeddingPGD(PGD):
    """PGD in the ball around the embedded text; `eps` is in units of the mean length of a word vector (texts.py).

    What it finds lies between words and is no text (Miyato et al. 2017, arXiv 1605.07725, train against it). It bounds
    from above what a small change of the vectors can do.

    >>> EmbeddingPGD(eps=0.5, steps=10).threat
    'embedding 0.5'
    """

    norm: Norm = EMBEDDING

    norms = (EMBEDDING,)

    @property
    def ball(self) -> EmbeddingBall:
        """The threat that it is made under."""
        return EmbeddingBall(eps=self.eps)
