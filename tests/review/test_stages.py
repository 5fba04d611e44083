"""Staged roll-out: the plan by arithmetic, the rule on planted verdicts, and one roll-out for real."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import made_up

from robustprune.attacks import PGD
from robustprune.criteria import DepthFirst, Random
from robustprune.data import digits
from robustprune.errors import InputError
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.policy.policy import Policy
from robustprune.rollout.stages import Step, choose_case, lossless, plan, removable_costs, roll_out
from robustprune.run.bench import open_bench
from robustprune.run.case import Finished
from robustprune.run.store import Store
from robustprune.suite.cases import Model, Strategy, Suite, grid


def test_the_paper_s_net_goes_in_tenths():
    """ResNet-56: 21 blocks of equal cost can go; a stage takes what fits into its share."""
    steps = plan([4_718_592] * 21, step=0.1, most=1.0)
    assert [step.blocks for step in steps] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 21]
    assert [round(step.share, 9) for step in steps] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@pytest.mark.parametrize(
    ("costs", "step", "most", "blocks"),
    [
        ([10, 10], 0.1, 1.0, [1, 2]),  # stages that take no more than the one before are left out
        ([30, 10, 10], 0.2, 1.0, [1, 2, 3]),  # 0.2 and 0.4 of 50 hold no block of 30
        ([10] * 10, 0.3, 1.0, [3, 6, 9, 10]),
        ([10] * 10, 0.2, 0.5, [2, 4, 5]),
        ([10] * 10, 1.0, 1.0, [10]),
        ([], 0.1, 1.0, []),
    ],
)
def test_a_stage_never_goes_further_than_it_says(costs, step, most, blocks):
    steps = plan(costs, step, most)
    assert [one.blocks for one in steps] == blocks
    assert all(sum(costs[: one.blocks]) <= one.share * sum(costs) + 1e-6 for one in steps)


@pytest.mark.parametrize(("step", "most"), [(0, 1), (-0.1, 1), (1.5, 1), (0.1, 0), (0.1, 2)])
def test_shares_outside_are_refused(step, most):
    with pytest.raises(InputError, match="expected shares"):
        plan([1], step, most)


NET = Model(name="net", build=CifarResNet, weights="net.safetensors")
OTHER = replace(NET, name="other")
CRITERIA = (Random(), DepthFirst())
RECIPE = Recipe(name="ft", epochs=1, lr=0.02)


def suite(models=(NET,), criteria=CRITERIA, **fields):
    strategies = [Strategy(criterion=criterion, remove=1, keep_per_stage=0) for criterion in criteria]
    cases = [case for model in models for case in grid(model=model, strategy=strategies, recipe=RECIPE)]
    return Suite(name="s", data=digits, cases=cases, **{"attacks": (PGD(eps=0.02, steps=3),), **fields})


def test_the_case_is_chosen_by_name():
    assert choose_case(suite()).strategy.criterion == Random()
    assert choose_case(suite(), criterion="depth-first").strategy.criterion == DepthFirst()
    assert choose_case(suite(models=(NET, OTHER)), model="other").model is OTHER
    for wrong, reason in (
        ({"criterion": "cka"}, "no criterion 'cka'; known: random, depth-first"),
        ({"model": "third"}, "no model 'third'; known: net"),
    ):
        with pytest.raises(InputError, match=reason):
            choose_case(suite(), **wrong)
    with pytest.raises(InputError, match="several models, give --model: net, other"):
        choose_case(suite(models=(NET, OTHER)))
    with pytest.raises(InputError, match="no case with a strategy"):
        choose_case(suite(criteria=()))


def made(right, macs, name):
    status = made_up.statuses(right, right)
    case = made_up.case(right, [made_up.outcome("PGD-20", status)], case=name)
    return replace(case, cost=replace(case.cost, macs=macs))


def roll(drops):
    """A roll-out on made-up results: stage i breaks `drops[i]` of 1000 samples."""
    found = {0: made([True] * 1000, 100, "net/parent")}
    found |= {i: made([j >= drop for j in range(1000)], 100 - 10 * i, f"net/{i}") for i, drop in enumerate(drops, 1)}
    asked = []

    def measure(case, parent):
        blocks = case.strategy.remove if case.strategy else 0
        asked.append(blocks)
        return Finished(measured=None, result=found[blocks])

    steps = [Step(share=i / 10, blocks=i) for i in range(1, len(drops) + 1)]
    policy = Policy(max_class_drop=None, min_saving=0.25)
    return roll_out(choose_case(suite()), steps, policy, measure), asked


def test_it_stops_at_the_first_stage_that_does_not_pass():
    found, asked = roll([0, 1, 60, 0])
    assert asked == [0, 1, 2, 3]
    assert [stage.verdict.verdict for stage in found.stages] == ["PASS", "PASS", "FAIL"]
    assert found.passed is found.stages[1]
    assert found.answer == "2 blocks can go, 20.0 % of the MACs; 3 blocks: FAIL"
    assert found.final.verdict == "FAIL"  # 20 % saved, 25 % asked for


def test_it_goes_to_the_end_where_every_stage_passes():
    found, _ = roll([0, 0, 0])
    assert found.answer == "3 blocks can go, 30.0 % of the MACs; that is all that was asked for"
    assert found.final.verdict == "PASS"


def test_it_hands_over_nothing_where_the_first_stage_fails():
    found, asked = roll([100, 0])
    assert asked == [0, 1]
    assert found.passed is None
    assert found.final is None
    assert found.answer == "no stage passed; 1 block: FAIL"


def test_what_the_policy_asks_to_gain_is_left_out_on_the_way():
    policy = lossless(Policy(min_saving=0.5, max_latency_ratio=0.8, max_clean_drop=0.03))
    assert (policy.min_saving, policy.max_latency_ratio, policy.max_clean_drop) == (0.0, None, 0.03)


def test_removable_costs_follow_the_order_of_the_scores(desk):
    """Depth first, on a net whose blocks cost the same: 2 x 3 x 3 x 8 x 8 channels at 64 pixels."""
    from planted_models import small

    net = Model(name="net", build=small, weights=desk.folder / "parent.safetensors")
    bench = open_bench(suite(models=(net,)), Store(folder=desk.folder / "store"), "cpu")
    case = choose_case(bench.suite, criterion="depth-first")
    assert removable_costs(case, bench) == [2 * 9 * 8 * 8 * 64] * 3
