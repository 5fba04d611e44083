"""FMN: distances are known on linear networks, iterates by a plain loop over single samples, curves by PGD."""

import math

import pytest
import torch
from attack_nets import SmallConv, images, labelled, linear_case, linear_net, margins
from paths import path
from test_threat import nearest_by_bisection
from torch import nn

from robustprune.attacks import ATTACKS, CW, FMN, PGD, TargetedPGD, evaluate, robust_curve, tier
from robustprune.attacks.contract.attack import FORWARD
from robustprune.attacks.contract.stepped import Seen
from robustprune.attacks.contract.threat import threat
from robustprune.errors import InputError

DUALS = {"Linf": 1, "L2": 2, "L1": torch.inf}
EPS = {"Linf": 0.01, "L2": 0.1, "L1": 0.3}


def distances(net, x, y, attack, **more):
    return torch.tensor(evaluate(net, x, y, [attack], **more).outcomes[0].distance)


def wide(net, x, y, norm):
    """The samples of `linear_case` whose nearest boundary lies before the walls of [0,1], and how far it is."""
    true = margins(net, x, y, DUALS[norm])
    free = true < 0.3
    return x[free], y[free], true[free]


@pytest.mark.parametrize(("classes", "targets"), [(2, 1), (10, 1), (1000, 1), (3, 3), (10, 3)])
@pytest.mark.parametrize("norm", DUALS)
def test_the_distance_is_the_closed_forms(norm, classes, targets):
    net, x, y = linear_case(40 if targets == 1 else 20, classes)
    x, y, true = wide(net, x, y, norm)
    clear = true > 1e-4  # nearer ones drown in the rounding of the logits
    attack = FMN(eps=0.0, norm=norm, targets=targets, candidates=min(max(classes - 1, targets), 99))
    ratio = (distances(net, x, y, attack) / true)[clear]
    assert clear.sum() >= 8
    assert ratio.min() >= 1 - 1e-3
    assert ratio.max() <= 1.01


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("norm", DUALS)
def test_untargeted_it_is_that_of_the_class_ahead_or_less(norm, classes):
    net, x, y = linear_case(60, classes)
    x, y, true = wide(net, x, y, norm)
    logits, weight = net(x).detach(), net[1].weight.detach()
    ahead = logits.scatter(1, y[:, None], -torch.inf).argmax(1)
    gap = (logits.gather(1, y[:, None]) - logits.gather(1, ahead[:, None]))[:, 0]
    reach = gap / torch.linalg.vector_norm(weight[y] - weight[ahead], DUALS[norm], 1)
    found, clear = distances(net, x, y, FMN(eps=0.0, norm=norm)), (true > 1e-4) & (reach < 0.3)
    assert clear.sum() >= 30
    assert (found >= true * (1 - 1e-3))[clear].all()
    assert (found <= reach * 1.01)[clear].all()
    assert (found <= true * 1.01)[clear & (reach <= true * 1.001)].all()


