"""Exchanging words for neighbours: which words may stand for a word, and in which order exchanges are tried.

A word that is one token is exchanged for another such word, nearest by the cosine of the network's own word vectors
(HotFlip, Ebrahimi et al. 2018, arXiv 1712.06751, ranks by the gradient; Alzantot et al. 2018, arXiv 1804.07998, and
TextFooler, arXiv 1907.11932, take neighbours of words). So the attacked tokens are those of a real text, and are judged
as such. Neighbours by cosine are used alike; they need not mean the same, so a threshold says how near they must be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from robustprune.attacks.contract.attack import Attack, Objective, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.threat import Norm
from robustprune.errors import InputError
from robustprune.models.texts.network import PIECE, WORD
from robustprune.results.exchanged import WORDS
from robustprune.results.records import threat_name

NONE = -1
"""In a table of neighbours: there are no more."""

ROWS = 256
"""Words whose neighbours are looked for at a time."""


@dataclass(frozen=True, kw_only=True)
class Substitution(Attack):
    """Exchange at most `eps` words, one after the other, each time the one that raises the margin most.

    A word may be exchanged for its `neighbours` nearest words of a cosine of `cosine` or more. Of all pairs of a place
    and a word the `tries` that the gradient at the embedding ranks first are tried, and the best is kept; the search
    ends where none of them raises the margin. On a network that is linear in its words this finds the strongest
    exchange there is; elsewhere it is greedy, and what resists may still be broken by an exchange that it did not try.

    >>> attack = Substitution(eps=3)
    >>> attack.name, attack.threat, attack.budget
    ('substitution 8 of 8', 'words 3', {'words': 3, 'tries': 8})
    """

    norm: Norm = WORDS
    neighbours: int = 8
    cosine: float = 0.5
    tries: int = 8

    norms = (WORDS,)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "neighbours", "tries")
        if self.eps != int(self.eps):
            raise InputError(f"Substitution(eps={self.eps}): expected a whole number of words")
        if not -1 <= self.cosine <= 1:
            raise InputError(f"Substitution(cosine={self.cosine}): expected -1 to 1")

    @property
    def title(self) -> str:
        """How many exchanges are tried, of how many neighbours a word has."""
        return f"substitution {self.tries} of {self.neighbours}"

    @property
    def threat(self) -> str:
        """How many words may go."""
        return threat_name(self.norm, self.eps)

    @property
    def objective(self) -> Objective:
        """The margin."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Words, and exchanges tried for each."""
        return {"words": int(self.eps), "tries": self.tries}

    @property
    def allowed(self) -> Passes:
        """A gradient and the tries, for every word."""
        return Passes(forwards=int(self.eps) * (1 + self.tries), backwards=int(self.eps))

    @property
    def effort(self) -> float:
        """A forward pass is about a third of one forward and backward."""
        return self.eps * (1 + self.tries / 3)


def neighbours(words: Tensor, kinds: Tensor, vectors: Tensor, count: int, cosine: float) -> Tensor:
    """Return (k, count) the whole words nearest to the tokens `words` (k,), nearest first; NONE where there is no more.

    `kinds` (V,) are those of the vocabulary, `vectors` (V, D) its word vectors. A word of cosine below `cosine` is no
    neighbour, nor is the word itself.

    >>> vectors = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.0]])
    >>> neighbours(torch.tensor([0]), torch.tensor([4, 4, 4, 2]), vectors, 2, 0.5).tolist()
    [[1, -1]]
    """
    whole = (kinds == WORD).nonzero().flatten()
    units = functional.normalize(vectors[whole], dim=1)
    found = torch.full((len(words), count), NONE, dtype=torch.int64, device=words.device)
    for some in torch.arange(len(words), device=words.device).split(ROWS):
        near = functional.normalize(vectors[words[some]], dim=1) @ units.T
        near.masked_fill_(whole[None, :] == words[some][:, None], -torch.inf)
        size, place = near.topk(min(count, len(whole)), dim=1)
        found[some, : place.shape[1]] = whole[place].masked_fill(size < cosine, NONE)
    return found


def exchangeable(ids: Tensor, kinds: Tensor) -> Tensor:
    """Return (m, T) where a token of texts `ids` (m, T) is a whole word: no later piece of it follows.

    >>> exchangeable(torch.tensor([[2, 0, 1, 0]]), torch.tensor([4, 2, 1])).tolist()
    [[False, False, False, True]]
    """
    following = functional.pad(kinds[ids], (0, 1))[:, 1:]
    return (kinds[ids] == WORD) & (following != PIECE)


def gains(grad: Tensor, ids: Tensor, table: Tensor, vectors: Tensor) -> Tensor:
    """Return (m, T, C) by how much a loss would rise where it were linear, for every place and word of `table`.

    `grad` (m, T, D) is its gradient at the word vectors, `table` (m, T, C) what may stand at a place; -inf for NONE.
    """
    there = torch.einsum("mtd,mtcd->mtc", grad, vectors[table.clamp(min=0)])
    here = (grad * vectors[ids]).sum(2, keepdim=True)
    return (there - here).masked_fill(table == NONE, -torch.inf)
