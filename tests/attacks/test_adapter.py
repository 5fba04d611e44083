"""Each hazard of torchattacks 3.5.1 in running it: what the plain library does, and that ours does not."""

import random

import numpy as np
import pytest
import torch
import torchattacks
from attack_nets import SmallConv, images, labelled, linear_net
from torch import nn

from robustprune.attacks import FGSM, PGD, TorchAttack, evaluate
from robustprune.errors import InputError

EPS = 8 / 255


@pytest.fixture
def net():
    return SmallConv()


class Explodes(nn.Module):
    """A network that raises at its n-th call."""

    def __init__(self, net, at):
        super().__init__()
        self.net, self.calls, self.at = net, 0, at

    def forward(self, x):
        self.calls += 1
        if self.calls == self.at:
            raise RuntimeError("the kernel is missing")
        return self.net(x)


def mine(build, eps=EPS, norm="Linf"):
    return TorchAttack(name="mine", build=build, eps=eps, norm=norm)


class Returns:
    """An attack that returns what it is told to, after showing `shown` to the network."""

    def __init__(self, model, result, shown=()):
        self.model, self.result, self.shown = model, result, shown

    def __call__(self, x, y):
        for move in self.shown:
            self.model(move(x))
        return self.result(x)


def test_an_attack_of_ones_own_runs_and_keeps_its_budget(net):
    x = images(40)
    y = labelled(net, x)
    found = evaluate(net, x, y, [mine(lambda m: torchattacks.MIFGSM(m, eps=EPS))], keep=True)
    outcome, adv = found.outcomes[0], found.adversarials[0]
    broken = torch.tensor([letter == "b" for letter in outcome.status])
    assert 5 < broken.sum() < 40
    assert (adv - x).abs().max() <= EPS + 1e-6
    assert torch.equal(labelled(net, adv) != y, broken)
    assert outcome.settings["build"] == "<lambda>"


def test_hazard_1_an_exception_leaves_the_library_broken_and_us_whole(net):
    x, y = images(8), labelled(net, images(8))
    plain = torchattacks.PGD(Explodes(net, 2), eps=EPS, steps=2)
    plain.set_normalization_used([0.5], [0.5])
    with pytest.raises(RuntimeError, match="kernel"):
        plain(2 * x - 1, y)
    spoiled = plain(2 * x - 1, y)
    assert (spoiled - (2 * x - 1)).abs().max() > 2 * EPS + 1e-3

    first = iter([2])
    attack = mine(lambda m: torchattacks.PGD(Explodes(m, next(first, 0)), eps=EPS, steps=2))
    found = evaluate(net, x, y, [attack], batch_size=4, keep=True)
    assert found.outcomes[0].status[:4] == "ffff"
    assert found.outcomes[0].error == "RuntimeError: the kernel is missing"
    assert "f" not in found.outcomes[0].status[4:]
    assert 0 < (found.adversarials[0] - x).abs().max() <= EPS + 1e-6


def test_a_batch_that_raises_has_failed_and_is_not_robust(net):
    x, y = images(40), labelled(net, images(40))
    made = []

    def build(model):
        made.append(model)
        return Returns(model, lambda x: 1 / 0) if len(made) == 2 else torchattacks.FGSM(model, eps=EPS)

    outcome = evaluate(net, x, y, [mine(build)], batch_size=16).outcomes[0]
    assert outcome.status[16:32] == "f" * 16
    assert "f" not in outcome.status[:16] + outcome.status[32:]
    assert outcome.error == "ZeroDivisionError: division by zero"
    assert not any(outcome.robust[16:32])
    assert len(made) == len(set(map(id, made))) == 3


@pytest.mark.parametrize("bad", [lambda x: x * float("nan"), lambda x: x[:-1], lambda x: None])
def test_a_result_that_is_no_image_has_failed(net, bad):
    x, y = images(8), labelled(net, images(8))
    outcome = evaluate(net, x, y, [mine(lambda m: Returns(m, bad))]).outcomes[0]
    assert outcome.status == "f" * 8
    assert "the attack returned" in outcome.error


def test_hazard_7_values_outside_the_box_are_refused(net):
    x, y = images(4) * 4 - 2, torch.zeros(4, dtype=torch.long)
    assert torchattacks.FGSM(net, eps=EPS)(x, y).min() >= 0
    with pytest.raises(InputError, match=r"expected images in \[0,1\], found -"):
        evaluate(net, x, y, [FGSM(eps=EPS)])
    with pytest.raises(InputError, match="NaN"):
        evaluate(net, x * float("nan"), y, [FGSM(eps=EPS)])
    with pytest.raises(InputError, match="divide uint8 images by 255"):
        evaluate(net, (x * 0).to(torch.uint8), y, [FGSM(eps=EPS)])
    with pytest.raises(InputError, match=r"classes 0\.\.3"):
        evaluate(net, images(4), y + 4, [FGSM(eps=EPS)])
    with pytest.raises(InputError, match="4 integer class numbers"):
        evaluate(net, images(4), y[:3], [FGSM(eps=EPS)])


def test_a_result_beyond_the_budget_is_projected_and_judged_there():
    net = linear_net(torch.tensor([[1.0], [0.0]]), torch.tensor([-0.3, 0.0]))
    x, y = torch.tensor([0.35, 0.5]).view(2, 1, 1, 1), torch.tensor([0, 0])
    found = evaluate(net, x, y, [mine(lambda m: Returns(m, lambda x: x - 0.3), eps=0.1)], keep=True)
    assert found.outcomes[0].status == "br"
    assert found.outcomes[0].distance[0] == pytest.approx(0.1, abs=1e-6)
    assert found.adversarials[0].flatten().tolist() == pytest.approx([0.25, 0.5])