def by_hand(net, x, y, norm, steps):
    """The attack on one image (1, ...) as the paper writes it, but for larger first balls and pixels at walls."""

    def placed(point, eps):
        delta = point - x
        if norm == "Linf":
            delta = delta.clamp(-eps, eps)
        elif norm == "L2":
            delta = delta * min(1.0, eps / max(float(delta.norm()), 1e-12))
        elif delta.abs().sum() > eps:
            flat = nearest_by_bisection(delta.flatten().numpy(), x.flatten().numpy(), eps)
            return (x + torch.as_tensor(flat).to(x).view_as(x)).clamp(0, 1)
        return (x + delta).clamp(0, 1)

    power = {"Linf": torch.inf, "L2": 2, "L1": 1}[norm]
    farthest = float(torch.maximum(x, 1 - x).flatten().norm(power))
    adv, eps, best = x, math.inf, math.inf
    for number in range(steps):
        cosine = (1 + math.cos(math.pi * number / steps)) / 2
        alpha, gamma = 0.01 + 0.99 * cosine, 0.0001 + (0.05 - 0.0001) * cosine
        point = adv.clone().requires_grad_()
        logits = net(point)[0]
        loss = torch.cat([logits[:y], logits[y + 1 :]]).max() - logits[y]
        (grad,) = torch.autograd.grad(loss, point)
        grad[((adv == 0) & (grad < 0)) | ((adv == 1) & (grad > 0))] = 0
        size = float((adv - x).flatten().norm(power))
        if loss > 0:
            best = min(best, size)
            eps = min(eps * (1 - gamma), best)
        elif best < math.inf:
            eps = eps * (1 + gamma)
        else:
            eps = (size + float(loss.detach().abs() / grad.flatten().norm(DUALS[norm]))) * (1 + gamma)
        eps = min(eps, farthest)
        adv = placed(adv + alpha * grad / grad.norm(), eps)
    return adv


@pytest.mark.parametrize("norm", DUALS)
def test_iterates_are_those_of_a_plain_loop(norm):
    net, x = SmallConv().double(), images(12).double()
    x[::3] = x[::3].round()
    y = labelled(net, x)
    for steps in (1, 2, 12):
        expected = torch.cat([by_hand(net, a[None], int(b), norm, steps) for a, b in zip(x, y, strict=True)])
        ours = path(FMN(eps=0.0, norm=norm, steps=steps), net, x, y)[-1]
        assert (expected - x).flatten(1).norm(dim=1).min() > 1e-3
        assert torch.allclose(ours, expected, atol=1e-5)


@pytest.fixture(scope="module")
def case():
    net, x = SmallConv(seed=3, classes=10), images(60)
    x[::5] = x[::5].round()  # some on the walls
    y = labelled(net, x)
    y[::12] = (y[::12] + 1) % 10
    return net, x, y


ATTACKED = [FMN(eps=EPS[norm], norm=norm, steps=20, targets=targets) for norm in DUALS for targets in (0, 2)]


@pytest.mark.parametrize("attack", ATTACKED, ids=lambda attack: f"{attack.name} {attack.norm}")
def test_images_are_adversarial_and_as_far_as_said(case, attack):
    net, x, y = case
    found = evaluate(net, x, y, [attack], keep=True)
    outcome, adv = found.outcomes[0], found.adversarials[0]
    distance, right = torch.tensor(outcome.distance), labelled(net, x) == y
    assert distance[right].isfinite().all()
    assert (labelled(net, adv) != y).all()
    assert adv.min() >= 0
    assert adv.max() <= 1
    assert torch.allclose(threat(attack.norm, 1.0).size(adv - x)[right], distance[right], atol=1e-6)
    letters = ["b" if d <= attack.eps else "r" for d in outcome.distance]
    assert outcome.status == "".join(a if b else "e" for a, b in zip(letters, right, strict=True))
    assert {"b", "r"} <= set(outcome.status)


def test_a_sample_that_is_wrong_is_never_attacked(case):
    net, x, y = case
    wrong = labelled(net, x) != y
    assert 0 < wrong.sum() < 10
    seen = []

    class Watched(nn.Module):
        def forward(self, z):
            if z.requires_grad:
                seen.append(z.detach())
            return net(z)

    found = evaluate(Watched(), x, y, [FMN(eps=0.01, steps=5)], keep=True)
    outcome = found.outcomes[0]
    assert torch.cdist(torch.cat(seen).flatten(1), x[wrong].flatten(1)).min() > 0.1
    assert outcome.backwards == 6 * int((~wrong).sum())
    assert (torch.tensor(outcome.steps)[wrong] == 0).all()
    assert torch.tensor(outcome.distance)[wrong].isnan().all()
    assert torch.equal(found.adversarials[0][wrong], x[wrong])


