"""What reports say of the attacks: what an attacker may spend, and which attack carries the verdict."""

from dataclasses import replace

import made_up
import pytest

from robustprune import results
from robustprune.report import attackers
from robustprune.report.html import render
from robustprune.report.written import rendered
from robustprune.results.optimality import Reach, with_optimality
from robustprune.results.records import from_record, to_record

GRID = [1.0, 2.0, 4.0]
CHAIN = [
    replace(made_up.outcome("weak", "bbrrre", eps=2.0), knowledge="labels by query", allowed_forwards=5000),
    replace(made_up.outcome("strong", "ppbbre", eps=2.0), knowledge="white box", allowed_forwards=11),
]
CHAIN = [replace(one, allowed_backwards=10 * number) for number, one in enumerate(CHAIN)]
REACH = with_optimality(
    [
        Reach(attack="weak", norm="Linf", grid=GRID, breaks=[1.0, 2.0, 4.0, None, None, 0.0], forwards=1234),
        Reach(
            attack="strong", norm="Linf", grid=GRID, breaks=[2.0, 2.0, 1.0, 2.0, 4.0, 0.0], forwards=60, backwards=50
        ),
    ]
)
CLEAN = [True] * 5 + [False]
PARENT = made_up.case(CLEAN, CHAIN, reach=REACH)
EARLIER = made_up.case(CLEAN, [made_up.outcome("weak", "bbrrre", eps=2.0)])


def rows(case, title):
    return next((rows for name, _, rows in attackers.parts([case]) if name == title), None)


def test_queries_gradient_passes_and_knowledge_of_each_attack_are_shown():
    weak, strong = rows(PARENT, attackers.BUDGETS)
    assert weak == {
        "attack": "weak",
        "threat": "Linf 510/255",
        "knowledge": "labels by query",
        "queries": "5,000",
        "gradient passes": "0",
    }
    assert (strong["knowledge"], strong["queries"], strong["gradient passes"]) == ("white box", "11", "10")
    (unsaid,) = rows(EARLIER, attackers.BUDGETS)
    assert (unsaid["knowledge"], unsaid["queries"], unsaid["gradient passes"]) == ("not stated",) * 3


def test_which_attack_carries_the_verdict():
    """By hand: robust accuracy under both together is 5, 3, 1 and 0 sixths at eps 0, 1, 2 and 4."""
    weak, strong = rows(PARENT, attackers.CARRIES)
    whole, together = 5 / 6 * 4, (8 + 4 + 2 * 1) / 12
    areas = {"weak": (9 + 7 + 2 * 5) / 12, "strong": (9 + 5 + 2 * 1) / 12}
    for row, name in ((weak, "weak"), (strong, "strong")):
        assert float(row["local optimality"]) == pytest.approx((whole - areas[name]) / (whole - together), abs=0.005)
    assert (weak["broken alone"], weak["only by it"], weak["decided"]) == ("2 of 5", "0", "2 of 5")
    assert (strong["broken alone"], strong["only by it"], strong["decided"]) == ("4 of 5", "2", "2 of 5")
    assert (weak["passes"], strong["passes"]) == ("1,234 + 0", "60 + 50")


def test_the_curve_of_an_attack_that_minimises_says_how_far_it_lies_above_all_together():
    one_run = replace(PARENT, reach=[replace(REACH[0], minimises=True), REACH[1]])
    (said,) = attackers.above(one_run)
    assert "weak, Linf 510/255" in said
    assert "33.3 points above" in said  # two of six samples that strong breaks at this eps
    assert [*attackers.above(PARENT)] == []


def test_where_nothing_was_measured_nothing_is_said():
    assert rows(EARLIER, attackers.CARRIES) is None
    assert [*attackers.parts([made_up.case(CLEAN)])] == []
    assert "What an attacker knows" not in rendered([made_up.case(CLEAN)], "md")


def test_page_and_markdown_show_both_tables():
    page, text = render("made up", [PARENT]), rendered([PARENT], "md")
    for said in (attackers.BUDGETS, attackers.CARRIES, "labels by query", "5,000", "4 of 5", "1,234 + 0", "2404.19460"):
        assert said in page
        assert said in text
    assert attackers.CARRIES not in render("made up", [EARLIER])


def test_files_keep_it_and_those_without_it_load(tmp_path):
    results.save([PARENT], tmp_path / "x.json.gz")
    (back,) = results.load(tmp_path / "x.json.gz")
    assert back.reach == REACH
    earlier = to_record(PARENT)
    del earlier["reach"]
    assert from_record(earlier) == replace(PARENT, reach=[])
