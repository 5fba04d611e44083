"""What the HTML page shows, as plain values: the template only lays it out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from robustprune.policy import Policy
from robustprune.report.formats import LEFT, columns_of, names_of, records
from robustprune.report.notes import plural
from robustprune.report.standing import standing, tally
from robustprune.results import CaseResult
from robustprune.verdict import Decision, Finding, Verdict, summary

if TYPE_CHECKING:
    from pandas import DataFrame, Series

View = dict[str, Any]

SIGNS: dict[Decision, str] = {"PASS": "✓", "FAIL": "✕", "INCONCLUSIVE": "?", "UNTRUSTED": "!"}

MEANINGS: dict[Decision, str] = {
    "PASS": "Every measure is shown to lie within the margins of the policy.",
    "FAIL": "At least one measure is shown to lie outside the margins of the policy.",
    "INCONCLUSIVE": "The samples are too few to show that every measure lies within its margin.",
    "UNTRUSTED": "The evidence does not hold, so the numbers decide nothing.",
}

MOST_REASONS = 4

STATUSES = ("fail", "skipped", "pass")

GLOSSARY = {
    "robust accuracy": "Share of all samples that are right and stay right under the attack. An upper bound.",
    "worst case": "Share of samples that withstand every attack of the table.",
    "change": "Network minus parent on the same samples, in points of accuracy, with its 95 % interval.",
    "margin": "The largest drop the policy allows. PASS needs the whole interval above minus the margin.",
    "evidence": "TRUSTED: no validity check failed. SUSPECT: one did. INVALID: one that blocks did.",
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


def verdict_view(verdict: Verdict) -> View:
    """Prepare a verdict: sign, meaning, reasons, and its findings with their interval pictures."""
    scale = _scale(verdict.findings)
    meaning = MEANINGS[verdict.verdict]
    if verdict.needed_n:
        meaning += f" About {verdict.needed_n:,} samples would settle differences like these."
    return {
        "case": verdict.case,
        "parent": verdict.parent,
        "verdict": verdict.verdict,
        "sign": SIGNS[verdict.verdict],
        "meaning": meaning,
        "reasons": _reasons(verdict),
        "findings": [_finding_view(finding, scale) for finding in verdict.findings],
    }


def _reasons(verdict: Verdict) -> list[str]:
    """The reasons in full while they are few, else the measures they are about; none for a PASS."""
    decisive = [finding for finding in verdict.findings if finding.verdict == verdict.verdict]
    if verdict.verdict == "PASS":
        return []
    if len(decisive) <= MOST_REASONS:
        return [typeset(finding.text) for finding in decisive]
    return ["; ".join(finding.measure for finding in decisive)]


def counts(verdicts: Sequence[Verdict]) -> list[View]:
    """Count verdicts for the head of the page, leaving out what did not occur."""
    return [
        {"verdict": decision, "sign": SIGNS[decision], "count": count}
        for decision, count in summary(verdicts).items()
        if count
    ]


def policy_rows(policy: Policy) -> list[tuple[str, str]]:
    """Write the policy as name and value."""
    return [(name, "not judged" if value is None else f"{value}") for name, value in asdict(policy).items()]


def table_view(frame: DataFrame) -> View:
    """Prepare the comparison table: titles, and rows of cells with a value to sort by.

    What decides comes first: the worst case and clean accuracy with their changes, then each attack, then
    costs.
    """
    names, rows = names_of(frame), records(frame)
    first = ["model", "strategy", "recipe", "removed", names[-1], f"{names[-1]} difference", names[0]]
    order = dict.fromkeys([*first, f"{names[0]} difference", *names])
    ranks = {name: rank for rank, name in enumerate(order)}
    columns = sorted(columns_of(frame), key=lambda column: ranks.get(column.sort, len(ranks)))
    heads = [_head(column.title, frame[column.sort]) for column in columns]
    cells = [[_cell(column.show(row), row[column.sort]) for column in columns] for row in rows]
    parents = [row["strategy"] == "parent" for row in rows]
    return {"heads": heads, "rows": [{"cells": c, "parent": p} for c, p in zip(cells, parents, strict=True)]}


def section_view(title: str, paragraphs: Sequence[str], table: DataFrame | None) -> View:
    """Prepare a further section; numbers sort as numbers, cells are shown as they are."""
    view: View = {"title": title, "paragraphs": list(paragraphs), "table": None}
    if table is not None and not table.empty:
        rows = [[_whole(value) for value in row.values()] for row in records(table)]
        heads = [_head(str(name), table[name]) for name in table.columns]
        view["table"] = {"heads": heads, "rows": [{"cells": cells, "parent": False} for cells in rows]}
    return view


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


def check_rows(cases: Sequence[CaseResult]) -> list[View]:
    """Fold the validity checks of all cases: how often each passed, failed, was skipped; failures first."""
    found: dict[tuple[int, str], list[View]] = {}
    for case in cases:
        for check in case.checks:
            seen = {"case": case.case, "status": check.status, "evidence": check.evidence}
            found.setdefault((check.number, check.name), []).append(seen | {"blocking": check.blocking})
    rows = []
    for (number, name), seen_all in found.items():
        seen_all.sort(key=lambda seen: STATUSES.index(seen["status"]))
        tally = {status: sum(seen["status"] == status for seen in seen_all) for status in STATUSES}
        row = {"number": number, "name": name, "status": seen_all[0]["status"], "seen": seen_all}
        rows.append(row | tally | {"blocking": any(seen["blocking"] for seen in seen_all)})
    return sorted(rows, key=lambda row: (STATUSES.index(row["status"]), row["number"]))


def network_rows(cases: Sequence[CaseResult]) -> list[View]:
    """Say what each network is: hashes, seed, and the blocks that are gone."""
    return [
        {
            "case": case.case,
            "weights": case.weights_hash,
            "samples": case.sample_hash,
            "trust": case.trust,
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
    value, *details = re.split(r" (?=[\[(])", text)
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


def _scale(findings: Sequence[Finding]) -> tuple[float, float]:
    """Return the ends of a scale on which every interval, every margin and 0 have room."""
    ends = [0.0]
    for finding in findings:
        if finding.low is not None and finding.high is not None:
            ends += [finding.low, finding.high, -(finding.margin or 0.0)]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    return min(ends) - room, max(ends) + room


def _finding_view(finding: Finding, scale: tuple[float, float]) -> View:
    """Prepare a finding; where it has an interval, the places of its marks from 0 to 100 along the scale."""
    place: Mapping[str, float] = {}
    if finding.low is not None and finding.high is not None and finding.difference is not None:
        marks = {"low": finding.low, "high": finding.high, "middle": finding.difference, "zero": 0.0}
        marks["margin"] = -(finding.margin or 0.0)
        left, right = scale
        place = {name: round(100 * (value - left) / (right - left), 2) for name, value in marks.items()}
    text = finding.text.removeprefix(f"{finding.measure}: ").removeprefix(f"{finding.measure} ")
    return {
        "measure": finding.measure,
        "verdict": finding.verdict,
        "sign": SIGNS[finding.verdict],
        "text": typeset(text),
        "place": place,
    }
