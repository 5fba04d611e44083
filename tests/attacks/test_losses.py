"""Losses of single samples, against torch's own in double precision and against limits that are known."""

import pytest
import torch
from attack_nets import labelled, linear_case, margins

from robustprune.attacks import PGD, evaluate
from robustprune.attacks.contract.losses import margin, probability, towards


def by_softmax(logits, y):
    """The largest other class's probability minus the true class's, as one writes it down."""
    shares = logits.double().softmax(1)
    true = torch.nn.functional.one_hot(y, logits.shape[1]).bool()
    return shares.masked_fill(true, 0).amax(1) - shares[true]


def cases(classes, scale):
    draw = torch.Generator().manual_seed(classes)
    logits = scale * torch.randn(200, classes, generator=draw)
    return logits, torch.randint(classes, (200,), generator=draw)


def gradient(loss, logits, y):
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss(logits, y).sum(), logits)[0]


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_probability_is_the_margin_of_softmax_on_a_logarithmic_scale(classes, scale):
    logits, y = cases(classes, scale)
    value, expected = probability(logits, y), by_softmax(logits, y)
    assert torch.allclose(value.expm1().double(), expected, rtol=0, atol=1e-5)
    clear = margin(logits, y).abs() > 1e-4
    assert torch.equal(value[clear] > 0, margin(logits, y)[clear] > 0)


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_its_gradient_is_the_true_one_up_to_a_factor_a_sample(classes):
    logits, y = cases(classes, 3.0)
    ours, theirs = gradient(probability, logits, y).double(), gradient(by_softmax, logits.double(), y)
    factor = theirs.norm(dim=1, keepdim=True) / ours.norm(dim=1, keepdim=True)
    assert torch.allclose(ours * factor, theirs, rtol=1e-3, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("offset", [0.0, -1e4, 1e4])
def test_a_network_however_sure_has_a_gradient(offset):
    """With all of the probability on the true class, only the true class and the next matter, and equally."""
    logits = torch.tensor([[1000.0, 0.0, -1000.0], [-50.0, 300.0, -700.0]]) + offset
    y = torch.tensor([0, 1])
    assert probability(logits, y).tolist() == pytest.approx([-1000 + 0.6931, -350 + 0.6931], abs=2e-3)
    assert gradient(probability, logits, y).tolist() == [
        pytest.approx([-1.0, 1.0, 0.0], abs=2e-3),
        pytest.approx([1.0, -1.0, 0.0], abs=2e-3),
    ]
    assert gradient(by_softmax, logits, y).abs().max() == 0  # as one writes it down, not even in double


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_pgd_climbs_it_on_a_very_sure_network(norm, precision):
    net, x, y = linear_case(60)
    net[1].weight.data *= 1e4
    net[1].bias.data *= 1e4
    eps, dual = {"Linf": (0.02, 1), "L2": (0.15, 2), "L1": (0.25, torch.inf)}[norm]
    attack = PGD(eps=eps, norm=norm, steps=40, loss="probability")
    outcome = evaluate(net, x, y, [attack]).outcomes[0]
    distance = margins(net, x, y, dual)
    broken = torch.tensor([letter == "b" for letter in outcome.status])
    assert 20 < broken.sum() < 60
    sure = (distance / eps - 1).abs() > 0.01
    assert torch.equal(broken[sure], (distance <= eps)[sure])


def test_a_network_that_is_wrong_is_wrong_by_every_margin():
    net, x, _ = linear_case(50, 5)
    logits, guess = net(x).detach(), labelled(net, x)
    wrong = (guess + 1) % 5
    assert (probability(logits, guess) < 0).all()
    assert (probability(logits, wrong) > 0).all()
    assert torch.equal(towards(logits, wrong, guess), logits.amax(1) - logits.gather(1, wrong[:, None])[:, 0])


def test_names_and_kind():
    attack = PGD(eps=0.1, steps=100, loss="probability")
    assert (attack.name, attack.objective, attack.settings["loss"]) == ("PGD-100 probability", "margin", "probability")
    assert [PGD(eps=0.1, loss=loss).name for loss in ("ce", "margin")] == ["PGD-20", "PGD-20 margin"]
