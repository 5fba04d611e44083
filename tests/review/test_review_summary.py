"""The words of a review: what the headline says, and that a table cell cannot break the table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robustprune.policy.findings import Finding, Verdict
from robustprune.results.overstated import by_threat
from robustprune.review.summary import headline, needed, to_markdown, to_text


def verdict(*findings):
    made = tuple(
        Finding(measure=f"m{index}", verdict=decision, text="", needed_n=size)
        for index, (decision, size) in enumerate(findings)
    )
    order = ("UNTRUSTED", "FAIL", "INCONCLUSIVE", "PASS")
    return Verdict(case="c", parent="p", verdict=min((f.verdict for f in made), key=order.index), findings=made)


@pytest.mark.parametrize(
    ("findings", "text"),
    [
        ([("PASS", None)], ""),
        (
            [("INCONCLUSIVE", 381), ("INCONCLUSIVE", 1500), ("PASS", None)],
            "; about 1,500 samples would settle it",
        ),
        ([("INCONCLUSIVE", 381), ("INCONCLUSIVE", None)], "; it takes at least about 381 samples"),
        ([("INCONCLUSIVE", None)], ""),
        ([("INCONCLUSIVE", 381), ("UNTRUSTED", None)], ""),
        ([("INCONCLUSIVE", 381), ("FAIL", None)], ""),
    ],
)
def test_the_sample_size_is_named_only_where_it_would_help(findings, text):
    assert needed(verdict(*findings)) == text


def test_markdown_and_terminal_say_the_same(noisy):
    markdown, text = to_markdown(noisy, seal="abc"), to_text(noisy)
    assert markdown.startswith(f"## robustprune review: {headline(noisy)}\n")
    for reason in noisy.verdict.reasons:
        assert f"- {reason}\n" in markdown
        assert f"  {reason}\n" in text
    for side, case in (("candidate", noisy.candidate), ("parent", noisy.parent)):
        (bound,) = by_threat(case).values()
        assert f"- {side}, {bound.threat}: {bound.text}\n" in markdown
        assert f"  {side}, {bound.threat}: {bound.text}\n" in text
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert {row.count("|") for row in rows} == {5}
    assert "`abc`" in markdown


def test_a_name_with_a_bar_does_not_break_the_table(noisy):
    outcomes = [replace(one, attack="a|b") for one in noisy.candidate.outcomes[:1]]
    theirs = [replace(one, attack="a|b") for one in noisy.parent.outcomes[:1]]
    odd = replace(
        noisy,
        candidate=replace(noisy.candidate, outcomes=outcomes),
        parent=replace(noisy.parent, outcomes=theirs),
    )
    (row,) = [line for line in to_markdown(odd).splitlines() if line.startswith("| robust accuracy, a")]
    assert row.replace("\\|", "").count("|") == 5
