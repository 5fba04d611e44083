"""Rank rules against hand computations, scipy, and the axioms they claim."""

import numpy as np
import pytest

from robustprune.criteria import EIGHT, Cka, Gaussian, Random
from robustprune.criteria.catalogue import CRITERIA, ROBUST, robust_consensus
from robustprune.criteria.consensus import (
    CONSENSUS,
    Consensus,
    agreement,
    candidates,
    family_weights,
    rank_sum,
    weighted_sum,
)
from robustprune.errors import InputError

VOTES = {
    "a": {"p": 0.1, "q": 0.2, "r": 0.3, "s": 0.4},
    "b": {"p": 5.0, "q": 1.0, "r": 9.0, "s": 7.0},
    "c": {"p": 2.0, "q": 2.0, "r": 2.0, "s": 8.0},
}


class Fixed:
    """A voter with given scores that counts its calls."""

    def __init__(self, name, family=None):
        self.name, self.calls = name, 0
        if family:
            self.family = family

    def __call__(self, ctx):
        self.calls += 1
        return VOTES[self.name]


class Context:
    def __init__(self):
        self.known = {}

    def score(self, criterion):
        if criterion.name not in self.known:
            self.known[criterion.name] = criterion(self)
        return dict(self.known[criterion.name])


def random_votes(seed, criteria=4, blocks=9):
    scores = np.random.default_rng(seed).normal(size=(criteria, blocks))
    return {f"c{i}": {f"b{j}": float(v) for j, v in enumerate(row)} for i, row in enumerate(scores)}


def test_rank_sum_by_hand():
    assert rank_sum(VOTES) == {"p": 1 + 2 + 2, "q": 2 + 1 + 2, "r": 3 + 4 + 2, "s": 4 + 3 + 4}
    assert rank_sum(VOTES, {"a": 2, "b": 0, "c": 1}) == {"p": 4, "q": 6, "r": 8, "s": 12}


@pytest.mark.parametrize("seed", range(5))
def test_rank_sum_counts_won_duels(seed):
    """Borda: a block's rank sum is one a voter, and one for each voter's block below it."""
    votes = random_votes(seed)
    sums = rank_sum(votes)
    for block in sums:
        assert sums[block] == sum(1 + sum(s[other] < s[block] for other in s) for s in votes.values())


def test_ranks_see_order_only():
    votes = random_votes(0)
    bent = {name: {b: np.exp(3 * v) + 7 for b, v in scores.items()} for name, scores in votes.items()}
    assert rank_sum(bent) == rank_sum(votes)
    assert agreement(bent) == agreement(votes)


def test_order_of_blocks_and_voters_does_not_matter():
    votes = random_votes(1)
    turned = {name: dict(reversed(votes[name].items())) for name in reversed(votes)}
    for rule in (rank_sum, weighted_sum, agreement):
        assert rule(turned) == pytest.approx(rule(votes))


def test_weighted_sum_by_hand():
    assert weighted_sum(VOTES)["p"] == pytest.approx((0 + 0.5 + 0) / 3)
    assert weighted_sum(VOTES)["s"] == pytest.approx((1 + 0.75 + 1) / 3)
    assert weighted_sum(VOTES, {"a": 1, "b": 3, "c": 0})["r"] == pytest.approx((2 / 3 + 3) / 4)


def test_constant_scores_weigh_nothing():
    flat = {"a": VOTES["a"], "flat": dict.fromkeys("pqrs", 3.0)}
    assert weighted_sum(flat) == pytest.approx({b: (v + 0.5) / 2 for b, v in weighted_sum({"a": VOTES["a"]}).items()})
    sums = rank_sum(flat)
    assert sorted(sums, key=sums.get) == list("pqrs")


def test_candidates_are_low_for_every_voter():
    assert candidates(VOTES, 0.5) == ["p", "q"]
    assert candidates(VOTES, 0.25) == [], "p is lowest for a, q for b"
    assert candidates(VOTES, 1.0) == list("pqrs")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.7])
def test_agreement_puts_candidates_first_in_order_of_rank_sum(seed, fraction):
    votes = random_votes(seed, criteria=2)
    low = [set(sorted(s, key=s.get)[: int(fraction * len(s))]) for s in votes.values()]
    chosen = set.intersection(*low)
    assert set(candidates(votes, fraction)) == chosen
    scores, sums = agreement(votes, fraction), rank_sum(votes)
    order = sorted(scores, key=scores.get)
    assert set(order[: len(chosen)]) == chosen
    for group in (order[: len(chosen)], order[len(chosen) :]):
        assert [sums[block] for block in group] == sorted(sums[block] for block in group)


