"""Threats: sizes, projections and steps against torch, a bisection, and what no other direction can beat."""

import numpy as np
import pytest
import torch
from attack_nets import SmallConv, images, labelled, linear_net

from robustprune.attacks import PGD, Noise, evaluate
from robustprune.attacks.algorithms.apgd_balls import BALLS
from robustprune.attacks.contract.threat import THREATS, threat
from robustprune.errors import InputError

BUDGETS = [("Linf", 0.3), ("L2", 0.3), ("L1", 2.0)]
EXPONENTS = {"Linf": torch.inf, "L2": 2, "L1": 1}


def generators(n, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(n)]


@pytest.mark.parametrize(("norm", "eps"), BUDGETS)
def test_projection_lands_in_ball_and_box_and_leaves_what_is_inside(norm, eps):
    x, far, ball = images(50, 1), 3 * images(50, 2) - 1, threat(norm, eps)
    near = ball.project(far, x)
    assert ball.inside(near, x).all()
    assert torch.allclose(ball.project(near, x), near, atol=1e-6)
    assert not ball.inside(far, x).any()
    assert not ball.inside(near * float("nan"), x).any()
    assert torch.equal(ball.project(x, x), x)
    assert torch.equal(threat(norm, 0.0).project(far, x), x)


@pytest.mark.parametrize("kind", [*THREATS.values(), *BALLS.values()])
def test_a_radius_a_row_is_a_ball_a_row(kind):
    x, far = images(4, 1), 3 * images(4, 2) - 1
    radius = torch.tensor([0.0, 0.1, 3.0, torch.inf])
    parts = [kind(float(r)).project(far[[i]], x[[i]]) for i, r in enumerate(radius)]
    assert torch.equal(kind(0.5).project(far, x, radius), torch.cat(parts))


def test_sizes_are_those_of_torch():
    x = images(5) - 0.5
    for norm, kind in THREATS.items():
        expected = torch.linalg.vector_norm(x, EXPONENTS[norm], (1, 2, 3))
        assert torch.allclose(kind(eps=1).size(x), expected)


DUALS = {"Linf": 1, "L2": 2, "L1": torch.inf}


@pytest.mark.parametrize("norm", THREATS)
def test_the_dual_norm_is_what_a_step_of_size_one_gains_at_most(norm):
    ball, grad = THREATS[norm](eps=1.0), images(20) - 0.5
    dual = ball.dual(grad)
    assert torch.allclose(dual, torch.linalg.vector_norm(grad, DUALS[norm], (1, 2, 3)))
    step = ball.steepest(grad, torch.full_like(grad, 0.5))
    assert torch.allclose((grad * step).flatten(1).sum(1), dual)
    other = images(20, 9) - 0.5
    other = other / ball.size(other).view(20, 1, 1, 1)
    assert ((grad * other).flatten(1).sum(1) <= dual + 1e-5).all()


def nearest_by_bisection(delta, x, eps):
    """Return the nearest point of L1 ball and box: the amount that all values give is found by halving."""

    def given(amount):
        return np.minimum(np.maximum(np.abs(delta) - amount, 0), np.where(delta > 0, 1 - x, x))

    low, high = 0.0, np.abs(delta).max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if given(middle).sum() > eps else (low, middle)
    return np.sign(delta) * given(high if given(0).sum() > eps else 0)


@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.5, 12.0, 40.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (3, 32, 32)])
@pytest.mark.parametrize("far", [0.2, 3.0])
def test_l1_projection_is_the_soft_threshold_between_the_walls(shape, eps, far):
    x = images(6, 2, shape)
    adv = x + far * (images(6, 3, shape) - 0.5)
    got = threat("L1", eps).project(adv, x) - x
    for row, clean, found in zip((adv - x).double().numpy(), x.double().numpy(), got.double().numpy(), strict=True):
        np.testing.assert_allclose(found, nearest_by_bisection(row, clean, eps), atol=2e-7)


def test_no_point_of_l1_ball_and_box_is_nearer_than_the_projection():
    x, far, ball = images(20, 1), 2 * images(20, 2) - 0.5, threat("L1", 2.0)
    distance = threat("L2", 0).size(ball.project(far, x) - far)
    for seed in range(50):
        other = ball.project(x + (far - x) * 0.5 + 0.3 * (images(20, 10 + seed) - 0.5), x)
        assert (threat("L2", 0).size(other - far) >= distance - 1e-6).all()


def test_l1_stays_inside_over_many_steps_on_large_images():
    """Rounding adds up over 3072 values; the tolerance has to be larger than that, and small against eps."""
    ball, x = threat("L1", 12.0), images(8, 5, (3, 32, 32))
    draw = torch.Generator().manual_seed(0)
    adv = ball.start(x, generators(8))
    for _ in range(100):
        assert ball.inside(adv, x).all()
        step = ball.steepest(torch.randn(x.shape, generator=draw), adv)
        adv = ball.project(adv + step, x)
    assert ball.limit <= 12 * (1 + 1.01e-5)


@pytest.mark.parametrize(("norm", "eps"), BUDGETS)
def test_random_draws_keep_the_budget_and_belong_to_their_generator(norm, eps):
    ball, x = threat(norm, eps), images(40)
    start, noise = ball.start(x, generators(40)), ball.noise(x, generators(40))
    assert ball.inside(start, x).all()
    assert (ball.size(noise) <= ball.limit).all()
    assert torch.equal(ball.start(x[3:4], generators(40)[3:4])[0], start[3])
    assert not torch.isclose(ball.start(x, generators(40, 1)), start).flatten(1).all(1).any()


