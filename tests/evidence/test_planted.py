"""The attack unit test: are the planted answers true, and does a blind attack fail it?"""

import math

import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from robustprune.attacks.algorithms.autoattack import APGD, FABT
from robustprune.attacks.algorithms.cw import CW
from robustprune.attacks.algorithms.fgsm import FGSM
from robustprune.attacks.algorithms.noise import Noise
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.algorithms.torchattack import TorchAttack
from robustprune.attacks.algorithms.transfer import Transfer
from robustprune.evidence.planted import Findings, Planted, findings, planted
from robustprune.evidence.scales import SCALES

EPS = 8 / 255
ORDER = {"Linf": math.inf, "L2": 2.0, "L1": 1.0}
DUAL = {"Linf": 1.0, "L2": 2.0, "L1": math.inf}


@pytest.mark.parametrize("norm", SCALES)
def test_the_geometry_of_a_norm(norm):
    """Hoelder: a step of length 1 moves u by its dual norm at most, and the steepest step by just that."""
    u, scale = torch.randn(64, generator=torch.Generator().manual_seed(3), dtype=torch.float64), SCALES[norm]
    u = u / scale.dual(u)
    assert float(u.norm(p=DUAL[norm])) == pytest.approx(1)
    step = scale.steepest(u)
    assert float(step.norm(p=ORDER[norm])) == pytest.approx(1)
    assert float(step @ u) == pytest.approx(1)
    alike = torch.full((64,), scale.per_pixel(0.3, 64))
    assert float(alike.norm(p=ORDER[norm])) == pytest.approx(0.3)


@pytest.mark.parametrize("norm", SCALES)
@pytest.mark.parametrize("kind", ["linear", "slab"])
def test_the_box_plays_no_part_at_the_largest_eps(kind, norm):
    net, x, distance = planted(kind, norm, SCALES[norm].largest)
    way = SCALES[norm].steepest(net.u).view(1, 1, 8, 8)
    for point in (x, x + distance.view(-1, 1, 1, 1) * way):
        assert float(point.min()) >= 0
        assert float(point.max()) <= 1


@pytest.mark.parametrize("norm", SCALES)
@pytest.mark.parametrize("kind", ["linear", "slab"])
def test_planted_distances_are_true(kind, norm):
    """Just inside the distance the best perturbation does not change the class, just outside it does."""
    net, x, distance = planted(kind, norm, EPS, k=10)
    one_pixel = torch.where(net.u.abs() == net.u.abs().max(), net.u.sign(), 0)
    way = {"Linf": net.u.sign(), "L2": net.u / net.u.norm(), "L1": one_pixel}[norm].view(1, 1, 8, 8)
    scale = distance.view(-1, 1, 1, 1)
    assert bool((net(x).argmax(1) == 0).all())
    assert bool((net(x + 0.999 * scale * way).argmax(1) == 0).all())
    assert bool((net(x + 1.001 * scale * way).argmax(1) == 1).all())
    assert bool(((x + 2 * EPS * way >= 0) & (x + 2 * EPS * way <= 1)).all())


def test_planted_linf_distance_equals_a_linear_programme():
    """min t so that u . d = |t0| and |d_i| <= t, solved by another method."""
    net, x, distance = planted("linear", "Linf", EPS, k=2)
    u = net.u.double().numpy()
    for i in (0, 25):
        need = -float((x[i].flatten().double() - 0.5) @ net.u.double())
        cost = [0.0] * 64 + [1.0]
        upper = [[float(j == i) for j in range(64)] + [-1.0] for i in range(64)]
        lower = [[-float(j == i) for j in range(64)] + [-1.0] for i in range(64)]
        solved = linprog(
            cost,
            A_ub=upper + lower,
            b_ub=[0.0] * 128,
            A_eq=[[*u, 0.0]],
            b_eq=[need],
            bounds=[(None, None)] * 65,
        )
        assert solved.fun == pytest.approx(float(distance[i]), rel=1e-4)


def test_slab_is_a_network_of_two_layers_that_one_step_jumps_over():
    net, x, distance = planted("slab", "Linf", EPS)
    inside = distance < EPS
    jumped = net(x[inside] + EPS * net.u.sign().view(1, 1, 8, 8)).argmax(1) == 0
    assert 0 < int(jumped.sum()) < int(inside.sum())


@pytest.mark.parametrize(
    "attack",
    [
        PGD(eps=EPS),
        PGD(eps=EPS, loss="margin"),
        PGD(eps=0.5, norm="L2"),
        APGD(eps=EPS),
        APGD(eps=EPS, loss="dlr"),
        APGD(eps=0.5, norm="L2"),
        CW(eps=0.5),
        PGD(eps=1.0),
        PGD(eps=1.0, norm="L2"),
    ],
    ids=lambda attack: f"{attack.name} {attack.norm}",
)
def test_real_attacks_find_everything(attack):
    assert [one.error for one in findings((attack,))] == [0, 0]


def test_few_classes_are_enough_for_what_works_on_them():
    assert [one.error for one in findings((PGD(eps=EPS),), k=2)] == [0, 0]
    assert [one.error for one in findings((FABT(eps=EPS, n_classes=2, steps=20),), k=2)] == [0, 0]


def test_single_step_is_found_out_by_the_slab():
    linear, slab = findings((FGSM(eps=EPS),))
    assert linear.error == 0
    assert slab.error > 0.01


def test_attacks_that_do_not_search_are_left_out():
    """By what they say they know: of what they are called nothing follows."""
    assert findings((Noise(eps=EPS), Transfer(eps=EPS))) == []
    knowing_nothing = TorchAttack(name="PGD-20", build=blind, eps=EPS, knows="none")
    assert findings((knowing_nothing,)) == []
    assert [one.error for one in findings((PGD(eps=EPS, name="noise, projected"),))] == [0, 0]


def blind(model):
    """Finds nothing, ever."""
    return lambda x, y: x


def beyond(model):
    """Goes twice as far as it may."""
    return lambda x, y: (x + 2 * EPS * model.net.u.sign().view(1, 1, 8, 8)).clamp(0, 1)


def test_a_blind_attack_is_found_out():
    assert [one.error for one in findings((TorchAttack(name="blind", build=blind, eps=EPS),))] == [1, 1]


def test_what_lies_beyond_the_budget_does_not_count():
    assert [one.invented for one in findings((TorchAttack(name="beyond", build=beyond, eps=EPS),))] == [0, 0]


@pytest.mark.parametrize(("found", "invented", "error"), [(20, 0, 0), (19, 0, 0.05), (20, 3, 0.15), (18, 1, 0.1)])
def test_error_is_the_larger_share_of_wrong_answers(found, invented, error):
    assert Findings("linear", found, 20, invented, 20).error == pytest.approx(error)


def test_planted_network_has_the_classes_that_are_asked_for():
    x: Tensor = torch.rand(3, 1, 8, 8)
    logits = Planted(torch.ones(64) / 64, "linear", 1.0, 7)(x)
    assert logits.shape == (3, 7)
    assert float(logits[:, 2:].max()) < float(logits[:, :2].min())
    assert math.isclose(float(logits[0, 1] - logits[0, 0]), float((x[0] - 0.5).mean()), rel_tol=1e-4, abs_tol=1e-6)
