"""One self-contained HTML page: verdict first, then the table, the pictures, the evidence, the environment.

The page opens from disk and fetches nothing; its content security policy forbids it to. It serves a suite
(many cases) and a security review (one candidate and its parent) alike. Everything that is not a picture
made here is escaped: names and evidence come from files that a reviewer may not trust. No date is written,
so the same results give the same page.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustprune.errors import InputError
from robustprune.policy.findings import Verdict
from robustprune.policy.policy import Policy
from robustprune.report import views
from robustprune.report.beneath import parts
from robustprune.report.contest import strategies
from robustprune.report.figures import to_svg
from robustprune.report.figures.style import INK
from robustprune.report.notes import notes
from robustprune.report.table import comparison
from robustprune.report.verdicts import counts, policy_rows, verdict_view
from robustprune.results.records import CaseResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


READABLE = 9.0
"""Pixels that the smallest letters of a picture have at least, on a phone too."""


MOST = 30
"""So many verdicts are listed one by one, and so many rows of a table shown at once; more are folded, or scrolled."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure for the page. `alt` says in words what is to be seen, for those who cannot see it."""

    title: str
    figure: Figure
    alt: str
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One thing of a section, folded: a title, what it is, where that stands, and lists of lines by name."""

    title: str
    text: str
    source: str = ""
    lists: Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A further part of the page: paragraphs, then a table whose cells are shown as they are, then folded cards."""

    title: str
    paragraphs: tuple[str, ...] = ()
    table: DataFrame | None = None
    cards: tuple[Card, ...] = ()


def render(
    title: str,
    cases: Sequence[CaseResult],
    *,
    verdicts: Sequence[Verdict] | None = None,
    policy: Policy | None = None,
    pictures: Sequence[Picture] = (),
    facts: Mapping[str, str] | None = None,
    sections: Sequence[Section] = (),
) -> str:
    """Return the page as text.

    `verdicts` come first on the page, with `policy` beneath (None: no policy was applied). `facts` are
    shown as a list of name and value after the verdict, such as what changed between two networks.
    `sections` follow the pictures and what there is to say of the attacks and the criteria.
    """
    template = _environment().get_template("page.html")
    frame = comparison(cases)
    page: str = template.render(
        title=title,
        lead=views.lead(cases),
        verdicts=[verdict_view(verdict) for verdict in verdicts or ()],
        counts=counts(verdicts or ()),
        most=MOST,
        policy=policy_rows(policy) if policy else [],
        facts=dict(facts or {}),
        table=views.table_view(frame),
        contest=views.contest_view(strategies(cases)),
        pictures=[_picture(picture, number) for number, picture in enumerate(pictures, 1)],
        sections=[
            *map(views.part_view, parts(cases)),
            *(views.section_view(one.title, one.paragraphs, one.table) | {"cards": one.cards} for one in sections),
        ],
        checks=views.check_groups(cases),
        networks=views.network_rows(cases),
        environment=views.environment_rows(cases),
        notes=notes(cases),
        glossary=views.GLOSSARY,
    )
    return page


def inline_svg(figure: Figure, alt: str, prefix: str) -> str:
    """Return a figure as an `<svg>` element for an HTML page.

    Ids get a prefix, so that several pictures can stand in one page; the ink becomes the page's text
    colour; the size is left to the page, but that no letter is smaller than `READABLE`, where the picture is
    scrolled instead; `alt` is its accessible name.
    """
    from markupsafe import escape

    text = re.sub(r"<metadata>.*?</metadata>", "", to_svg(figure), flags=re.DOTALL)
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    least = min((float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", text)), default=READABLE)
    text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{prefix}-", text).replace(INK, "var(--ink)")
    head, body = text.split(">", 1)
    head = re.sub(r'\s(width|height|version)="[^"]*"', "", head)
    wide = f"min-width:{math.ceil(72 * figure.get_figwidth() * READABLE / least)}px"
    style = f"stroke-linejoin:round;stroke-linecap:butt;{wide}"
    return f'{head} role="img" aria-label="{escape(alt)}" style="{style}">{body}'


def _picture(picture: Picture, number: int) -> dict[str, Any]:
    from markupsafe import Markup

    svg = Markup(inline_svg(picture.figure, picture.alt, f"p{number}"))
    return {"title": picture.title, "svg": svg, "caption": picture.caption, "alt": picture.alt}


def _environment() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise InputError("the HTML report needs jinja2: pip install 'robustprune[report]'") from None
    loader = PackageLoader("robustprune.report", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
