"""The comparison table against numbers computed by hand, and what its text must say."""

from __future__ import annotations

import io
import sys
from dataclasses import asdict, replace
from statistics import NormalDist

import made_up
import pandas as pd
import pytest

from robustprune.errors import InputError
from robustprune.report.contest import strategies
from robustprune.report.formats import display, to_csv, to_latex, to_markdown
from robustprune.report.notes import notes
from robustprune.report.standing import standing, tally
from robustprune.report.table import comparison
from robustprune.report.views import check_groups
from robustprune.results.crossed import crossed
from robustprune.results.overstated import Overstated
from robustprune.results.records import Check
from robustprune.results.significance import holm, mcnemar
from robustprune.results.statistics import tango, wilson
from robustprune.results.trust import ESSENTIAL, in_words, trust

PGD, WORST = "PGD-20, Linf 8/255", "worst case"


def network(clean_errors, pgd_broken, cw_broken, **fields):
    """Ten samples; the sets hold the indices that are wrong, broken by PGD (Linf), broken by CW (L2)."""
    clean = [i not in clean_errors for i in range(10)]

    def status(broken):
        return "".join("e" if i in clean_errors else "b" if i in broken else "r" for i in range(10))

    outcomes = [
        made_up.outcome("PGD-20", status(pgd_broken), steps=20),
        made_up.outcome("CW", status(cw_broken), norm="L2", eps=0.5),
    ]
    return made_up.case(clean, outcomes, **fields)


PARENT = network({0}, {1, 2}, {2, 3})
CHILD = {
    "parent": "net/parent",
    "recipe": "sgd",
    "removed": ["layer1.1", "layer1.2"],
    "cost": made_up.cost(kept=7),
}
CKA = network({0, 9}, {1, 2, 4, 5}, {2, 4}, case="net/cka", strategy="cka", **CHILD)


def test_one_row_a_case_with_numbers_computed_by_hand():
    frame = comparison([CKA, PARENT])
    assert frame["strategy"].tolist() == ["parent", "cka"]
    parent, cka = frame.to_dict("records")
    assert (parent["clean"], parent[PGD], parent["CW, L2 0.5"], parent[WORST]) == (0.9, 0.7, 0.7, 0.6)
    assert (cka["clean"], cka[PGD], cka["CW, L2 0.5"], cka[WORST]) == (0.8, 0.4, 0.6, 0.4)
    assert (parent[f"{WORST} low"], parent[f"{WORST} high"]) == pytest.approx(wilson(6, 10))
    # worst case: the parent keeps 4-9, the child 3, 6, 7, 8: fixed 3, broken 4, 5, 9
    assert cka[f"{WORST} difference"] == pytest.approx(-0.2)
    assert (cka[f"{WORST} difference low"], cka[f"{WORST} difference high"]) == pytest.approx(tango(1, 3, 10))
    assert pd.isna(cka[f"{WORST} p"])  # one run says nothing about training again
    assert pd.isna(parent[f"{WORST} difference"])
    assert (cka["macs"], cka["macs_saved"], cka["params_saved"]) == (
        32_000_000,
        pytest.approx(0.2),
        pytest.approx(0.2),
    )
    assert (cka["latency_ms 1"], cka["latency_ratio 128"]) == (pytest.approx(3.2), pytest.approx(0.8))
    assert (cka["removed"], cka["removable"], cka["n"], cka["runs"], cka["trust"]) == (
        2,
        9,
        10,
        1,
        "TRUSTED",
    )


def test_runs_become_mean_range_and_an_interval_over_samples_and_runs():
    other = network({0}, {1, 2, 4}, {2}, case="net/cka/1", strategy="cka", seed=1, **CHILD)
    frame = comparison([PARENT, CKA, other])
    row = frame.iloc[1]
    assert len(frame) == 2
    assert (row["runs"], row[WORST]) == (2, pytest.approx((0.4 + 0.6) / 2))
    assert (row[f"{WORST} min"], row[f"{WORST} max"]) == (0.4, 0.6)
    assert row[f"{WORST} low"] == pytest.approx((wilson(4, 10)[0] + wilson(6, 10)[0]) / 2)
    pair = crossed([PARENT.worst] * 2, [CKA.worst, other.worst])
    assert row[f"{WORST} difference"] == pytest.approx(pair.difference) == pytest.approx(-0.1)
    assert (row[f"{WORST} difference low"], row[f"{WORST} p"]) == pytest.approx((pair.low, pair.p))
    assert "50.0 [" in display(frame).iloc[1][f"{WORST} %"]
    assert "(40.0 to 60.0)" in display(frame).iloc[1][f"{WORST} %"]


