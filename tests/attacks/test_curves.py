"""Curves over eps: monotone, right on the closed form, as low as single attacks, and cheap."""

import pytest
import torch
from attack_nets import SmallConv, images, labelled, linear_case, margins
from torch import nn

from robustprune.attacks import CW, FGSM, FMN, PGD, evaluate, robust_curve
from robustprune.errors import InputError

EPS = [0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08]


@pytest.fixture(scope="module")
def case():
    net, x = SmallConv(), images(200, seed=3)
    y = labelled(net, x)
    y[::20] = (y[::20] + 1) % 4
    return net, x, y


def robust(outcomes):
    return torch.tensor([outcome.robust for outcome in outcomes])


@pytest.mark.parametrize("attack", [PGD(eps=0), FGSM(eps=0), PGD(eps=0, norm="L2"), CW(eps=0)], ids=lambda a: a.name)
def test_it_falls_with_eps_and_starts_at_clean(case, attack):
    net, x, y = case
    eps = EPS if attack.norm == "Linf" else [10 * e for e in EPS]
    curve = robust(robust_curve(net, x[:60], y[:60], attack, eps))
    assert torch.equal(curve[0], labelled(net, x[:60]) == y[:60])
    assert (curve[1:] <= curve[:-1]).all()
    assert curve[0].sum() > curve[-1].sum()


@pytest.mark.parametrize(
    ("attack", "dual", "eps"), [(PGD(eps=0), 1, EPS), (CW(eps=0, steps=200), 2, [0, 0.05, 0.1, 0.2])]
)
def test_it_is_the_closed_forms_on_a_linear_net(attack, dual, eps):
    net, x, y = linear_case(200)
    want = torch.stack([margins(net, x, y, dual) > e for e in eps])
    got = robust(robust_curve(net, x, y, attack, eps))
    assert (want & ~got).sum() == 0
    assert (got & ~want).float().mean() <= (0.0 if dual == 1 else 0.01)


def test_single_attacks_find_no_more(case):
    net, x, y = case
    curve = robust(robust_curve(net, x, y, PGD(eps=0), EPS))
    single = torch.tensor([evaluate(net, x, y, [PGD(eps=e)]).outcomes[0].robust for e in EPS])
    assert (curve & ~single).float().mean(1).max() <= 0.005


def test_broken_rests_on_a_perturbation_inside_that_eps(case):
    net, x, y = case
    for outcome in robust_curve(net, x, y, PGD(eps=0), EPS):
        for letter, distance in zip(outcome.status, outcome.distance, strict=True):
            assert (letter == "b") == (distance <= outcome.eps + 1e-6)


def test_it_costs_at_most_twice_its_dearest_point(case):
    net, x, y = case
    attack = PGD(eps=0, retries=0)
    curve = robust_curve(net, x, y, attack, EPS)
    dearest = max(
        o.forwards + o.backwards for e in EPS[1:] for o in evaluate(net, x, y, [attack.change(eps=e)]).outcomes
    )
    assert sum(o.forwards + o.backwards for o in curve) <= 2 * dearest


def test_points_come_in_the_callers_order(case):
    net, x, y = case
    assert [o.eps for o in robust_curve(net, x[:5], y[:5], FGSM(eps=0.5), [0.1, 0.0, 0.01])] == [
        0.1,
        0.0,
        0.01,
    ]


def test_where_the_attack_fails_nothing_is_claimed():
    net, x = SmallConv(), images(10)
    y = labelled(net, x)

    class Cut(nn.Module):
        def forward(self, x):
            return net(x.detach())

    curve = robust_curve(Cut(), x, y, PGD(eps=0), [0.0, 0.01, 0.02])
    assert [o.status for o in curve] == ["r" * 10, "f" * 10, "f" * 10]
    assert "no gradient" in curve[1].error


