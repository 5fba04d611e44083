"""The gate: planted cases, its level by simulation, and policy files that are wrong."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "report"))
import made_up

from robustprune.errors import InputError
from robustprune.policy.findings import Verdict, accuracy, summary
from robustprune.policy.policy import Policy, exit_code, judge, judge_all, load_policy
from robustprune.results.claims import claims, named

ONLY_OVERALL = Policy(max_class_drop=None)


def network(right, robust, name="net/parent", **fields):
    """A network under one attack, from two rows of True and False."""
    return made_up.case(
        right, [made_up.outcome("PGD-20", made_up.statuses(right, robust), steps=20)], case=name, **fields
    )


def rows(n, wrong, broken):
    """n samples: the first `wrong` are clean errors, the next `broken` fall to the attack."""
    return [i >= wrong for i in range(n)], [i >= wrong + broken for i in range(n)]


def test_an_identical_copy_passes_on_enough_samples():
    parent = network(*rows(1000, 80, 400))
    verdict = judge(replace(parent, case="copy"), parent)
    assert verdict.verdict == "PASS"
    assert {"clean accuracy", "robust accuracy, worst case", "saving"} < {f.measure for f in verdict.findings}
    assert exit_code([verdict]) == 0


def test_fifty_samples_are_inconclusive_and_say_how_many_would_do():
    parent = network(*rows(50, 4, 20))
    verdict = judge(replace(parent, case="copy"), parent, ONLY_OVERALL)
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.needed_n == 381  # z² (1 - m) / m for the smallest margin, 0.01
    assert "50 samples cannot tell" in verdict.reasons[0]
    assert "381" in verdict.reasons[0]
    assert exit_code([verdict]) == 3


def test_a_parent_as_weak_excuses_no_network_below_the_floor():
    """Of 1000 images 930 break, in parent and copy alike; the ends of Wilson's interval are 5.6 % and 8.8 %."""
    parent = network(*rows(1000, 80, 850))
    verdict = judge(replace(parent, case="copy"), parent)
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.reasons == [
        "robust accuracy, worst case 7.0 % (95 % interval 5.6 % to 8.8 %): "
        "not surely above the floor of 10 %, whatever its parent has"
    ]
    for floor, expected in ((0.05, "PASS"), (0.06, "INCONCLUSIVE"), (0, "PASS"), (None, "PASS")):
        verdict = judge(replace(parent, case="copy"), parent, Policy(min_robust=floor))
        assert verdict.verdict == expected, floor
    assert any("no floor asked for" in reason for reason in verdict.reasons)
    unsure = network(*rows(1000, 480, 100))
    assert "floor of 50 %" in judge(unsure, unsure).reasons[0]
    assert judge(unsure, unsure, Policy(min_clean=0.4)).verdict == "PASS"


def test_a_network_that_lost_much_fails_and_names_the_measure():
    parent = network(*rows(1000, 80, 400))
    worse = network(*rows(1000, 80, 480), name="worse")
    verdict = judge(worse, parent)
    assert verdict.verdict == "FAIL"
    failed = {finding.measure for finding in verdict.findings if finding.verdict == "FAIL"}
    assert failed == {"robust accuracy, worst case", "robust accuracy, PGD-20, Linf 8/255"}
    assert verdict.reasons[0].startswith("robust accuracy, worst case 52.0 % -> 44.0 %, -8.0 points")
    assert exit_code([verdict]) == 1


@pytest.mark.parametrize("role", ["candidate", "parent"])
def test_a_blocking_check_that_failed_overrides_everything(role):
    parent = network(*rows(1000, 80, 400))
    stronger = network(*rows(1000, 80, 100), name="masked")
    bad = made_up.checks(c12="fail", c3="pass")
    pair = (replace(stronger, checks=bad), parent) if role == "candidate" else (stronger, replace(parent, checks=bad))
    verdict = judge(*pair)
    assert verdict.verdict == "UNTRUSTED"
    assert verdict.reasons == [f"validity check 12, {role}: check 12: fail: seen"]
    assert exit_code([verdict]) == 3


def test_the_policy_may_name_the_checks_and_then_a_missing_one_blocks():
    parent = network(*rows(1000, 80, 400), checks=made_up.checks(c2="pass", c12="fail"))
    copy = replace(parent, case="copy")
    assert judge(copy, parent, Policy(blocking=(2,))).verdict == "PASS"
    assert judge(copy, parent, Policy(blocking=(2, 9))).verdict == "UNTRUSTED"
    skipped = replace(parent, checks=made_up.checks(c2="skipped"))
    assert judge(skipped, skipped, Policy(blocking=(2,))).verdict == "UNTRUSTED"
    assert judge(skipped, skipped).verdict == "PASS"


