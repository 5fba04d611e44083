"""Text in windows, and what follows each: the data of a causal language model, which is a classifier of the next token.

The text is that of the film reviews (reviews.py), letter by letter: so few tokens that each comes often, and word
vectors that take no room.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from robustprune.data.base import Data, Split
from robustprune.data.folders import data_root
from robustprune.data.reviews import FILES, TESTED, sentences
from robustprune.errors import InputError

OTHER = "*"
"""Stands for every sign that is not among LETTERS, digits too."""

LETTERS = f" abcdefghijklmnopqrstuvwxyz.,'-{OTHER}"
"""The tokens, in order of their numbers."""

SPOKEN = {" ": "space", OTHER: "other sign"}
"""What a class is called where the letter itself cannot stand in a table."""


@dataclass(frozen=True, eq=False)
class NextTokens(Data):
    """Texts whose class is the token that follows: for these perplexity is measured beside accuracy.

    What is tested is drawn from the text as it is, not balanced by class: perplexity is of the text's own mix.
    """


def next_letters(length: int = 32, tested: int = 512, root: str | Path | None = None) -> NextTokens:
    """Windows of `length` letters of the film reviews, and the letter that follows each; `tested` of them to test.

    Windows do not overlap. A sentence is on one side, drawn from its hash, and so are its copies; test windows are
    spread over their side evenly. Raises MissingData where the files are not there, InputError for too many windows.
    """
    folder, sides = data_root(root) / "text", {False: [""], True: [""]}
    for line in (line for name in FILES.values() for line in sentences(folder / name)):
        plain = " ".join(line.lower().split())
        sides[_drawn(plain)].append(plain)
    train, test = (windows(letters(" ".join(sides[side])), length) for side in (False, True))
    if not 1 <= tested <= len(test):
        raise InputError(f"next letters: {tested} windows to test, expected 1 to {len(test)} of {length} letters")
    known = {bytes(row.to(torch.uint8).tolist()) for row in train.x}
    fresh = [place for place, row in enumerate(test.x) if bytes(row.to(torch.uint8).tolist()) not in known]
    spread = [fresh[number * len(fresh) // tested] for number in range(min(tested, len(fresh)))]
    test = test.take(spread)
    source = f"letters of film reviews (Pang and Lee 2005): {len(train)} training and {len(test)} test windows"
    names = tuple(SPOKEN.get(letter, letter) for letter in LETTERS)
    return NextTokens("next-letters", names, train, test, source, in_letters)


def letters(text: str) -> list[int]:
    """Return the numbers of the letters of a text.

    >>> in_letters(letters("it's 5 films"))
    "it's * films"
    """
    numbers = {letter: number for number, letter in enumerate(LETTERS)}
    return [numbers.get(letter, numbers[OTHER]) for letter in text]


def in_letters(ids: Tensor | Sequence[int]) -> str:
    """Return the text of letters' numbers (T,)."""
    return "".join(LETTERS[int(number)] for number in ids)


def windows(ids: Sequence[int], length: int) -> Split:
    """Cut token numbers into windows that do not overlap, (n, length), each with the token that follows it.

    >>> windows([0, 1, 2, 3, 4, 5, 6], 2).x.tolist(), windows([0, 1, 2, 3, 4, 5, 6], 2).y.tolist()
    ([[0, 1], [3, 4]], [2, 5])
    """
    whole = len(ids) // (length + 1)
    if length < 1 or not whole:
        raise InputError(f"a text of {len(ids)} tokens: expected {length + 1} or more for windows of {length}, from 1")
    cut = torch.tensor(ids[: whole * (length + 1)], dtype=torch.int64).view(whole, length + 1)
    return Split(cut[:, :-1].contiguous(), cut[:, -1].contiguous())


def _drawn(line: str) -> bool:
    return int.from_bytes(hashlib.sha256(line.encode()).digest()[:4], "big") % TESTED == 0