def test_bad_lists_are_refused(case):
    net, x, y = case
    for bad in ([], [-0.1], [0.1, 0.1]):
        with pytest.raises(InputError, match="different numbers >= 0"):
            robust_curve(net, x, y, PGD(eps=0), bad)


def test_progress_reaches_its_total(case):
    net, x, y = case
    seen = []
    robust_curve(
        net,
        x[:20],
        y[:20],
        PGD(eps=0, steps=2),
        [0.0, 0.01],
        tick=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (20, 20)


class Blinkered(nn.Module):
    """Three classes; the lead of class 1 grows with the first pixel, that of class 2 twice as fast with the second.

    Class 1 is ahead of class 2 at every sample of `blinkered`, although the boundary of class 2 is the nearer one.
    """

    def forward(self, x):
        one, two = x.flatten(1).T
        return torch.stack((torch.zeros_like(one), one - 0.6, 4 * two - 1.2), 1)


def blinkered(n):
    """Boundaries of class 1 at .3 to .4 along the first pixel, of class 2 at .15 along the second."""
    first = 0.2 + 0.1 * torch.arange(n) / n
    return torch.stack((first, torch.full((n,), 0.15)), 1).view(n, 1, 1, 2)


@pytest.mark.parametrize("n", [40, 200])
def test_a_curve_of_one_run_says_how_far_it_lies_above_attacks_at_one_eps(n):
    x, y = blinkered(n), torch.zeros(n, dtype=torch.int64)
    attack, eps = FMN(eps=0, steps=40), [0.0, 0.1, 0.2, 0.35, 0.5]
    curve = robust_curve(Blinkered(), x, y, attack, eps)
    (point,) = [outcome for outcome in curve if "beside" in outcome.notes]
    beside = point.notes["beside"]
    assert point.eps == 0.35  # about half of them resist
    assert beside["samples"] == min(n, 128)
    assert beside["robust beside"] == 0  # class 2 is reached at 0.15
    assert abs(beside["robust"] / beside["samples"] - sum(point.robust) / n) < 0.15
    assert beside["gap"] == beside["robust"] / beside["samples"] > 0.3
    plain = robust_curve(Blinkered(), x, y, attack, eps, check=False)
    assert [outcome.status for outcome in plain] == [outcome.status for outcome in curve]
    assert not any("beside" in outcome.notes for outcome in plain)
    assert sum(outcome.backwards for outcome in curve) == 41 * n  # the check is no part of the attack's cost


def test_where_three_classes_are_aimed_at_no_gap_is_left_and_pgds_curve_needs_no_check():
    x, y = blinkered(20), torch.zeros(20, dtype=torch.int64)
    eps = [0.1, 0.14, 0.16]
    curve = robust_curve(Blinkered(), x, y, FMN(eps=0, targets=2, candidates=2), eps)
    assert [outcome.notes["beside"]["gap"] for outcome in curve if "beside" in outcome.notes] == [0.0]
    assert [sum(outcome.robust) for outcome in curve] == [20, 20, 0]
    assert not any("beside" in outcome.notes for outcome in robust_curve(Blinkered(), x, y, PGD(eps=0), eps))


def test_anew_finds_what_a_weak_attack_jumps_over_at_larger_eps():
    class Band(nn.Module):
        """Wrong from .12 to .3 above .5 alone; gradients point upwards."""

        def forward(self, x):
            at = x.flatten(1) - 0.5
            lead = torch.where((at > 0.12) & (at < 0.3), 1.0, -1.0) + at - at.detach()
            return torch.cat((torch.zeros_like(at), lead), 1)

    x, y, eps = torch.full((2, 1, 1, 1), 0.5), torch.zeros(2, dtype=torch.int64), [0.1, 0.2, 0.4]
    once, anew = ([o.status for o in robust_curve(Band(), x, y, FGSM(eps=0), eps, anew=way)] for way in (False, True))
    assert once == ["rr"] * 3
    assert anew == ["rr", "bb", "bb"]
