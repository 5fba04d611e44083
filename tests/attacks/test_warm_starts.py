"""Warm starts: an attack begins where the attacks before it, under the same threat, came nearest to success."""

import pytest
import torch
from attack_nets import SmallConv, images, labelled
from torch import nn

from robustprune.attacks import PGD, TargetedPGD, evaluate
from robustprune.attacks.contract.losses import margin

EPS = 0.004
"""Too little to break most samples of `case`."""


class Shown(list):
    """What a network and its copies were shown, in order."""

    def __deepcopy__(self, memo):
        return self


class Spy(nn.Module):
    """Remembers every batch it is asked about; copies write into the same list."""

    def __init__(self, net):
        super().__init__()
        self.net, self.shown = net, Shown()

    def forward(self, x):
        self.shown.append(x.detach().clone())
        return self.net(x)


@pytest.fixture(scope="module")
def case():
    net = SmallConv().eval()
    x = images(12)
    return net, x, labelled(net, x)


def of_sample(shown, sample, eps=EPS):
    """Return the iterates (k, ...) among all images shown that lie in the ball around `sample`, but for itself."""
    every = torch.cat([batch for batch in shown if batch.shape[1:] == sample.shape])
    near = (every - sample).flatten(1).abs().amax(1)
    return every[(near <= eps + 1e-6) & (near > 0)]


def chain(**first):
    return [PGD(eps=EPS, steps=6, retries=0, loss="margin", **first), TargetedPGD(eps=EPS, steps=8, targets=1)]


def walk(net, x, y, attacks, **more):
    """Return what the network was shown before and during the last attack, and the outcomes."""
    spy = Spy(net)
    before = len(spy.shown)
    evaluate(spy, x, y, attacks[:-1], batch_size=1, precision="float32", **more)
    first = len(spy.shown) - before
    spy.shown.clear()
    found = evaluate(spy, x, y, attacks, batch_size=1, precision="float32", **more)
    return spy.shown[:first], spy.shown[first:], found


def resisting(net, x, y, attacks):
    found = evaluate(net, x, y, attacks, precision="float32")
    return [i for i in range(len(x)) if all(one.robust[i] for one in found.outcomes)]


def test_it_begins_where_the_true_class_led_by_least(case):
    net, x, y = case
    left = resisting(net, x, y, chain())
    assert len(left) >= 5
    for i in left[:5]:
        earlier, later, _ = walk(net, x[i : i + 1], y[i : i + 1], chain())
        before, after = of_sample(earlier, x[i]), of_sample(later, x[i])
        gradients = before[:6]
        lead = -margin(net(gradients), y[i].expand(len(gradients)))
        assert torch.equal(after[0], gradients[lead.argmin()])


def test_without_an_attack_before_it_begins_at_random(case):
    net, x, y = case
    i = resisting(net, x, y, chain())[0]
    spy = Spy(net)
    alone = [TargetedPGD(eps=EPS, steps=8, targets=1)]
    evaluate(spy, x[i : i + 1], y[i : i + 1], alone, batch_size=1, precision="float32")
    cold = [alone[0].change(warm=False)]
    other = Spy(net)
    evaluate(other, x[i : i + 1], y[i : i + 1], cold, batch_size=1, precision="float32")
    assert torch.equal(of_sample(spy.shown, x[i])[0], of_sample(other.shown, x[i])[0])


def test_an_attack_under_another_threat_lends_nothing(case):
    net, x, y = case
    i = resisting(net, x, y, chain())[0]
    targeted = chain()[1]
    starts = []
    for first in (PGD(eps=EPS / 2, steps=6, retries=0), PGD(eps=EPS, norm="L2", steps=6, retries=0)):
        _, later, _ = walk(net, x[i : i + 1], y[i : i + 1], [first, targeted])
        starts.append(of_sample(later, x[i])[0])
    spy = Spy(net)
    evaluate(spy, x[i : i + 1], y[i : i + 1], [targeted], batch_size=1, precision="float32")
    assert all(torch.equal(start, of_sample(spy.shown, x[i])[0]) for start in starts)


def test_order_batches_and_threads_change_nothing(case):
    net, x, y = case
    attacks = [PGD(eps=0.02, steps=4), PGD(eps=0.02, steps=4, loss="margin"), TargetedPGD(eps=0.02, steps=6)]
    whole = evaluate(net, x, y, attacks, precision="float32")
    assert {"b", "r"} <= set("".join(one.status for one in whole.outcomes))
    for size in (1, 5):
        again = evaluate(net, x, y, attacks, batch_size=size, precision="float32")
        assert [one.status for one in again.outcomes] == [one.status for one in whole.outcomes]
    back = evaluate(net, x.flip(0), y.flip(0), attacks, precision="float32")
    assert [one.status[::-1] for one in back.outcomes] == [one.status for one in whole.outcomes]


class Valley(nn.Module):
    """Class 2 seems to be nearest and draws the first pixel to .1; only there does the second pixel lead to it."""

    def forward(self, x):
        a, b = x[:, 0, 0, 0] - 0.5, x[:, 0, 0, 1] - 0.5
        first = 3 * a - 1
        second = torch.where(a > 0.05, 18 * b - 1, 4 * a - 1.2)
        return torch.stack((torch.zeros_like(a), first, second), 1)


def test_it_finds_what_only_lies_beyond_the_last_iterate():
    """The first attack moves the first pixel; from there the second class can be reached, from x it cannot be."""
    x, y = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0])
    first = PGD(eps=0.1, steps=4, loss="margin", random_start=False)
    warm = TargetedPGD(eps=0.1, steps=1, targets=1)
    seeds = range(20)
    found = {
        attack.warm: [evaluate(Valley(), x, y, [first, attack], seed=seed).outcomes[1].status for seed in seeds]
        for attack in (warm, warm.change(warm=False))
    }
    assert found[True] == ["b"] * 20
    assert "r" in found[False]