def test_what_the_network_was_shown_beyond_the_budget_does_not_count():
    net = linear_net(torch.tensor([[1.0], [0.0]]), torch.tensor([-0.3, 0.0]))
    x, y = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0])
    far = mine(lambda m: Returns(m, lambda x: x, [lambda x: x - 0.3]), eps=0.1)
    assert evaluate(net, x, y, [far]).outcomes[0].status == "r"


def test_hazard_8_training_flags_come_back_one_by_one(net):
    net.train()
    net.bn1.eval()
    x, y = images(4), torch.zeros(4, dtype=torch.long)
    before = {name: module.training for name, module in net.named_modules()}
    evaluate(net, x, y, [mine(lambda m: torchattacks.PGD(m, eps=EPS, steps=1))])
    assert {name: module.training for name, module in net.named_modules()} == before
    torchattacks.PGD(net, eps=EPS, steps=1)(x, y)
    assert net.bn1.training  # the plain library thaws it


def test_hazard_8_also_after_an_exception(net):
    net.train()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        evaluate(net, images(4), labelled(net.eval(), images(4)), [mine(lambda m: interrupt)])
    assert not net.training
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())


def interrupt(x, y):
    raise KeyboardInterrupt


def test_hazard_9_a_success_on_the_way_counts():
    net = linear_net(torch.tensor([[1.0], [0.0]]), torch.tensor([-0.3, 0.0]))
    x, y = torch.full((1, 1, 1, 1), 0.35), torch.tensor([0])
    passing = mine(lambda m: Returns(m, lambda x: x, [lambda x: x - 0.08, lambda x: x]), eps=0.1)
    outcome = evaluate(net, x, y, [passing]).outcomes[0]
    assert outcome.status == "b"
    assert outcome.distance[0] == pytest.approx(0.08, abs=1e-6)


def test_hazard_10_images_come_back_detached(net):
    x, y = images(6), labelled(net, images(6))

    class Attached(torchattacks.FGSM):
        def forward(self, images, labels):
            return super().forward(images, labels).requires_grad_() * 1.0

    found = evaluate(net, x, y, [mine(lambda m: Attached(m, eps=EPS))], keep=True)
    assert not found.adversarials[0].requires_grad


def test_hazard_11_gradients_of_parameters_stay_as_they_were(net):
    x, y = images(4), labelled(net, images(4))
    torchattacks.CW(net, steps=2)(x, y)
    assert net.linear.weight.grad is not None  # the plain library writes there
    net.zero_grad()
    mark = net.linear.bias.grad = torch.ones(4)
    evaluate(net, x, y, [mine(lambda m: torchattacks.CW(m, steps=2), eps=1.0, norm="L2")])
    assert net.linear.weight.grad is None
    assert net.linear.bias.grad is mark
    assert torch.equal(mark, torch.ones(4))


def test_hazard_13_global_generators_are_forked(net):
    x, y = images(4), labelled(net, images(4))
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    torchattacks.APGD(net, steps=2, seed=3)(x, y)
    assert not torch.equal(torch.get_rng_state(), before[0])
    torch.set_rng_state(before[0])

    def build(model):
        np.random.seed(1)
        random.seed(1)
        return torchattacks.APGD(model, eps=EPS, steps=2, seed=3)

    evaluate(net, x, y, [mine(build)])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]


def test_hazard_14_nothing_is_spent_on_samples_that_are_wrong(net):
    x = images(32)
    wrong = (labelled(net, x) + 1) % 4
    outcomes = evaluate(net, x, wrong, [mine(lambda m: torchattacks.PGD(m, eps=EPS)), PGD(eps=EPS)]).outcomes
    assert [outcome.status for outcome in outcomes] == ["e" * 32] * 2
    assert [outcome.forwards + outcome.backwards for outcome in outcomes] == [0, 0]


def test_hazard_14_a_batch_that_is_all_broken_ends(net):
    x, y = images(16), labelled(net, images(16))
    outcome = evaluate(net, x, y, [mine(lambda m: torchattacks.PGD(m, eps=1.0, steps=500), eps=1.0)]).outcomes[0]
    assert outcome.status == "b" * 16
    assert outcome.forwards < 16 * 100


def test_a_network_without_parameters_can_be_attacked():
    class Free(nn.Module):
        def forward(self, x):
            value = x.flatten(1).mean(1, keepdim=True)
            return torch.cat([value, 0.5 - 0 * value], 1)

    x, y = torch.full((2, 1, 2, 2), 0.55), torch.tensor([0, 0])
    attacks = [FGSM(eps=0.1), mine(lambda m: torchattacks.FGSM(m, eps=0.01), eps=0.01)]
    assert [outcome.status for outcome in evaluate(Free(), x, y, attacks).outcomes] == ["bb", "rr"]


def test_the_librarys_own_normalisation_of_a_network_of_that_name_is_never_used():
    class RobModel(nn.Module):
        mean, std = torch.tensor([0.5]), torch.tensor([0.1])

        def __init__(self):
            super().__init__()
            self.net = SmallConv()

        def forward(self, x):
            return self.net(x)

    net = RobModel().eval()
    x, y = images(8), labelled(net, images(8))
    assert torchattacks.FGSM(net).normalization_used is not None
    seen = []

    def build(model):
        attack = torchattacks.FGSM(model, eps=EPS)
        seen.append(attack.normalization_used)
        return attack

    evaluate(net, x, y, [mine(build)])
    assert seen == [None]