def test_the_worst_trust_of_the_seeds_is_shown():
    other = replace(CKA, case="other", seed=1, trust="SUSPECT")
    assert comparison([PARENT, CKA, other])["trust"].tolist() == ["TRUSTED", "SUSPECT"]
    assert display(comparison([PARENT, CKA, other]))["evidence"].tolist() == ["TRUSTED", "SUSPECT (1 of 2)"]


def test_parent_first_then_controls_then_strategies_by_budget():
    cases = made_up.whole_suite(n=40, seeds=(0, 1), models=("a", "b"))
    frame = comparison(list(reversed(cases)))
    for model in ("a", "b"):
        some = frame[frame["model"] == model]
        assert some["strategy"].tolist()[:2] == ["parent", "dense, fine-tuned"]
        assert some["removed"].is_monotonic_increasing
    assert len(frame) == 2 * (2 + 2 * 4)


def test_p_values_are_adjusted_over_the_rows_of_the_table():
    frame = comparison(made_up.whole_suite(n=150))
    for measure in ("clean", WORST):
        raw = frame[f"{measure} p"].dropna().tolist()
        assert len(raw) == 9
        assert frame[f"{measure} p holm"].dropna().tolist() == pytest.approx(holm(raw))


def test_a_change_is_marked_only_after_adjustment():
    """Six broken, none fixed, alike in both runs: p = 2 / 64 = 0.031 alone, 0.0625 beside a second such row."""
    parent = made_up.case([True] * 20)
    child = {"parent": "net/parent", "removed": ["layer1.1"]}
    one = made_up.case([i >= 6 for i in range(20)], case="a", strategy="a", **child)
    worse = [one, replace(one, case="a1", seed=1)]
    again = [replace(case, case=f"b{case.seed}", strategy="b") for case in worse]
    assert display(comparison([parent, *worse]))["change, clean"][1].endswith("] *")
    assert not display(comparison([parent, *worse, *again]))["change, clean"][1].endswith("*")
    assert not display(comparison([parent, one]))["change, clean"][1].endswith("*")


def test_a_finished_artefact_is_tested_for_itself():
    parent = made_up.case([True] * 20)
    artefact = made_up.case([i >= 6 for i in range(20)], case="b", strategy="finished artefact", parent="net/parent")
    row = comparison([parent, artefact]).iloc[1]
    assert row["clean p"] == pytest.approx(mcnemar(0, 6))
    assert (row["clean difference low"], row["clean difference high"]) == pytest.approx(tango(0, 6, 20))


def test_parents_of_one_family_are_one_row_and_the_runs():
    cases = []
    for number in range(3):
        parent = replace(PARENT, case=f"net-{number}/parent", model=f"net-{number}", family="net")
        cases += [parent, replace(CKA, case=f"net-{number}/cka", parent=parent.case, model=parent.model, family="net")]
    frame = comparison(cases)
    assert frame["model"].tolist() == ["net", "net"]
    assert frame["runs"].tolist() == [3, 3]
    assert "Training runs: 3 parents." in " ".join(notes(cases))
    assert "holds for that parent" in " ".join(notes(made_up.whole_suite(n=20)))


def test_a_parent_that_is_missing_or_saw_other_samples_is_refused():
    with pytest.raises(InputError, match="its parent 'net/parent' is not among the cases"):
        comparison([CKA])
    with pytest.raises(InputError, match="not the same samples"):
        comparison([replace(PARENT, sample_hash="other"), CKA])
    with pytest.raises(InputError, match="no cases"):
        comparison([])


def test_csv_keeps_every_number():
    frame = comparison([PARENT, CKA])
    again = pd.read_csv(io.StringIO(to_csv(frame)))
    assert again[f"{WORST} difference low"][1] == pytest.approx(frame[f"{WORST} difference low"][1], rel=1e-9)
    assert list(again.columns) == list(frame.columns)
    assert to_markdown(again).splitlines()[:4] == to_markdown(frame).splitlines()[:4]


def test_markdown_has_one_row_a_case_and_says_what_the_numbers_are():
    text = to_markdown(comparison([PARENT, CKA]))
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table[:4]}) == 1
    assert "| 40.0 [16.8, 68.7] " in table[3]
    assert "32.00 M (-20.00 %)" in table[3]
    assert "3.2 ms (0.80x)" in table[3]
    assert "2 of 9" in table[3]
    for said in (
        "n = 10 samples",
        "upper bound",
        "cheapest first",
        "MACs:",
        "cpu, 1 thread",
        "live tensors",
        "Wilson",
    ):
        assert said in text
    assert "attack by attack" in text
    assert "steps 20" in text


def test_a_cell_cannot_break_the_markdown_table():
    odd = replace(PARENT, model="a|b", family="a|b")
    assert "a\\|b" in to_markdown(comparison([odd]))


