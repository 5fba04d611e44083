"""The one writer of Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NONE = "-"
"""A cell in which nothing is to be said."""

LEFT = (
    *("", "model", "strategy", "recipe", "beside", "robustness", "evidence", "stage", "verdict", "case", "claim"),
    *("kind", "measure", "unit of the rule", "about", "in the other runs", "end"),
)
"""Columns of words; numbers are aligned to the right."""


def pipe(head: Sequence[str], rows: Iterable[Sequence[object]], padded: bool = True) -> str:
    """Write a table of text as Markdown; `padded` to one width a column, so that it can be read as it is.

    >>> print(pipe(["model", "clean"], [["a|b", "93.3 %"]], padded=False))
    | model | clean |
    |:--|--:|
    | a\\|b | 93.3 % |
    """
    from tabulate import tabulate

    body = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    if not padded:
        rule = "|".join(":--" if name in LEFT else "--:" for name in head)
        return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in body)])
    align = ["left" if name in LEFT else "right" for name in head]
    return tabulate(body, list(head), tablefmt="pipe", colalign=align, disable_numparse=True)
