"""Agreement of orders against scipy, textbook identities and choices made by hand; voters against made-up suites."""

from dataclasses import replace
from itertools import combinations
from math import isnan
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from report import made_up
from scipy.stats import friedmanchisquare, rankdata, spearmanr

from robustprune.criteria.consensus import candidates as by_agreement
from robustprune.criteria.consensus import rank_sum, weighted_sum
from robustprune.errors import InputError
from robustprune.models.blocks import Block
from robustprune.prune import choose
from robustprune.results import load
from robustprune.results.agreement import kendall_w, lowest, mean_correlations, rank_sums, ranks, spearman, taken
from robustprune.results.voters import candidates, left_out, runs_of, voted, weights_of

TIES = [True, False]
APPROVED = Path(__file__).parents[1] / "results"


def orders(seed, ties, m=5, n=9):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, (m, n)) if ties else rng.random((m, n))
    return values.astype(float).tolist()


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("seed", range(3))
def test_ranks_correlation_and_concordance_are_scipys(seed, ties):
    """Friedman's chi-squared, corrected for ties, is m (n - 1) W."""
    rows = orders(seed, ties)
    assert ranks(rows[0]) == rankdata(rows[0]).tolist()
    assert spearman(rows[0], rows[1]) == pytest.approx(spearmanr(rows[0], rows[1]).statistic)
    m, n = len(rows), len(rows[0])
    assert kendall_w(rows) == pytest.approx(friedmanchisquare(*zip(*rows, strict=True)).statistic / (m * (n - 1)))


def test_concordance_of_the_textbook():
    """Siegel 1956, chapter 9: three executives rank six applicants, s = 25.5 and W = .16."""
    executives = [[1, 6, 3, 2, 5, 4], [1, 5, 6, 4, 2, 3], [6, 3, 2, 5, 4, 1]]
    assert kendall_w(executives) == pytest.approx(12 * 25.5 / (9 * (6**3 - 6)))
    assert round(kendall_w(executives), 2) == 0.16


@pytest.mark.parametrize("seed", range(3))
def test_concordance_is_the_mean_correlation_in_other_words(seed):
    rows = orders(seed, ties=False)
    mean = fmean(spearman(a, b) for a, b in combinations(rows, 2))
    assert mean == pytest.approx((len(rows) * kendall_w(rows) - 1) / (len(rows) - 1))


def test_what_has_one_value_has_no_order():
    assert isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert isnan(kendall_w([[1, 1, 1], [2, 2, 2]]))
    for bad in ([], [[1, 2]], [[1], [2]], [[1, 2], [1, 2, 3]]):
        with pytest.raises(InputError, match="two or more of the same two"):
            kendall_w(bad)


def test_correlations_are_means_over_the_runs_that_have_both():
    up, down = {"x": 1.0, "y": 2.0, "z": 3.0}, {"z": 1.0, "y": 2.0, "x": 3.0}
    found = mean_correlations([{"a": up, "b": up}, {"a": up, "b": down}, {"c": up}])
    assert (found["a"]["b"], found["b"]["a"], found["c"]["c"]) == (0, 0, 1)
    assert isnan(found["a"]["c"])


@pytest.mark.parametrize("ties", TIES)
def test_lowest_half_and_rank_sums_are_those_of_the_consensus(ties):
    """Candidates by agreement are what every criterion has in its lowest half."""
    names = [f"b{i}" for i in range(9)]
    votes = {f"c{i}": dict(zip(names, row, strict=True)) for i, row in enumerate(orders(1, ties))}
    assert rank_sums(votes) == pytest.approx(rank_sum(votes))
    for fraction in (0.1, 0.5, 0.9):
        common = set.intersection(*(lowest(scores, fraction) for scores in votes.values()))
        assert common == set(by_agreement(votes, fraction))


