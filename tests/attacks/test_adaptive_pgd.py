"""Restarts for near misses: how many is known from distances on linear nets, what they are for from a planted break."""

import pytest
import torch
from attack_nets import SmallConv, images, labelled, linear_case, margins
from torch import nn

from robustprune.attacks import ATTACKS, PGD, AdaptivePGD, evaluate
from robustprune.attacks.algorithms.adaptive_pgd import AGAINST, FAVOUR, directions
from robustprune.attacks.contract.randomness import keys
from robustprune.errors import InputError

BUDGETS = {"Linf": (0.01, 1), "L2": (0.06, 2), "L1": (0.12, torch.inf)}
"""Norm -> an eps that keeps clear of the box in `linear_case`, and the exponent of the dual norm."""

RUN = 20 + 7


def at_distance(net, x, y, q, wanted):
    """Move samples of `linear_case` along their ray from the centre, where all logits are 0, to this distance."""
    factor = wanted / margins(net, x, y, q)
    near = factor < 2
    return (0.5 + (x - 0.5) * factor[:, None, None, None])[near], y[near]


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("norm", BUDGETS)
def test_just_inside_breaks_and_just_outside_resists(norm, classes):
    """Under L1, where one step moves one pixel, the margin may lead to a boundary that is not the nearest for good."""
    (eps, q), (net, x, y) = BUDGETS[norm], linear_case(40, classes)
    eps = eps / 4 if classes == 1000 else eps  # so many boundaries lie nearer
    for wanted, letter in ((0.99 * eps, "b"), (1.01 * eps, "r")):
        there, label = at_distance(net, x, y, q, wanted)
        there, label = there[:12], label[:12]
        assert len(there) == 12
        rounds, missed = (4, int(norm == "L1" and classes > 2)) if letter == "b" else (2, 0)
        outcome = evaluate(net, there, label, [AdaptivePGD(eps=eps, norm=norm, rounds=rounds)]).outcomes[0]
        assert outcome.status.count(letter) >= 12 - missed


@pytest.mark.parametrize(("distance", "starts"), [(10.0, 1), (1.7, 1 + 4), (1.4, 1 + 4 + 16), (1.1, 1 + 4 + 16 + 64)])
def test_starts_grow_with_how_near_a_sample_came(distance, starts):
    """Between two classes the lead falls by eps / distance of itself: here to 90, 41, 29 and 9 %."""
    eps, (net, x, y) = 0.004, linear_case(60)
    there, label = at_distance(net, x, y, 1, distance * eps)
    n = len(there[:4])
    assert n == 4
    outcome = evaluate(net, there[:4], label[:4], [AdaptivePGD(eps=eps)]).outcomes[0]
    assert outcome.steps == [starts * RUN] * n
    assert outcome.backwards == n * starts * RUN
    assert outcome.forwards == n * starts * (RUN + 1)
    assert outcome.allowed_backwards == 85 * RUN


def test_near_and_far_samples_get_theirs_in_one_batch():
    eps, (net, x, y) = 0.004, linear_case(60)
    parts = [at_distance(net, x, y, 1, distance * eps) for distance in (10.0, 0.9, 1.4)]
    x, y = (torch.cat([part[k][:3] for part in parts]) for k in (0, 1))
    outcome = evaluate(net, x, y, [AdaptivePGD(eps=eps)]).outcomes[0]
    assert outcome.status == "rrrbbbrrr"
    assert outcome.steps[:3] == [RUN] * 3
    assert max(outcome.steps[3:6]) <= RUN
    assert outcome.steps[6:] == [21 * RUN] * 3


class Masked(nn.Module):
    """Class 1 comes near and never gets past class 0; class 2 does, but its probability is 0 in float32 at first.

    No usual loss has a gradient towards class 2: it is no rival for the margin, and exp(-400) for all others.
    """

    def forward(self, x):
        first, second = (half.mean(1) for half in (x.flatten(1) - 0.5).chunk(2, 1))
        return torch.stack([torch.ones_like(first), 0.1 + 0.85 * (20 * first).tanh(), 8000 * second - 400], 1)


@pytest.fixture(scope="module")
def masked():
    return Masked(), 0.5 + 1e-3 * (images(20) - 0.5), torch.zeros(20, dtype=torch.int64)