@pytest.mark.parametrize("order", [("fail", "pass"), ("pass", "fail"), ("skipped", "pass")])
def test_a_check_must_hold_under_every_threat_model(order):
    """A suite with two threat models makes every check twice; the second does not hide the first."""
    twice = [one for status in order for one in made_up.checks(c12=status)]
    parent = network(*rows(1000, 80, 400), checks=twice)
    verdict = judge(parent, parent, Policy(blocking=(12,)))
    assert verdict.verdict == "UNTRUSTED"
    assert len(verdict.reasons) == 2
    assert judge(parent, parent).verdict == ("UNTRUSTED" if "fail" in order else "PASS")


def test_every_claim_of_both_networks_is_judged_once_by_its_margin():
    parent = network(*rows(1000, 80, 400))
    verdict = judge(parent, parent, Policy(max_clean_drop=0.03, max_robust_drop=0.04))
    margins = {claim: verdict.finding(named(claim)).margin for claim in claims(parent)}
    assert margins == {"clean": 0.03, "PGD-20, Linf 8/255": 0.04, "worst case": 0.04}
    assert verdict.finding("robust accuracy, FGSM, Linf 8/255") is None


def test_a_result_marked_invalid_is_untrusted():
    parent = network(*rows(1000, 80, 400))
    assert judge(replace(parent, trust="INVALID"), parent).verdict == "UNTRUSTED"
    assert judge(replace(parent, trust="SUSPECT"), parent).verdict == "PASS"


def test_what_was_made_on_the_parent_need_not_have_run_on_it():
    parent = network(*rows(1000, 80, 400))
    moved = replace(parent.outcomes[0], attack="transfer PGD-20", knowledge="the parent's gradients")
    assert judge(replace(parent, case="copy", outcomes=[*parent.outcomes, moved]), parent).verdict == "PASS"
    unstated = replace(moved, knowledge="")
    assert judge(replace(parent, case="copy", outcomes=[*parent.outcomes, unstated]), parent).verdict == "UNTRUSTED"


def test_attacks_that_differ_or_failed_are_untrusted():
    parent = network(*rows(1000, 80, 400))
    attack = parent.outcomes[0]
    for changed, said in [
        ([], "did not run on copy"),
        ([replace(attack, settings={"steps": 10})], "ran with another steps"),
        ([replace(attack, eps=4 / 255)], "did not run on"),
        ([replace(attack, status="f" + attack.status[1:])], "could not attack 1 samples of copy"),
    ]:
        verdict = judge(replace(parent, case="copy", outcomes=changed), parent)
        assert verdict.verdict == "UNTRUSTED"
        assert any(said in reason for reason in verdict.reasons), verdict.reasons
    bare = replace(parent, outcomes=[])
    assert judge(bare, bare).reasons == ["attacks: none ran, so nothing is known about robustness"]


def test_failed_samples_of_the_parent_do_not_make_the_candidate_look_better():
    parent = network(*rows(1000, 80, 400))
    status = parent.outcomes[0].status
    crashed = replace(parent, outcomes=[replace(parent.outcomes[0], status=status[:-100] + "f" * 100)])
    assert judge(replace(parent, case="copy"), crashed).verdict == "UNTRUSTED"


def test_nothing_left_to_lose_is_not_a_pass():
    parent = network(*rows(1000, 80, 910))  # robust on 10 of 1000: a drop of 2 points cannot happen
    verdict = judge(replace(parent, case="copy"), parent)
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.needed_n is None
    assert "smaller eps" in verdict.reasons[0]


def test_the_class_floor_finds_the_one_class_that_fell():
    right, robust = [True] * 1200, [True] * 1200
    fallen = [not (i % 4 == 3 and i < 4 * 60) for i in range(1200)]  # 60 of 300 cats, 5 points overall
    loose = Policy(max_clean_drop=0.2, max_robust_drop=0.2)
    verdict = judge(network(fallen, fallen, name="cat-blind"), network(right, robust), loose)
    assert verdict.verdict == "FAIL"
    found = {finding.measure: finding for finding in verdict.findings}
    cats = found["clean accuracy, worst class (cat)"]
    assert (cats.verdict, cats.n, cats.difference) == ("FAIL", 300, -0.2)
    assert judge(network(fallen, fallen), network(right, robust), replace(loose, max_class_drop=None)).verdict == "PASS"


