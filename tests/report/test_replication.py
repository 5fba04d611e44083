"""Sentences that another training would not repeat are counted as such; the committed study is made from its runs."""

from dataclasses import replace
from pathlib import Path

import made_up
import pytest

from robustprune.report.replication import RULES, listed, sentences, statements, tallied, to_markdown
from robustprune.results.records import load
from robustprune.results.statistics import paired_seeds

STUDY = Path(__file__).parents[2] / "results" / "replication" / "digits"
N = 60


def run_of_a_suite(kept, beside, runs=3):
    """A consensus keeps `kept` of 60 samples and cka `beside`, in every run alike, from one parent."""
    parent = made_up.case([True] * N, [made_up.outcome("PGD-20", "r" * N)])
    found = [parent]
    for strategy, count in (("consensus", kept), ("cka", beside)):
        outcome = made_up.outcome("PGD-20", "r" * count + "b" * (N - count))
        blocks = ["layer1.1"] if strategy == "cka" else ["layer2.1"]
        fields = {"parent": parent.case, "removed": blocks, "recipe": "ft", "combines": strategy == "consensus"}
        found += [
            made_up.case([True] * N, [outcome], case=f"{strategy}/{seed}", strategy=strategy, seed=seed, **fields)
            for seed in range(runs)
        ]
    return found


def contests(*runs):
    found = [one for one in sentences(runs) if one.about[0] == "contest" and one.about[1] == "worst case"]
    return {rule: [one.end for one in found if one.rule == rule] for rule in RULES}


def test_a_sentence_is_confirmed_where_every_other_run_has_its_sign():
    found = contests(run_of_a_suite(50, 20), run_of_a_suite(31, 30), run_of_a_suite(33, 30))
    assert found == {rule: ["confirmed"] for rule in RULES}


def test_a_sentence_is_unconfirmed_where_a_run_has_another_sign_or_none():
    assert contests(run_of_a_suite(50, 20), run_of_a_suite(30, 31))[RULES[1]] == ["unconfirmed"]
    assert contests(run_of_a_suite(50, 20), run_of_a_suite(30, 30))[RULES[1]] == ["unconfirmed"]


def test_two_sentences_against_each_other_are_both_contradicted():
    assert contests(run_of_a_suite(50, 20), run_of_a_suite(20, 50))[RULES[1]] == ["contradicted"] * 2


def test_the_rule_of_samples_alone_is_the_exact_test_of_the_mean():
    (one,) = (s for s in statements(run_of_a_suite(50, 44)) if s.about[:2] == ("contest", "worst case"))
    rows = {name: [i < name for i in range(N)] for name in (50, 44)}
    assert one.p[0] == pytest.approx(paired_seeds([rows[44]] * 3, [rows[50]] * 3).p)
    assert one.difference == pytest.approx(0.1)


def test_too_few_runs_and_equal_blocks_make_no_statement():
    assert not [one for one in statements(run_of_a_suite(50, 20, runs=2)) if one.about[0] == "contest"]
    same = [replace(case, removed=["layer1.1"] * bool(case.removed)) for case in run_of_a_suite(50, 20)]
    assert not [one for one in statements(same) if one.about[0] == "contest"]


@pytest.mark.skipif(not STUDY.is_dir(), reason="a checkout without results/replication/digits")
def test_the_committed_study_is_what_its_runs_say_and_keeps_its_promise():
    """Of the sentences over samples and runs none is contradicted, and four of five are confirmed by all other runs."""
    runs = [load(STUDY / f"run-{number}.json.gz") for number in range(1, 7)]
    found = sentences(runs)
    assert to_markdown(found, len(runs)) == (STUDY / "table.md").read_text()
    assert listed(found).to_csv(index=False, lineterminator="\n") == (STUDY / "sentences.csv").read_text()
    for row in tallied(found).to_dict("records"):
        if row["unit of the rule"] == "samples and runs":
            assert row["contradicted"] == 0
            assert row["confirmed"] >= 0.8 * row["sentences"] > 0
