"""Networks with random parts whose robustness has a closed form: what is found on them, and how it is judged."""

import random

import numpy as np
import pytest
import torch
from attack_nets import images, labelled, linear_case, margins
from torch import nn

from robustprune.attacks import (
    CW,
    FGSM,
    FMN,
    MIFGSM,
    PGD,
    Noise,
    Square,
    TargetedPGD,
    TorchAttack,
    Transfer,
    evaluate,
    robust_curve,
)
from robustprune.attacks.algorithms.targeted_pgd import nearest_classes
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.threat import threat
from robustprune.attacks.engine.random_parts import is_random
from robustprune.attacks.engine.window import look
from robustprune.errors import InputError

EPS = 0.05
AVERAGING = [FGSM, PGD, MIFGSM, FMN, TargetedPGD, CW, Transfer]


class Noisy(nn.Module):
    """Adds Gaussian noise to the images. On a linear network most passes say what the network says without it."""

    def __init__(self, net, spread=0.05):
        super().__init__()
        self.net, self.spread = net, spread

    def forward(self, x):
        return self.net(x + self.spread * torch.randn_like(x))


class Shifting(nn.Module):
    """Class 1 where (w + noise) . (x - 0.5) > 0: noise that misleads every single gradient.

    Most passes say whether w . (x - 0.5) > 0, so under Linf the distance of x to class 1 is -w . (x - 0.5) / |w|_1.
    """

    def __init__(self, spread=2.0):
        super().__init__()
        self.w, self.spread = torch.randn(64, generator=torch.Generator().manual_seed(0)).sign(), spread

    def forward(self, x):
        t = (x - 0.5).flatten(1) @ (self.w + self.spread * torch.randn(64))
        return torch.stack((-t, t), 1)


class Unlucky(nn.Module):
    """Wrong in one pass of three, whatever the image; its logits rise with the image all the same."""

    def forward(self, x):
        wrong = torch.rand(len(x)) < 1 / 3
        lead = torch.where(wrong, 1.0, -1.0) + x.flatten(1) @ torch.full((64,), 1e-4)
        return torch.stack((-lead, lead), 1)


def planted(eps=EPS):
    """Images of class 0, at half to nearly all of eps from class 1, then at more than eps."""
    distance = torch.cat((torch.linspace(0.5, 0.85, 20), torch.linspace(1.1, 2.0, 20))) * eps
    return (0.5 - distance[:, None] * Shifting().w).view(40, 1, 8, 8), torch.zeros(40, dtype=torch.int64), distance


def wrong_share(net, x, y, passes=1001):
    with torch.no_grad():
        return torch.stack([net(x).argmax(1) != y for _ in range(passes)]).float().mean(0)


def test_one_gradient_a_step_flatters_a_random_network():
    """It misses what is there; with 20 passes averaged all is found that the closed form says, and no more."""
    x, y, distance = planted()
    one, many = (evaluate(Shifting(), x, y, [PGD(eps=EPS, eot=eot)]).outcomes[0] for eot in (1, 20))
    assert sum(one.robust) >= 20 + 5
    assert many.robust == (distance > EPS).tolist()


def test_robust_accuracy_is_that_of_an_independent_evaluation():
    """Noise of which the majority verdict is the sign of the mean margin; tolerance: what 21 passes leave to luck."""
    net, x, y = linear_case(n=200, classes=3)
    distance = margins(net, x, y, 1)
    eps = float(distance.median())
    noisy = Noisy(net, spread=0.01)
    found = evaluate(noisy, x, y, [PGD(eps=eps, eot=20, loss="margin")], keep=True)
    robust = torch.tensor(found.outcomes[0].robust)
    share = wrong_share(noisy, found.adversarials[0], y)
    independent = share < 0.5
    assert 0.3 < float((distance > eps).float().mean()) < 0.7
    assert abs(float(robust.float().mean() - (distance > eps).float().mean())) < 0.03
    assert abs(float(robust.float().mean() - independent.float().mean())) < 0.03
    assert not bool((robust & (share > 0.8)).any())
    assert not bool((~robust & torch.tensor(found.clean) & (share < 0.2)).any())


