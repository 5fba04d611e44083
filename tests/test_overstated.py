"""The bound on what a stronger attack would still break: closed forms, and its coverage where that is known."""

import json
import sys
from dataclasses import asdict, replace
from functools import cache
from math import isclose
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, hypergeom

sys.path.insert(0, str(Path(__file__).parent / "report"))
import made_up

from robustprune.errors import InputError
from robustprune.results.overstated import Overstated, by_threat, highest, lowest, over_runs, pooled, second_stage
from robustprune.results.records import Check, from_record, to_record
from robustprune.results.trust import ESSENTIAL, trust, trusts


@cache
def seen(
    n: int, survivors: int, first: int, first_broken: int, attacked: int, broken: int, draw: int = 0
) -> Overstated:
    return Overstated(
        n=n,
        survivors=survivors,
        first=first,
        first_broken=first_broken,
        attacked=attacked,
        broken=broken,
        threat="Linf 8/255",
        margin=0.02,
        draw=draw,
    )


@cache
def bound(n: int, survivors: int, first: int, first_broken: int, attacked: int, broken: int) -> float:
    return seen(n, survivors, first, first_broken, attacked, broken).bound


def tried(survivors: int, hidden: int, first: int, rng: np.random.Generator, draw: int = 0) -> Overstated:
    """Draw the order of survivors of which `hidden` would break, and attack as the checks do."""
    breaks = rng.permutation(np.arange(survivors) < hidden)
    k = int(breaks[:first].sum())
    attacked = second_stage(first, k, survivors)
    return seen(2 * survivors, survivors, first, k, attacked, int(breaks[:attacked].sum()), draw)


def populations(count: int = 200) -> list[tuple[int, int, int]]:
    """Survivors, how many of them would break, how many are attacked first; a third with few hidden breaks."""
    rng = np.random.default_rng(5)
    found = []
    for i in range(count):
        survivors = int(rng.integers(20, 200))
        most = 4 if i % 3 == 0 else survivors // 2
        found.append((survivors, int(rng.integers(0, most + 1)), int(rng.integers(1, 30)) % survivors + 1))
    return [(survivors, hidden, min(first, survivors)) for survivors, hidden, first in found]


def test_the_closed_forms():
    none = seen(1000, 402, 24, 0, 24, 0)
    assert none.share == pytest.approx(1 - 0.05 ** (1 / 24))
    assert none.bound == pytest.approx(none.share * 402 / 1000)
    assert none.text == "at most 4.7 points above AutoAttack's (95 %): 0 of 24 survivors of 402 broken"
    assert highest(3, 40) == pytest.approx(brentq(lambda p: binom.cdf(3, 40, p) - 0.05, 1e-6, 1))
    assert lowest(3, 40) == pytest.approx(brentq(lambda p: binom.sf(2, 40, p) - 0.05, 1e-6, 1))
    assert (highest(7, 7), lowest(0, 7)) == (1.0, 0.0)


def test_the_share_after_two_stages_is_where_what_was_seen_or_less_has_a_chance_of_5_percent():
    found = seen(1000, 500, 10, 2, 40, 3)
    first, rest = (binom.pmf(np.arange(size + 1), size, found.share) for size in (10, 30))
    less = [[i == 0 or i + j <= 3 for j in range(31)] for i in range(11)]
    assert (np.outer(first, rest) * less).sum() == pytest.approx(0.05)
    assert found.share > highest(3, 40)


def test_where_all_survivors_were_attacked_the_number_is_exact():
    found = seen(1000, 402, 100, 1, 402, 4)
    assert (found.exact, found.bound, found.found) == (True, 0.004, 0.004)
    assert found.text == "0.4 points above AutoAttack's: all 402 survivors attacked"
    nothing = seen(1000, 0, 0, 0, 0, 0)
    assert nothing.bound == 0
    assert nothing.text == "0.0 points above AutoAttack's: nothing survived"


