import re
from dataclasses import replace

import numpy as np
import pytest
from test_results import CASE, FGSM

from robustprune.errors import InputError
from robustprune.policy.accepted import acceptance, ruling
from robustprune.policy.baseline import changes, environment_differences
from robustprune.policy.blocks import choices
from robustprune.policy.detectable import POWER, detectable_drops, exact_drop, trained_drop
from robustprune.policy.findings import Finding, Verdict
from robustprune.policy.policy import Policy
from robustprune.report.baseline import power_table, summary
from robustprune.results.claims import claims
from robustprune.results.crossed import Spread
from robustprune.results.significance import mcnemar

N = 400
POLICY = Policy(max_clean_drop=0.02, max_robust_drop=0.05)
WORST = "worst case"


def case(robust: int, clean: int = N, **fields):
    """A case of N samples of which the first `clean` are right and the first `robust` of these robust."""
    status = "r" * robust + "b" * (clean - robust) + "e" * (N - clean)
    outcome = replace(FGSM, status=status, distance=[0.0] * N, steps=[0] * N)
    basis = {"weights_hash": "one network"}
    return replace(CASE, clean=[i < clean for i in range(N)], outcomes=[outcome], labels=[0] * N, **basis | fields)


def runs(robust, weights: str, strategy: str = "cka", **fields):
    """One run a number of robust samples; each a network of its own."""
    return [
        case(count, case=f"net/{strategy}-1/seed{seed}", strategy=strategy, seed=seed, weights_hash=f"{weights}{seed}")
        for seed, count in enumerate(robust)
    ]


def change(now, before, claim=WORST, policy=POLICY):
    """What became of one claim of the first subject."""
    now, before = ([one] if not isinstance(one, list) else one for one in (now, before))
    return next(one for one in changes(now, before, policy) if one.claim == claim)


def test_claims_are_clean_every_attack_and_the_worst_case():
    assert list(claims(CASE)) == ["clean", "FGSM, Linf 25.5/255", WORST]


@pytest.mark.parametrize("n", [1, 4, N])
def test_the_same_network_with_the_same_outcomes_passes_however_few_the_samples(n):
    few = {"labels": [0] * n, "clean": [True] * n}
    outcome = replace(FGSM, status="r" * n, distance=[0.0] * n, steps=[0] * n)
    one = replace(CASE, outcomes=[outcome], weights_hash="w", **few)
    found = change(one, one, policy=Policy(max_robust_drop=0.0))
    assert (found.verdict, found.difference, found.newly_broken, found.exact) == ("PASS", 0.0, (), True)


@pytest.mark.parametrize(("lost", "verdict"), [(1, "PASS"), (5, "PASS"), (9, "FAIL")])
def test_the_same_network_fails_beyond_what_the_exact_test_allows(lost, verdict):
    """Three claims; the worst of them is held against .05 / 3 and less: six samples of two claims give .06 at least."""
    found = change(case(300 - lost), case(300))
    assert (found.verdict, found.exact) == (verdict, True)
    assert found.newly_broken == tuple(range(300 - lost, 300))
    assert found.p == pytest.approx(min(1.0, 3 * mcnemar(0, lost)))


def test_a_clear_loss_fails_and_names_the_samples():
    found = change(case(200), case(300))
    assert (found.verdict, found.newly_broken) == ("FAIL", tuple(range(200, 300)))
    assert found.high < 0
    for text in (
        "75.0 % before",
        "50.0 % now",
        "100 samples newly broken: 200, 201",
        "difference -25.0 [",
        "the same net",
    ):
        assert text in str(found)


def test_networks_trained_again_are_compared_over_their_runs():
    found = change(runs([200, 204, 196, 201], "now"), runs([300, 297, 303, 300], "before"))
    assert (found.verdict, found.exact, found.runs) == ("FAIL", False, 4)
    assert "trained again, 4 runs" in str(found)
    assert change(runs([301, 298, 300, 299], "now"), runs([300, 297, 303, 300], "before")).verdict == "PASS"


def test_runs_that_vary_much_leave_it_open_and_say_what_would_settle_it():
    """Five samples lost on average, but runs that vary by 50: no number of samples settles that."""
    found = change(runs([230, 345, 265, 340], "now"), runs([300] * 4, "before"))
    assert found.verdict == "INCONCLUSIVE"
    assert found.needed_n is None
    assert found.needed_runs > 4
    assert f"about {found.needed_runs:,} runs would settle it" in str(found)


def test_one_run_trained_again_is_no_claim():
    found = change(runs([200], "now"), runs([300], "before"))
    assert found.verdict == "INCONCLUSIVE"
    assert "give the suite more seeds" in str(found)
    assert change(runs([300], "now"), runs([300], "before")).verdict == "PASS"


def test_a_gain_passes():
    assert change(runs([310, 320, 315], "now"), runs([300] * 3, "before")).verdict == "PASS"


