"""The review as one HTML page, and its pictures as files. Needs matplotlib and jinja2, never torch."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robustprune.results.claims import headlines, named
from robustprune.results.exchanged import EMBEDDING, WORDS, is_on_texts
from robustprune.results.words import NORMS
from robustprune.review.audit.controls import ABOUT, TITLE, rows
from robustprune.review.record import Review
from robustprune.review.summary import (
    BESIDE,
    beside_lines,
    broken_lines,
    class_lines,
    cost_rows,
    energy_lines,
    headline,
    structure,
    table,
    transfer_lines,
)
from robustprune.review.texts import broken

if TYPE_CHECKING:
    from robustprune.report.figures import Point
    from robustprune.report.html import Picture, Section

NEEDED = ("matplotlib", "jinja2")

GALLERY = {
    "title": "Newly broken samples",
    "alt": "Samples that the parent withstood and the candidate does not: image, perturbation, sum",
    "caption": "The parent withstood every attack on these. Perturbations are amplified to be seen.",
}
"""What is said of the picture of samples that broke."""


def can_draw() -> bool:
    """Say whether the page and the pictures can be made here."""
    return all(importlib.util.find_spec(library) is not None for library in NEEDED)


def page(review: Review, drawn: Sequence[Picture]) -> str:
    """Write the page: verdict, what changed, table, the pictures drawn, what broke, evidence."""
    from robustprune.report.html import Section, render

    return render(
        f"Review: {review.facts.candidate['name']} in place of {review.facts.parent['name']}",
        review.cases,
        verdicts=[review.verdict],
        policy=review.policy,
        pictures=drawn,
        facts=dict(_facts(review)),
        sections=[
            *_beside(review),
            Section(title="What broke", paragraphs=tuple(broken_lines(review))),
            *_texts(review),
            Section(title="Classes", paragraphs=tuple(class_lines(review))),
            *_controls(review),
        ],
    )


def _beside(review: Review) -> Iterator[Section]:
    """Yield the section on what ships beside its float twin, where that was reviewed."""
    from pandas import DataFrame

    from robustprune.report.html import Section

    if review.beside is not None:
        head, *rows = table(review)
        accuracies = [row for row in rows if row[-1]] or rows
        frame = DataFrame(accuracies, columns=["measure", *head[1:]])
        yield Section(title=BESIDE, paragraphs=tuple(beside_lines(review)), table=frame)


def _texts(review: Review) -> Iterator[Section]:
    """Yield the texts that broke, where there are some."""
    from pandas import DataFrame

    from robustprune.report.html import Section

    if review.exhibits.texts:
        frame = DataFrame(broken.rows(review.exhibits.texts), columns=broken.HEAD)
        yield Section(title=broken.TITLE, paragraphs=(broken.ABOUT,), table=frame)


def _controls(review: Review) -> Iterator[Section]:
    """Yield the page of controls, where there are some."""
    from robustprune.report.html import Card, Section

    cards = tuple(
        Card(title=one.id, text=one.asks, source=one.source, lists={"evidence for it": have, "missing": lack})
        for one, have, lack in rows(review)
    )
    if cards:
        yield Section(title=TITLE, paragraphs=(ABOUT,), cards=cards)


def save_pictures(drawn: Sequence[Picture], folder: Path) -> list[Path]:
    """Write every picture as an SVG file."""
    from robustprune.report.figures import save

    names = [file_name(picture.title) for picture in drawn]
    return [save(picture.figure, folder / f"{name}.svg") for name, picture in zip(names, drawn, strict=True)]


def file_name(title: str) -> str:
    """Return the name of a picture's file, without its ending."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower())


def pictures(review: Review) -> list[Picture]:
    """Draw what there is: cost against robustness, curves, layers, classes, newly broken samples."""
    from robustprune.report.pictures import suite_pictures

    norms = dict.fromkeys(outcome.norm for outcome in review.parent.outcomes)
    ball = next((norm for norm in norms if norm in (*NORMS, EMBEDDING)), "Linf")
    shown = {ball: review.exhibits.curves, WORDS: review.exhibits.words}
    drawn = {norm: named for norm, curves in shown.items() if (named := _named(review, curves))}
    return [*suite_pictures(review.cases, drawn or None), *_classes(review), *_gallery(review)]


def _named(review: Review, curves: Mapping[str, Sequence[Point]]) -> dict[str, Sequence[Point]]:
    """Return curves by the name of the case in place of its side."""
    cases = {"parent": review.parent.case, "candidate": review.candidate.case}
    return {case: curves[side] for side, case in cases.items() if curves.get(side)}


def _classes(review: Review) -> Iterator[Picture]:
    from robustprune.report.figures import class_change
    from robustprune.report.html import Picture

    for claim in headlines(review.candidate, review.parent):
        yield Picture(
            title=f"Class by class, {named(claim)}",
            figure=class_change(review.candidate, review.parent, claim),
            alt=f"Change in {named(claim)} against the parent, class by class, in points with 95 % intervals",
            caption="The class that lost most stands on top.",
        )


def _gallery(review: Review) -> Iterator[Picture]:
    from robustprune.report.figures import gallery
    from robustprune.report.html import Picture

    if review.exhibits.gallery:
        yield Picture(figure=gallery(review.exhibits.gallery), **GALLERY)


def _facts(review: Review) -> Iterator[tuple[str, str]]:
    yield "in short", headline(review)
    yield "structure", "; ".join(structure(review))
    for measure, before, now, change in cost_rows(review):
        yield measure, f"{before} -> {now} ({change})"
    unmeasured = "not made of texts" if is_on_texts(review.candidate) else "not measured"
    yield "transfer from the parent", "; ".join(transfer_lines(review)) or unmeasured
    for side, facts in (("candidate", review.facts.candidate), ("parent", review.facts.parent)):
        yield side, _side(facts)
    yield "what ships", str(review.parity) if review.parity else "unmeasured: no shipped file was given"
    if energy_lines(review):
        yield "energy", "; ".join(energy_lines(review))
    yield "command", review.facts.command


def _side(facts: Mapping[str, object]) -> str:
    weights = f", weights {facts['weights']} (sha256 {facts['sha256']})" if facts.get("weights") else ""
    return f"{facts['spec']}{weights}"
