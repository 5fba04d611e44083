import re
from dataclasses import replace

import pytest
from test_results import CASE, FGSM

from robustprune.errors import InputError
from robustprune.policy.baseline import change, changes, environment_differences
from robustprune.policy.policy import Policy
from robustprune.report.baseline import summary
from robustprune.results.claims import claims

N = 400
POLICY = Policy(max_clean_drop=0.02, max_robust_drop=0.05)


def case(robust: int, clean: int = N, **fields):
    """A case of N samples of which the first `clean` are right and the first `robust` of these robust."""
    status = "r" * robust + "b" * (clean - robust) + "e" * (N - clean)
    outcome = replace(FGSM, status=status, distance=[0.0] * N, steps=[0] * N)
    return replace(CASE, clean=[i < clean for i in range(N)], outcomes=[outcome], labels=[0] * N, **fields)


def test_claims_are_clean_every_attack_and_the_worst_case():
    assert list(claims(CASE)) == ["clean", "FGSM, Linf 25.5/255", "worst case"]


def test_the_same_outcomes_pass():
    found = change(case(300), case(300), "worst case", Policy(max_robust_drop=0.0001))
    assert (found.verdict, found.difference, found.newly_broken) == ("PASS", 0.0, ())


def test_a_clear_loss_fails_and_names_the_samples():
    found = change(case(200), case(300), "worst case", POLICY)
    assert found.verdict == "FAIL"
    assert found.newly_broken == tuple(range(200, 300))
    assert found.high < 0
    for text in ("75.0 % before", "50.0 % now", "100 samples newly broken: 200, 201", "difference -25.0 ["):
        assert text in str(found)


def test_a_small_loss_is_inconclusive_with_the_size_that_settles_it():
    found = change(case(293), case(300), "worst case", Policy(max_robust_drop=0.03), together=10)
    assert found.verdict == "INCONCLUSIVE"
    assert found.needed is not None
    assert found.needed > N


def test_a_gain_passes():
    assert change(case(310), case(300), "worst case", POLICY).verdict == "PASS"


def test_many_claims_looked_at_together_need_a_clearer_loss():
    """Eight samples lost: significant alone (p = 2 * 0.5**8 < 0.01), not among a thousand claims."""
    now, before = case(292), case(300)
    assert change(now, before, "worst case", POLICY, together=1).verdict == "FAIL"
    assert change(now, before, "worst case", POLICY, together=1000).verdict != "FAIL"


def test_other_samples_or_missing_attacks_are_refused():
    with pytest.raises(InputError, match="other samples"):
        change(case(300), case(300, sample_hash="x"), "clean", POLICY)
    with pytest.raises(InputError, match="not measured before"):
        change(case(300), replace(case(300), outcomes=[]), "FGSM, Linf 25.5/255", POLICY)


def test_only_common_cases_are_compared():
    assert changes([case(300)], [replace(case(300), case="other")], POLICY) == []
    assert len(changes([case(300)], [case(300)], POLICY)) == 3


def test_differences_of_machines_are_named():
    here, there = (replace(CASE, environment={"torch": v, "device": "cpu"}) for v in ("2.14", "2.13"))
    assert environment_differences([here], [there]) == ["torch differs: 2.13 before, 2.14 now"]


def test_the_summary_counts_what_passed_and_shows_the_rest():
    found = [change(case(k), case(300), "worst case", POLICY).facts for k in (300, 200)]
    text = summary(found, ["long costs about 50 minutes"])
    assert text.startswith("### robustprune: 1 FAIL, 1 PASS\n")
    assert f"| FAIL | {CASE.case} | worst case | 75.0 % | 50.0 % | -25.0 [" in re.sub(" +", " ", text)
    assert text.count("worst case") == 1
    assert text.endswith("- left out: long costs about 50 minutes\n")
