"""From the numeric comparison frame to text: Markdown, CSV, LaTeX.

Numbers are rounded only here. Plain ASCII signs are used, so that every format and terminal can show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustprune.report.markdown import NONE, inline, pipe, printable
from robustprune.report.notes import ALPHA
from robustprune.results.claims import CLEAN, WORST
from robustprune.results.costs import CostMeasure, doubt, of_columns
from robustprune.results.overstated import STANDARD
from robustprune.results.recall import WORDS
from robustprune.results.trust import standing
from robustprune.results.words import BLOCKS, between, points_between

if TYPE_CHECKING:
    from pandas import DataFrame

Row = Mapping[str, Any]
Cell = Callable[[Row], str]

EXACT = 1e-9
"""Rounding that a table read back from CSV has gone through."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column as shown: its title, the text of a row's cell, and the numeric column that it sorts by."""

    title: str
    show: Cell
    sort: str


def to_markdown(frame: DataFrame) -> str:
    """Write the comparison as Markdown: the table, the differences attack by attack, and the notes.

    A frame without `attrs` (read back from CSV, say) gives the tables without the notes.
    """
    parts = [_pipe(display(frame))]
    changes = differences(frame)
    if len(names_of(frame)) > 3 and not changes.empty:
        parts += ["Difference to the parent in points, attack by attack:", _pipe(changes)]
    found = frame.attrs.get("notes", [])
    parts += ["\n".join(f"- {inline(note)}" for note in found)] if found else []
    return "\n\n".join(parts) + "\n"