def test_many_claims_looked_at_together_need_a_clearer_loss():
    """Eight samples lost: significant alone (p = 2 * 0.5**8 < 0.01), not among three hundred claims."""
    now, before = case(292), case(300)
    others = [replace(case(300), case=f"other{i}/parent", model=f"other{i}", family=f"other{i}") for i in range(100)]
    assert change(now, before).verdict == "FAIL"
    assert change([now, *others], [before, *others]).verdict == "PASS"


def test_more_often_than_it_may_a_strategy_that_did_not_change_never_fails():
    """Both sides drawn from the same runs, all four subjects alike: at most 5 % of the trials call one weaker."""
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(60):
        now, before = [], []
        for strategy in "abcd":
            levels = rng.normal(300, 8, size=(2, 3)).round().astype(int).tolist()
            now += runs(levels[0], "now", strategy)
            before += runs(levels[1], "before", strategy)
        failed += any(one.verdict == "FAIL" for one in changes(now, before, POLICY))
    assert failed <= 0.05 * 60


def test_other_samples_are_refused():
    with pytest.raises(InputError, match="other samples"):
        changes([case(300)], [case(300, sample_hash="x")], POLICY)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"settings": {"steps": 4}}, "(steps - before, 4 now)"),
        ({"budget": {"steps": 4}}, "(steps - before, 4 now)"),
        ({"knowledge": "the parent's gradients"}, "knowledge  before, the parent's gradients now"),
    ],
)
def test_an_attack_with_other_settings_is_another_claim_and_never_passes(fields, said):
    weaker = case(300)
    weaker = replace(weaker, outcomes=[replace(weaker.outcomes[0], **fields)])
    found = {one.claim: one for one in changes([weaker], [case(300)], POLICY)}
    assert found["clean"].verdict == "PASS"
    for claim in ("FGSM, Linf 25.5/255", WORST):
        assert found[claim].verdict == "UNTRUSTED"
        assert said in str(found[claim])
        assert str(found[claim]).endswith("approve it anew")


def test_an_earlier_attack_of_the_same_threat_model_counts_too():
    """A later attack sees what those before left standing, so it is another number with a weaker one before it."""
    later = replace(case(300).outcomes[0], attack="PGD")
    before = replace(case(300), outcomes=[case(300).outcomes[0], later])
    now = replace(before, outcomes=[replace(before.outcomes[0], settings={"steps": 1}), later])
    assert change(now, before, "PGD, Linf 25.5/255").verdict == "UNTRUSTED"
    elsewhere = [replace(outcome, norm="L2") if outcome.attack == "PGD" else outcome for outcome in now.outcomes]
    other = replace(before, outcomes=[before.outcomes[0], elsewhere[1]])
    assert change(replace(now, outcomes=elsewhere), other, "PGD, L2 0.1").verdict == "PASS"


def test_an_attack_that_was_not_measured_before_is_not_compared():
    found = change(case(300), replace(case(300), outcomes=[]), "FGSM, Linf 25.5/255")
    assert (found.verdict, "was not measured before" in str(found)) == ("UNTRUSTED", True)
    assert found.facts["before"] == "-"


def test_only_common_cases_are_compared():
    assert changes([case(300)], [replace(case(300), case="other")], POLICY) == []
    assert len(changes([case(300)], [case(300)], POLICY)) == 3


def test_differences_of_machines_are_named():
    here, there = (replace(CASE, environment={"torch": v, "device": "cpu"}) for v in ("2.14", "2.13"))
    assert environment_differences([here], [there]) == ["torch differs: 2.13 before, 2.14 now"]


def test_the_summary_counts_what_passed_and_shows_the_rest():
    found = [change(case(k), case(300)).facts for k in (300, 200)]
    text = summary(found, ["long costs about 50 minutes"], ["FAIL"])
    assert text.startswith("### robustprune: 1 FAIL, 1 PASS\n")
    assert "| FAIL | net/parent | worst case | 75.0 % | 50.0 % | -25.0 [" in re.sub(" +", " ", text)
    assert text.count("worst case") == 1
    assert "although the policy says otherwise: 1 FAIL" in text
    assert text.endswith("- left out: long costs about 50 minutes\n")


def verdict(decision, name="net/cka"):
    finding = Finding(measure="clean accuracy", verdict=decision, text="lost more than the 1 points allowed")
    return Verdict(case=name, parent="net/parent", verdict=decision, findings=(finding,))


def test_what_is_accepted_is_kept_with_who_when_and_why():
    found = acceptance([verdict("FAIL"), verdict("PASS", "other")], who="Ada", when="2026-11-26", why="a control")
    (one,) = found
    assert (one.case, one.verdict, one.who, one.when, one.why) == ("net/cka", "FAIL", "Ada", "2026-11-26", "a control")
    assert one.reasons == ["lost more than the 1 points allowed"]


