"""Classifiers of text: what kind each token of a vocabulary is, and a network that says where its embedding is.

A text is a row of token numbers, int64 (T,), filled up with padding. Nothing can be moved a little in numbers, so what
attacks and gradients work on is the text behind the embedding (`FromEmbedding`): (T, D + 1) floats, D of the embedding
and one that says whether the token is padding, a special one, or free to be moved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustprune.errors import InputError

PADDING, SPECIAL, PIECE, MARK, WORD = range(5)
"""Kinds of tokens: filling, such as [CLS], a word's later piece (##ing), a mark or other sign, a word or how it begins.
"""

FREE = PIECE
"""From this kind on a token is of the text itself, and may be moved."""

FIRST_PIECE = "##"
"""How a vocabulary marks pieces that continue a word."""

PAD = "[PAD]"


def kinds_of(vocabulary: Sequence[str]) -> Tensor:
    """Return (V,) the kind of every token; a word is written in small Latin letters, as it is found again so.

    >>> kinds_of(["[PAD]", "[CLS]", "##ing", "!", "good"]).tolist()
    [0, 1, 2, 3, 4]
    """
    return torch.tensor([_kind(token) for token in vocabulary], dtype=torch.int64)


def _kind(token: str) -> int:
    if token.startswith("[") and token.endswith("]") and len(token) > 2:
        return PADDING if token == PAD else SPECIAL
    if token.startswith(FIRST_PIECE) and len(token) > len(FIRST_PIECE):
        return PIECE
    return WORD if token.isascii() and token.isalpha() and token.islower() else MARK


class TextNetwork(nn.Module, ABC):
    """A classifier of token numbers (N, T), int64; `embedding` holds its word vectors, `kinds` (V,) those of tokens."""

    kinds: Tensor

    def __init__(self, embedding: nn.Embedding, kinds: Tensor) -> None:
        super().__init__()
        if len(kinds) != embedding.num_embeddings:
            raise InputError(f"text network: {embedding.num_embeddings} word vectors and {len(kinds)} kinds of tokens")
        self.embedding = embedding
        self.register_buffer("kinds", kinds)

    @abstractmethod
    def read(self, words: Tensor, real: Tensor) -> Tensor:
        """Return the logits (N, classes) of embedded tokens (N, T, D), of which those are no padding where `real`."""

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (N, classes)."""
        return self.read(self.embedding(ids), self.kinds[ids] != PADDING)


class FromEmbedding(nn.Module):
    """A text network behind its embedding, in units of the mean length of its word vectors."""

    def __init__(self, net: TextNetwork) -> None:
        super().__init__()
        self.net = net
        self.scale = float(net.embedding.weight.detach().norm(dim=1).mean())

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of texts as `embedded` gives them (N, T, D + 1)."""
        return self.net.read(x[..., :-1] * self.scale, x[..., -1] != PADDING)

    @torch.no_grad()
    def embedded(self, ids: Tensor) -> Tensor:
        """Return (N, T, D + 1) the word vectors of tokens (N, T) and, in the last place, their kind, at most FREE."""
        kind = self.net.kinds[ids].clamp(max=FREE)[..., None]
        return torch.cat((self.vectors(ids), kind.to(self.net.embedding.weight.dtype)), -1)

    @torch.no_grad()
    def vectors(self, ids: Tensor) -> Tensor:
        """Return the word vectors (..., D) of tokens."""
        return torch.as_tensor(self.net.embedding(ids)) / self.scale


def text_network(net: nn.Module, wanted_by: str) -> TextNetwork:
    """Return the network as one that says where its embedding is. Raises InputError where it does not."""
    if not isinstance(net, TextNetwork):
        raise InputError(
            f"{wanted_by}: {type(net).__name__} does not say where its embedding is; expected a TextNetwork"
        )
    return net
