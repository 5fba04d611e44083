"""The attack unit test: are the planted answers true, and does a blind attack fail it?"""

import math
from dataclasses import dataclass

import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from robustprune.attacks.autoattack import APGD, FABT
from robustprune.attacks.base import Attack, Found
from robustprune.attacks.cw import CW
from robustprune.attacks.evidence.planted import Planted, findings, planted
from robustprune.attacks.fgsm import FGSM
from robustprune.attacks.noise import Noise
from robustprune.attacks.pgd import PGD

EPS = 8 / 255


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("kind", ["linear", "slab"])
def test_planted_distances_are_true(kind, norm):
    """Just inside the distance the best perturbation does not change the class, just outside it does."""
    net, x, distance = planted(kind, norm, EPS, k=10)
    way = net.u.sign() if norm == "Linf" else net.u / net.u.norm()
    way = way.view(1, 1, 8, 8)
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
    assert findings((Noise(eps=EPS),)) == []


@dataclass(frozen=True, kw_only=True)
class Blind(Attack):
    """Finds nothing, ever."""

    @property
    def effort(self) -> float:
        return 1.0

    def run(self, target, x, y, seed):
        return Found.nothing(x)


@dataclass(frozen=True, kw_only=True)
class Boaster(Attack):
    """Claims what it did not find."""

    @property
    def effort(self) -> float:
        return 1.0

    def run(self, target, x, y, seed):
        found = Found.nothing(x)
        found.success[:] = True
        return found


def test_blind_and_boasting_attacks_are_found_out():
    assert [one.error for one in findings((Blind(eps=EPS),))] == [1, 1]
    assert [one.invented for one in findings((Boaster(eps=EPS),))] == [20, 20]


def test_planted_network_has_the_classes_that_are_asked_for():
    x: Tensor = torch.rand(3, 1, 8, 8)
    logits = Planted(torch.ones(64) / 64, "linear", 1.0, 7)(x)
    assert logits.shape == (3, 7)
    assert float(logits[:, 2:].max()) < float(logits[:, :2].min())
    assert math.isclose(float(logits[0, 1] - logits[0, 0]), float((x[0] - 0.5).mean()), rel_tol=1e-4, abs_tol=1e-6)
