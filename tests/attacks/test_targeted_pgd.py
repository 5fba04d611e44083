"""PGD towards the nearest classes: order and outcomes on linear networks are known, breaks are planted elsewhere."""

import pytest
import torch
from attack_nets import SmallConv, images, labelled, linear_case, margins
from torch import nn

from robustprune.attacks import ATTACKS, PGD, TargetedPGD, evaluate, robust_curve
from robustprune.attacks.algorithms.targeted_pgd import nearest_classes
from robustprune.attacks.contract.attack import FORWARD
from robustprune.attacks.contract.threat import threat
from robustprune.errors import InputError

judged_twice = pytest.mark.usefixtures("precision")
"""In float32 and in bfloat16: where an evaluation is what is looked at."""

BUDGETS = {"Linf": (0.01, 1), "L2": (0.06, 2), "L1": (0.12, torch.inf)}
"""Norm -> an eps that keeps clear of the box in `linear_case`, and the exponent of the dual norm."""


def broken(outcome):
    return torch.tensor([letter == "b" for letter in outcome.status])


def distances(net, x, y, q):
    """(m, classes) the distance of every sample to where each class catches up with its own, in double."""
    weight, logits = net[1].weight.detach().double(), net.double()(x.double()).detach()
    net.float()
    gap = logits.gather(1, y[:, None]) - logits
    return gap / torch.linalg.vector_norm(weight[y][:, None, :] - weight[None], q, 2)


def at_distance(net, x, y, q, wanted):
    """Move samples of `linear_case` along their ray from the centre, where all logits are 0, to this distance."""
    factor = wanted / margins(net, x, y, q)
    near = factor < 2
    return (0.5 + (x - 0.5) * factor[:, None, None, None])[near], y[near]


@judged_twice
@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("norm", BUDGETS)
def test_just_inside_breaks_and_just_outside_resists(norm, classes):
    (eps, q), (net, x, y) = BUDGETS[norm], linear_case(60, classes)
    eps = eps / 4 if classes == 1000 else eps  # so many boundaries lie nearer
    attack = TargetedPGD(eps=eps, norm=norm, steps=30, candidates=min(max(3, classes - 1), 99))
    for wanted, letter in ((0.99 * eps, "b"), (1.01 * eps, "r")):
        there, label = at_distance(net, x, y, q, wanted)
        assert len(there) >= 20
        outcome = evaluate(net, there, label, [attack]).outcomes[0]
        assert outcome.status == letter * len(there)


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
@pytest.mark.parametrize("norm", BUDGETS)
def test_the_order_is_that_of_the_true_distances(norm, classes):
    (eps, q), (net, x, y) = BUDGETS[norm], linear_case(20, classes)
    true = distances(net, x, y, q).nan_to_num(torch.inf)
    order = nearest_classes(net, x, y, threat(norm, eps), classes - 1)
    assert torch.equal(
        order.sort(1).values, torch.stack([torch.arange(classes)[torch.arange(classes) != k] for k in y])
    )
    assert torch.allclose(true.gather(1, order), true.sort(1).values[:, :-1], rtol=1e-4)
    if classes > 3:
        likely = net(x).detach().argsort(1, descending=True)[:, 1:]
        assert (likely[:, 0] != order[:, 0]).any()  # the likeliest wrong class is not always the nearest


def test_of_many_classes_only_the_likeliest_are_looked_at():
    net, x, y = linear_case(20, 1000)
    order = nearest_classes(net, x, y, threat("Linf", 0.01), 9)
    likely = net(x).detach().topk(10, 1).indices[:, 1:]
    assert torch.equal(order.sort(1).values, likely.sort(1).values)
    true = distances(net, x, y, 1).gather(1, order)
    assert (true.diff(dim=1) > -1e-6).all()


def test_a_class_that_nothing_draws_nearer_comes_last():
    net, x, y = linear_case(20, 3)
    x, y = x[y == 0], y[y == 0]
    net[1].weight.data[2] = net[1].weight.data[0]
    net[1].bias.data[2] = net[1].bias.data[0] - 1e-3
    assert nearest_classes(net, x, y, threat("L2", 0.1), 2).tolist() == [[1, 2]] * len(x)


