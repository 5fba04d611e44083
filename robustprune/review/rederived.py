"""A review put together again from its bundle, and the files that follow from it. No torch.

What people read (summary, tables, page) is made again from the outcomes and must be what lies in the bundle, byte for
byte; so must what verdict.json says of costs, checks and attacks. Pictures are left out: they are drawn by a library
whose versions differ; the seal holds them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustprune.errors import InputError
from robustprune.policy.policy import judge
from robustprune.report.figures import Point
from robustprune.report.written import tables
from robustprune.results.records import CaseResult, Outcomes
from robustprune.review.artefacts.beside import beside_of
from robustprune.review.audit import controls
from robustprune.review.audit.controls import control_from
from robustprune.review.changes import changes_from
from robustprune.review.files import (
    CASES,
    CONTROLS,
    ENVIRONMENT,
    PICTURES,
    REPORT,
    SAMPLES,
    SUMMARY,
    TABLE,
    TABLE_CSV,
    TRANSFER,
    VERDICT,
    as_json,
)
from robustprune.review.pages import GALLERY, can_draw, file_name, page, pictures
from robustprune.review.parity import Parity
from robustprune.review.record import Exhibits, Facts, Review, to_json
from robustprune.review.rejudged import policy_of
from robustprune.review.summary import to_markdown
from robustprune.review.texts.broken import from_record

SVG = re.compile(r"<svg (?!class=\"interval).*?</svg>", re.DOTALL)
"""A picture; intervals are drawn by the page itself."""

RECORDS, LISTS = ("candidate", "parent", "data", "policy"), ("findings", "shifts", "worst_class", "transfer")
"""Parts of verdict.json that are records, and lists of them."""

WRONG = (InputError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, OSError)
"""What comes of a file that somebody else wrote, where it says what cannot be."""


def rebuilt(
    written: Mapping[str, Any], candidate: CaseResult, parent: CaseResult, transfers: list[Outcomes], hashes: list[str]
) -> Review:
    """Return the review that a bundle is about, from verdict.json, the outcomes and the hashes of the samples."""
    policy = policy_of(written["policy"])
    facts = Facts(
        candidate=_without(written["candidate"], "case", "weights_hash", "removed"),
        parent=_without(written["parent"], "case", "weights_hash", "removed"),
        data=_without(written["data"], "n", "sample_hash"),
        tier=written["tier"],
        command=written["command"],
        made=written["made"],
        samples=hashes,
        origin=written["origin"],
        signed_by=written.get("signed_by", ""),
        controls=tuple(map(control_from, written.get("controls", ()))),
    )
    return Review(
        candidate=candidate,
        parent=parent,
        policy=policy,
        verdict=judge(candidate, parent, policy),
        changes=changes_from(written["changes"]),
        facts=facts,
        transfers=tuple(transfers),
        parity=Parity(**written["parity"]) if written["parity"] else None,
        exhibits=Exhibits(
            curves=_curves(written["curves"], len(candidate.labels)),
            words=_curves(written.get("curves_over_words", {}), len(candidate.labels)),
            texts=tuple(from_record(one, candidate, parent) for one in written.get("texts", ())),
        ),
    )


def misshapen(written: Mapping[str, Any]) -> Iterator[str]:
    """Name the parts of verdict.json that are not of the kind that `to_json` writes."""
    for part in RECORDS:
        if not isinstance(written.get(part), dict):
            yield f"{VERDICT}: {part}: expected a record"
    for part in LISTS:
        found = written.get(part, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            yield f"{VERDICT}: {part}: expected a list of records"


def unlike(folder: Path, written: Mapping[str, Any], review: Review) -> Iterator[str]:
    """Name every file, and every part of verdict.json, that is not what follows from the outcomes."""
    review = replace(review, beside=beside_of(folder / CASES, written))
    again = json.loads(as_json(to_json(review)))
    for key in dict.fromkeys([*written, *again]):
        if written.get(key) != again.get(key):
            yield f"{VERDICT}: {key} is not what {CASES} gives"
    for name in (VERDICT, TRANSFER, SAMPLES, ENVIRONMENT):
        content = (folder / name).read_bytes()
        if content != as_json(json.loads(content)):
            yield f"{name}: not as robustprune writes it"
    if json.loads((folder / ENVIRONMENT).read_bytes()) != json.loads(as_json(review.candidate.environment)):
        yield f"{ENVIRONMENT}: not that of {CASES}"
    markdown, csv = tables(review.cases, ["md", "csv"])
    mapped = ((CONTROLS, controls.to_markdown(review)),) if review.facts.controls else ()
    for name, text in ((SUMMARY, to_markdown(review)), (TABLE, markdown), (TABLE_CSV, csv), *mapped):
        if (folder / name).read_bytes() != text.encode():
            yield f"{name}: not what {CASES} gives: it was changed after the bundle was made"
    if (folder / REPORT).exists() and can_draw():
        yield from _page(folder, review)


def _curves(written: Mapping[str, Any], n: int) -> dict[str, tuple[Point, ...]]:
    """The curves of verdict.json. InputError for one that cannot be: on more samples than there are, or unordered."""
    curves = {side: tuple(Point(**point) for point in points) for side, points in written.items()}
    for side, points in curves.items():
        budgets = [point.eps for point in points]
        if budgets != sorted({*budgets}) or not all(0 <= point.k <= point.n <= n for point in points):
            raise InputError(f"curves: that of the {side} cannot be one of {n} samples")
    return curves


def _page(folder: Path, review: Review) -> Iterator[str]:
    """Say so where the page, pictures left out, is not what follows."""
    from robustprune.report.html import Picture

    drawn = pictures(review)
    if (folder / PICTURES / f"{file_name(GALLERY['title'])}.svg").exists():
        drawn.append(Picture(figure=drawn[0].figure, **GALLERY))
    said, again = (SVG.sub("<svg/>", text) for text in ((folder / REPORT).read_text(), page(review, drawn)))
    if said != again:
        yield f"{REPORT}: not what {CASES} gives: it was changed after the bundle was made"


def _without(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in names}
