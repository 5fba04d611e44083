"""A linear bag of words, whose strongest exchanges and nearest border are known in closed form."""

import itertools

import torch
from torch import nn

from robustprune.data import WordPiece
from robustprune.models import TextNetwork, kinds_of

WORDS = WordPiece(
    ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "!", "##s", *(a + b for a, b in itertools.product("bdfgklmnpr", "aeiou")))
)
"""Fifty words, two letters each."""

FIRST = 6
"""The number of the first word."""


class Bag(TextNetwork):
    """Two classes; the margin of class 1 is the sum over the tokens of what their vectors weigh."""

    def __init__(self, seed=0, width=8):
        generator = torch.Generator().manual_seed(seed)
        super().__init__(nn.Embedding(len(WORDS.vocabulary), width), kinds_of(WORDS.vocabulary))
        self.embedding.weight.data = torch.randn(len(WORDS.vocabulary), width, generator=generator)
        self.weigh = nn.Parameter(torch.randn(width, generator=generator))

    def read(self, words, real):
        total = ((words @ self.weigh) * real).sum(1)
        return torch.stack((-total, total), 1) / 2

    @property
    def weights(self):
        """(V,) what each token adds to the margin of class 1."""
        return (self.embedding.weight @ self.weigh).detach()


def texts(n, length=8, seed=1, words=4):
    """Random texts of some words between [CLS] and [SEP], filled up with padding."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(FIRST, len(WORDS.vocabulary), (n, words), generator=generator)
    ends = [torch.full((n, 1), WORDS.numbers[token]) for token in ("[CLS]", "[SEP]")]
    return torch.cat((ends[0], drawn, ends[1], torch.zeros(n, length - words - 2, dtype=torch.int64)), 1)
