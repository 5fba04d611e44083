"""The one writer of Markdown tables; names from outside are shown as they are, and never act as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NONE = "-"
"""A cell in which nothing is to be said."""

LEFT = (
    *("", "model", "strategy", "recipe", "beside", "robustness", "evidence", "stage", "verdict", "case", "claim"),
    *("kind", "measure", "unit of the rule", "about", "in the other runs", "end"),
    *("network", "attack", "threat", "knowledge", "criterion", "voter left out", "then stay", "then go"),
    *("control", "asks", "evidence for it", "missing", "true class", "taken for", "text"),
)
"""Columns of words; numbers are aligned to the right."""

Row = dict[str, str]
Part = tuple[str, tuple[str, ...], list[Row]]
"""A title, paragraphs, and the rows of a table."""


BLOCK = re.compile(r"^(\d*)([#>*+=_~`|:.)\[-])")
"""What opens a block at the beginning of a line, as numbers do with what follows them."""

TAG, LINK = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"\](?=[(\[])")


def printable(text: str) -> str:
    """Write what cannot be shown (control characters, line ends, half a surrogate pair) as escapes.

    >>> print(printable("a\\nb\\x1b[1m"))
    a\\nb\\x1b[1m
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def inline(text: str) -> str:
    """Write text for a line of Markdown: one line, without tags and links of its own.

    >>> inline("<script>, p < 0.05")
    '&lt;script>, p < 0.05'
    """
    return LINK.sub("&#93;", TAG.sub("&lt;", printable(text)))


def paragraph(text: str) -> str:
    """Write text that begins a paragraph: it opens no heading, list, quotation or block of code.

    >>> print(paragraph("# PASS"), paragraph("~~~"), paragraph("net-7 (nets:net)"))
    &#35; PASS &#126;~~ net-7 (nets:net)
    """
    shown = inline(text).lstrip()
    return BLOCK.sub(lambda found: f"{found[1]}&#{ord(found[2])};", shown)


def pipe(head: Sequence[str], rows: Iterable[Sequence[object]], padded: bool = True) -> str:
    """Write a table of text as Markdown; `padded` to one width a column, so that it can be read as it is.

    >>> print(pipe(["model", "clean"], [["a|b", "93.3 %"]], padded=False))
    | model | clean |
    |:--|--:|
    | a\\|b | 93.3 % |
    """
    from tabulate import tabulate

    body, titles = [[_cell(cell) for cell in row] for row in rows], [_cell(name) for name in head]
    if not padded:
        rule = "|".join(":--" if name in LEFT else "--:" for name in head)
        return "\n".join([f"| {' | '.join(titles)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in body)])
    align = ["left" if name in LEFT else "right" for name in head]
    return tabulate(body, titles, tablefmt="pipe", colalign=align, disable_numparse=True)


def sections(parts: Iterable[Part]) -> str:
    """Write parts one after the other, each its title, its paragraphs and its table; "" where there are none."""
    found = []
    for name, paragraphs, rows in parts:
        table = pipe([*rows[0]], [[*row.values()] for row in rows])
        found.append("\n\n".join([f"{name}. {paragraphs[0]}", *paragraphs[1:], table]))
    return "".join(f"\n{text}\n" for text in found)


def _cell(value: object) -> str:
    text = inline(str(value))
    return re.sub(r"(?<!\\)\|", r"\|", text.replace("\\|", "&#92;&#124;"))
