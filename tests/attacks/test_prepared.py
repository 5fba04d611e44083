"""What is found out about a network once: the same outcomes, for no other network, and nothing kept of a random one."""

import pytest
import torch
from attack_nets import SmallConv, images, labelled
from torch import nn

from robustprune.attacks import PGD, Transfer, evaluate
from robustprune.attacks.engine.prepared import prepared


class Asked(nn.Module):
    """Counts how often it is asked."""

    def __init__(self, net):
        super().__init__()
        self.net, self.times = net, [0]

    def forward(self, x):
        self.times[0] += 1
        return self.net(x)


@pytest.fixture
def case():
    net, x = SmallConv().eval(), images(12)
    return net, x, labelled(net, x)


def test_outcomes_are_the_same_for_fewer_passes(case):
    inner, x, y = case
    net, parent = Asked(inner).eval(), SmallConv(seed=1).eval()
    known = (prepared(net, x), prepared(parent, x))
    seen = []
    for given in ((), known):
        net.times[0] = 0
        found = evaluate(net, x, y, [PGD(eps=0.02), Transfer(eps=0.03)], parent=parent, prepared=given)
        seen.append(([(one.status, one.steps, one.forwards) for one in found.outcomes], net.times[0]))
    assert seen[0][0] == seen[1][0]
    assert seen[1][1] < seen[0][1]


def test_what_is_known_of_one_network_says_nothing_of_another(case):
    net, x, y = case
    other = prepared(SmallConv(seed=1).eval(), x)
    assert not other.serves(net)
    apart, together = (evaluate(net, x, y, [PGD(eps=0.02)], prepared=given).outcomes[0] for given in ((), [other]))
    assert (apart.status, apart.steps, apart.backwards) == (together.status, together.steps, together.backwards)


def test_more_than_logits_is_noticed_and_taken_out(case):
    inner, x, y = case

    class Pair(nn.Module):
        def forward(self, x):
            return {"logits": inner(x), "image": x}

    net = Pair().eval()
    known = prepared(net, x)
    assert known.more
    alone, together = (evaluate(one, x, y, [PGD(eps=0.02)], prepared=[known]).outcomes[0] for one in (inner, net))
    assert alone.status == together.status
    assert isinstance(net(x), dict)


def test_random_networks_are_looked_at_anew(case):
    net, x, _ = case

    class Noisy(nn.Module):
        def forward(self, x):
            return net(x + 0.1 * torch.randn_like(x))

    found = prepared(Noisy(), x)
    assert (found.fresh, found.serves(found.model)) == (21, False)