def test_l1_starts_are_uniform_in_the_ball():
    """In two dimensions: half of the area, and so of the points, lies within 1 / sqrt(2); no side is preferred."""
    x = torch.full((4000, 1, 1, 2), 0.5)
    ball = threat("L1", 0.4)
    delta = (ball.start(x, generators(4000)) - x).flatten(1)
    assert (ball.size(delta) <= 0.4 / 2**0.5).float().mean() == pytest.approx(0.5, abs=0.03)
    assert (delta > 0).float().mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.03)
    assert delta.abs().mean(0).tolist() == pytest.approx([0.4 / 3, 0.4 / 3], rel=0.05)
    noise = ball.noise(x, generators(4000))
    assert torch.allclose(ball.size(noise), torch.tensor(0.4))


@pytest.mark.parametrize("norm", THREATS)
def test_no_direction_climbs_faster_than_the_steepest(norm):
    """64 pixels, so that under L1 one of them gets all: <gradient, step> is the dual norm, the most there is."""
    draw = torch.Generator().manual_seed(0)
    grad, adv = torch.randn(30, 1, 8, 8, generator=draw), torch.full((30, 1, 8, 8), 0.5)
    ball = threat(norm, 1.0)
    step = ball.steepest(grad, adv)
    gain = (grad * step).flatten(1).sum(1)
    assert torch.allclose(ball.size(step), torch.ones(30))
    dual = {"Linf": 1, "L2": 2, "L1": float("inf")}[norm]
    assert torch.allclose(gain, torch.linalg.vector_norm(grad.flatten(1), dual, dim=1))
    for _ in range(200):
        other = torch.randn(grad.shape, generator=draw).pow(5)
        other = other / ball.size(other).view(-1, 1, 1, 1)
        assert ((grad * other).flatten(1).sum(1) <= gain + 1e-6).all()


def test_l1_steps_are_sparse_and_only_where_the_box_leaves_room():
    x = images(4, 6, (3, 32, 32))
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    steep = grad.flatten(1).abs()
    at_the_wall = torch.where(steep > 2, (grad.flatten(1) > 0).float(), x.flatten(1)).view_as(x)
    ball = threat("L1", 12.0)
    free, held = ball.steepest(grad, x).flatten(1), ball.steepest(grad, at_the_wall).flatten(1)
    for step in (free, held):
        assert (step != 0).sum(1).tolist() == [30] * 4
        assert torch.allclose(step.abs().sum(1), torch.ones(4))
        assert torch.equal(step.sign()[step != 0], grad.flatten(1).sign()[step != 0])
    for step, allowed in ((free, steep), (held, steep * (steep <= 2))):
        assert torch.equal(step != 0, allowed >= allowed.topk(30).values[:, -1:])
    assert not ((free != 0) & (held != 0)).any()


def test_l1_without_a_gradient_or_any_room_there_is_no_step():
    ball, x = threat("L1", 12.0), images(2)
    assert torch.equal(ball.steepest(torch.zeros_like(x), x), torch.zeros_like(x))
    assert torch.equal(ball.steepest(torch.ones_like(x), torch.ones_like(x)), torch.zeros_like(x))


@pytest.mark.parametrize(("steps", "share"), [(20, 0.96), (100, 0.99)])
def test_pgd_under_l1_finds_what_can_be_found_where_walls_are_in_the_way(steps, share):
    """Two classes, z = w . x: the best attack moves the pixels of largest weight to the wall, one after the other."""
    weight = torch.randn(2, 64, generator=torch.Generator().manual_seed(3))
    net, x, eps = linear_net(weight, -weight.sum(1) / 2), images(300, 4), 1.5
    y, gap = labelled(net, x), weight[1] - weight[0]
    order = gap.abs().argsort(descending=True)
    upwards = (torch.where(y == 0, 1.0, -1.0)[:, None] * gap > 0)[:, order]
    room = torch.where(upwards, 1 - x.flatten(1)[:, order], x.flatten(1)[:, order])
    spent = room.cumsum(1) - room
    gain = ((eps - spent).clamp(min=0).minimum(room) * gap.abs()[order]).sum(1)
    lead = (net(x)[:, 1] - net(x)[:, 0]).detach().abs()
    outcome = evaluate(net, x, y, [PGD(eps=eps, norm="L1", steps=steps)]).outcomes[0]
    broken = torch.tensor([letter == "b" for letter in outcome.status])
    assert (room[:, 0] < eps).all()
    assert 150 < (gain > lead).sum() < 280
    assert not (broken & (gain < lead - 1e-4)).any()
    assert (broken | (0.98 * gain < lead)).float().mean() >= share


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.03), ("L2", 0.3), ("L1", 0.5)])
def test_every_norm_runs_through_the_engine(norm, eps):
    net, x = SmallConv(), images(60)
    y = labelled(net, x)
    found = evaluate(net, x, y, [PGD(eps=eps, norm=norm), Noise(eps=eps, norm=norm)], keep=True)
    pgd, noise = found.outcomes
    assert pgd.threat == noise.threat == threat(norm, eps).name
    assert noise.status.count("b") < pgd.status.count("b") < 60
    for outcome, adv in zip(found.outcomes, found.adversarials, strict=True):
        assert threat(norm, eps).inside(adv, x).all()
        assert torch.equal(labelled(net, adv) != y, torch.tensor([letter == "b" for letter in outcome.status]))


def test_names():
    assert [threat(norm, eps).name for norm, eps in BUDGETS] == ["Linf 76.5/255", "L2 0.3", "L1 2"]


def test_bad_threats_are_refused_in_one_line():
    with pytest.raises(InputError, match="norm 'L3': expected one of Linf, L2, L1"):
        threat("L3", 1.0)
    with pytest.raises(InputError, match="expected 0 <= eps"):
        threat("L1", -1.0)
    with pytest.raises(InputError, match="expected 0 <= eps"):
        threat("L2", float("nan"))
