"""A network that is lent to the engine: nothing of the caller's is touched, and no choice of ours makes it fail."""

import copy

import pytest
import torch
from attack_nets import SmallConv, images, labelled
from torch import nn

from robustprune.attacks import CW, FGSM, PGD, Noise, evaluate
from robustprune.attacks.algorithms.autoattack import Square
from robustprune.attacks.engine.curves import robust_curve
from robustprune.attacks.engine.lean import attack_copy
from robustprune.errors import InputError
from robustprune.models.lending import restored

EPS = 8 / 255
ATTACKS = (FGSM(eps=EPS), PGD(eps=EPS, steps=5), CW(eps=0.3, steps=5), Square(eps=EPS, queries=30), Noise(eps=0.1))


class Wrapped(nn.Module):
    """A network whose forward pass is `use(network, images)`."""

    def __init__(self, use, net=None):
        super().__init__()
        self.net, self.use = net or SmallConv(), use
        self.eval()

    def forward(self, x):
        return self.use(self.net, x)


@pytest.fixture(scope="module")
def case():
    x = images(30)
    return x, labelled(SmallConv(), x)


def letters(net, x, y, attacks=ATTACKS, **settings):
    return [one.status for one in evaluate(net, x, y, attacks, **settings).outcomes]


def normalised(x):
    return (x - 0.1) / 0.9


IN_PLACE = {
    "operators": lambda net, x: net(x.sub_(0.1).div_(0.9)),
    "item": lambda net, x: (x.__setitem__(slice(None), normalised(x.clone())), net(x))[1],
    "data": lambda net, x: (x.data.sub_(0.1).div_(0.9), net(x))[1],
}


