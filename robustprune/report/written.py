"""Results in one of the forms that a report has: Markdown, CSV, LaTeX, or one HTML page with verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from robustprune.policy.policy import Policy, judge_all
from robustprune.report import formats, standing, voters
from robustprune.report.beneath import parts
from robustprune.report.contest import strategies
from robustprune.report.markdown import sections
from robustprune.report.table import comparison
from robustprune.results.records import CaseResult

TABLE = "table.md"
"""The file that people read first."""


def rendered(cases: Sequence[CaseResult], form: str, policy: Policy | None = None) -> str:
    """Show results as a Markdown (md), CSV or LaTeX (tex) table, or as one HTML page with verdicts by `policy`."""
    if form == "html":
        from robustprune.report.html import render
        from robustprune.report.pictures import suite_pictures

        verdicts = judge_all(cases, policy)
        return render(cases[0].suite, cases, verdicts=verdicts, policy=policy, pictures=suite_pictures(cases))
    (text,) = tables(cases, [form])
    return text


def files(cases: Sequence[CaseResult]) -> dict[str, str]:
    """Return the tables that are kept, by the name of the file; votes.csv where two criteria or more scored blocks."""
    forms = {TABLE: "md", "table.csv": "csv"}
    votes = voters.frame(cases)
    more = {} if votes.empty else {"votes.csv": formats.to_csv(votes)}
    return dict(zip(forms, tables(cases, forms.values()), strict=True)) | more


def tables(cases: Sequence[CaseResult], forms: Iterable[str]) -> Iterator[str]:
    """Show results as a table in several forms: Markdown (md), CSV and LaTeX (tex)."""
    frame = comparison(cases)
    for form in forms:
        if form == "md":
            contest = standing.to_markdown(strategies(cases))
            yield formats.to_markdown(frame) + contest + sections(parts(cases))
        else:
            yield {"csv": formats.to_csv, "tex": formats.to_latex}[form](frame)