def test_with_two_classes_the_one_target_is_aimed_at_from_several_starts():
    net, x, y = linear_case(40)
    attack = TargetedPGD(eps=1e-3, norm="L2", steps=5)
    outcome = evaluate(net, x, y, [attack], precision="float32").outcomes[0]
    assert outcome.status.count("r") > 30
    assert max(outcome.steps) == 15
    stepper, run = attack.stepper(net), torch.tensor([0, 1, 2])
    state = {"x": x[:1].expand(3, -1, -1, -1), "y": y[:1].expand(3), "run": run}
    stepper.start(state, torch.full((3,), 7), 0)
    assert state["target"].tolist() == [1 - int(y[0])] * 3
    assert torch.cdist(state["adv"].flatten(1), state["adv"].flatten(1)).fill_diagonal_(1).min() > 0


class Astray(nn.Module):
    """Class 1 leads class 2 everywhere but at the far end of the second half of the pixels, and never gets past 0.99.

    From the middle class 1 seems 0.0625 away and is out of reach; class 2 is 0.0857 away, and there it is.
    """

    def forward(self, x):
        first, second = (half.mean(1) for half in (x.flatten(1) - 0.5).chunk(2, 1))
        return torch.stack([torch.ones_like(first), 0.95 + 0.04 * (20 * first).tanh(), 0.4 + 7 * second], 1)