def test_luck_breaks_nothing():
    """One pass of three is wrong. Judged by one pass most fall; by a majority hardly any does."""
    x, y = images(60), torch.zeros(60, dtype=torch.int64)
    attacks = [PGD(eps=EPS, steps=20, eot=4), Noise(eps=EPS), Square(eps=EPS, queries=50)]
    judged = evaluate(Unlucky(), x, y, attacks)
    assert sum(judged.clean) >= 50
    for outcome in judged.outcomes:
        assert outcome.status.count("b") <= 8, outcome.attack
        assert outcome.notes["fresh passes"] == 21
    hasty = evaluate(Unlucky(), x, y, [PGD(eps=EPS)], fresh=1)
    assert sum(hasty.outcomes[0].robust) <= sum(hasty.clean) / 2


def test_the_verdict_is_that_of_passes_that_did_not_find_it():
    """A network that tosses a coin: in 20 steps a majority is found sooner or later, but half of them do not last."""

    class Coin(nn.Module):
        def forward(self, x):
            lead = torch.randn(len(x)) + x.flatten(1) @ torch.zeros(64)
            return torch.stack((-lead, lead), 1)

    x, y = images(400), torch.zeros(400, dtype=torch.int64)
    found = evaluate(Coin(), x, y, [PGD(eps=EPS, retries=0)])
    status = found.outcomes[0].status
    assert 0.35 < sum(found.clean) / 400 < 0.65
    assert 0.1 < status.count("b") / sum(found.clean) < 0.6


def test_same_seed_same_outcomes_and_the_callers_generators_stay():
    net, x, y = linear_case(n=60)
    noisy = Noisy(net)
    eps = float(margins(net, x, y, 1).median())
    attacks = [PGD(eps=eps, eot=3, steps=5), FMN(eps=eps, eot=3, steps=5), Noise(eps=eps), Square(eps=eps, queries=20)]
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    first = evaluate(noisy, x, y, attacks, seed=1)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    torch.manual_seed(6)
    again, other = (evaluate(noisy, x, y, attacks, seed=seed) for seed in (1, 2))
    assert first.clean == again.clean
    for one, two in zip(first.outcomes, again.outcomes, strict=True):
        assert (one.status, one.steps, str(one.distance)) == (two.status, two.steps, str(two.distance))
    assert [str(one.distance) for one in first.outcomes] != [str(one.distance) for one in other.outcomes]


def test_curve_of_a_random_network():
    """At every eps the closed form, but for what lies within a hair of it."""
    x, y, distance = planted()
    levels = [0.0, 0.4 * EPS, EPS, 2.2 * EPS]
    curve = robust_curve(Shifting(), x, y, PGD(eps=0, eot=20), levels)
    for eps, outcome in zip(levels, curve, strict=True):
        assert sum(outcome.robust) == int((distance > eps).sum())
        assert outcome.notes["fresh passes"] == 21


@pytest.mark.parametrize("attack", [FMN(eps=0.2, steps=30, eot=20), FMN(eps=0.2, steps=30, eot=20, targets=1)])
def test_smallest_distances_on_a_random_network(attack):
    """Never below the true ones by more than luck, near them, and for most samples: at a border the verdict is luck."""
    net, x, y = linear_case(n=40)
    distance = margins(net, x, y, 1)
    found = torch.tensor(evaluate(Noisy(net, spread=0.01), x, y, [attack]).outcomes[0].distance)
    near = distance > 0.01
    assert int(found[near].isnan().sum()) <= int(near.sum()) / 4
    ratio = (found / distance)[near & ~found.isnan()]
    assert float(ratio.min()) > 0.9
    assert float(ratio.median()) < 1.5


@pytest.mark.parametrize("kind", AVERAGING, ids=lambda kind: kind.__name__)
def test_passes_are_counted_and_named_where_there_are_several(kind):
    one, many = kind(eps=0.1), kind(eps=0.1, eot=20)
    assert many.name == f"{one.name} eot20"
    assert many.effort == pytest.approx(20 * one.effort)
    assert many.budget == {**one.budget, "eot": 20}
    assert many.settings == {**one.settings, "eot": 20}
    assert many.change(eot=1) == one
    with pytest.raises(InputError, match="eot=0"):
        kind(eps=0.1, eot=0)


@pytest.mark.parametrize("kind", AVERAGING, ids=lambda kind: kind.__name__)
def test_averaging_costs_what_it_says_and_changes_nothing_where_nothing_is_random(kind):
    net, x, y = linear_case(n=20)
    attack = kind(eps=0.001)
    one, many = (evaluate(net, x, y, [a], parent=net).outcomes[0] for a in (attack, attack.change(eot=4)))
    assert one.status == many.status
    assert one.notes["fresh passes"] == 1
    assert many.backwards == 4 * one.backwards
    assert one.forwards < many.forwards <= 4 * one.forwards