@pytest.mark.parametrize("loss", ["ce", "margin", "probability"])
def test_plain_pgd_does_not_see_a_masked_break(masked, loss):
    outcome = evaluate(*masked, [PGD(eps=0.1, loss=loss, restarts=20)]).outcomes[0]
    assert outcome.status == "r" * 20


def test_directed_starts_find_it_and_restarts_find_the_rest(masked):
    found = {
        rounds: evaluate(*masked, [AdaptivePGD(eps=0.1, rounds=rounds)]).outcomes[0].status.count("b")
        for rounds in (1, 2, 4)
    }
    assert 3 <= found[1] <= 17  # every other weighting favours class 2
    assert found[1] < found[2] <= found[4] == 20
    outside = evaluate(*masked, [AdaptivePGD(eps=0.045, rounds=2)]).outcomes[0]
    assert outside.status == "r" * 20


@pytest.fixture(scope="module")
def case():
    net, x = SmallConv(seed=3, classes=10), images(24)
    return net, x, labelled(net, x)


def test_batches_order_company_and_threads_change_nothing(case):
    net, x, y = case
    short = {"steps": 5, "directed": 2, "rounds": 3}
    attacks = [AdaptivePGD(eps=eps, norm=norm, **short) for norm, eps in (("Linf", 0.02), ("L2", 0.15), ("L1", 0.4))]
    alone = evaluate(net, x, y, attacks).outcomes
    assert all({"r", "b"} <= set(outcome.status) for outcome in alone)
    assert all(len({steps for steps, kept in zip(one.steps, one.robust, strict=True) if kept}) > 1 for one in alone)
    mixed = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    for part, batch in ((torch.arange(24), 7), (mixed, 128), (mixed[:9], 128), (torch.arange(4), 1)):
        found = evaluate(net, x[part], y[part], attacks, batch_size=batch).outcomes
        assert [one.status for one in found] == ["".join(one.status[i] for i in part.tolist()) for one in alone]
    torch.set_num_threads(2)
    both = evaluate(net, x, y, attacks).outcomes
    torch.set_num_threads(1)
    assert [one.status for one in both] == [one.status for one in alone]


def test_same_seed_same_outcome_and_another_seed_another_path(case):
    net, x, y = case
    attack = AdaptivePGD(eps=0.02, steps=6, directed=3, rounds=2)
    one, same, other = (evaluate(net, x, y, [attack], seed=seed).outcomes[0] for seed in (0, 0, 1))
    assert (one.status, one.steps) == (same.status, same.steps)
    assert one.steps != other.steps


def test_weights_are_spread_over_their_bounds_and_belong_to_the_run():
    y = torch.arange(2000) % 7
    stepper = AdaptivePGD(eps=0.1).stepper(nn.Identity())
    state = {"x": images(1).expand(2000, -1, -1, -1), "y": y, "run": torch.arange(2000)}
    stepper.start(state, keys(state["x"]), 0)
    weights = directions(state["stream"], y, 7)
    true = weights.gather(1, y[:, None])[:, 0]
    others = weights[torch.arange(7) != y[:, None]]
    assert AGAINST <= true.min() < AGAINST + 0.01 < FAVOUR - 0.01 < true.max() <= FAVOUR
    assert true.mean() == pytest.approx((AGAINST + FAVOUR) / 2, abs=0.02)
    assert (others.min(), others.max()) == (pytest.approx(-1, abs=0.01), pytest.approx(1, abs=0.01))
    assert others.mean() == pytest.approx(0, abs=0.03)
    assert len(weights.unique(dim=0)) == 2000
    assert abs(torch.corrcoef(others.view(2000, 6).T)).fill_diagonal_(0).max() < 0.1


def test_names_sort_and_record():
    attack = ATTACKS["pgd-adaptive"]()
    assert attack == AdaptivePGD(eps=8 / 255)
    assert (attack.name, attack.objective, attack.knowledge) == ("PGD-20 adaptive x85", "margin", "white box")
    assert attack.change(rounds=2).name == "PGD-20 adaptive x5"
    assert attack.settings == {"steps": 20, "directed": 7, "rounds": 4}
    assert [one.runs for one in attack.further] == [4, 16, 64]


@pytest.mark.parametrize("name", ["steps", "directed", "rounds"])
def test_bad_settings_are_refused(name):
    with pytest.raises(InputError, match=rf"AdaptivePGD\({name}=0\): expected at least 1"):
        AdaptivePGD(eps=0.1, **{name: 0})
