"""A contest over suites: its numbers are those of the cases, its sentences those of its numbers."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import made_up_suites as made
import numpy as np
import pytest

from robustprune.errors import InputError
from robustprune.report.across import tables
from robustprune.report.across.comparisons import comparisons
from robustprune.report.across.drawn import drawn_forest
from robustprune.report.across.field import ELSEWHERE, field_of
from robustprune.report.across.page import COMPARISONS, MEANS, PAGE, Source, contested
from robustprune.report.across.surprises import surprises
from robustprune.report.across.tables import Found
from robustprune.report.figures import Place, fronts, to_svg
from robustprune.results.claims import CLEAN, WORST, right
from robustprune.results.entrants import average, entrants


def found_in(*suites):
    field = field_of(entrants(made.networks(*suites)), "these")
    return Found(field, comparisons(field))


def sources(*suites, passes=None):
    return [
        Source(
            name=cases[0].suite,
            given=f"suites/{cases[0].suite}.py",
            file=True,
            networks=made.networks(cases),
            passes=passes or {},
        )
        for cases in suites
    ]


def mean_of(cases, strategy, measure, **same):
    rows = [
        np.mean(right(case, measure))
        for case in cases
        if case.strategy == strategy and all(getattr(case, name) == value for name, value in same.items())
    ]
    return np.mean(rows)


TWO = made.suite("one"), made.suite("two", n=60)


@pytest.fixture(scope="module")
def plain():
    return found_in(*TWO)


@pytest.fixture(scope="module")
def written():
    return contested(sources(*TWO))


@pytest.mark.parametrize("measure", [WORST, CLEAN])
def test_a_difference_is_the_mean_over_suites_and_families_of_that_of_the_cases(plain, measure):
    gaps = [
        mean_of(cases, "robust-consensus", measure, family=family) - mean_of(cases, "random", measure, family=family)
        for cases in TWO
        for family in ("net", "net-at")
    ]
    one = plain("robust-consensus", "random", measure)
    assert one.found.difference == pytest.approx(np.mean(gaps))
    assert (one.found.strata, one.found.runs, one.found.n) == (4, 8, 140)
    part = plain("robust-consensus", "cka", measure, "family net-at")
    gaps = [
        mean_of(c, "robust-consensus", measure, family="net-at") - mean_of(c, "cka", measure, family="net-at")
        for c in TWO
    ]
    assert part.found.difference == pytest.approx(np.mean(gaps))
    assert (part.found.strata, part.found.runs) == (2, 4)


def test_the_accuracies_of_a_row_differ_by_its_difference(written):
    for row in csv.DictReader(io.StringIO(written.texts[COMPARISONS])):
        gap = float(row["accuracy"]) - float(row["accuracy_beside"])
        assert float(row["difference"]) == pytest.approx(gap, abs=1e-9)
        assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])


def test_every_claim_is_adjusted_for_all_of_them(plain):
    tested = [one for one in plain.every if one.p_holm == one.p_holm]
    beside = ["cka", "taylor", tables.PUBLISHED, "random", "depth-first", plain.field.mean.name, ELSEWHERE]
    claims = 2 * (len(beside) + len(beside) - 1 + len(["cka", "taylor", "depth-first"]))
    assert plain.tested == len(tested) == claims
    assert {one.scope.field for one in tested} == {"all"}
    least = min(tested, key=lambda one: one.found.p)
    assert least.p_holm == pytest.approx(min(1, claims * least.found.p))


def test_random_draws_of_several_names_are_one(plain):
    more = [
        replace(case, strategy=name, case=case.case.replace("random", name))
        for name in ("random", "random-b")
        for case in made.suite(worth={"random": 0.1 * len(name)})
        if case.strategy == "random"
    ]
    cases = [*without(made.suite(), "random"), *more]
    (chance,) = [one for one in found_in(cases).field.controls if one.kind == "random"]
    expected = np.mean([mean_of(cases, name, WORST) for name in ("random", "random-b")])
    assert average(chance, WORST) == pytest.approx(expected)
    assert not any(one.name == "random-b" for one in found_in(cases).field.singles)


def test_where_every_strategy_takes_the_same_blocks_nothing_is_compared():
    limit = [
        replace(case, removed=made.LIMIT) if len(case.removed) == len(made.LIMIT) else case
        for case in made.suite(budgets=(1, len(made.LIMIT)))
    ]
    page = contested(sources(limit))
    assert "one, net, 6 blocks; one, net-at, 6 blocks." in page.texts[PAGE]
    rows = [*csv.DictReader(io.StringIO(page.texts[COMPARISONS]))]
    assert {row["scope"] for row in rows if "removed" in row["scope"]} == {"1 removed"}
    assert {int(row["settings"]) for row in rows if row["scope"] == "all"} == {4}
    assert "6" in {row["removed"] for row in csv.DictReader(io.StringIO(page.texts[MEANS]))}


def test_random_is_the_mean_over_its_draws(plain):
    (chance,) = [one for one in plain.field.controls if one.kind == "random"]
    shares = [average(chance, WORST, of=[where]) for where in chance.entries if where.suite == "one"]
    assert np.mean(shares) == pytest.approx(mean_of(TWO[0], "random", WORST))
    assert {len(entry.removed) for entry in chance.entries.values()} == {3}


ANSWERS = {"Yes": 0.2, "No": -0.2, "Not shown": 0.0}


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_answer_is_the_one_that_was_planted(answer):
    suites = [made.suite(name, {"robust-consensus": ANSWERS[answer]}) for name in ("one", "two")]
    found = found_in(*suites)
    said = tables.answer(found, WORST)
    assert said.startswith(f"{answer}: ")
    best = max(("cka", "taylor"), key=lambda name: np.mean([mean_of(cases, name, WORST) for cases in suites]))
    one = found("robust-consensus", best, WORST)
    assert f"{best}, the best single criterion" in said
    assert f"{100 * one.found.difference:+.1f} [{100 * one.found.low:+.1f}, {100 * one.found.high:+.1f}] points" in said
    assert "Beside the published consensus: " in said


def test_strategies_with_the_same_blocks_are_counted_and_not_tested():
    same = {"consensus": "robust-consensus", "taylor": "cka"}
    found = found_in(made.suite(same=same), made.suite("two", same=same))
    twin = found("robust-consensus", "consensus", WORST)
    assert (twin.same, twin.networks, twin.found, twin.result) == (32, 32, None, "same blocks")
    other = found("robust-consensus", "cka", WORST)
    pairs = [
        (case.removed, mate.removed)
        for cases in (made.suite(same=same), made.suite("two", same=same))
        for case in cases
        for mate in cases
        if case.strategy == "robust-consensus"
        and (mate.strategy, mate.model, mate.seed, len(mate.removed))
        == ("cka", case.model, case.seed, len(case.removed))
    ]
    assert (other.same, other.networks) == (sum(a == b for a, b in pairs), len(pairs))
    (line,) = [line for line in surprises(found) if line.startswith("The same blocks")]
    assert "robust-consensus = consensus" in line
    assert "cka = taylor" in line


def test_one_set_of_images_and_one_parent_count_once_in_two_suites():
    cases = made.suite()
    again = [replace(case, suite="again", recipe=case.recipe and "long") for case in cases]
    once, twice = found_in(cases), found_in(cases, again)
    for measure in (WORST, CLEAN):
        a, b = (found("robust-consensus", "cka", measure).found for found in (once, twice))
        assert (a.low, a.high, a.p, a.n, a.runs) == pytest.approx((b.low, b.high, b.p, b.n, b.runs))


def test_the_criterion_chosen_elsewhere_never_saw_the_run_it_is_judged_on():
    worth = {"cka": {"net": 0.3, "net-at": 0.0}, "taylor": {"net": 0.0, "net-at": 0.3}}
    cases = made.suite(worth=worth, parents=1, seeds=1, draws=1, families=("net", "net-at"))
    found = field_of(entrants(made.networks(cases)), "these").elsewhere(WORST)
    chosen = {where.family: average(found, WORST, of=[where]) for where in found.entries if where.removed == 1}
    small = [case for case in cases if len(case.removed) == 1]
    assert chosen == pytest.approx(
        {family: mean_of(small, name, WORST, family=family) for family, name in (("net", "taylor"), ("net-at", "cka"))}
    )


def test_a_criterion_and_its_double_by_choice_have_the_same_interval():
    found = found_in(made.suite(worth={"cka": 0.3}))
    beside = [found("robust-consensus", name, WORST).found for name in ("cka", ELSEWHERE)]
    a, b = ((one.difference, one.low, one.high, one.p) for one in beside)
    assert a == pytest.approx(b, abs=1e-4)


def test_what_surprises_is_said_and_what_does_not_is_not():
    worth = {"cka": -0.3, "taylor": {"net": -0.25, "net-at": 0.25}}
    said = surprises(found_in(*[made.suite(name, worth) for name in ("one", "two")]))
    worse = next(line for line in said if line.startswith(f"Significantly worse than chance, {WORST}"))
    assert ": 1 of 5: cka -" in worse
    turned = next(line for line in said if "ahead in one family" in line)
    assert "beside taylor ahead in family net, behind in family net-at" in turned
    assert next(line for line in said if line.startswith("A consensus significantly below")).endswith(": none.")
    firsts = next(line for line in said if line.startswith("First by"))
    assert "taylor 4" in firsts


def test_macs_that_differ_are_said(written):
    cases = [
        replace(case, cost=replace(case.cost, macs=round(0.9 * case.cost.macs))) if case.strategy == "cka" else case
        for case in made.suite()
    ]
    page = contested(sources(cases)).texts[PAGE]
    assert "most on average for robust-consensus beside cka: 1.111 times the MACs, apart in 8 of 8 settings" in page
    assert "agree within 1 %" in written.texts[PAGE]


def test_means_are_those_of_the_figures_with_references():
    suite = made.suite()
    scratch = [
        replace(case, case=case.case.replace("net", "scratch", 1), strategy="finished artefact", removed=[])
        for case in suite
        if case.strategy == "cka" and case.model == "net-0"
    ]
    rows = list(csv.DictReader(io.StringIO(contested(sources([*suite, *scratch])).texts[MEANS])))
    kinds = {row["strategy"]: row["kind"] for row in rows}
    assert (kinds["parent"], kinds["trained from scratch"]) == ("reference", "reference")
    assert (kinds["random"], kinds["depth-first"], kinds["cka"], kinds["consensus"]) == (
        "random",
        "depth",
        "single",
        "consensus",
    )
    (row,) = [row for row in rows if (row["strategy"], row["family"], row["removed"]) == ("cka", "net", "2")]
    two = [case for case in suite if len(case.removed) == 2]
    assert float(row[WORST]) == pytest.approx(mean_of(two, "cka", WORST, family="net"))
    assert float(row["macs"]) == pytest.approx(0.8)
    assert row["networks"] == "4"


def test_recipes_cost_what_the_suite_says(written):
    passes = {case.case: (100, 50, 7) for case in TWO[0]}
    page = contested(sources(TWO[0], passes=passes)).texts[PAGE]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ft")]
    assert rows == [["ft", "one", "104", "100", "50", "7"]]
    assert "Not known" in written.texts[PAGE]


def test_the_same_results_give_the_same_page_and_figures():
    first, second = (contested(sources(made.suite(n=20))) for _ in range(2))
    assert first.texts == second.texts
    page = first.texts[PAGE]
    assert f"**{tables.answer(found_in(made.suite(n=20)), WORST)}**" in page
    assert all(f"({name})" in page for name in (*first.figures, COMPARISONS, MEANS))
    assert "robustprune run suites/one.py\nrobustprune contest suites/one.py\n" in page
    name = "forest_robust.svg"
    assert to_svg(first.figures[name]()) == to_svg(second.figures[name]())


def test_the_forest_holds_every_difference_and_marks_what_is_significant():
    found = found_in(made.suite(worth={"robust-consensus": 0.3, "cka": 0.3}, same={"taylor": "robust-consensus"}))
    axes = drawn_forest(found, WORST).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    drawn = {}
    for line in axes.lines:
        if line.get_marker() == "o":
            drawn[names[int(line.get_ydata()[0])]] = (line.get_xdata()[0], line.get_markerfacecolor() != "none")
    rows = {one.theirs.name: one for one in found.claims(WORST) if one.ours.name == "robust-consensus"}
    assert drawn.keys() == {name for name, one in rows.items() if one.found is not None} == rows.keys() - {"taylor"}
    for name, (x, full) in drawn.items():
        assert x == pytest.approx(100 * rows[name].found.difference)
        assert full == (rows[name].result in ("better", "worse"))
    assert drawn["consensus"][1]
    assert not drawn["cka"][1]


def test_the_front_is_of_strategies_alone_and_named():
    places = [
        Place(name="cka", kind="single", macs=0.8, accuracy=0.5),
        Place(name="robust-consensus", kind="consensus", macs=0.6, accuracy=0.4),
        Place(name="random", kind="random", macs=0.8, accuracy=0.3),
        Place(name="parent", kind="reference", macs=0.5, accuracy=0.9),
    ]
    figure = fronts({"one, net": places}, "accuracy, %")
    axes = figure.axes[0]
    (rings,) = [line for line in axes.lines if line.get_markersize() == 9 and line.get_markerfacecolor() == "none"]
    assert rings.get_xydata().tolist() == [[60, 40], [80, 50]]
    assert [text.get_text() for text in axes.texts] == ["cka"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(names) == {"robust-consensus", "random", "parent", "single criteria", "Pareto front of the strategies"}
    with pytest.raises(InputError, match="no network"):
        fronts({}, "accuracy, %")


def without(cases, *names):
    return [case for case in cases if case.strategy not in names]


ONE = made.suite(parents=1, seeds=1, draws=1, n=20)
BAD = {
    "two of one name": ([ONE, ONE], "suites/one.py and suites/one.py: both are results of 'one'"),
    "no consensus": ([without(ONE, "consensus", "robust-consensus")], "one: no strategy that combines criteria"),
    "no criterion": ([without(ONE, "cka", "taylor")], "one: no strategy of a single criterion"),
    "one run": ([ONE], "one: one training run of each family"),
    "nothing in common": (
        [
            without(ONE, "cka", "taylor"),
            [replace(case, suite="two") for case in without(ONE, "consensus", "robust-consensus")],
        ],
        "one, two: robust-consensus has nothing in common with any single criterion",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_answered_is_one_line(name):
    suites, line = BAD[name]
    with pytest.raises(InputError) as refused:
        contested(sources(*suites))
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_cases_of_other_samples_or_without_their_parent_are_refused():
    with pytest.raises(InputError, match="not about the same samples"):
        made.networks([*ONE[:-1], replace(ONE[-1], sample_hash="others")])
    with pytest.raises(InputError, match="its parent 'net-0/parent' is not among the cases"):
        made.networks(ONE[1:])
