"""From the numeric comparison frame to text: Markdown, CSV, LaTeX.

Numbers are rounded only here. Plain ASCII signs are used, so that every format and terminal can show them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustprune.report.notes import ALPHA

if TYPE_CHECKING:
    from pandas import DataFrame

Row = Mapping[str, Any]
Cell = Callable[[Row], str]

NONE = "-"
LEFT = ("model", "strategy", "recipe", "beside", "robustness", "evidence")
"""Columns of words; numbers are aligned to the right."""


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
    parts = [pipe(display(frame))]
    changes = differences(frame)
    if len(names_of(frame)) > 3 and not changes.empty:
        parts += ["Difference to the parent in points, attack by attack:", pipe(changes)]
    found = frame.attrs.get("notes", [])
    parts += ["\n".join(f"- {note}" for note in found)] if found else []
    return "\n\n".join(parts) + "\n"


def to_csv(frame: DataFrame) -> str:
    """Write the numeric frame as CSV, unrounded up to 10 digits."""
    return str(frame.to_csv(index=False, float_format="%.10g", lineterminator="\n"))


def to_latex(frame: DataFrame) -> str:
    """Write the comparison as a LaTeX tabular (package booktabs), the notes as comments above it."""
    from tabulate import tabulate

    shown = display(frame)
    comments = "".join(f"% {note}\n" for note in frame.attrs.get("notes", []))
    table = tabulate(shown.to_numpy().tolist(), list(shown.columns), tablefmt="latex_booktabs")
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
    found.append(Column(title="MACs", show=_size("macs"), sort="macs"))
    found.append(Column(title="parameters", show=_size("params"), sort="params"))
    for batch in _batches(frame):
        found.append(Column(title=f"latency, batch {batch}", show=_latency(batch), sort=f"latency_ms {batch}"))
    found.append(Column(title="memory", show=_memory, sort="memory_bytes"))
    found += [Column(title=f"{name} %", show=_share(name), sort=name) for name in names]
    for name in dict.fromkeys([names[0], names[-1]]):
        found.append(Column(title=f"change, {name}", show=_difference(name), sort=f"{name} difference"))
    return [*found, _plain("seeds"), Column(title="evidence", show=_text("trust"), sort="trust")]


def differences(frame: DataFrame) -> DataFrame:
    """Return the differences to the parent, measure by measure, as text; parents are left out."""
    from pandas import DataFrame

    names = names_of(frame)
    children = [row for row in records(frame) if not _missing(row[f"{names[0]} difference"])]
    columns: dict[str, Cell] = {name: _text(name) for name in ("model", "strategy", "removed")}
    columns |= {name: _difference(name) for name in names}
    return DataFrame([{name: show(row) for name, show in columns.items()} for row in children])


def records(frame: DataFrame) -> list[Row]:
    """Return the rows of a frame as mappings from column to value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def names_of(frame: DataFrame) -> list[str]:
    """Return the measures of accuracy that a comparison frame holds, in order."""
    return [column.removesuffix(" p holm") for column in frame.columns if column.endswith(" p holm")]


def pipe(shown: DataFrame) -> str:
    """Write a table of text as Markdown."""
    from tabulate import tabulate

    body = [[str(cell).replace("|", "\\|") for cell in row] for row in shown.to_numpy().tolist()]
    align = ["left" if name in LEFT else "right" for name in shown.columns]
    return tabulate(body, list(shown.columns), tablefmt="pipe", colalign=align, disable_numparse=True)


def _batches(frame: DataFrame) -> list[str]:
    prefix = "latency_ms "
    return [column.removeprefix(prefix) for column in frame.columns if column.startswith(prefix)]


def _missing(value: object) -> bool:
    return value is None or value != value


def _text(column: str) -> Cell:
    return lambda row: str(row[column])


def _plain(column: str) -> Column:
    return Column(title=column, show=_text(column), sort=column)


def _removed(row: Row) -> str:
    return f"{row['removed']} of {row['removable']}"


def _memory(row: Row) -> str:
    return f"{row['memory_bytes'] / 2**20:.1f} MiB"


def _size(column: str) -> Cell:
    def show(row: Row) -> str:
        saved = row[f"{column}_saved"]
        value = row[column]
        size = f"{value / 1e6:.2f} M" if value >= 1e5 else f"{value:,.0f}"
        return size if _missing(saved) or saved == 0 else f"{size} ({-100 * saved:+.2f} %)"

    return show


def _latency(batch: str) -> Cell:
    def show(row: Row) -> str:
        median, ratio = row[f"latency_ms {batch}"], row[f"latency_ratio {batch}"]
        if _missing(median):
            return NONE
        return f"{median:.3g} ms" if _missing(ratio) else f"{median:.3g} ms ({ratio:.2f}x)"

    return show


def _share(name: str) -> Cell:
    def show(row: Row) -> str:
        if _missing(row[name]):
            return NONE
        mean, low, high, least, most = (100 * row[f"{name}{end}"] for end in ("", " low", " high", " min", " max"))
        spread = f" ({least:.1f} to {most:.1f})" if row["seeds"] > 1 else ""
        return f"{mean:.1f} [{low:.1f}, {high:.1f}]{spread}"

    return show


def _difference(name: str) -> Cell:
    def show(row: Row) -> str:
        if _missing(row[f"{name} difference"]):
            return NONE
        mean, low, high = (100 * row[f"{name} difference{end}"] for end in ("", " low", " high"))
        mark = " *" if row[f"{name} p holm"] < ALPHA else ""
        return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]{mark}"

    return show
