"""FAB-T against closed-form distances on linear networks and against torchattacks' loop."""

import pytest
import torch
import torchattacks
from attack_nets import Spy, Stubborn, images, labelled, near_net, rugged_net, small_case, small_net
from paths import path
from torch import nn
from torchattacks.attacks.fab import projection_l2, projection_linf

from robustprune.attacks import FABT, evaluate
from robustprune.attacks.algorithms.fab import to_plane
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.stepped import Seen
from robustprune.errors import InputError

PUBLIC = {"Linf": projection_linf, "L2": projection_l2}
DUALS = {"Linf": 1, "L2": 2}
EPS = {"Linf": 0.06, "L2": 0.4}


def planes(n=200, size=40):
    """Points in the box, some in its corners, and linear functions, some flat in half of the pixels, all sizes."""
    draw = torch.Generator().manual_seed(0)
    point, w = torch.rand(n, size, generator=draw).double(), torch.randn(n, size, generator=draw).double()
    point[: n // 4] = point[: n // 4].round()
    w[n // 8 : n // 2] *= torch.rand(n // 2 - n // 8, size, generator=draw) < 0.5
    return point, w, torch.randn(n, generator=draw).double() * torch.logspace(-3, 2, n).double()


@pytest.mark.parametrize("norm", PUBLIC)
def test_the_way_to_a_plane_is_the_published_projection(norm):
    point, w, value = planes()
    way = to_plane(norm, point, w, value)
    wanted = PUBLIC[norm](point, w, (w * point).sum(1) - value)
    torch.testing.assert_close(way, wanted, atol=1e-9, rtol=0)
    reached = (value + (w * way).sum(1)).abs() < 1e-9
    assert 20 < int(reached.sum()) < 190
    assert torch.equal(to_plane(norm, point[50:51], w[50:51], value[50:51]), way[50:51])


@pytest.mark.parametrize("norm", PUBLIC)
def test_the_way_to_a_plane_is_the_shortest(norm):
    """Stationary (Karush, Kuhn and Tucker): free pixels share one time, held ones met the box before."""
    point, w, value = planes()
    way = to_plane(norm, point, w, value)
    speed = torch.ones_like(w) if norm == "Linf" else w.abs()
    there = point + way
    held = (there < 1e-9) | (there > 1 - 1e-9)
    time = torch.where(w == 0, torch.nan, way.abs() / speed)
    latest = time.nan_to_num(0).amax(1, keepdim=True)
    reached = (value + (w * way).sum(1)).abs() < 1e-9
    stationary = ((latest - time).abs() < 1e-9) | held | (w == 0)
    assert bool(stationary[reached].all())
    assert bool((held | (w == 0))[~reached].all())
    assert -1e-12 <= float(there.min()) <= float(there.max()) <= 1 + 1e-12
    assert bool((way * w * value[:, None] <= 0).all())


def test_without_a_gradient_there_is_no_way():
    zero = torch.zeros(2, 3)
    for norm in PUBLIC:
        assert torch.equal(to_plane(norm, torch.tensor([[0.0, 1.0, 0.3]] * 2), zero, torch.tensor([-1.0, 0.0])), zero)


def walk(attack, net, x, y, run):
    """Return the points that steps were taken from, the last point, and how many passes there were."""
    stepper, zero = attack.stepper(net), torch.zeros(len(x), dtype=torch.int64)
    state = {"x": x, "y": y, "run": zero + run, "step": zero}
    stepper.start(state, keys(x), 0)
    points, passes = [], 0
    while int(state["step"]) < stepper.steps:
        point = state["adv"].detach().requires_grad_()
        logits = net(point)
        value = stepper.objective(logits, state)
        (grad,) = torch.autograd.grad(value.sum(), point)
        state["step"], before = state["step"] + 1, state["step"]
        stepper.advance(state, Seen(value.detach(), grad, logits.argmax(1) != y))
        passes += 1
        if bool(state["step"] > before):
            points.append(point.detach())
    return points, state["adv"], passes


@pytest.mark.parametrize("norm", PUBLIC)
@pytest.mark.parametrize("build", [small_net, rugged_net])
def test_steps_are_taken_from_the_points_that_torchattacks_takes_gradients_at(norm, build):
    """From an image whose boundaries are farther than eps, so that the library makes all steps towards all classes."""
    net = build()
    x, y = small_case(net, 1)
    spy = Spy(net)
    with torch.random.fork_rng(devices=[]):
        attack = torchattacks.FAB(spy, norm=norm, eps=1e-5, steps=30, multi_targeted=True, n_classes=4)
        attack(x, y)
    theirs = [point for point, grad in zip(spy.seen, spy.grads, strict=True) if grad]
    back = 0
    for run in range(3):
        points, last, passes = walk(FABT(eps=1e-5, norm=norm, steps=30, n_classes=6), net, x, y, run)
        back += passes - 30
        assert len(points) == 30
        for mine, other in zip(points, theirs[30 * run : 30 * (run + 1)], strict=True):
            torch.testing.assert_close(mine, other, atol=2e-5, rtol=0)
        torch.testing.assert_close(last, spy.seen[run * 63 + 62], atol=2e-5, rtol=0)
    assert back > 0


def least_distance(net, x, y, norm):
    """Distance of every image to the nearest boundary of a linear network, box aside: the dual norm."""
    weight, logits = net[1].weight.detach(), net(x).detach()
    apart = weight[y][:, None, :] - weight[None]
    gap = logits.gather(1, y[:, None]) - logits
    return (gap / apart.norm(p=DUALS[norm], dim=2)).scatter(1, y[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("norm", PUBLIC)
def test_the_closed_form_distance_decides(norm):
    """The first step ends 1.05 of the way to the boundary of a linear network; the ball must hold that."""
    net, x = near_net(), 0.5 + 0.2 * (images(60) - 0.5)
    y = labelled(net, x)
    distance = least_distance(net, x, y, norm)
    for share, letter in ((1.06, "b"), (0.999, "r")):
        for row in range(0, 60, 10):
            part = slice(row, row + 1)
            attack = FABT(eps=share * float(distance[row]), norm=norm, steps=20)
            assert evaluate(net, x[part], y[part], [attack]).outcomes[0].status == letter


@pytest.mark.parametrize("norm", PUBLIC)
def test_the_iterates_come_to_the_closed_form_distance(norm):
    """Going back and along, far nearer than the first crossing's 5 % beyond; the steps are for this."""
    net, x = near_net(2), 0.5 + 0.2 * (images(8) - 0.5)
    y = labelled(net, x)
    distance = least_distance(net, x, y, norm)
    attack = FABT(eps=1e-6, norm=norm, steps=30, n_classes=2)
    for row in range(8):
        part = slice(row, row + 1)
        points = path(attack, net, x[part], y[part])
        sizes = torch.stack([attack.ball.size(point - x[part]) for point in points])[:, 0]
        wrong = torch.stack([net(point).argmax(1) != y[part] for point in points])[:, 0]
        assert float(sizes[wrong].min()) == pytest.approx(float(distance[row]), rel=0.051)
        assert float(sizes[wrong].min()) >= float(distance[row]) * (1 - 1e-4)


@pytest.mark.parametrize("norm", PUBLIC)
def test_what_the_library_finds_within_eps_is_found(norm):
    net = rugged_net()
    x = images(60, 1, (2, 8, 8))
    net[3].bias.data[0] -= 5
    y = labelled(net, x)
    eps = 0.3 * EPS[norm]
    with torch.random.fork_rng(devices=[]):
        library = torchattacks.FAB(net, norm=norm, eps=eps, steps=20, multi_targeted=True, n_classes=6)(x, y)
    theirs = labelled(net, library) != y
    found = evaluate(net, x, y, [FABT(eps=eps, norm=norm, steps=20, n_classes=6)], keep=True)
    ours = torch.tensor([letter == "b" for letter in found.outcomes[0].status])
    assert 5 < int(theirs.sum()) < 58
    assert not bool((theirs & ~ours).any())
    assert torch.equal(labelled(net, found.adversarials[0]) != y, ours)
    assert bool(FABT(eps=eps, norm=norm).ball.inside(found.adversarials[0], x).all())


def test_a_network_that_never_gives_way_costs_the_stated_passes():
    """Nine runs of 100 steps and a last look, and the order of the classes."""
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(2, dtype=torch.int64)
    outcome = evaluate(Stubborn(), x, y, [FABT(eps=0.03)], precision="float32").outcomes[0]
    assert outcome.status == "rr"
    assert (outcome.backwards, outcome.forwards) == (2 * 9 * 100, 2 * (9 * 101 + 1))
    assert outcome.steps == [900, 900]


@pytest.mark.parametrize("norm", PUBLIC)
def test_adversarial_points_beyond_the_budget_cost_a_pass_and_no_step(norm):
    net, x = near_net(2), 0.5 + 0.2 * (images(20) - 0.5)
    y = labelled(net, x)
    attack = FABT(eps=1e-6, norm=norm, steps=10, n_classes=2)
    passes = sum(walk(attack, net, x[[row]], y[[row]], 0)[2] for row in range(20))
    outcome = evaluate(net, x, y, [attack], precision="float32").outcomes[0]
    assert outcome.steps == [10] * 20
    assert 20 * 10 < outcome.backwards == passes <= 2 * 20 * 10


def test_a_sample_without_a_gradient_stays_where_it_is():
    class Flat(nn.Module):
        def forward(self, x):
            return x.flatten(1) @ torch.zeros(64, 3) + torch.tensor([1.0, 0.0, 0.0])

    x = images(2)
    points = path(FABT(eps=0.1, steps=5, n_classes=3), Flat(), x, torch.zeros(2, dtype=torch.int64))
    assert all(torch.allclose(point, x, atol=1e-6) for point in points)


def test_networks_in_channels_last_are_attacked_alike():
    net = small_net()
    x, y = small_case(net, 12)
    attack = FABT(eps=0.02, steps=10, n_classes=4)
    plain = evaluate(net, x, y, [attack]).outcomes[0]
    last = {"memory_format": torch.channels_last}
    other = evaluate(net.to(**last), x.contiguous(**last), y, [attack]).outcomes[0]
    assert plain.status == other.status
    assert {"r", "b"} <= set(plain.status)


def test_averaged_passes_are_counted():
    attack = FABT(eps=0.1, eot=4)
    assert attack.stepper(nn.Identity()).eot == attack.budget["eot"] == 4
    assert attack.effort == 4 * FABT(eps=0.1).effort
    with pytest.raises(InputError, match="eot"):
        FABT(eps=0.1, eot=0)
