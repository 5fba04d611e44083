"""Texts that an attack broke by exchanging words, as an attack notes them down and as a report shows them. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robustprune.results.records import CaseResult, Outcomes

EMBEDDING, WORDS = "embedding", "words"
"""Names of the two threats to texts: L2 around the embedded text, and how many words are exchanged."""

EXCHANGED = "exchanged"
"""The note of an outcome under which the texts stand: before, after, true class, class taken for it."""


@dataclass(frozen=True, kw_only=True)
class Exchanged:
    """One text: its words before and after, pairwise, the true class and that which it was taken for, by name."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    label: str
    taken_for: str

    def marked(self) -> str:
        """The text, each exchanged word followed by what stands for it.

        >>> Exchanged(before=("a", "good", "film"), after=("a", "bad", "film"), label="+", taken_for="-").marked()
        'a [good -> bad] film'
        """
        pairs = zip(self.before, self.after, strict=True)
        return " ".join(one if one == other else f"[{one} -> {other}]" for one, other in pairs)


def in_words(outcome: Outcomes, text: Callable[[Sequence[int]], str] | None, classes: Sequence[str]) -> Outcomes:
    """Return the outcome with its noted texts in words instead of token numbers, where `text` can write them."""
    noted = outcome.notes.get(EXCHANGED)
    if noted is None:
        return outcome
    told = [] if text is None else [_told(one, text, classes) for one in noted]
    return replace(outcome, notes={**outcome.notes, EXCHANGED: told})


@dataclass(frozen=True, kw_only=True)
class BrokenText:
    """A text that the parent withstood and the candidate does not: its place in the sample, and what broke it how."""

    sample: int
    attack: str
    text: Exchanged


def is_on_texts(case: CaseResult) -> bool:
    """Whether a case was attacked on texts."""
    return any(outcome.norm in (EMBEDDING, WORDS) for outcome in case.outcomes)


def exchanged(case: CaseResult) -> list[Exchanged]:
    """Return the texts of a case that attacks broke by exchanging words."""
    noted = [one for outcome in case.outcomes for one in outcome.notes.get(EXCHANGED, ())]
    return [
        Exchanged(before=(*one["before"],), after=(*one["after"],), label=one["class"], taken_for=one["taken for"])
        for one in noted
    ]


def _told(one: Mapping[str, Any], text: Callable[[Sequence[int]], str], classes: Sequence[str]) -> dict[str, Any]:
    named = {key: classes[one[key]] if 0 <= one[key] < len(classes) else "none" for key in ("class", "taken for")}
    before, after = paired(text(one["before"]), text(one["after"]))
    return {"before": before, "after": after, **named}


def paired(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the words of two texts, as many of each; the texts as a whole where one has more words than the other.

    >>> paired("a good film", "a bad film"), paired("a film", "a long film")
    ((['a', 'good', 'film'], ['a', 'bad', 'film']), (['a film'], ['a long film']))
    """
    words = before.split(), after.split()
    return words if len(words[0]) == len(words[1]) else ([before], [after])
