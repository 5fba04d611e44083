"""Sensitivity and specificity, corruptions one by one and the worst case over all threats, in table, gate and JSON."""

import json
import math

import made_up
import pytest

from robustprune.policy import Policy, judge
from robustprune.report.attackers import parts
from robustprune.report.figures import to_svg
from robustprune.report.formats import display, to_markdown
from robustprune.report.pictures import suite_pictures
from robustprune.report.table import comparison
from robustprune.results.each import WITHSTOOD
from robustprune.results.recall import SENSITIVITY
from robustprune.results.records import from_record, to_record
from robustprune.results.statistics import wilson
from robustprune.run.attacked import Result
from robustprune.run.chunks import joined

N = 40
SICK = [i % 4 != 0 for i in range(N)]
"""Three of four are sick, class 1."""


def corrupted(status, severity, counts):
    one = made_up.outcome("common corruptions", status, norm="severity", eps=float(severity))
    one.notes[WITHSTOOD] = counts
    return one


def network(wrong=(), broken=(), blurred=(), **fields):
    clean = [i not in wrong for i in range(N)]
    pgd, harsh = ([i not in wrong and i not in some for i in range(N)] for some in (broken, blurred))
    counts = {"blur": sum(harsh), "jpeg": sum(clean)}
    outcomes = [made_up.outcome("PGD-20", made_up.statuses(clean, pgd))]
    outcomes += [corrupted(made_up.statuses(clean, harsh), severity, counts) for severity in (1, 3)]
    labels = {"labels": [int(one) for one in SICK], "classes": ["normal", "pneumonia"]}
    return made_up.case(clean, outcomes, **{**labels, **fields})


PARENT = network(wrong=(0, 1), broken=range(2, 8), blurred=(8, 9))
CHILD = network(
    wrong=(0, 1, 4), broken=range(2, 12), blurred=(12,), case="net/cut", parent="net/parent", strategy="cka"
)


def test_the_table_shows_both_recalls_clean_and_in_the_worst_case_with_intervals():
    frame = comparison([PARENT, CHILD])
    shown = display(frame)
    child = frame.iloc[1]
    for column, sick, lost in [
        ("sensitivity, clean", True, {1}),
        ("specificity, clean", False, {0, 4}),
        ("sensitivity, worst case", True, {1, *range(2, 12)}),
        ("specificity, worst case", False, {0, 4, *range(2, 13)}),
    ]:
        members = [i for i in range(N) if SICK[i] == sick]
        right = sum(i not in lost for i in members)
        assert child[column] == pytest.approx(right / len(members))
        assert (child[f"{column} low"], child[f"{column} high"]) == pytest.approx(wilson(right, len(members)))
        assert shown[f"{column} %"][1].startswith(f"{100 * right / len(members):.1f} [")
    many = [made_up.case([True] * 8, case=name) for name in ("net/parent",)]
    assert not [name for name in comparison(many).columns if SENSITIVITY in name]


def test_the_gate_judges_both_recalls():
    verdict = judge(CHILD, PARENT, Policy(max_class_drop=0.05))
    found = {one.measure: one for one in verdict.findings}
    specificity = found["clean accuracy, specificity (normal)"]
    assert (specificity.n, specificity.difference) == (10, -0.1)
    assert found["clean accuracy, sensitivity (pneumonia)"].difference == 0
    robust = found["robust accuracy, sensitivity (pneumonia)"]
    assert robust.difference == pytest.approx(-2 / 30)  # 10 and 11, beside 9, which both lost
    assert robust.low < robust.difference < robust.high
    assert not [name for name in found if "worst class" in name]


def test_the_worst_case_is_over_all_threats_and_says_so():
    together = [i not in (0, 1, 4) and not 2 <= i < 13 for i in range(N)]
    assert CHILD.worst == together
    frame = comparison([PARENT, CHILD])
    assert frame["worst case"][1] == sum(together) / N
    assert "worst case, all threats %" in display(frame).columns
    assert "All threats: Linf 8/255, severity 1, severity 3." in to_markdown(frame)
    balls = [made_up.case([True] * 8, [made_up.outcome("a", "r" * 8), made_up.outcome("b", "r" * 8, norm="L2", eps=1)])]
    assert "worst case %" in display(comparison(balls)).columns


def test_corruptions_are_shown_one_by_one_with_mean_and_worst():
    (about,) = [rows for title, _, rows in parts([PARENT, CHILD]) if title == "Accuracy under each corruption"]
    assert [row["threat"] for row in about] == ["severity 1", "severity 3"] * 2
    blur, jpeg = 100 * 36 / N, 100 * 37 / N
    assert float(about[2]["mean"]) == pytest.approx((blur + jpeg) / 2, abs=0.051)
    assert {"worst": "blur", "blur": f"{blur:.1f}", "jpeg": f"{jpeg:.1f}"}.items() <= about[2].items()
    assert about[2]["all at once"] == f"{blur:.1f}"
    again = from_record(json.loads(json.dumps(to_record(CHILD)).replace("NaN", "null")))
    assert again.outcomes[1].notes == CHILD.outcomes[1].notes


def test_severities_make_a_curve():
    pictures = {one.title: one for one in suite_pictures([PARENT, CHILD])}
    assert "Robust accuracy over severity" in pictures
    assert "pixel" not in to_svg(pictures["Robust accuracy over severity"].figure)


def test_what_was_withstood_adds_up_over_chunks():
    one, two = (corrupted("rb", 3, {"blur": k, "jpeg": 2}) for k in (1, 0))
    whole = joined([Result(clean=[True, True], outcomes=[part]) for part in (one, two)])
    assert whole.outcomes[0].notes[WITHSTOOD] == {"blur": 1, "jpeg": 4}
    assert whole.outcomes[0].status == "rrbb"
    assert all(math.isnan(at) for at in whole.outcomes[0].distance[:2])