def test_what_a_step_sees_is_the_mean_of_its_passes():
    net = Shifting()
    x, y, _ = planted()
    stepper = PGD(eps=EPS, eot=400, loss="margin").stepper(net)
    state = {"x": x, "y": y, "row": torch.arange(40), "run": torch.zeros(40, dtype=torch.int64)}
    stepper.start(state, keys(x), 0)
    state["adv"] = x
    torch.manual_seed(0)
    seen, logits = look(net, stepper, state)
    mean = 2 * (x - 0.5).flatten(1) @ net.w
    assert torch.allclose(seen.value, mean, atol=5 * float(mean.std()) * 0.1 + 0.3)
    assert torch.allclose(seen.grad.flatten(1), 2 * net.w.expand(40, 64), atol=1.0)
    assert torch.allclose(logits[:, 1] - logits[:, 0], seen.value, atol=1e-4)
    assert not bool(seen.wrong.any())


def test_most_passes_decide_not_the_loudest():
    """Right by a hundred in one pass of ten, wrong by one in the others: wrong."""

    class Loud(nn.Module):
        passes = 0

        def forward(self, x):
            self.passes += 1
            lead = (-100.0 if self.passes % 10 == 0 else 1.0) + x.flatten(1) @ torch.zeros(64)
            return torch.stack((-lead, lead), 1)

    x, y = images(3), torch.zeros(3, dtype=torch.int64)
    state = {"x": x, "adv": x, "y": y}
    seen, logits = look(Loud(), PGD(eps=EPS, eot=10).stepper(Loud()), state)
    assert bool(seen.wrong.all())
    assert float((logits[:, 1] - logits[:, 0]).max()) < 0


def test_nearest_classes_of_a_random_network():
    """With enough passes the order is that of the network without noise."""
    net, x, y = linear_case(n=60, classes=5)
    ball = threat("Linf", EPS)
    clean = nearest_classes(net, x, y, ball, 4)[:, 0]

    class Rocking(nn.Module):
        def forward(self, x):
            return net(x) + 3 * torch.randn(len(x), 5)

    torch.manual_seed(0)
    one, many = (nearest_classes(Rocking(), x, y, ball, 4, eot)[:, 0] for eot in (1, 200))
    assert int((many == clean).sum()) > int((one == clean).sum())


def test_random_networks_are_noticed():
    net, x, _ = linear_case(n=20)
    assert not is_random(net, x)
    assert is_random(Noisy(net, 0.01), x)
    assert is_random(nn.Sequential(nn.Dropout(0.1).train(), net), x)
    assert not is_random(nn.Sequential(nn.Dropout(0.1).eval(), net), x)


def test_dropout_in_training_mode_is_put_to_rest_and_forced_dropout_is_judged():
    net, x, y = linear_case(n=20)
    asleep = nn.Sequential(nn.Dropout(0.5).train(), net)
    assert evaluate(asleep, x, y, [FGSM(eps=0.0)]).outcomes[0].notes["fresh passes"] == 1
    with pytest.raises(InputError, match="odd"):
        evaluate(net, x, y, [FGSM(eps=0.0)], fresh=20)


def test_images_come_back_only_where_they_are_wanted():
    net, x, y = linear_case(n=20)
    assert evaluate(Noisy(net), x, y, [FGSM(eps=0.1)]).adversarials == [None]
    kept = evaluate(Noisy(net, 0.001), x, y, [FGSM(eps=0.1, eot=2)], keep=True)
    moved = (kept.adversarials[0] != x).flatten(1).any(1)
    assert moved.tolist() == [letter == "b" for letter in kept.outcomes[0].status]


def test_what_an_attack_of_ones_own_claims_is_judged_by_the_majority():
    """It returns what one pass got wrong."""
    x = images(60)

    def lucky(model):
        def attack(x, y):
            for _ in range(20):
                model(x)
            return x

        return attack

    outcome = evaluate(Unlucky(), x, labelled(nn.Flatten(), x) * 0, [TorchAttack(name="lucky", build=lucky, eps=EPS)])
    assert outcome.outcomes[0].status.count("b") <= 8
