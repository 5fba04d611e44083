"""Film reviews of one sentence each, for and against: small enough to fine-tune a language model on in minutes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from robustprune.data.base import Data, Split
from robustprune.data.folders import data_root
from robustprune.data.wordpiece import WordPiece
from robustprune.errors import InputError, MissingData

FILES = {"negative": "rt-polarity.neg", "positive": "rt-polarity.pos"}
"""Class -> file with a sentence a line."""

TESTED = 5
"""One text in so many is measured on."""


def film_reviews(words: WordPiece, length: int = 32, root: str | Path | None = None) -> Data:
    """10,662 sentences on films, half of them for the film, as `length` tokens of `words` each; every fifth to test.

    Looked for in <root>/text. Which side a text is on is drawn from the hash of its tokens, so that copies are on one
    side. Raises MissingData where the files are not there. Source: Pang and Lee 2005 (sentence polarity dataset 1.0).
    """
    folder = data_root(root) / "text"
    rows, labels = [], []
    for label, name in enumerate(FILES.values()):
        rows.append(words.encoded(sentences(folder / name), length))
        labels += [label] * len(rows[-1])
    x, y = torch.cat(rows), torch.tensor(labels)
    tested = torch.tensor([_drawn(row) for row in x])
    train, test = Split(x[~tested], y[~tested]), Split(x[tested], y[tested])
    source = f"film reviews (Pang and Lee 2005): {len(train)} training and {len(test)} test sentences"
    return Data("film-reviews", (*FILES,), train, test, source, words.text)


def sentences(file: Path) -> list[str]:
    """Return the lines of one of the files that are not empty; MissingData where it is not there."""
    if not file.is_file():
        raise MissingData(
            f"film reviews: {file} is not there; unpack the sentence polarity dataset 1.0 of Pang and Lee"
        )
    try:
        return [line for line in file.read_text(encoding="latin-1").splitlines() if line.strip()]
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def _drawn(row: Tensor) -> bool:
    digest = hashlib.sha256(row.numpy().tobytes()).digest()
    return int.from_bytes(digest[:4], "big") % TESTED == 0