def test_a_named_class_has_a_margin_of_its_own_whatever_the_others_lose():
    """10 of 300 cats went wrong: 3.3 points, which the policy allows any class, but not this one."""
    right, robust = [True] * 1200, [True] * 1200
    fallen = [not (i % 4 == 3 and i < 40) for i in range(1200)]
    loose = Policy(max_clean_drop=0.2, max_robust_drop=0.2)
    networks = network(fallen, fallen, name="cat-shy"), network(right, robust)
    assert judge(*networks, loose).verdict == "PASS"
    verdict = judge(*networks, replace(loose, class_drops={"cat": 0.01, "car": 0.02}))
    found = {finding.measure: finding for finding in verdict.findings}
    assert verdict.verdict == "FAIL"
    for about in ("clean accuracy", "robust accuracy"):
        cat, car = found[f"{about}, class cat"], found[f"{about}, class car"]
        assert (cat.verdict, cat.margin, cat.n) == ("FAIL", 0.01, 300)
        assert cat.difference == pytest.approx(-10 / 300)
        assert (car.verdict, car.margin, car.difference) == ("PASS", 0.02, 0)


def test_a_named_class_without_a_sample_is_not_a_pass_and_an_unknown_one_is_refused():
    parent = network(*rows(1000, 0, 100), classes=["plane", "car", "bird", "cat", "stop sign"])
    verdict = judge(parent, parent, Policy(class_drops={"stop sign": 0.02}))
    assert (verdict.verdict, verdict.needed_n) == ("INCONCLUSIVE", None)
    assert verdict.reasons[0] == "clean accuracy, class stop sign: no sample is of this class"
    with pytest.raises(InputError, match=r"no class 'dog'; the classes are plane, car, bird, cat, stop sign$"):
        judge(parent, parent, Policy(class_drops={"dog": 0.02}))


def test_named_classes_are_read_from_a_policy_file(tmp_path):
    file = tmp_path / "policy.toml"
    for head in ("class_drops", "policy.class_drops"):
        file.write_text(f'[{head}]\n"stop sign" = 0.02\n')
        assert load_policy(file) == Policy(class_drops={"stop sign": 0.02})


def test_needed_samples_of_a_class_are_stated_for_the_whole_set():
    parent = network(*rows(80, 0, 0))
    loose = Policy(max_clean_drop=0.5, max_robust_drop=0.5, max_class_drop=0.1)
    verdict = judge(parent, parent, loose)
    # z² (1 - m) / m = 34.57 of each of the four classes
    assert verdict.needed_n == 4 * 35
    assert "35 of this class (140 in all" in verdict.reasons[0]


def test_saving_and_latency_are_judged_against_the_parent():
    parent = network(*rows(1000, 0, 100))
    pruned = replace(parent, case="pruned", cost=made_up.cost(kept=5))  # 6 tenths of everything
    assert judge(pruned, parent, Policy(min_saving=0.39)).verdict == "PASS"
    assert judge(pruned, parent, Policy(min_saving=0.41)).verdict == "FAIL"
    assert judge(pruned, parent, Policy(max_latency_ratio=0.61)).verdict == "PASS"
    assert judge(pruned, parent, Policy(max_latency_ratio=0.59)).verdict == "FAIL"
    dearer = replace(parent, cost=made_up.cost(kept=10))
    assert judge(dearer, parent).verdict == "FAIL"
    untimed = replace(pruned, cost=replace(pruned.cost, latency_ratio={}))
    assert judge(untimed, parent, Policy(max_latency_ratio=0.9)).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.5, 0.8, "PASS"), (0.5, 0.81, "INCONCLUSIVE"), (0.8, 0.9, "INCONCLUSIVE"), (0.81, 0.9, "FAIL")],
)
def test_latency_is_judged_by_the_quartiles_of_runs_in_turn(low, high, verdict):
    parent = network(*rows(1000, 0, 100))
    cost = replace(
        made_up.cost(kept=5),
        latency_ratio={"1": (low + high) / 2},
        latency_ratio_range={"1": (low, high)},
        latency_busy=("1",),
    )
    found = judge(replace(parent, case="pruned", cost=cost), parent, Policy(max_latency_ratio=0.8))
    finding = found.finding("latency, batch 1")
    assert (found.verdict, finding.verdict) == (verdict, verdict)
    assert f"[{low:.2f}, {high:.2f}], busy machine" in finding.text


def test_other_samples_are_refused():
    parent = network(*rows(100, 0, 10))
    for other in (
        replace(parent, sample_hash="else"),
        network(*rows(101, 0, 10)),
        replace(parent, labels=[0] * 100),
    ):
        with pytest.raises(InputError, match="not the same samples"):
            judge(other, parent)
    with pytest.raises(InputError, match="outcomes for"):
        judge(replace(parent, clean=[True]), parent)