def test_latex_escapes_and_balances():
    text = to_latex(comparison([PARENT, replace(CKA, family="res_net", strategy="100 % cka")]))
    body = text[text.index(r"\begin{tabular}") :]
    assert "res\\_net" in body
    assert "100 \\% cka" in body
    assert body.count("\\\\") == 3
    assert body.rstrip().endswith(r"\end{tabular}")


def test_notes_tell_what_is_missing_and_which_checks_failed():
    bare = made_up.case([True] * 4, checks=made_up.checks(c9="fail"), environment={"data": "digits, all 4 of the test"})
    text = " ".join(notes([bare]))
    assert "No attack ran" in text
    assert "Check 9 (check 9) failed in 1 case, such as net/parent: seen." in text
    assert "n = 4 samples, digits, all 4 of the test" in text
    assert "Fewer than three runs" in " ".join(notes([PARENT, CKA]))
    assert "Fewer than three runs" not in " ".join(notes(made_up.whole_suite(n=20)))


def test_a_check_that_failed_under_two_threat_models_is_one_failed_case():
    twice = replace(CKA, checks=made_up.checks(c26="fail") * 2)
    once = replace(CKA, case="net/cka/1", seed=1, checks=made_up.checks(c26="fail") + made_up.checks(c26="pass"))
    parent = replace(PARENT, checks=made_up.checks(c26="pass") * 2)
    said = [note for note in notes([parent, twice, once]) if "check 26" in note]
    assert said == ["Not about the attack: check 26 (check 26) failed in 2 cases, such as net/cka: seen."]


def test_what_is_not_about_the_attack_stands_beside_the_trust_also_of_old_records():
    """Earlier versions wrote SUSPECT for a class floor that failed."""
    passed = [Check(number=number, name="x", status="pass", evidence="") for number in ESSENTIAL]
    floor = Check(number=26, name="class floor", status="fail", evidence="seen")
    left = Check(number=10, name="no silent success", status="skipped", evidence="made from tier standard on")
    old = [
        replace(CKA, case=f"net/cka/{seed}", seed=seed, checks=checks, trust="SUSPECT")
        for seed, checks in enumerate([[*passed, floor, floor, left], [*passed, left]])
    ]
    frame = comparison([PARENT, *old])
    assert (frame["trust"][1], frame["skipped"][1]) == ("TRUSTED", 1)
    assert display(frame)["evidence"][1] == "TRUSTED, 1 skipped; class floor failed (1 of 2)"
    assert in_words(old[0]) == "TRUSTED, 1 skipped; class floor failed"
    attack, other = check_groups(old)
    assert [row["number"] for row in other["checks"]] == [26]
    assert {row["number"] for row in attack["checks"]} == {*ESSENTIAL, 10}
    assert all(row["holds"] for row in (*attack["checks"], *other["checks"]))


def test_an_attack_that_one_case_lacks_leaves_a_gap_not_a_number():
    frame = comparison([PARENT, replace(CKA, outcomes=CKA.outcomes[:1])])
    assert pd.isna(frame["CW, L2 0.5"][1])
    assert display(frame)["CW, L2 0.5 %"].tolist()[1] == "-"


def contest_cases():
    """A rank sum keeps 20 of 60 samples more than cka at two blocks, in three runs; both remove the same at three."""
    parent = made_up.case([True] * 60, [made_up.outcome("PGD-20", "r" * 60)])
    found = [parent]
    for removed in (["layer1.1", "layer1.2"], ["layer1.1", "layer1.2", "layer2.1"]):
        for strategy, lost in (("rank sum", 10), ("cka", 30)):
            mine = removed if strategy == "rank sum" or len(removed) == 3 else ["layer1.1", "layer3.2"]
            outcome = made_up.outcome("PGD-20", "b" * lost + "r" * (60 - lost))
            for seed in range(3):
                who = {"case": f"{strategy}-{len(removed)}-{seed}", "strategy": strategy, "seed": seed}
                fields = {"parent": parent.case, "removed": mine, "combines": strategy == "rank sum"}
                found.append(made_up.case([True] * 60, [outcome], **who, **fields))
    return found


def test_strategies_are_compared_pair_by_pair_at_the_same_budget():
    frame = strategies(contest_cases())
    worst = frame[frame["measure"] == WORST]
    assert worst[["removed", "strategy", "other"]].values.tolist() == [
        [2, "rank sum", "cka"],
        [3, "rank sum", "cka"],
    ]
    first = worst.iloc[0]
    assert first["difference"] == pytest.approx(20 / 60)
    assert (first["low"], first["high"]) == pytest.approx(tango(20, 0, 60))
    assert first["p"] == pytest.approx(2 * NormalDist().cdf(-(20**0.5)))  # the score test; McNemar's p is smaller here
    assert first["p_holm"] == first["p"]  # the other pair is one network twice: no test
    assert first["result"] == "better"
    clean = frame[frame["measure"] == "clean"].iloc[0]
    assert clean["result"] == "no difference shown"