@pytest.mark.parametrize(
    ("approved", "now", "said"),
    [
        ("PASS", "PASS", "PASS"),
        ("PASS", "INCONCLUSIVE", "INCONCLUSIVE"),
        ("PASS", "FAIL", "FAIL"),
        ("INCONCLUSIVE", "PASS", "PASS"),
        ("INCONCLUSIVE", "INCONCLUSIVE", "PASS"),
        ("INCONCLUSIVE", "FAIL", "INCONCLUSIVE"),
        ("FAIL", "INCONCLUSIVE", "PASS"),
        ("FAIL", "FAIL", "PASS"),
        ("FAIL", "UNTRUSTED", "UNTRUSTED"),
    ],
)
def test_a_verdict_passes_where_it_is_no_worse_than_what_was_accepted(approved, now, said):
    accepted = acceptance([verdict(approved)], who="Ada", when="2026-11-26", why="a control")
    found = ruling(verdict(now), accepted, approved=True)
    assert found.verdict == said
    if approved != "PASS" and now != "PASS":
        assert f"{approved} was accepted by Ada on 2026-11-26: a control" in found.line


def test_the_exact_drop_is_seen_in_four_of_five_trials():
    n, alpha = 200, 0.01
    drop = exact_drop(n, alpha)
    broken = np.random.default_rng(0).binomial(n, drop, size=20_000)
    seen = np.array([mcnemar(0, k) < alpha for k in range(n + 1)])
    assert np.mean(seen[broken]) == pytest.approx(POWER, abs=0.015)
    assert exact_drop(3, alpha) is None


def test_the_drop_of_networks_trained_again_is_seen_in_four_of_five_trials():
    """A drop and its error as the formula has them: normal over runs and samples, the variance estimated."""
    from scipy.stats import t

    n, count, df, alpha, variance = 300, 4, 20, 0.01, 4e-4
    drop = trained_drop(Spread(variance=variance, df=df), (n, count), alpha)
    rng = np.random.default_rng(0)
    true = variance / count + drop / n
    seen = rng.normal(drop, true**0.5, 20_000) / (true * rng.chisquare(df, 20_000) / df) ** 0.5
    assert np.mean(seen > t.isf(alpha / 2, df)) == pytest.approx(POWER, abs=0.02)


def test_what_can_be_detected_is_said_for_every_claim():
    cases = [
        case(300),
        *runs([300, 310, 290, 300, 302], "x"),
        *runs([280, 285, 290, 280, 281], "y", "other"),
        *runs([200], "z", "one"),
    ]
    cases = [one if one.strategy == "parent" else replace(one, removed=["a"]) for one in cases]
    found = detectable_drops(cases, POLICY)
    assert [*found] == ["net/parent", "net/cka-1", "net/other-1", "net/one-1"]
    assert found["net/parent"][WORST] < found["net/cka-1"][WORST] == found["net/other-1"][WORST] < 0.3
    assert found["net/one-1"][WORST] is None
    assert "| net/one-1 | - |" in re.sub(" +", " ", power_table(cases, POLICY))


SCORES = {"a": 0.1, "b": 0.2, "c": 0.2005, "d": 0.9}


def pruned(removed, strategy="cka", **fields):
    """A parent, and what is left of it without the blocks `removed`."""
    basis = {"strategy": strategy, "scores": {"cka": SCORES}, "parent": "net/parent", "weights_hash": "x"}
    return [case(300), case(290, case="net/cka-2/seed0", removed=list(removed), **basis | fields)]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (pruned("ab"), ""),
        (pruned("ac"), ""),  # b and c are a tie but for rounding
        (pruned("abc"), "removed 3 blocks where 2 were approved: a, b, c instead of a, b"),
        (pruned("ad"), "removed a, d instead of a, b, by the same scores"),
        (pruned("dc", scores={"cka": {name: -value for name, value in SCORES.items()}}), "cka scores a otherwise than"),
        (pruned("ac", scores={"cka": SCORES | {"d": 0.85}}), "cka scores d otherwise than"),
    ],
)
def test_other_blocks_than_approved_fail_unless_rounding_decided(now, said):
    (found,) = choices(now, pruned("ab"))
    assert (found.verdict, said in found.reason) == ("FAIL" if said else "PASS", True)
    assert found.facts.keys() == change(now, pruned("ab")).facts.keys()


def test_a_vote_may_turn_on_a_hair_but_not_on_other_scores():
    votes = {"combines": True, "strategy": "consensus"}
    before = pruned("ab", scores={"consensus": {"a": 1, "b": 2, "c": 3, "d": 4}, "cka": SCORES}, **votes)
    turned = pruned("ac", scores={"consensus": {"a": 1, "b": 3, "c": 2, "d": 4}, "cka": SCORES}, **votes)
    assert choices(turned, before)[0].verdict == "PASS"
    other = pruned("ac", scores={"consensus": {"a": 1, "b": 3, "c": 2, "d": 4}, "cka": SCORES | {"a": 0.5}}, **votes)
    assert choices(other, before)[0].verdict == "FAIL"


def test_blocks_are_not_compared_where_the_parents_differ():
    other = pruned("cd")
    assert choices([replace(other[0], weights_hash="trained again"), other[1]], pruned("ab")) == []