def test_where_nothing_was_attacked_all_survivors_may_break():
    untried = seen(100, 40, 0, 0, 0, 0)
    assert not untried.bounded
    assert (
        replace(untried, margin=0.4).text
        == "at most 40.0 points above AutoAttack's (95 %): 0 of 0 survivors of 40 broken"
    )
    assert untried.text == "not bounded: AutoAttack attacked none of 40 survivors; tier standard attacks all"
    runs = [seen(500, 200, 10, 0, 10, 0, draw) for draw in range(4)]
    assert pooled([*runs, untried]) == pytest.approx((4 * pooled(runs) + 0.4) / 5)


def test_no_more_can_break_than_is_left():
    assert seen(100, 10, 2, 1, 8, 1).bound == pytest.approx(0.03)
    assert seen(100, 10, 9, 0, 9, 0).bound == pytest.approx(0.01)


@pytest.mark.parametrize("wrong", [(10, 11, 1, 0, 1, 0), (10, 5, 3, 0, 2, 0), (10, 5, 2, 3, 5, 3), (10, 5, 2, 1, 5, 0)])
def test_impossible_counts_are_refused(wrong):
    with pytest.raises(InputError, match="expected 0 <= first"):
        seen(*wrong)


def test_two_stages_cover_on_every_population_exactly():
    """Over all draws of 60 populations, by enumeration: the chance that the bound holds is at least 95 %."""
    extended = 0
    for survivors, hidden, first in populations(60):
        n, holds = 2 * survivors, 0.0
        if first == survivors:
            continue
        for k in range(min(first, hidden) + 1):
            chance = hypergeom.pmf(k, survivors, hidden, first)
            attacked = second_stage(first, k, survivors)
            extended += attacked > first
            more = np.arange(min(attacked - first, hidden - k) + 1)
            chances = hypergeom.pmf(more, survivors - first, hidden - k, attacked - first)
            fine = [bound(n, survivors, first, k, attacked, k + int(j)) >= hidden / n - 1e-12 for j in more]
            holds += chance * float(chances[np.array(fine)].sum())
        assert holds >= 0.95 - 1e-9, (survivors, hidden, first)
    assert extended > 60


def test_two_stages_cover_in_a_trial_on_each_population():
    rng = np.random.default_rng(0)
    holds = [tried(*one, rng).bound >= one[1] / (2 * one[0]) - 1e-12 for one in populations()]
    assert sum(holds) >= 190


