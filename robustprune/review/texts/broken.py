"""Texts that the parent withstood and the candidate does not, in words, as a review shows them. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from robustprune.errors import InputError
from robustprune.results.exchanged import WORDS, BrokenText, Exchanged
from robustprune.results.records import BROKEN, CaseResult
from robustprune.results.words import plural

TITLE = "Newly broken texts"

ABOUT = (
    "The parent withstood every attack on these: [word -> what stands for it]. Exchanges are of words that are used "
    "alike by the network's own word vectors; whether a text still says the same is for its reader to judge. What "
    "breaks behind the embedding is no text, and is not shown."
)


def lines(texts: Sequence[BrokenText]) -> Iterator[str]:
    """Write each text as a line."""
    for one in texts:
        words = plural(sum(a != b for a, b in zip(one.text.before, one.text.after, strict=True)), "word")
        taken = f"{one.text.label}, taken for {one.text.taken_for}"
        yield f"sample {one.sample}, {taken}, {words} exchanged: {one.text.marked()}"


def rows(texts: Sequence[BrokenText]) -> list[tuple[str, str, str, str]]:
    """Return the cells of a table below `HEAD`."""
    return [(str(one.sample), one.text.label, one.text.taken_for, one.text.marked()) for one in texts]


HEAD = ("sample", "true class", "taken for", "text")


def as_record(one: BrokenText) -> dict[str, Any]:
    """Write a text as verdict.json has it."""
    text = one.text
    words = {"before": [*text.before], "after": [*text.after]}
    return {"sample": one.sample, "attack": one.attack, **words, "class": text.label, "taken_for": text.taken_for}


def from_record(record: Mapping[str, Any], candidate: CaseResult, parent: CaseResult) -> BrokenText:
    """Read a text; InputError for one that by the outcomes of both networks cannot be newly broken."""
    text = Exchanged(
        before=tuple(map(str, record["before"])),
        after=tuple(map(str, record["after"])),
        label=record["class"],
        taken_for=record["taken_for"],
    )
    row = record["sample"]
    broken = [one.attack for one in candidate.outcomes if one.norm == WORDS and one.status[row] == BROKEN]
    names = candidate.classes[candidate.labels[row]] == text.label != text.taken_for
    alike = len(text.before) == len(text.after) and text.before != text.after
    if row < 0 or record["attack"] not in broken or not parent.worst[row] or not names or not alike:
        raise InputError(f"texts: sample {row} cannot be newly broken by {record['attack']}")
    return BrokenText(sample=row, attack=record["attack"], text=text)
