"""Text as token numbers and back, as BERT's uncased vocabularies have it (Devlin et al. 2018, arXiv 1810.04805).

Words are in small letters without accents, marks stand alone, and a word that is not in the vocabulary is cut into the
longest pieces that are, from its beginning on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robustprune.errors import InputError

PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
CONTINUED = "##"
LONGEST = 100
"""Letters of the longest word that is looked up in pieces."""


@dataclass(frozen=True)
class WordPiece:
    """A vocabulary, in order of the token numbers; it holds [PAD], [UNK], [CLS] and [SEP].

    >>> words = WordPiece(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "film", "##s", "!"))
    >>> words.encoded(["Good films!", "bad"], length=6).tolist()
    [[2, 4, 5, 6, 7, 3], [2, 1, 3, 0, 0, 0]]
    >>> words.text(torch.tensor([2, 4, 5, 6, 7, 3]))
    'good films !'
    """

    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        lacks = [token for token in (PAD, UNKNOWN, BEGIN, END) if token not in self.numbers]
        if lacks:
            raise InputError(f"vocabulary of {len(self.vocabulary)} tokens: expected {', '.join(lacks)} in it")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Token -> number."""
        return {token: number for number, token in enumerate(self.vocabulary)}

    def encoded(self, texts: Iterable[str], length: int) -> Tensor:
        """Return (n, length) the token numbers of texts, between [CLS] and [SEP], cut or filled up with padding."""
        rows = []
        for text in texts:
            tokens = [BEGIN, *self.tokens(text)[: length - 2], END]
            rows.append([self.numbers[token] for token in (*tokens, *[PAD] * (length - len(tokens)))])
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, length)

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        return [piece for word in words_of(text) for piece in self._pieces(word)]

    def text(self, ids: Tensor | Sequence[int]) -> str:
        """Return the text of token numbers (T,), in small letters; padding, [CLS] and [SEP] are left out."""
        tokens = [self.vocabulary[int(number)] for number in ids]
        kept = [token for token in tokens if token not in (PAD, BEGIN, END)]
        return " ".join(kept).replace(f" {CONTINUED}", "")

    def _pieces(self, word: str) -> list[str]:
        if len(word) > LONGEST:
            return [UNKNOWN]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            begins = (CONTINUED if start else "") + word[start:]
            rest = len(begins) - (len(word) - start)
            ends = range(len(begins), rest, -1)
            piece = next((begins[:end] for end in ends if begins[:end] in self.numbers), None)
            if piece is None:
                return [UNKNOWN]
            pieces.append(piece)
            start += len(piece) - rest
        return pieces


def words_of(text: str) -> list[str]:
    """Return the words and marks of a text, in small letters without accents.

    >>> words_of("Don't miss Amélie!")
    ['don', "'", 't', 'miss', 'amelie', '!']
    """
    plain = unicodedata.normalize("NFD", text.lower())
    return "".join(_spaced(plain)).split()


def _spaced(text: str) -> Iterator[str]:
    for letter in text:
        kind = unicodedata.category(letter)
        if letter in "\t\n\r" or kind == "Zs":
            yield " "
        elif kind != "Mn" and not kind.startswith("C"):
            yield f" {letter} " if _stands_alone(letter, kind) else letter


def _stands_alone(letter: str, kind: str) -> bool:
    """Whether a letter is a mark, or a Chinese character, each of which is a word of its own."""
    mark = kind.startswith("P") or (letter.isascii() and not letter.isalnum())
    return mark or "一" <= letter <= "鿿"