def test_batches_and_order_change_nothing(case):
    net, x, y = case[0], case[1][:16], case[2][:16]
    attacks = [attack.change(steps=10) for attack in ATTACKED]
    mixed = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    expected = evaluate(net, x, y, attacks, batch_size=64).outcomes

    def same(outcomes, part):
        for outcome, all_ in zip(outcomes, expected, strict=True):
            assert outcome.status == "".join(all_.status[i] for i in part)
            ours, theirs = torch.tensor(outcome.distance), torch.tensor(all_.distance)[part]
            assert torch.allclose(ours, theirs, rtol=1e-2, equal_nan=True)
            assert ((ours / theirs).nan_to_num(1) - 1).abs().median() < 1e-5

    same(evaluate(net, x, y, attacks, batch_size=7).outcomes, list(range(16)))
    same(evaluate(net, x[10:14], y[10:14], attacks, batch_size=1).outcomes, list(range(10, 14)))
    for part in (mixed, torch.arange(5, 11)):
        same(evaluate(net, x[part], y[part], attacks).outcomes, part.tolist())


@pytest.mark.parametrize("norm", DUALS)
def test_one_run_is_the_whole_curve_and_agrees_with_pgd_point_by_point(norm):
    net, x, y = linear_case(60, 3)
    true = margins(net, x, y, DUALS[norm]).sort().values
    eps = [0.0, *(float(true[k - 1 : k + 1].mean()) for k in (10, 20, 30)), float(10 * true[-1])]
    curve = robust_curve(net, x, y, FMN(eps=0, norm=norm, targets=1), eps)
    assert [outcome.status.count("b") for outcome in curve] == [0, 10, 20, 30, 60]
    points = [evaluate(net, x, y, [TargetedPGD(eps=e, norm=norm)]).outcomes[0] for e in eps[1:4]]
    assert [outcome.status.count("b") for outcome in points] == [10, 20, 30]
    assert sum(outcome.backwards for outcome in curve) == 60 * (101 + 2)  # and the gradients of two wrong classes


def test_a_curve_falls_and_lies_no_higher_than_pgds(case):
    net, x, y = case
    eps = [0.0, 0.002, 0.005, 0.01, 0.02]
    curve = robust_curve(net, x, y, FMN(eps=0), eps)
    robust = torch.tensor([outcome.robust for outcome in curve])
    assert torch.equal(robust[0], labelled(net, x) == y)
    assert (robust[1:] <= robust[:-1]).all()
    assert robust[0].sum() > robust[-1].sum()
    points = torch.tensor([evaluate(net, x, y, [PGD(eps=e, steps=50, loss="margin")]).outcomes[0].robust for e in eps])
    assert (robust.sum(1) <= points.sum(1) + 1).all()


def test_distances_are_no_longer_than_those_of_cw_for_the_same_passes():
    net, x = SmallConv(), images(60)
    y = labelled(net, x)
    attacks = [FMN(eps=0.0, norm="L2", steps=90), CW(eps=0.0, steps=25, exhaustive=True)]
    ours, theirs = evaluate(net, x, y, attacks[:1]).outcomes[0], evaluate(net, x, y, attacks[1:]).outcomes[0]
    assert ours.backwards <= theirs.backwards
    assert torch.tensor(ours.distance).isfinite().all()
    assert torch.tensor(ours.distance).median() <= torch.tensor(theirs.distance).nan_to_num(torch.inf).median()


@pytest.mark.parametrize("norm", DUALS)
def test_images_of_exact_black_and_white_are_broken_too(norm):
    net, x = SmallConv(seed=3, classes=10), images(60).round()
    y = labelled(net, x)
    found = distances(net, x, y, FMN(eps=0.0, norm=norm, steps=20))
    assert found.isfinite().all()
    if norm == "L2":
        other = distances(net, x, y, CW(eps=0.0, steps=50, exhaustive=True))
        assert found.median() <= 1.01 * other.median()