@pytest.mark.parametrize("how", IN_PLACE)
def test_a_network_that_works_in_place_is_attacked_as_its_twin_is(how, case):
    x, y = case
    mine = x.clone()
    attacks = ATTACKS if how == "operators" else ATTACKS[3:]
    twin = letters(Wrapped(lambda net, x: net(normalised(x))), x, y, attacks)
    net = Wrapped(IN_PLACE[how])
    assert letters(net, mine, y, attacks) == twin
    curve = [one.status for one in robust_curve(net, mine, y, attacks[-1], [0, EPS])]
    assert curve[1].count("f") == 0
    assert torch.equal(mine, x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_images_are_cast_to_the_type_of_the_weights(dtype, case):
    x, _ = case
    net = SmallConv().to(dtype)
    y = labelled(net, x.to(dtype))
    found = evaluate(net, x, y, [FGSM(eps=EPS)])
    assert found.clean == [True] * len(y)
    assert set(found.outcomes[0].status) == {"b", "r"}


@pytest.mark.parametrize(
    "use",
    [
        lambda net, x: (net(x), x),
        lambda net, x: {"logits": net(x), "hidden": net(x) + 1},
        lambda net, x: [net.double()(x.double())],
    ],
)
def test_logits_are_taken_from_what_else_a_network_returns(use, case):
    x, y = case
    net = Wrapped(use)
    assert letters(net, x, y, (FGSM(eps=EPS), CW(eps=0.3, steps=5))) == letters(
        SmallConv(), x, y, (FGSM(eps=EPS), CW(eps=0.3, steps=5))
    )
    assert not isinstance(net(x), torch.Tensor)


@pytest.mark.parametrize(
    ("use", "shape"),
    [
        (lambda net, x: net(x), (4, 3, 8, 8)),
        (lambda net, x: net(x), (4, 8, 8)),
        (lambda net, x: net(x.double()), (4, 1, 8, 8)),
        (lambda net, x: 1 / 0, (4, 1, 8, 8)),
    ],
)
def test_a_network_that_never_runs_has_no_accuracy(use, shape):
    x, y = torch.rand(shape), torch.zeros(4, dtype=torch.int64)
    for run in (lambda net: evaluate(net, x, y, [FGSM(eps=EPS)]), lambda net: robust_curve(net, x, y, PGD(eps=0), [0])):
        with pytest.raises(InputError, match=r"fails on all 4 samples of shape .*Error: .+") as refused:
            run(Wrapped(use))
        assert "\n" not in str(refused.value)


def test_channels_last_is_left_out_where_the_network_does_not_run_in_it(case):
    x, _ = case
    conv = nn.Conv2d(1, 8, 3, padding=1)
    viewed = Wrapped(lambda net, x: net(x).view(len(x), -1)[:, ::97], conv)
    twin = Wrapped(lambda net, x: net(x).flatten(1)[:, ::97], conv)
    y = labelled(twin, x)
    found = evaluate(viewed, x, y, ATTACKS[:2])
    assert [one.status for one in found.outcomes] == letters(twin, x, y, ATTACKS[:2])
    assert found.notes["left out"] == ["copied, channels_last"]
    assert "left out" not in evaluate(twin, x, y, ATTACKS[:1]).notes


def test_a_copy_that_answers_otherwise_is_not_attacked_nor_asked(case):
    x, y = case

    class Liar(Wrapped):
        def __deepcopy__(self, memo):
            return Wrapped(lambda net, x: -net(x), copy.deepcopy(self.net, memo))

    net = Liar(lambda net, x: net(x))
    lean = attack_copy(net, x)
    assert (lean.net, lean.copied) == (net, False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert letters(net, x, y, ATTACKS[:1]) == letters(SmallConv(), x, y, ATTACKS[:1])
    finally:
        torch.set_num_threads(before)


def test_a_first_pass_that_falls_in_bfloat16_is_no_fault(case):
    x, y = case

    def scattered(net, x):
        logits = torch.zeros(len(x), 4)
        logits[torch.arange(len(x))] = net(x)
        return logits

    net = Wrapped(scattered)
    found = evaluate(net, x, y, ATTACKS[:2], precision="bfloat16")
    assert [one.status for one in found.outcomes] == letters(net, x, y, ATTACKS[:2], precision="float32")
    assert all(one.error is None for one in found.outcomes)
    assert "RuntimeError" in found.outcomes[1].notes["first pass in bfloat16 left out"]


def test_what_a_network_changes_of_itself_is_put_back_and_noted(case):
    x, y = case

    class Restless(Wrapped):
        count = 0

        def __init__(self):
            super().__init__(None)
            self.register_buffer("mean", torch.tensor(0.3))
            self.register_buffer("seen", torch.zeros(2))
            self.last = torch.zeros(1)
            self.count = 0
            self.eval()

        def forward(self, x):
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean())
            self.seen = self.seen + 1
            self.last = x.detach().mean()[None]
            self.count += 1
            return self.net(x - self.mean)

    net = Restless()
    tensors = net.mean, net.seen, net.last
    found = evaluate(net, x, y, ATTACKS[:1])
    assert all(now is then for now, then in zip((net.mean, net.seen, net.last), tensors, strict=True))
    assert (float(net.mean), net.seen.tolist(), float(net.last), net.count) == (pytest.approx(0.3), [0, 0], 0, 0)
    assert found.notes["changes itself"] == ["mean", "seen", "last"]
    assert "changes itself" not in evaluate(SmallConv(), x, y, ATTACKS[:1]).notes
    broken = Wrapped(lambda net, x: net(x)["logits"], net)
    with pytest.raises(IndexError), restored(broken):
        broken(x)
    assert (float(net.mean), net.count) == (pytest.approx(0.3), 0)


def test_an_empty_batch_is_never_shown(case):
    x, y = case
    sizes = []

    def noted(net, x):
        sizes.append(len(x))
        return net(x)

    net = Wrapped(noted)
    curve = robust_curve(net, x, y, PGD(eps=0, steps=2), [1e-6, 1e-5, 1e-4, 0.3])
    assert [sum(one.robust) for one in curve][:3] == [30] * 3
    letters(net, x, y, [*ATTACKS, PGD(eps=1.0, steps=3)])
    assert 0 not in sizes