def to_csv(frame: DataFrame) -> str:
    """Write the numeric frame as CSV, unrounded up to 10 digits; no text is a formula to a spreadsheet."""
    plain = frame.rename(columns=_unreckoned).map(_unreckoned)
    return str(plain.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def to_latex(frame: DataFrame) -> str:
    """Write the comparison as a LaTeX tabular (package booktabs), the notes as comments above it."""
    from tabulate import tabulate

    shown = display(frame)
    comments = "".join(f"% {printable(note)}\n" for note in frame.attrs.get("notes", []))
    body = [[printable(str(cell)) for cell in row] for row in shown.to_numpy().tolist()]
    table = tabulate(body, list(map(printable, shown.columns)), tablefmt="latex_booktabs")
    return f"{comments}{table}\n"


def display(frame: DataFrame) -> DataFrame:
    """Return the table as text: one row a network, accuracies in %, differences to the parent in points."""
    from pandas import DataFrame

    shown = columns_of(frame)
    return DataFrame([{column.title: column.show(row) for column in shown} for row in records(frame)])


def columns_of(frame: DataFrame) -> list[Column]:
    """Return the columns of the table that is shown, in order."""
    names = names_of(frame)
    found = [_plain("model"), _plain("strategy")]
    if frame["recipe"].replace("", None).nunique() > 1:
        found.append(_plain("recipe"))
    found.append(Column(title="blocks removed", show=_removed, sort="removed"))
    costs = of_columns([*frame.columns])
    found += [Column(title=cost.name, show=_cost(cost), sort=cost.column) for cost in costs if cost.cell]
    titles = {WORST: f"{WORST}, all threats"} if len(frame.attrs.get("threats", [])) > 1 else {}
    found += [Column(title=f"{titles.get(name, name)} %", show=_share(name), sort=name) for name in names]
    recalls = [f"{word}, {claim}" for word in WORDS.values() for claim in (CLEAN, WORST)]
    found += [Column(title=f"{name} %", show=_share(name), sort=name) for name in recalls if name in frame]
    for name in dict.fromkeys([names[0], names[-1]]):
        found.append(Column(title=f"change, {name}", show=_difference(name), sort=f"{name} difference"))
    if "perplexity" in frame:
        found.append(Column(title="perplexity", show=_perplexity, sort="perplexity"))
        found.append(Column(title="perplexity beside the parent's", show=_ratio, sort="perplexity_ratio"))
    found.append(Column(title=f"above {STANDARD}'s", show=_overstated, sort="overstated"))
    return [*found, _plain("runs"), Column(title="evidence", show=_trust, sort="trust")]


def differences(frame: DataFrame) -> DataFrame:
    """Return the differences to the parent, measure by measure, as text; parents are left out."""
    from pandas import DataFrame

    names = names_of(frame)
    children = [row for row in records(frame) if not is_parent(row, names)]
    columns: dict[str, Cell] = {name: _text(name) for name in ("model", "strategy", "removed")}
    columns |= {name: _difference(name) for name in names}
    return DataFrame([{name: show(row) for name, show in columns.items()} for row in children])


def records(frame: DataFrame) -> list[Row]:
    """Return the rows of a frame as mappings from column to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def names_of(frame: DataFrame) -> list[str]:
    """Return the claims that a comparison frame holds, in order."""
    return [column.removesuffix(" p holm") for column in frame.columns if column.endswith(" p holm")]


def is_parent(row: Row, names: Sequence[str]) -> bool:
    """Say whether a row of a comparison frame is a parent: nothing stands before it to differ from."""
    return _missing(row[f"{names[0]} difference"])


def _pipe(shown: DataFrame) -> str:
    return pipe([*shown.columns], shown.to_numpy().tolist())


def _unreckoned(value: Any) -> Any:
    """Return text that a spreadsheet would take for a formula with a quote before it; all else as it is.

    >>> _unreckoned("=1+1"), _unreckoned("cka"), _unreckoned(-0.5)
    ("'=1+1", 'cka', -0.5)
    """
    if not isinstance(value, str):
        return value
    return f"'{printable(value)}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else printable(value)


def _missing(value: object) -> bool:
    return value is None or value != value


def _text(column: str) -> Cell:
    return lambda row: str(row[column])


def _plain(column: str) -> Column:
    return Column(title=column, show=_text(column), sort=column)


def _removed(row: Row) -> str:
    units = "" if row["units"] == BLOCKS else f" {row['units']}"
    return f"{row['removed']} of {row['removable']}{units}"


def _overstated(row: Row) -> str:
    """Write by how many points robust accuracy is too high, and beside which attack where it is not the usual one."""
    if _missing(row["overstated"]):
        return NONE
    if not row["overstated_bounded"]:
        return "not bounded"
    bound = f"{100 * row['overstated']:.1f}"
    exact = row["overstated"] - row["overstated_found"] < EXACT
    name = "" if row["overstated_beside"] == STANDARD else f" ({row['overstated_beside']})"
    return (bound if exact else f"at most {bound}") + name


def _trust(row: Row) -> str:
    """Write the worst trust of a row, in how many of its cases where not in all, and apart from it what else failed."""
    partly = f" ({row['trust_cases']} of {row['cases']})" if row["trust_cases"] < row["cases"] else ""
    beside = [] if _missing(row["findings"]) or not row["findings"] else [row["findings"]]
    return standing(row["trust"], row["skipped"], beside, partly)


def _cost(cost: CostMeasure) -> Cell:
    """Write a cost; in parentheses what is saved of the parent's, or the factor to it for what is timed."""

    def show(row: Row) -> str:
        value, beside = row[cost.column], row[cost.beside] if cost.beside else None
        if _missing(value) or cost.cell is None:
            return NONE
        text = cost.cell(value)
        if _missing(beside):
            return text
        if cost.timed:
            return f"{text} ({beside:.2f}x{_doubt(row, cost)})"
        return f"{text} ({-100 * beside:+.2f} %)" if beside else text

    return show


def _doubt(row: Row, cost: CostMeasure) -> str:
    """Write how far the ratio of a time can be believed; a table from before that was measured does not say."""
    low, high, busy = (row.get(f"{cost.beside} {end}") for end in ("low", "high", "busy"))
    return doubt(
        None if low is None or high is None or _missing(low) else (low, high), not _missing(busy) and busy == 1
    )


def _share(name: str) -> Cell:
    def show(row: Row) -> str:
        if _missing(row[name]):
            return NONE
        mean, low, high, least, most = (row[f"{name}{end}"] for end in ("", " low", " high", " min", " max"))
        spread = f" ({100 * least:.1f} to {100 * most:.1f})" if row["runs"] > 1 else ""
        return between(mean, low, high, sign="") + spread

    return show


def _perplexity(row: Row) -> str:
    if _missing(row["perplexity"]):
        return NONE
    spread = f" ({row['perplexity min']:.2f} to {row['perplexity max']:.2f})" if row["runs"] > 1 else ""
    return f"{row['perplexity']:.2f}{spread}"


def _ratio(row: Row) -> str:
    if _missing(row["perplexity_ratio"]):
        return NONE
    value, low, high, p = (row[f"perplexity_ratio{end}"] for end in ("", " low", " high", " p adjusted"))
    mark = " *" if p < ALPHA else ""
    return f"x {value:.3f} [{low:.3f}, {high:.3f}]{mark}"


def _difference(name: str) -> Cell:
    def show(row: Row) -> str:
        if _missing(row[f"{name} difference"]):
            return NONE
        p = row[f"{name} p holm"]
        mark = " *" if not _missing(p) and p < ALPHA else ""
        return points_between(*(row[f"{name} difference{end}"] for end in ("", " low", " high"))) + mark

    return show