def test_the_corner_of_the_box_has_the_closed_forms_distance():
    net = linear_net(torch.tensor([[1.0, 0.5], [0.0, 0.0]]), torch.tensor([-0.3, 0.0]))
    x, y = torch.tensor([[0.4, 0.0]]).view(1, 1, 1, 2), torch.tensor([0])  # x2 cannot go below 0
    for norm in DUALS:
        assert float(distances(net, x, y, FMN(eps=0.0, norm=norm))) == pytest.approx(0.1, rel=1e-3)


def test_stopping_early_spends_less_and_breaks_the_same(case):
    """And ends further away on the whole; in another batch a pass is rounded otherwise, so no more can be said."""
    net, x, y = case
    full, quick = (evaluate(net, x, y, [FMN(eps=0.01, stop_early=stop)]).outcomes[0] for stop in (False, True))
    assert full.status == quick.status
    assert quick.backwards < 0.8 * full.backwards
    pairs = [(a, b) for a, b in zip(full.distance, quick.distance, strict=True) if a == a and b == b]
    assert all(a <= 1.1 * b + 1e-6 for a, b in pairs)
    assert sum(a for a, _ in pairs) < sum(b for _, b in pairs)


def test_more_targets_never_find_less_and_cost_what_effort_says(case):
    net, x, y = case[0], case[1], labelled(case[0], case[1])
    one, three = (FMN(eps=0.01, steps=20, targets=targets) for targets in (1, 3))
    few, many = (evaluate(net, x, y, [attack]).outcomes[0] for attack in (one, three))
    assert (torch.tensor(many.distance) <= torch.tensor(few.distance) + 1e-6).all()
    assert (few.backwards, many.backwards) == (60 * (21 + 9), 60 * (3 * 21 + 9))  # classes are ordered once a sample
    assert one.effort == pytest.approx(20 + FORWARD + (1 - FORWARD) * 9)
    assert three.effort == pytest.approx(one.effort + 2 * 20)
    assert FMN(eps=0.01, steps=20).effort == 20


def test_the_lead_demanded_counts_in_the_attack_too(case):
    net, x, y = case[0], case[1], labelled(case[0], case[1])
    stepper, step = FMN(eps=0.0, norm="L2").stepper(net), torch.ones(60, dtype=torch.long)
    far = evaluate(net, x, y, [FMN(eps=0.0, norm="L2")], keep=True).adversarials[0]
    for slack, settled in ((0.0, 60), (0.5, 0)):
        state = {"x": x, "y": y, "run": step - 1, "step": step}
        stepper.start(state, torch.arange(60), 0)
        state |= {"adv": far.requires_grad_(), "slack": torch.full((60,), slack)}
        grad = torch.autograd.grad(stepper.objective(net(state["adv"]), state).sum(), state["adv"])[0]
        with torch.no_grad():
            stepper.advance(state, Seen(grad.new_zeros(60), grad, torch.ones(60, dtype=torch.bool)))
        assert state["least"].isfinite().sum() == settled


def test_a_network_without_a_gradient_fails_and_is_not_robust(case):
    net, x, y = case[0], case[1][:8], labelled(case[0], case[1][:8])

    class Cut(nn.Module):
        def forward(self, x):
            return net(x.detach())

    for targets in (0, 1):
        outcome = evaluate(Cut(), x, y, [FMN(eps=0.01, targets=targets)]).outcomes[0]
        assert outcome.status == "f" * 8
        assert "no gradient reaches the input" in outcome.error


