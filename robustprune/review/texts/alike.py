"""Do both networks of a review read the same texts, and are threats to them the same threats?

Both threats are stated in a network's own word vectors: which words may stand for a word, and how long a word vector is
on average. A candidate with other vectors could so make its own threat smaller, and seem robust. Vectors that were
trained a little further move both by little; what moves more is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from robustprune.attacks import Attack, Substitution
from robustprune.attacks.algorithms.texts.substitution import exchangeable, neighbours
from robustprune.data import Data
from robustprune.errors import InputError
from robustprune.models.texts.network import FREE, TextNetwork, text_network
from robustprune.results.exchanged import EMBEDDING

APART = 0.05
"""Share of the words that may have other neighbours, and of the lengths by which the ball may differ (our threshold).
"""


def check_texts(nets: Mapping[str, nn.Module], data: Data, attacks: Sequence[Attack]) -> None:
    """Refuse networks, by what they are called, the parent first, that are not of one vocabulary or not alike enough.

    Raises InputError for a network that does not say where its embedding is, for token numbers that it does not have,
    for kinds of tokens other than the parent's, and for threats that would not be the parent's.
    """
    x, found = data.test.x, {side: text_network(net, side) for side, net in nets.items()}
    top = int(x.max())
    for side, net in found.items():
        size = net.embedding.num_embeddings
        if top >= size:
            raise InputError(f"{side} knows {size} tokens, the data have numbers up to {top}; expected its vocabulary")
    (first, parent), *others = found.items()
    for side, net in others:
        if not torch.equal(net.kinds.cpu(), parent.kinds.cpu()):
            raise InputError(f"{side} has other kinds of tokens than {first}; expected networks of one vocabulary")
        if not torch.equal(vectors(net), vectors(parent)):
            _check_vectors(side, net, parent, x, attacks)


def _check_vectors(side: str, net: TextNetwork, parent: TextNetwork, x: Tensor, attacks: Sequence[Attack]) -> None:
    """Refuse word vectors by which a threat is another one than with the parent's."""
    ratio = length(net, x) / length(parent, x)
    if abs(ratio - 1) > APART and any(attack.norm == EMBEDDING for attack in attacks):
        raise InputError(
            f"{side}: beside the mean of all its word vectors those of these texts are {ratio:.2f} times as long as "
            f"the parent's, so that an eps is another one; expected within {APART:.0%}, as with a frozen embedding"
        )
    for attack in attacks:
        if isinstance(attack, Substitution) and (share := other_neighbours(net, parent, x, attack)) > APART:
            raise InputError(
                f"{side}: {share:.0%} of the words have other neighbours than by the parent's word vectors, so that "
                f"{attack.threat} is another threat; expected {APART:.0%} at most, as with a frozen embedding"
            )


def vectors(net: TextNetwork) -> Tensor:
    """Return the word vectors (V, D), float32 on the processor."""
    return net.embedding.weight.detach().float().cpu()


def length(net: TextNetwork, x: Tensor) -> float:
    """Return how long the vectors of the words of texts `x` (n, T) are on average; 1 as all of the vocabulary."""
    sizes = vectors(net).norm(dim=1)
    words = x[net.kinds.cpu()[x] >= FREE]
    return float(sizes[words].mean() / sizes.mean()) if len(words) else 1.0


def other_neighbours(net: TextNetwork, parent: TextNetwork, x: Tensor, attack: Substitution) -> float:
    """Return the share of the words of texts `x` (n, T) for which not the same words may stand in both networks."""
    kinds = parent.kinds.cpu()
    words = x[exchangeable(x, kinds)].unique()
    if not len(words):
        return 0.0
    tables = [neighbours(words, kinds, vectors(one), attack.neighbours, attack.cosine) for one in (net, parent)]
    mine, theirs = (table.sort(1).values for table in tables)
    return float((mine != theirs).any(1).float().mean())