def test_fewer_than_three_runs_make_no_claim():
    frame = strategies([case for case in contest_cases() if case.seed < 2])
    assert frame["result"].tolist() == ["too few runs", "same blocks"] * 2
    assert "too few runs for a claim in 1" in tally(frame)


def test_strategies_that_chose_the_same_blocks_are_said_to_be_the_same():
    last = strategies(contest_cases()).iloc[1]
    assert (last["removed"], last["result"], last["same_blocks"]) == (3, "same blocks", True)


def test_a_consensus_is_one_by_what_it_is_made_of_not_by_its_name():
    renamed = [replace(case, strategy=f"no consensus of {case.strategy}", combines=False) for case in contest_cases()]
    assert strategies([replace(renamed[0], strategy="parent"), *renamed[1:]]).empty


def test_no_contest_no_rows():
    assert strategies([PARENT, CKA]).empty


def test_reports_never_import_torch():
    import subprocess

    code = "import sys; import robustprune.report.table, robustprune.policy; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_standing_counts_the_pairs_and_shows_each_once():
    contests = strategies(contest_cases())
    assert tally(contests).endswith(
        "2 pairs at the same budget: more robust in 1, same blocks, nothing to compare in 1."
    )
    first, last = standing(contests).to_dict("records")
    low, high = tango(20, 0, 60)
    assert first["worst case, points"] == f"+33.3 [{100 * low:+.1f}, {100 * high:+.1f}]"
    assert (first["beside"], first["p, worst case"], first["robustness"]) == ("cka", "< 0.001", "more robust")
    assert first["runs"] == "3 seeds of one parent"
    assert (last["worst case, points"], last["p, clean"]) == ("-", "-")
    assert tally(strategies([PARENT, CKA])) == ""


def beside(survivors: int, attacked: int, **more):
    """Check 15 as a record holds it, for 10 samples under Linf 8/255."""
    threat = {"threat": "Linf 8/255", "margin": 0.3, **more}
    found = Overstated(n=10, survivors=survivors, first=attacked, first_broken=0, attacked=attacked, broken=0, **threat)
    status = "pass" if found.bound <= 0.3 else "fail"
    return Check(number=15, name="distance", status=status, evidence=found.text, figures=asdict(found))


def test_the_table_says_how_far_each_number_may_be_above_autoattacks():
    exact, some = replace(PARENT, checks=[beside(4, 4)]), replace(CKA, checks=[beside(4, 2)])
    frame = comparison([exact, some])
    assert display(frame)["above AutoAttack's"].tolist() == ["0.0", "at most 20.0"]
    assert frame["overstated"].tolist() == pytest.approx([0.0, 0.2])
    again = pd.read_csv(io.StringIO(to_csv(frame)))
    assert display(again)["above AutoAttack's"].tolist() == ["0.0", "at most 20.0"]
    text = " ".join(notes([exact, some]))
    assert "TRUSTED takes 30 points at most." in text
    assert "In parentheses" not in text


def test_the_worst_threat_model_counts_and_a_stand_in_is_named():
    two = [beside(4, 2), beside(4, 1, threat="L1 12", beside="PGD-200 x5")]
    frame = comparison([replace(PARENT, checks=two)])
    assert display(frame)["above AutoAttack's"].tolist() == ["at most 30.0 (PGD-200 x5)"]
    assert "In parentheses the attack that stands in for it: PGD-200 x5." in " ".join(
        notes([replace(PARENT, checks=two)])
    )


def test_results_without_a_bound_show_none_and_say_nothing_of_it():
    assert display(comparison([PARENT, CKA]))["above AutoAttack's"].tolist() == ["-", "-"]
    assert "Above AutoAttack" not in " ".join(notes([PARENT, CKA]))


def test_a_row_is_trusted_by_the_bound_over_its_runs_and_no_failure_of_one_run_is_noted():
    """One run alone may be more than 30 points above, eight together no more than 11."""
    passed = [Check(number=number, name="x", status="pass", evidence="") for number in ESSENTIAL]

    def case(seed: int):
        checks = [*passed, beside(9, 3, draw=seed)]
        return replace(CKA, case=f"net/cka/{seed}", seed=seed, checks=checks, trust=trust(checks))

    alone, pair = comparison([PARENT, case(1)]), comparison([PARENT, *(case(seed) for seed in range(8))])
    assert alone["trust"].tolist() == ["TRUSTED", "SUSPECT"]
    assert pair["trust"].tolist() == ["TRUSTED", "TRUSTED"]
    assert pair["overstated"][1] == pytest.approx(0.9 * (1 - 0.05 ** (1 / 24)))
    assert not [note for note in notes([PARENT, case(1)]) if note.startswith("Check 15")]