@pytest.mark.parametrize("keep", [0, 1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_taken_is_what_pruning_takes(seed, keep):
    blocks = [
        Block(name=f"layer{stage}.{i}", container=f"layer{stage}", stage=stage, position=i, shape=(1,))
        for stage in (1, 2, 3)
        for i in range(3)
    ]
    values = np.random.default_rng(seed).integers(0, 5, len(blocks)).astype(float).tolist()
    scores = dict(zip([block.name for block in blocks], values, strict=True))
    for count in range(1, 3 * (3 - keep) + 1):
        assert taken(scores, count, keep) == set(choose(scores, blocks, count, keep))


BLOCKS = ["one.1", "one.2", "two.1", "two.2"]


def scored(seed, removed, strategy="all", **rows):
    """A case whose criterion `all` is the rank sum of the rows, scores of the four blocks in order."""
    votes = {name: dict(zip(BLOCKS, map(float, row), strict=True)) for name, row in rows.items()}
    return made_up.case(
        [True],
        case=f"net/{strategy}/seed{seed}",
        strategy=strategy,
        parent="net/parent",
        seed=seed,
        blocks=BLOCKS,
        removed=removed,
        scores={"all": rank_sums(votes), **votes},
        combines=True,
    )


def test_leaving_out_the_voter_that_decides_changes_the_choice():
    """Rank sums are 6.5, 8.5, 6.5, 8.5; without a 4.5, 7.5, 3.5, 4.5, without b 5.5, 4.5, 4.5, 5.5."""
    case = scored(0, ["one.1"], a=[2, 1, 3, 4], b=[1, 4, 2, 3], c=[3, 3, 2, 2])
    (run,) = runs_of([case])
    assert run.combined == ("all",)
    found = {one.voter: one for one in left_out([run])}
    assert set(found) == {"a", "b", "c"}
    assert found["a"].moved == ((frozenset({"one.1"}), frozenset({"two.1"})),)
    assert found["b"].moved == ((frozenset({"one.1"}), frozenset({"one.2"})),)
    assert (found["b"].changed, found["b"].blocks) == (1, 1.0)
    assert (found["c"].changed, found["c"].blocks) == (0, 0.0)


def test_how_many_blocks_a_stage_keeps_is_read_off_what_was_removed():
    votes = {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}
    (free,), (kept,) = (runs_of([scored(0, removed, **votes)]) for removed in (["one.1", "one.2"], ["one.1", "two.1"]))
    assert [choice.keep for choice in (*free.choices, *kept.choices)] == [0, 1]
    equal = {"a": 1.0, "b": 1.0}
    assert all(voted(run, run.choices[0], equal) == run.choices[0].removed for run in (free, kept))
    (other,) = runs_of([scored(0, ["two.2"], **votes)])
    assert other.choices == (), "no rule takes the highest: it was scored anew"
    one, two = (scored(seed, removed, **votes) for seed, removed in ((0, ["one.1"]), (1, ["one.1", "two.1"])))
    assert [choice.keep for run in runs_of([one, two]) for choice in run.choices] == [1, 1], "what fits most cases"


def test_candidates_are_counted_over_the_runs():
    one = scored(0, ["one.1"], a=[1, 2, 3, 4], b=[1, 2, 3, 4])
    two = scored(1, ["two.2"], a=[4, 3, 2, 1], b=[4, 3, 2, 1])
    same = replace(one, case="net/a", strategy="a", combines=False, scores={"a": one.scores["a"]}, removed=["one.1"])
    found = {(each.criterion, each.block): each for each in candidates(runs_of([one, two, same]))}
    first = found["a", "one.1"]
    assert (first.runs, first.rank, first.lowest, first.chosen) == (2, 2.5, 0.5, 0.5)
    assert (found["a", "one.2"].lowest, found["a", "one.2"].chosen) == (0.5, 0.0)
    assert {each.family for each in found.values()} == {"net"}


@pytest.mark.parametrize("suite", ["digits", "cifar10_resnet56"])
def test_equal_votes_took_what_the_approved_consensus_removed(suite):
    runs = runs_of(load(APPROVED / suite / "cases.json.gz"))
    choices = [(run, choice) for run in runs for choice in run.choices if choice.voters]
    assert len(choices) == len(runs)
    weights = weights_of(runs)
    assert {weight for some in weights.values() for weight in some.values()} == {1.0}
    assert all(voted(run, choice, weights[choice.strategy]) == choice.removed for run, choice in choices)
    assert all(len(choice.voters) == 8 for _, choice in choices)


STAGE = [f"layer1.{place}" for place in range(8)]


def weighted_suite(weights, runs=4, rule=rank_sum):
    """Cases of a consensus with these weights, each of three blocks of a network of its own."""
    rng, found = np.random.default_rng(9), []
    for seed in range(runs):
        votes = {name: dict(zip(STAGE, rng.random(8).tolist(), strict=True)) for name in weights}
        scores = {"all": rule(votes, weights), **votes}
        removed = sorted(scores["all"], key=scores["all"].__getitem__)[:3]
        fields = {"case": f"net/all/seed{seed}", "seed": seed, "strategy": "all", "combines": True, "parent": "net"}
        found.append(made_up.case([True], blocks=STAGE, removed=removed, scores=scores, **fields))
    return found


def test_the_weights_of_a_consensus_show_in_its_scores_and_a_voter_is_left_out_by_them():
    weights = {"a": 0.2137, "b": 3.0301, "c": 1.1173, "d": 0.0}
    cases = weighted_suite(weights)
    runs = runs_of(cases)
    mean = fmean(weights.values())
    assert weights_of(runs)["all"] == pytest.approx({name: weight / mean for name, weight in weights.items()}, abs=1e-9)
    for one in left_out(runs):
        rest = {name: weight for name, weight in weights.items() if name != one.voter}
        for case, (stay, go) in zip(cases, one.moved, strict=True):
            scores = rank_sum({name: case.scores[name] for name in rest}, rest)
            then = set(sorted(scores, key=scores.__getitem__)[:3])
            assert (stay, go) == ({*case.removed} - then, then - {*case.removed})
        assert one.weight == pytest.approx(weights[one.voter] / mean, abs=1e-9)
    assert {one.voter: one.changed for one in left_out(runs)}["d"] == 0


def test_where_no_weights_or_many_give_the_scores_all_voters_count_the_same():
    equal = dict.fromkeys("abcd", 1.0)
    assert (
        weights_of(runs_of(weighted_suite({"a": 2.0, "b": 1.0, "c": 5.0, "d": 1.0}, rule=weighted_sum)))["all"] == equal
    )
    many = weighted_suite(dict(zip("abcdefghij", range(10), strict=True)), runs=1)
    assert set(weights_of(runs_of(many))["all"].values()) == {1.0}