def test_names_and_records():
    attack = ATTACKS["fmn"]()
    assert attack == FMN(eps=8 / 255)
    assert (attack.name, attack.objective, attack.knowledge) == ("FMN-100", "margin", "white box")
    assert attack.change(steps=10, targets=2).name == "FMN-10 targets x2"
    assert attack.budget == {"steps": 100}
    assert attack.change(targets=2).budget == {"steps": 100, "targets": 2, "candidates": 9}
    steps = attack.stepper(nn.Identity())
    assert (steps.alphas[0], steps.alphas[-1]) == (1.0, pytest.approx(0.01))
    assert (float(steps.gammas[0]), float(steps.gammas[-1])) == (pytest.approx(0.05), pytest.approx(0.0001))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, r"FMN\(steps=0\): expected at least 1"),
        ({"candidates": 0}, r"FMN\(candidates=0\): expected at least 1"),
        ({"targets": -1}, "expected targets >= 0"),
        ({"targets": 10}, "at least as many candidates"),
        ({"alpha": 0}, "expected a positive alpha"),
        ({"gamma": 1.0}, "gamma < 1"),
        ({"gamma": 0.0}, "gamma < 1"),
        ({"signs": True, "norm": "L2"}, "expected norm 'Linf'"),
        ({"norm": "L3"}, "expected 'Linf' or 'L2' or 'L1'$"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings, words):
    with pytest.raises(InputError, match=words) as caught:
        FMN(eps=0.1, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.01), ("L2", 0.1), ("L1", 0.4)])
def test_towards_three_classes_the_curve_agrees_with_the_everyday_tier_and_says_so(case, norm, eps):
    """At most one sample of 40 above it, and under L1 maybe below: there the steps of the tier are the weaker ones."""
    net, x = case[0], case[1][:40]
    y, at = labelled(net, x), [eps / 2, eps, 2 * eps]
    curve = robust_curve(net, x, y, FMN(eps=0, norm=norm, steps=40, targets=3), at)
    robust = torch.tensor([outcome.robust for outcome in curve])
    tiers = [evaluate(net, x, y, tier("quick", norm, one)).outcomes for one in at]
    points = torch.stack([torch.tensor([outcome.robust for outcome in outcomes]).all(0) for outcomes in tiers])
    assert robust[0].sum() > 15
    assert robust[2].sum() < 20
    assert (robust & ~points).sum(1).max() <= 1
    assert (points & ~robust).sum(1).max() <= (3 if norm == "L1" else 1)
    (beside,) = [outcome.notes["beside"] for outcome in curve if "beside" in outcome.notes]
    assert beside["samples"] == 40
    assert beside["gap"] == (beside["robust"] - beside["robust beside"]) / 40 <= 1 / 40


@pytest.mark.parametrize("classes", [2, 10])
def test_along_signs_the_distance_is_the_closed_forms_too(classes):
    net, x, y = linear_case(40, classes)
    x, y, true = wide(net, x, y, "Linf")
    signs = FMN(eps=0.0, alpha=0.1, signs=True, targets=1)
    ratio = (distances(net, x, y, signs) / true)[true > 1e-4]
    assert len(ratio) >= 8
    assert ratio.min() >= 1 - 1e-3
    assert ratio.max() <= 1.01
    assert signs.name == "FMN-100 signs targets x1"
    assert signs.settings["signs"]
    assert "signs" not in FMN(eps=0.0).settings


def test_signs_move_all_pixels_where_the_gradient_is_large_on_few():
    """A linear lead with one slope of 1000, and 63 of 1: that pixel cannot go far, so the others have to."""
    weight = torch.ones(2, 64)
    weight[0], weight[1, 0] = 0, 1000
    x, y = torch.full((1, 1, 8, 8), 0.5), torch.tensor([0])
    x[0, 0, 0, 0] = 0.999  # 1 out of 1000 at most
    net = linear_net(weight, torch.tensor([0.0, -float(weight[1] @ x.flatten()) - 1 - 63 * 0.2]))
    published, signs = (distances(net, x, y, FMN(eps=0.0, **more)) for more in ({}, {"alpha": 0.1, "signs": True}))
    assert float(signs) == pytest.approx(0.2, rel=0.01)
    assert not float(published) < float(signs) * 0.99
