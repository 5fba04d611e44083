"""The comparison as a terminal shows it: as many columns as fit its width, the rest on request."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from robustprune.report.contest import strategies
from robustprune.report.formats import columns_of, names_of, records
from robustprune.report.markdown import LEFT, printable
from robustprune.report.standing import tally
from robustprune.report.table import comparison
from robustprune.results.records import CaseResult

if TYPE_CHECKING:
    from pandas import DataFrame

LEAST = 10
"""Letters that a column of words keeps at least where it is broken into lines."""

GIVEN_UP = ("recipe", "MACs", "clean %", "removed", "model")
"""Columns that go first where the terminal is narrow, in this order."""

IDENTITY = ("model", "strategy", "recipe", "removed")
"""Columns that name a row; of them so many stay that no two rows have one name."""

GAP = "  "

Columns = Mapping[str, Sequence[str]]


def to_terminal(cases: Sequence[CaseResult], width: int) -> str:
    """Write the comparison for a terminal of so many letters a line: what decides, then how to see the rest."""
    frame = comparison(cases)
    words = (
        f"{names_of(frame)[-1].capitalize()}: what withstands every attack. Change: of it, against the parent, in "
        "points; * significant. Evidence +1: one finding on the network or the sample. All columns and notes: --wide."
    )
    said = [text for text in (tally(strategies(cases)), words) if text]
    return "\n\n".join([fitted(shown(frame), width), *(textwrap.fill(text, max(width, LEAST)) for text in said)])


def shown(frame: DataFrame) -> Columns:
    """Return the columns that decide, as text: the network, its saving, its accuracies, and what they are worth."""
    names = names_of(frame)
    titles = {name: name for name in ("model", "strategy", "recipe")}
    titles |= {"blocks removed": "removed", "MACs": "MACs", f"{names[0]} %": "clean %", f"{names[-1]} %": "worst %"}
    titles |= {f"change, {names[-1]}": "change", "evidence": "evidence"}
    every, rows = {column.title: column for column in columns_of(frame)}, records(frame)
    return {
        short: [printable(every[title].show(row)) for row in rows] for title, short in titles.items() if title in every
    }


def fitted(columns: Columns, width: int) -> str:
    """Write a table that is at most so wide: without intervals, then with words broken, then with fewer columns.

    Where even the narrowest is too wide, that is written.
    """
    text = ""
    for some, most in _ever_narrower(columns):
        text = _written(some, most)
        if max(map(len, text.splitlines())) <= width:
            break
    return text


def _ever_narrower(columns: Columns) -> Iterator[tuple[Columns, int | None]]:
    """Yield tables, each with the letters that a column of words may have; None: any."""
    yield columns, None
    some = {name: [_bare(name, cell) for cell in cells] for name, cells in columns.items()}
    gone = _dispensable(columns)
    for count in range(len(gone) + 1):
        left = {name: cells for name, cells in some.items() if name not in gone[:count]}
        for most in (None, 2 * LEAST, LEAST):
            yield left, most


def _dispensable(columns: Columns) -> list[str]:
    """Return the columns that can go, in order: the names that stay still tell every row from the others."""
    gone: list[str] = []
    for name in (one for one in GIVEN_UP if one in columns):
        left = [columns[one] for one in IDENTITY if one in columns and one not in (*gone, name)]
        rows = [*zip(*left, strict=True)]
        if name not in IDENTITY or len(set(rows)) == len(rows):
            gone.append(name)
    return gone


def _bare(name: str, cell: str) -> str:
    """Leave out intervals, ranges and savings, and of the evidence what stands behind the trust but its number.

    >>> _bare("change", "-7.2 [-13.2, -1.3] *"), _bare("evidence", "SUSPECT (1 of 4); class floor failed")
    ('-7.2 *', 'SUSPECT (1 of 4) +1')
    """
    if name == "evidence":
        trust, *findings = cell.split("; ")
        return f"{trust} +{len(findings)}" if findings else trust
    if name in LEFT or name == "removed":
        return cell
    return cell.split(" [")[0].split(" (")[0] + (" *" if cell.endswith("*") else "")


def _written(columns: Columns, most: int | None) -> str:
    """Write a table as plain text: words to the left, broken into lines of `most` letters, numbers to the right."""
    broken = {
        name: [textwrap.wrap(cell, most) if most and name in LEFT else [cell] for cell in cells]
        for name, cells in columns.items()
    }
    widths = [max(map(len, (name, *chain(*cells)))) for name, cells in broken.items()]
    lines = [(*columns,), tuple("-" * width for width in widths)]
    for row in zip(*broken.values(), strict=True):
        lines += zip_longest(*row, fillvalue="")
    align = [str.ljust if name in LEFT else str.rjust for name in columns]
    return "\n".join(
        GAP.join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True)).rstrip()
        for line in lines
    )