def test_family_weights_count_every_family_once():
    weights = family_weights(EIGHT)
    totals = {}
    for voter in EIGHT:
        totals[voter.family] = totals.get(voter.family, 0) + weights[voter.name]
    assert totals == pytest.approx({"shape": 8 / 3, "gaussian": 8 / 3, "distribution": 8 / 3})
    assert weights["cka"] == pytest.approx(2 / 3)
    assert family_weights([Fixed("a"), Fixed("b", "x"), Fixed("c", "x")]) == {"a": 1.5, "b": 0.75, "c": 0.75}


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"rule": "rank-sum"}, rank_sum),
        ({"rule": "weighted"}, weighted_sum),
        ({"rule": "agreement"}, agreement),
        ({"rule": "agreement", "fraction": 0.25}, lambda votes: agreement(votes, 0.25)),
        ({"weights": {"a": 1, "b": 2, "c": 3}}, lambda votes: rank_sum(votes, {"a": 1, "b": 2, "c": 3})),
    ],
)
def test_consensus_is_a_criterion(settings, rule):
    voters = tuple(map(Fixed, "abc"))
    made, ctx = Consensus(voters=voters, **settings), Context()
    assert made(ctx) == rule(VOTES)
    assert made.votes(ctx) == VOTES
    assert made.combine(VOTES) == rule(VOTES)
    assert [voter.calls for voter in voters] == [1, 1, 1], "a context computes votes once"


def test_consensus_of_one_keeps_its_order():
    for rule in ("rank-sum", "weighted", "agreement"):
        scores = Consensus(voters=(Fixed("b"),), rule=rule)(Context())
        assert sorted(scores, key=scores.get) == ["q", "p", "s", "r"]


def test_named_consensus_have_the_eight_voters():
    assert list(CONSENSUS) == ["consensus", "consensus-weighted", "consensus-agreement", "consensus-families"]
    assert all(make().name == name and make().voters == EIGHT for name, make in CONSENSUS.items())
    assert {*CONSENSUS, robust_consensus().name} <= set(CRITERIA)
    assert len({make() for make in CONSENSUS.values()} | {make() for make in CONSENSUS.values()}) == 4


def test_robust_consensus_lets_every_family_count_once():
    made = robust_consensus()
    assert [voter.name for voter in made.voters] == [*(voter.name for voter in EIGHT), *ROBUST]
    votes = {}
    for voter in made.voters:
        votes[voter.family] = votes.get(voter.family, 0.0) + made.weights[voter.name]
    assert set(votes) > {"shape", "gaussian", "distribution", "shape@adversarial"}
    assert [*votes.values()] == pytest.approx([len(made.voters) / len(votes)] * len(votes))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"voters": ()}, "at least one"),
        ({"voters": (Cka(), Cka())}, "name of its own"),
        ({"rule": "majority"}, "no rule 'majority', expected rank-sum, weighted or agreement"),
        ({"fraction": 0.0}, "fraction = 0.0"),
        ({"fraction": 1.1}, "fraction = 1.1"),
        ({"voters": (Cka(), Random()), "weights": {"cka": 1.0}}, "differ in random"),
        ({"voters": (Cka(),), "weights": {"cka": 1.0, "ckx": 1.0}}, "differ in ckx"),
        ({"voters": (Cka(), Gaussian()), "weights": {"cka": 1.0, "gaussian-1": -1.0}}, ">= 0"),
        ({"voters": (Cka(),), "weights": {"cka": 0.0}}, "at least one above 0"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        Consensus(**settings)


@pytest.mark.parametrize(
    ("votes", "said"),
    [
        ({}, "no votes"),
        ({"a": {}}, "no votes"),
        ({"a": {"x": 1.0}, "b": {"y": 1.0}}, "b scores other blocks than a: x, y"),
        ({"a": {"x": 1.0, "y": float("nan")}}, "a gives NaN or Inf to y"),
    ],
)
@pytest.mark.parametrize("rule", [rank_sum, weighted_sum, candidates, agreement])
def test_bad_votes_are_refused(rule, votes, said):
    with pytest.raises(InputError, match=said):
        rule(votes)
