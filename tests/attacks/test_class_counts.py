"""Two classes and a thousand, and L1, on linear networks, where the distance to the border is known."""

import pytest
import torch
from attack_nets import images, labelled, linear_case, linear_net, margins

from robustprune.attacks import APGD, PGD, TargetedPGD, evaluate, tier


def between(distance, share=0.5):
    """An eps that about this share of the samples are nearer than, well apart from any of them."""
    ordered = distance.sort().values
    middle = int(share * len(ordered))
    gaps = ordered[middle - 10 : middle + 10].diff()
    place = middle - 10 + int(gaps.argmax())
    return float(ordered[place : place + 2].mean())


def robust_at(net, x, y, attack):
    return torch.tensor(evaluate(net, x, y, [attack]).outcomes[0].robust)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("attack", [PGD, TargetedPGD])
def test_l1_on_a_linear_network_is_exact(attack, classes):
    """A border of weight difference w lies |gap| / max |w| away: one pixel takes it all. At most 1 % may be missed."""
    net, x, y = linear_case(300, classes)
    net[1].weight.data *= 1 + 3 * (torch.arange(64) % 7 == 0)  # some pixels weigh more
    y = labelled(net, x)
    distance = margins(net, x, y, torch.inf)
    eps = between(distance, 0.3)
    near, robust = distance < eps, robust_at(net, x, y, attack(eps=eps, norm="L1", steps=50))
    room = 0.35  # from any pixel to a wall
    assert eps < room
    assert not bool((~robust & ~near).any())
    assert float((robust & near).float().mean()) <= 0.01


@pytest.mark.parametrize("classes", [2, 1000])
@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_one_wrong_class_or_999_are_attacked_exactly(classes, norm, dual):
    weight = torch.randn(classes, 64, generator=torch.Generator().manual_seed(1))
    net = linear_net(weight, -weight @ torch.full((64,), 0.5))
    x = images(30, 2, (1, 8, 8), 0.4, 0.6)
    y = labelled(net, x)
    distance = margins(net, x, y, dual)
    eps = between(distance)
    found = evaluate(net, x, y, tier("quick", norm, eps, classes)).outcomes
    assert {one.error for one in found} == {None}
    robust = torch.tensor([one.robust for one in found]).all(0)
    assert torch.equal(robust, distance > eps)


def test_two_classes_leave_one_target_and_no_ratio_of_logits():
    net, x, y = linear_case(20, 2)
    one = evaluate(net, x, y, [TargetedPGD(eps=0.01, targets=3)]).outcomes[0]
    assert one.error is None
    resisting = [steps for steps, letter in zip(one.steps, one.status, strict=True) if letter == "r"]
    assert resisting
    ratio = evaluate(net, x, y, [APGD(eps=0.01, loss="dlr")]).outcomes[0]
    assert set(ratio.status) == {"f"}
    assert "2 classes: expected at least 3" in ratio.error