@pytest.mark.parametrize("alike", [True, False])
def test_pooled_bounds_cover_the_mean_of_the_runs(alike):
    """Five runs each, of as many hidden breaks or with all of them in one; subsets in proportion to the survivors."""
    rng, holds, tighter = np.random.default_rng(1), [], []
    for survivors, hidden, _ in populations():
        sizes = [survivors + 7 * i for i in range(5)]
        hides = [min(hidden, 20)] * 5 if alike else [min(5 * hidden, survivors), 0, 0, 0, 0]
        firsts = [max(1, size // 20) for size in sizes]
        runs = [tried(*one, rng, draw=i) for i, one in enumerate(zip(sizes, hides, firsts, strict=True))]
        truth = np.mean([one / (2 * size) for one, size in zip(hides, sizes, strict=True)])
        holds.append(pooled(runs) >= truth - 1e-12)
        tighter.append(pooled(runs) < np.mean([run.bound for run in runs]))
    assert sum(holds) >= 190
    assert sum(tighter) > 100


def test_the_pooled_bound_is_one_bound_on_all_that_were_drawn():
    runs = [seen(500, 200, 10, 0, 10, 0, draw) for draw in range(4)]
    assert pooled(runs) == pytest.approx((1 - 0.05 ** (1 / 40)) * 200 / 500)
    uneven = [*runs[:3], seen(500, 200, 5, 0, 5, 0, 9)]
    assert pooled(uneven) == pytest.approx((200 / 5) * 35 * (1 - 0.05 ** (1 / 35)) / (4 * 500))
    settled = seen(500, 50, 50, 5, 50, 5, 8)
    assert pooled([*runs, settled]) == pytest.approx((4 * pooled(runs) + 5 / 500) / 5)
    assert pooled([settled, seen(500, 50, 50, 0, 50, 0, 7)]) == pytest.approx(0.005)


def test_one_draw_is_one_piece_of_evidence_however_often_it_is_shown():
    one, other = (seen(500, 200, 10, 0, 10, 0, draw) for draw in (1, 2))
    assert pooled([one] * 3) == one.bound
    assert pooled([one, one, other]) == pytest.approx(2 * 200 / 10 * 20 * (1 - 0.05 ** (1 / 20)) / (3 * 500))
    with pytest.raises(InputError, match="no runs"):
        pooled([])


def test_pooling_falls_back_on_certainty_where_hoeffding_does_not_reach():
    """With nearly all broken no smaller mean is excluded."""
    runs = [seen(100, 40, 1, 1, 4, 4, 1), seen(100, 40, 1, 0, 1, 0, 2)]
    assert pooled(runs) <= np.mean([0.4, 0.39])
    assert pooled([seen(100, 40, 1, 1, 4, 4, i) for i in range(3)]) == pytest.approx(0.4)


PASSED = [Check(number=number, name="x", status="pass", evidence="") for number in ESSENTIAL]


def run_with(found: Overstated | None, seed: int, *more: Check):
    """A run whose check 15 fails where its own bound is beyond its margin."""
    fine = found is not None and found.bound <= (found.margin or 0)
    figures = asdict(found) if found else {}
    one = Check(number=15, name="distance", status="pass" if fine else "fail", evidence="", figures=figures)
    checks = [*PASSED, one, *more]
    return made_up.case([True] * 4, case=f"net/a/seed{seed}", seed=seed, checks=checks, trust=trust(checks))


def test_the_runs_of_a_subject_answer_together():
    few = [seen(1000, 200, 10, 0, 10, 0, draw) for draw in range(4)]
    runs = [run_with(one, seed) for seed, one in enumerate(few)]
    assert few[0].bound > 0.02 > pooled(few)
    assert [case.trust for case in runs] == ["SUSPECT"] * 4
    assert trusts(runs) == ["TRUSTED"] * 4
    assert trusts(runs[:1]) == ["SUSPECT"]
    assert trusts(runs[:2]) == ["SUSPECT"] * 2


def test_pooling_forgives_nothing_else():
    few = [seen(1000, 200, 20, 0, 20, 0, draw) for draw in range(4)]
    runs = [run_with(one, seed) for seed, one in enumerate(few)]
    weak = run_with(few[0], 0, Check(number=9, name="smooth", status="fail", evidence=""))
    grave = run_with(few[0], 0, Check(number=16, name="black box", status="fail", evidence="", blocking=True))
    assert trusts([weak, *runs[1:]]) == ["SUSPECT", *["TRUSTED"] * 3]
    assert trusts([grave, *runs[1:]]) == ["INVALID", *["TRUSTED"] * 3]
    assert trusts([run_with(None, 0), *runs[1:]]) == ["SUSPECT"] * 4
    bare = [replace(case, checks=[], trust="SUSPECT") for case in runs]
    assert trusts(bare) == ["SUSPECT"] * 4
    broken = [seen(1000, 200, 20, 10, 80, 40, draw) for draw in range(4)]
    assert trusts([run_with(one, seed) for seed, one in enumerate(broken)]) == ["SUSPECT"] * 4


def test_a_record_keeps_the_figures_and_an_old_one_has_none():
    found = seen(1000, 402, 24, 0, 24, 0)
    case = run_with(found, 0)
    record = json.loads(json.dumps(to_record(case)))
    assert by_threat(from_record(record)) == {"Linf 8/255": found}
    for check in record["checks"]:
        del check["figures"]
    old = from_record(record)
    assert by_threat(old) == {}
    assert over_runs([case, old]) == {}
    assert isclose(over_runs([case])["Linf 8/255"][0].bound, found.bound)
