"""Noise and transfer: weaker than a white box, and honest about it."""

import pytest
import torch
from attack_nets import SmallConv, images, labelled, linear_case, margins

from robustprune.attacks import PGD, Noise, Transfer, evaluate
from robustprune.errors import InputError

EPS = 8 / 255


@pytest.fixture(scope="module")
def case():
    net, x = SmallConv(), images(100)
    return net, x, labelled(net, x)


def broken(outcome):
    return torch.tensor([letter == "b" for letter in outcome.status])


@pytest.mark.parametrize(("norm", "eps", "dual"), [("Linf", 0.03, 1), ("L2", 0.3, 2), ("L1", 1.5, torch.inf)])
def test_noise_keeps_its_budget_and_breaks_only_what_can_break(norm, eps, dual):
    net, x, y = linear_case(200)
    found = evaluate(net, x, y, [Noise(eps=eps, norm=norm, draws=20)], keep=True)
    outcome = found.outcomes[0]
    hit = broken(outcome)
    assert 0 < hit.sum() < 150
    assert (margins(net, x, y, dual)[hit] <= eps).all()
    assert (torch.tensor(outcome.distance)[hit] <= eps + 1e-6).all()
    assert (labelled(net, found.adversarials[0]) != y).equal(hit)
    assert max(outcome.steps) == 20


def test_more_draws_never_find_less(case):
    net, x, y = case
    few, many = (evaluate(net, x, y, [Noise(eps=0.3, draws=d)]).outcomes[0] for d in (2, 30))
    assert (broken(few) <= broken(many)).all()
    assert broken(few).sum() < broken(many).sum()


def test_transfer_from_itself_is_the_white_box(case):
    net, x, y = case
    white = evaluate(net, x, y, [PGD(eps=EPS)]).outcomes[0]
    moved = evaluate(net, x, y, [Transfer(eps=EPS)], parent=net).outcomes[0]
    assert broken(white).equal(broken(moved))


def test_transfer_from_another_network_is_weaker_but_real(case):
    net, x, y = case
    other = SmallConv(seed=1)
    other.linear.load_state_dict(net.linear.state_dict())
    white, moved = evaluate(net, x, y, [PGD(eps=2 * EPS), Transfer(eps=2 * EPS)], parent=other, keep=True).outcomes
    assert 0 < broken(moved).sum() < broken(white).sum()
    assert "p" not in moved.status + white.status  # a column of its own


def test_several_parents_add_up(case):
    net, x, y = case
    others = [SmallConv(seed=s) for s in (1, 2)]
    both = evaluate(net, x, y, [Transfer(eps=2 * EPS)], parent=others).outcomes[0]
    each = [evaluate(net, x, y, [Transfer(eps=2 * EPS)], parent=other).outcomes[0] for other in others]
    assert broken(both).equal(broken(each[0]) | broken(each[1]))


def test_the_parent_comes_back_as_it_was(case):
    net, x, y = case
    parent = SmallConv(seed=1).train()
    parent.bn1.eval()
    evaluate(net, x, y, [Transfer(eps=EPS)], parent=parent)
    assert parent.training
    assert not parent.bn1.training
    assert parent.bn2.training
    assert all(p.requires_grad and p.grad is None for p in parent.parameters())


def test_without_a_parent_there_is_no_transfer(case):
    net, x, y = case
    with pytest.raises(InputError, match=r"evaluate\(\.\.\., parent=network\)"):
        evaluate(net, x, y, [Transfer(eps=EPS)])


def test_noise_is_a_control_beside_the_chain():
    net, x, y = linear_case(60)
    eps = float(margins(net, x, y, 1).median())
    alone = evaluate(net, x, y, [Noise(eps=eps)]).outcomes[0]
    noise, pgd = evaluate(net, x, y, [Noise(eps=eps), PGD(eps=eps, steps=5)]).outcomes
    assert noise.status == alone.status
    assert "p" not in pgd.status
    assert sum(pgd.robust) < sum(noise.robust)
