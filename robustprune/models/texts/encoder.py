"""BERT as a classifier of sentences: Transformer layers, the mean over the tokens, a linear head.

Devlin et al. 2018 (arXiv 1810.04805) normalise after each addition, so that no path leads around a layer unchanged. A
layer that goes is still replaced by nothing (Sajjad et al. 2023, arXiv 2004.03844): what it is given is normalised as
what it returns. So a layer says here what it adds to its input, and finding, scoring and removing blocks work on it as
on any residual network: y = x + (layer(x) - x).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustprune.errors import InputError
from robustprune.models.texts.network import TextNetwork

EPSILON = 1e-12
"""Of BERT's normalisations."""


class Layer(nn.Module):
    """One layer: attention of `heads` heads and a feed-forward part of `inner` units, each added, then normalised."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.up, self.down = nn.Linear(width, width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPSILON), nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return (N, T, D) from (N, T, D); tokens that are not `real` (N, T) are looked at by none."""
        return x + (self.layer(x, real) - x)

    def layer(self, x: Tensor, real: Tensor) -> Tensor:
        """Return what BERT's own layer does."""
        query, key, value = (self.split(part(x)) for part in (self.query, self.key, self.value))
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None, :])
        x = self.norm1(x + self.out(seen.transpose(1, 2).flatten(2)))
        return torch.as_tensor(self.norm2(x + self.down(functional.gelu(self.up(x)))))

    def split(self, x: Tensor) -> Tensor:
        """Return (N, heads, T, D / heads)."""
        heads: Tensor = x.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return heads


class Encoder(TextNetwork):
    """BERT with `depth` layers and a head of `classes` logits on the mean of the tokens, for up to `length` tokens.

    The word vectors are frozen: neighbours of a word stay its neighbours, whatever is trained.

    >>> Encoder(torch.full((9,), 4), width=8, heads=2, inner=16, depth=2)(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 2])
    """

    def __init__(
        self,
        kinds: Tensor,
        *,
        width: int = 384,
        heads: int = 12,
        inner: int = 1536,
        depth: int = 6,
        length: int = 512,
        classes: int = 2,
    ) -> None:
        super().__init__(nn.Embedding(len(kinds), width), kinds)
        self.embedding.weight.requires_grad_(False)
        self.positions = nn.Embedding(length, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.layers = nn.ModuleList(Layer(width, heads, inner) for _ in range(depth))
        self.head = nn.Linear(width, classes)

    def read(self, words: Tensor, real: Tensor) -> Tensor:
        """Return the logits (N, classes)."""
        length = words.shape[1]
        if length > self.positions.num_embeddings:
            raise InputError(f"text of {length} tokens: expected at most {self.positions.num_embeddings}")
        x = self.norm(words + self.positions.weight[:length])
        for layer in self.layers:
            x = layer(x, real)
        weight = real[..., None].to(x.dtype)
        return torch.as_tensor(self.head((x * weight).sum(1) / weight.sum(1).clamp(min=1)))


BEGINNINGS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm2",
}
"""How transformers' BertModel calls a part of a layer, and how it is called here."""


def from_bert(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of an Encoder, head aside, from those of transformers' BertModel.

    There is one kind of segment here, so its vector is added to those of the positions.
    """
    begin = "embeddings."
    found = {
        "embedding.weight": weights[f"{begin}word_embeddings.weight"],
        "positions.weight": weights[f"{begin}position_embeddings.weight"]
        + weights[f"{begin}token_type_embeddings.weight"][0],
        "norm.weight": weights[f"{begin}LayerNorm.weight"],
        "norm.bias": weights[f"{begin}LayerNorm.bias"],
    }
    for name, weight in weights.items():
        if name.startswith("encoder.layer."):
            _, _, number, rest = name.split(".", 3)
            part, _, kind = rest.rpartition(".")
            found[f"layers.{number}.{BEGINNINGS[part]}.{kind}"] = weight
    return found
