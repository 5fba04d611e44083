"""What a hostile or clumsy user gives `contest`: one line, and nothing written; and sums that must come out."""

from __future__ import annotations

from dataclasses import replace

import made_up_suites as made
import numpy as np
import pytest
from click.testing import CliRunner

from robustprune.cli.verbs import main
from robustprune.errors import InputError
from robustprune.report.across.comparisons import comparisons
from robustprune.report.across.field import field_of
from robustprune.report.across.page import PAGE, Source, contested
from robustprune.report.figures import svg_file
from robustprune.results.entrants import chosen_elsewhere, entrants
from robustprune.results.pooled import Stratum, pooled
from robustprune.results.records import save
from robustprune.results.seen import seen


@pytest.fixture(scope="module")
def one():
    return made.suite(n=20, budgets=(1,))


def asked(*suites):
    return contested(
        [Source(name=cases[0].suite, given="x", file=False, networks=seen(cases), passes={}) for cases in suites]
    )


def unlabelled(case):
    bare = [replace(outcome, status="", distance=[], steps=[]) for outcome in case.outcomes]
    return replace(case, labels=[], clean=[], outcomes=bare)


WRONG = {
    "unattacked": (lambda case: replace(case, outcomes=[]), "one: no case was attacked"),
    "no samples": (unlabelled, "one: its cases have no samples"),
    "no MACs": (lambda case: replace(case, cost=replace(case.cost, macs=0 if case.parent else 9)), "of 0 MACs"),
    "nothing removed": (lambda case: replace(case, removed=[]), "no strategy that combines criteria"),
}


@pytest.mark.parametrize("name", WRONG)
def test_results_that_answer_nothing_are_refused(name, one):
    change, line = WRONG[name]
    with pytest.raises(InputError, match=line):
        asked([change(case) for case in one])


def test_other_samples_of_one_hash_are_refused(one):
    other = [replace(case, suite="two", sample_hash=one[0].sample_hash) for case in made.suite("two", n=10)]
    with pytest.raises(InputError, match="one and two: 20 and 10 samples of one hash"):
        asked(one, other)


def test_a_distance_that_does_not_exist_changes_nothing(one):
    without = [
        replace(case, outcomes=[replace(outcome, distance=[float("nan")] * 20) for outcome in case.outcomes])
        for case in one
    ]
    assert asked(without).texts == asked(one).texts


@pytest.mark.parametrize("name", ["$\\frac{$", "<b>a|b</b>", "=cmd()", "![x](http://x)"])
def test_no_name_is_a_formula_or_markup(name, one):
    found = asked([replace(case, strategy=name if case.strategy == "cka" else case.strategy) for case in one])
    page = found.texts[PAGE]
    for text in ("<b>", "![x](http"):
        assert text not in page
    rows = [line for line in page.replace("\\|", "").splitlines() if line.startswith("|")]
    assert rows
    assert all(line.endswith("|") for line in rows)
    assert "\n=cmd" not in found.texts["means.csv"].replace(",", "\n")
    assert svg_file(found.figures["forest_robust.svg"]()).endswith(b"</svg>\n")


def test_a_page_of_a_project_is_not_written_over(one, tmp_path):
    save(one, tmp_path / "one" / "cases.json.gz")
    (tmp_path / PAGE).write_text("# My project\n")
    (tmp_path / "file").write_text("")
    for output, line in ((tmp_path, "is not of `robustprune contest`"), (tmp_path / "file" / "below", "cannot be")):
        found = CliRunner().invoke(main, ["contest", str(tmp_path / "one"), "--output", str(output)])
        assert (found.exit_code, found.stdout) == (2, "")
        assert line in found.stderr
    assert (tmp_path / PAGE).read_text() == "# My project\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == [PAGE, "file", "one"]


def test_networks_that_answer_alike_are_not_said_to_lack_the_same_blocks(one):
    twins = {(case.model, case.seed): case for case in one if case.strategy == "cka"}
    alike = [
        replace(case, clean=twin.clean, outcomes=twin.outcomes)
        if case.strategy == "robust-consensus" and (twin := twins[case.model, case.seed])
        else case
        for case in one
    ]
    every = comparisons(field_of(entrants(seen(alike)), "one"))
    (robust, clean) = (
        pair
        for pair in every
        if (pair.ours.name, pair.theirs.name, pair.scope.name) == ("robust-consensus", "cka", "all")
    )
    assert {robust.result, clean.result} == {"same outcomes"}
    assert robust.found is None
    assert robust.same < robust.networks


def test_nothing_differs_by_nothing_and_turned_round_the_sign_turns():
    rng = np.random.default_rng(0)
    strata = [Stratum(samples=name, rows=rng.integers(-1, 2, (3, 30)).astype(float)) for name in "ab"]
    nothing = pooled([replace(stratum, rows=0 * stratum.rows) for stratum in strata])
    assert (nothing.difference, nothing.p) == (0.0, 1.0)
    assert nothing.low == -nothing.high < 0
    ours = pooled(strata)
    theirs = pooled([replace(stratum, rows=-stratum.rows) for stratum in strata])
    assert (theirs.difference, theirs.low, theirs.high, theirs.p, theirs.df) == (
        -ours.difference,
        -ours.high,
        -ours.low,
        ours.p,
        ours.df,
    )


def test_only_criteria_with_the_same_settings_are_chosen_among(one):
    """Each has as many settings as the other, none in common: the second is not judged where it never was."""
    far = [replace(case, suite="far", sample_hash="far") for case in one if case.strategy in ("parent", "taylor")]
    found = entrants(seen([case for case in one if case.strategy != "taylor"]) + seen(far))
    members = [next(other for other in found if other.name == name) for name in ("cka", "taylor")]
    assert len(members[0].entries) == len(members[1].entries)
    chosen = chosen_elsewhere("chosen", members, "worst case")
    assert set(chosen.entries) == set(members[0].entries)