@judged_twice
@pytest.mark.parametrize(
    ("attack", "letter"),
    [
        (PGD(eps=0.1, steps=100, loss="margin", restarts=3), "r"),
        (PGD(eps=0.1, steps=100, loss="ce"), "b"),
        (TargetedPGD(eps=0.1, targets=1), "r"),
        (TargetedPGD(eps=0.1, targets=2), "b"),
        (TargetedPGD(eps=0.08, targets=2), "r"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_where_the_margin_goes_astray_the_second_target_finds_the_break(attack, letter):
    x, y = 0.5 + 1e-3 * (images(20, shape=(1, 8, 8)) - 0.5), torch.zeros(20, dtype=torch.long)
    assert nearest_classes(Astray(), x, y, threat("Linf", 0.1), 9).tolist() == [[1, 2]] * 20
    assert evaluate(Astray(), x, y, [attack]).outcomes[0].status == letter * 20


@pytest.fixture(scope="module")
def case():
    net, x = SmallConv(seed=3, classes=10), images(90)
    return net, x, labelled(net, x)


ATTACK = TargetedPGD(eps=6 / 255, steps=12)


@judged_twice
def test_batches_order_and_company_change_nothing(case):
    net, x, y = case[0], case[1][:60], case[2][:60]
    attacks = [ATTACK, TargetedPGD(eps=0.15, norm="L2", steps=12), TargetedPGD(eps=0.4, norm="L1", steps=12)]
    expected = [outcome.status for outcome in evaluate(net, x, y, attacks).outcomes]
    assert all({"r", "b"} <= set(status) for status in expected)
    first = evaluate(net, x, y, [attack.change(targets=1) for attack in attacks]).outcomes
    assert any(status.count("b") > one.status.count("b") for status, one in zip(expected, first, strict=True))
    found = evaluate(net, x, y, attacks, batch_size=7).outcomes
    assert [outcome.status for outcome in found] == expected
    few = evaluate(net, x[:6], y[:6], attacks, batch_size=1).outcomes
    assert [outcome.status for outcome in few] == [status[:6] for status in expected]
    mixed = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    for part in (mixed, torch.arange(10, 19)):
        found = evaluate(net, x[part], y[part], attacks).outcomes
        assert [outcome.status for outcome in found] == ["".join(s[i] for i in part.tolist()) for s in expected]


def test_threads_change_nothing(case):
    net, x, y = case
    alone = evaluate(net, x, y, [ATTACK]).outcomes[0]
    torch.set_num_threads(2)
    both = evaluate(net, x, y, [ATTACK]).outcomes[0]
    torch.set_num_threads(1)
    assert both.status == alone.status
    assert (both.forwards, both.backwards) == (alone.forwards, alone.backwards)


def test_what_survivors_cost_is_counted_and_is_what_effort_says(case):
    net, x, y = case
    attack = TargetedPGD(eps=0.08, norm="L2", steps=10)
    before = evaluate(net, x, y, [attack], precision="float32").outcomes[0]
    left = torch.tensor(before.robust) & (torch.tensor(before.steps) == 30)  # no run that ended in a circle
    outcome = evaluate(net, x[left], y[left], [attack], precision="float32").outcomes[0]
    n = int(left.sum())
    assert 20 < n < 60
    assert outcome.steps == [30] * n
    assert outcome.backwards == n * (30 + 9)  # the gradients of nine wrong classes, once a sample
    judged = 3 * n  # each run's last iterate
    assert outcome.forwards - judged == n * (30 + 1)
    passes = (1 - FORWARD) * outcome.backwards + FORWARD * (outcome.forwards - judged)
    assert passes == pytest.approx(n * attack.effort)


@judged_twice
def test_where_memory_runs_out_before_the_first_step_fewer_begin_together(case):
    net, x, y = case

    class Tight(nn.Module):
        def forward(self, x):
            if x.requires_grad and len(x) > 20:
                raise MemoryError("no more")
            return net(x)

    found = evaluate(Tight(), x, y, [ATTACK], batch_size=64)
    assert found.outcomes[0].status == evaluate(net, x, y, [ATTACK]).outcomes[0].status
    assert found.notes["batch_size"] <= 20


def test_a_sample_that_cannot_be_ordered_takes_only_its_batch_along(case):
    net, x, y = case

    class Choosy(nn.Module):
        def forward(self, z):
            if z.requires_grad and (z == x[5]).flatten(1).all(1).any():
                raise ArithmeticError("not this one")
            return net(z)

    outcome = evaluate(Choosy(), x, y, [ATTACK], batch_size=8, precision="float32").outcomes[0]
    alone = evaluate(net, x, y, [ATTACK], precision="float32").outcomes[0]
    assert outcome.status[5] == "f"
    assert 1 <= outcome.status.count("f") <= 8
    assert outcome.error == "ArithmeticError: not this one"
    assert all(a in ("f", b) for a, b in zip(outcome.status, alone.status, strict=True))


@judged_twice
def test_a_network_without_a_gradient_fails_and_is_not_robust(case):
    net, x, y = case

    class Cut(nn.Module):
        def forward(self, x):
            return net(x.detach())

    outcome = evaluate(Cut(), x[:8], y[:8], [ATTACK]).outcomes[0]
    assert outcome.status == "f" * 8
    assert "no gradient reaches the input" in outcome.error


@judged_twice
def test_a_curve_of_it_falls_where_the_distances_lie():
    net, x, y = linear_case(60, 3)
    distance = margins(net, x, y, 1)
    eps = [0.0, *(float(distance.sort().values[k - 1 : k + 1].mean()) for k in (10, 20, 30))]
    curve = robust_curve(net, x, y, TargetedPGD(eps=0), eps)
    assert [outcome.status.count("b") for outcome in curve] == [0, 10, 20, 30]


def test_names_sort_and_record():
    attack = ATTACKS["pgd-targets"]()
    assert attack == TargetedPGD(eps=8 / 255)
    assert (attack.name, attack.objective, attack.knowledge) == ("PGD-50 targets x3", "margin", "white box")
    assert attack.change(steps=10, targets=2).name == "PGD-10 targets x2"
    assert attack.settings == {"steps": 50, "targets": 3, "candidates": 9, "warm": True}
    lengths = attack.stepper(nn.Identity()).lengths
    assert lengths[0] == pytest.approx(16 / 255)
    assert (lengths.diff() <= 0).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, r"TargetedPGD\(steps=0\): expected at least 1"),
        ({"targets": 0}, r"TargetedPGD\(targets=0\): expected at least 1"),
        ({"targets": 5, "candidates": 4}, "at least as many candidates as targets"),
        ({"norm": "L3"}, "expected 'Linf' or 'L2' or 'L1'$"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings, words):
    with pytest.raises(InputError, match=words) as caught:
        TargetedPGD(eps=0.1, **settings)
    assert "\n" not in str(caught.value)