@pytest.mark.parametrize(("n", "margin", "discordant"), [(400, 0.02, 0.0), (1000, 0.02, 0.02), (1500, 0.01, 0.04)])
def test_the_gate_passes_a_truly_inferior_network_in_at_most_5_percent_of_2000_trials(n, margin, discordant):
    """The true drop equals the margin; `discordant` is the share fixed, and of as many broken."""
    rng = np.random.default_rng(2024)
    shares = [discordant, discordant + margin, 1 - 2 * discordant - margin]

    @cache
    def passes(fixed, broken):
        before = [False] * fixed + [True] * (n - fixed)
        after = [True] * fixed + [False] * broken + [True] * (n - fixed - broken)
        return accuracy("robust accuracy", before, after, margin).verdict == "PASS"

    trials = rng.multinomial(n, shares, size=2000)
    assert 0.005 <= np.mean([passes(int(fixed), int(broken)) for fixed, broken, _ in trials]) <= 0.05


def test_a_network_well_within_its_margin_passes_and_one_far_beyond_fails():
    rng = np.random.default_rng(5)
    verdicts = []
    for drop in (0.0, 0.08):
        before = rng.random(2000) < 0.9
        after = before & (rng.random(2000) >= drop)
        verdicts.append(accuracy("a", before.tolist(), after.tolist(), 0.02).verdict)
    assert verdicts == ["PASS", "FAIL"]


def test_exit_codes_and_summary():
    made = {
        d: Verdict(case="c", parent="p", verdict=d, findings=()) for d in ("PASS", "FAIL", "INCONCLUSIVE", "UNTRUSTED")
    }
    assert exit_code([made["PASS"], made["FAIL"], made["UNTRUSTED"]]) == 1
    assert exit_code([made["PASS"], made["UNTRUSTED"]]) == 3
    assert exit_code([made["INCONCLUSIVE"]]) == 3
    assert summary([made["FAIL"], made["PASS"], made["PASS"]]) == {
        "UNTRUSTED": 0,
        "FAIL": 1,
        "INCONCLUSIVE": 0,
        "PASS": 2,
    }


@pytest.mark.parametrize("head", ["", "[policy]\n", "# ours\n[policy] # margins\n"])
def test_a_policy_file_is_read(tmp_path, head):
    file = tmp_path / "policy.toml"
    file.write_text(head + "max_clean_drop = 0.02\nmax_class_drop = false\nmin_robust = false\nblocking = [2, 12]\n")
    assert load_policy(file) == Policy(max_clean_drop=0.02, max_class_drop=None, min_robust=None, blocking=(2, 12))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("max_clean_drop = 0.01\nmax_robust_drp = 0.02\n", 2, "did you mean max_robust_drop"),
        ("\n\nmax_clean_drop = 2\n", 3, "0.01 is one point"),
        ("max_clean_drop = true\n", 1, "expected a proportion"),
        ("min_saving = -0.1\n", 1, "share of the parent's MACs"),
        ('confidence = "95"\n', 1, "such as 0.95"),
        ("[policy]\nblocking = [1, 99]\n", 2, "validity checks (1 to"),
        ("max_clean_drop = 0.01\n[margins]\nx = 1\n", 2, "unknown key margins"),
        ("max_latency_ratio = 0\n", 1, "above 0"),
        ("\n[class_drops]\ncat = 2\n", 2, "a table of names of classes"),
        ("[policy.class_drops]\n'stop sign' = 'x'\n", 1, "a table of names of classes"),
    ],
)
def test_a_wrong_policy_file_is_refused_with_file_line_and_key(tmp_path, text, line, said):
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=f"policy.toml, line {line}: ") as caught:
        load_policy(file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_toml_or_not_there_is_refused(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text("max_clean_drop = 0.01\nmax_robust_drop 0.02\n")
    with pytest.raises(InputError, match="line 2"):
        load_policy(file)
    with pytest.raises(InputError, match="no such policy file"):
        load_policy(tmp_path / "none.toml")


def test_a_policy_made_in_code_is_checked_too():
    with pytest.raises(InputError, match="max_robust_drop = 2: expected a proportion"):
        Policy(max_robust_drop=2)


def test_every_case_with_a_parent_is_judged():
    cases = made_up.whole_suite(n=30, seeds=(0,))
    verdicts = judge_all(cases)
    assert [verdict.case for verdict in verdicts] == [case.case for case in cases[1:]]
    assert {verdict.parent for verdict in verdicts} == {cases[0].case}
    assert verdicts[2] == judge(cases[3], cases[0])
