"""Windows of a text: some to score layers on, others to compare perplexities on; no token is in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Ids, (n, length) each: windows for `scoring`, from the beginning of the text, and for `evaluation`, from its end.

    Neighbouring windows of one text are alike, so the two kinds come from its two ends.
    """

    scoring: Tensor
    evaluation: Tensor


def windows(ids: Sequence[int], length: int, scoring: int, evaluation: int) -> Windows:
    """Cut a text. InputError where it is too short for so many windows.

    >>> windows(range(12), 2, 2, 3).evaluation.tolist()
    [[6, 7], [8, 9], [10, 11]]
    """
    whole = len(ids) // length
    if min(scoring, evaluation) < 2 or length < 2 or whole < scoring + evaluation:
        raise InputError(
            f"a text of {len(ids):,} tokens is {whole:,} windows of {length}: expected {scoring} for scoring and "
            f"{evaluation} for comparing, two or more each; give a longer text, or ask for fewer or shorter ones"
        )
    cut = torch.tensor(ids[: whole * length], dtype=torch.long).view(whole, length)
    return Windows(scoring=cut[:scoring], evaluation=cut[whole - evaluation :])
