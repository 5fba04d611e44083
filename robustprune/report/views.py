"""What the HTML page shows beside the verdicts, as plain values: the template only lays it out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustprune.report.formats import columns_of, is_parent, names_of, records
from robustprune.report.markdown import LEFT, Part
from robustprune.report.standing import standing, tally
from robustprune.results.checks import CATALOGUE, kind_of
from robustprune.results.records import CaseResult
from robustprune.results.trust import in_words
from robustprune.results.words import plural

if TYPE_CHECKING:
    from pandas import DataFrame, Series

View = dict[str, Any]

STATUSES = ("fail", "skipped", "pass")

CHECKED = {
    True: "Can the attack be believed? These decide between TRUSTED, SUSPECT and INVALID. Failures first.",
    False: "Is the network good enough, and the sample large enough? A failure here says nothing against the attack.",
}
"""What the two parts of the validity checks ask: those of the attack, and the others."""

GLOSSARY = {
    "robust accuracy": "Share of all samples that are right and stay right under the attack. An upper bound.",
    "worst case": "Share of samples that withstand every attack of the table.",
    "blocks removed": (
        "Of the blocks that can be removed. Those that change the size or the number of channels have to stay and are "
        "not among them, so a network has more residual blocks than that."
    ),
    "change": "Network minus parent on the same samples, in points of accuracy, with its 95 % interval.",
    "margin": "The largest drop the policy allows. PASS needs the whole interval above minus the margin.",
    "above AutoAttack's": "How far robust accuracy can be above what AutoAttack's standard set leaves, in points.",
    "evidence": (
        "Can the attack be believed? TRUSTED: no validity check of it failed; beside it, how many were skipped. "
        "SUSPECT: one failed. INVALID: one that blocks did. What else failed, of the network or of the sample, stands "
        "behind it and says nothing against the number."
    ),
    "MACs": "Multiply-accumulates for one sample. FLOPs fall by the same share.",
}


def lead(cases: Sequence[CaseResult]) -> str:
    """Say in one line what was compared."""
    suites = ", ".join(dict.fromkeys(case.suite for case in cases))
    attacks = dict.fromkeys(outcome.attack for case in cases for outcome in case.outcomes)
    models = dict.fromkeys(case.model for case in cases)
    n = max((len(case.labels) for case in cases), default=0)
    return (
        f"{suites}: {plural(len(cases), 'network')} ({', '.join(models)}) on {plural(n, 'sample')}, "
        f"attacked with {', '.join(attacks) or 'nothing'}"
    )


def table_view(frame: DataFrame) -> View:
    """Prepare the comparison table: titles, and rows of cells with a value to sort by.

    What decides comes first: the worst case with its change and what it is worth, clean accuracy with its change, then
    each attack, then costs.
    """
    names, rows = names_of(frame), records(frame)
    first = ["model", "strategy", "recipe", "removed", names[-1], f"{names[-1]} difference", "trust", names[0]]
    order = dict.fromkeys([*first, f"{names[0]} difference", *names])
    ranks = {name: rank for rank, name in enumerate(order)}
    columns = sorted(columns_of(frame), key=lambda column: ranks.get(column.sort, len(ranks)))
    heads = [_head(column.title, frame[column.sort]) for column in columns]
    cells = [[_cell(column.show(row), row[column.sort]) for column in columns] for row in rows]
    parents = [is_parent(row, names) for row in rows]
    return {"heads": heads, "rows": [{"cells": c, "parent": p} for c, p in zip(cells, parents, strict=True)]}


def section_view(title: str, paragraphs: Sequence[str], table: DataFrame | None) -> View:
    """Prepare a further section; numbers sort as numbers, cells are shown as they are."""
    view: View = {"title": title, "paragraphs": list(paragraphs), "table": None, "cards": ()}
    if table is not None and not table.empty:
        rows = [[_whole(value) for value in row.values()] for row in records(table)]
        heads = [_head(str(name), table[name]) for name in table.columns]
        view["table"] = {"heads": heads, "rows": [{"cells": cells, "parent": False} for cells in rows]}
    return view


def part_view(part: Part) -> View:
    """Prepare a section whose table is rows of text."""
    from pandas import DataFrame

    title, paragraphs, rows = part
    return section_view(title, paragraphs, DataFrame(rows))


def contest_view(contests: DataFrame) -> View | None:
    """Prepare the pairs of strategies: a sentence and a table; None where nothing is compared."""
    sentence, table = tally(contests), standing(contests)
    if not sentence:
        return None
    heads = [{"title": name, "numeric": name not in LEFT} for name in table.columns]
    rows = [
        [_cell(text, text if name in LEFT else _leading(text)) for name, text in row.items()] for row in records(table)
    ]
    table_view = {"heads": heads, "rows": [{"cells": cells, "parent": False} for cells in rows]}
    return {"title": "Which strategy keeps more?", "paragraphs": [sentence], "table": table_view}


def check_groups(cases: Sequence[CaseResult]) -> list[View]:
    """Part the validity checks: can the attack be believed, and is the network, and the sample, good enough."""
    rows = check_rows(cases)
    parts = {True: [row for row in rows if row["kind"] == "attack"], False: [r for r in rows if r["kind"] != "attack"]}
    return [{"title": CHECKED[of_attack], "checks": part} for of_attack, part in parts.items() if part]


def check_rows(cases: Sequence[CaseResult]) -> list[View]:
    """Fold the validity checks of all cases: in how many each passed, failed, was skipped; failures first.

    Each has its kind, and what holds where it passes. A check is made once for every threat model; a case counts once,
    by the worst that was seen.
    """
    found: dict[tuple[int, str], list[View]] = {}
    for case in cases:
        for check in case.checks:
            seen = {"case": case.case, "status": check.status, "evidence": check.evidence}
            found.setdefault((check.number, check.name), []).append(seen | {"blocking": check.blocking})
    rows = []
    for (number, name), seen_all in found.items():
        seen_all.sort(key=lambda seen: STATUSES.index(seen["status"]))
        worst = {seen["case"]: seen["status"] for seen in reversed(seen_all)}
        tally = {status: [*worst.values()].count(status) for status in STATUSES}
        row = {"number": number, "name": name, "status": seen_all[0]["status"], "seen": seen_all}
        holds = CATALOGUE[number].holds if number in CATALOGUE else ""
        row |= {"kind": kind_of(number), "holds": holds, "blocking": any(seen["blocking"] for seen in seen_all)}
        rows.append(row | tally)
    return sorted(rows, key=lambda row: (STATUSES.index(row["status"]), row["number"]))


def network_rows(cases: Sequence[CaseResult]) -> list[View]:
    """Say what each network is: hashes, seed, and the blocks that are gone."""
    return [
        {
            "case": case.case,
            "weights": case.weights_hash,
            "samples": case.sample_hash,
            "trust": in_words(case),
            "removed": ", ".join(case.removed) or "none",
        }
        for case in cases
    ]


def environment_rows(cases: Sequence[CaseResult]) -> list[tuple[str, str]]:
    """List the environment; where cases differ, every value is shown."""
    found: dict[str, dict[str, None]] = {}
    for case in cases:
        for name, value in case.environment.items():
            found.setdefault(name, {})[str(value)] = None
    return [(name, "; ".join(values)) for name, values in found.items()]


def _cell(text: str, sort: object) -> View:
    """Split a cell into its value, what qualifies it (an interval, a range), and the value to sort by."""
    value, *details = re.split(r" (?=[\[(])|(?<=;) ", text)
    missing = sort is None or sort != sort
    return {
        "value": typeset(value),
        "details": [typeset(detail) for detail in details],
        "sort": "" if missing else str(sort),
    }


def typeset(text: str) -> str:
    """Write a true minus before digits, and an arrow.

    >>> typeset("4.0 -> 3.0, -1.0 points, PGD-20")
    '4.0 → 3.0, −1.0 points, PGD-20'
    """
    return re.sub(r"(?<![\w.])-(?=\d)", "\u2212", text.replace("->", "→"))


def _leading(text: str) -> float | None:
    """Return the number that a cell begins with, "+1.2 [-0.3, +2.7]" say; None where there is none."""
    number = re.match(r"(?:< )?([-+]?[0-9.]+)", text)
    return float(number[1]) if number else None


def _whole(value: object) -> View:
    return {"value": str(value), "details": [], "sort": "" if value != value else str(value)}


def _head(title: str, values: Series[Any]) -> View:
    from pandas.api.types import is_numeric_dtype

    return {"title": title, "numeric": is_numeric_dtype(values)}
