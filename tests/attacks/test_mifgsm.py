"""MI-FGSM: a stepped attack with a memory; the iterates are torchattacks', and the engine lets its runs go on."""

from types import SimpleNamespace

import pytest
import torch
import torchattacks
from attack_nets import SmallConv, images, labelled, trained_digits
from paths import path
from torch import nn

from robustprune.attacks import APGD, ATTACKS, FABT, MIFGSM, PGD, TorchAttack, evaluate
from robustprune.attacks.engine.first_success import FirstSuccess
from robustprune.errors import InputError
from robustprune.evidence import EvidenceContext, gather, trust

judged_twice = pytest.mark.usefixtures("precision")
"""In float32 and in bfloat16: where an evaluation is what is looked at."""

EPS = 8 / 255


class Spy(nn.Module):
    """Keeps every batch of images that a network is shown."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return self.net(x)


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_all_iterates_equal_the_librarys(decay):
    net, x = SmallConv(), images(16)
    y = labelled(net, x)
    spy = Spy(net).eval()
    last = torchattacks.MIFGSM(spy, eps=EPS, alpha=EPS / 8, steps=10, decay=decay)(x, y)
    ours = path(MIFGSM(eps=EPS, alpha=EPS / 8, decay=decay), net, x, y)
    theirs = [*spy.seen, last]
    assert len(ours) == len(theirs) == 11
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-6)
    without = path(PGD(eps=EPS, alpha=EPS / 8, steps=10, random_start=False), net, x, y)
    assert not torch.allclose(without[-1], last, rtol=0, atol=1e-6)


@judged_twice
def test_the_engine_finds_what_the_library_finds():
    net, x = SmallConv(), images(100)
    y = labelled(net, x)
    adv = torchattacks.MIFGSM(net, eps=EPS, alpha=EPS / 10, steps=10)(x, y)
    found = evaluate(net, x, y, [MIFGSM(eps=EPS)], keep=True)
    broken = torch.tensor([letter == "b" for letter in found.outcomes[0].status])
    assert 5 < broken.sum() < 100
    assert not ((labelled(net, adv) != y) & ~broken).any()
    assert torch.equal(labelled(net, found.adversarials[0]) != y, broken)
    assert (found.adversarials[0] - x).abs().max() <= EPS + 1e-6


class Landscape(nn.Module):
    """One pixel; the lead of the wrong class goes through the points (pixel, lead) in straight lines."""

    def __init__(self, *points):
        super().__init__()
        self.places, self.heights = (torch.tensor(column) for column in zip(*points, strict=True))

    def forward(self, x):
        x = x.flatten(1)
        right = torch.searchsorted(self.places, x.detach()).clamp(1, len(self.places) - 1)
        slope = (self.heights[right] - self.heights[right - 1]) / (self.places[right] - self.places[right - 1])
        lead = self.heights[right - 1] + slope * (x - self.places[right - 1])
        return torch.cat([torch.zeros_like(lead), lead], 1)


HELD = Landscape((0.0, -1.0), (0.52, -0.2), (0.53, 0.2), (0.54, -0.2), (0.585, -0.1), (1.0, -1.0))
"""A narrow true peak at 0.53 and a false one at 0.585. From 0.5 a step of 0.07 jumps over the first, to 0.57, the next
ends at 0.6, the border of the ball, where the slope points back. The sum of gradients is then 1, and holds the pixel
there for two steps more, until it is -1 and leads to 0.53."""


def run(attack, net=HELD):
    return evaluate(net, torch.full((1, 1, 1, 1), 0.5), torch.tensor([0]), [attack]).outcomes[0]


@judged_twice
def test_a_run_with_momentum_goes_on_where_it_does_not_move():
    attack = MIFGSM(eps=0.1, alpha=0.07, steps=10)
    walk = path(attack, HELD, torch.full((1, 1, 1, 1), 0.5), torch.tensor([0]))
    assert [float(adv) for adv in walk[:6]] == pytest.approx([0.5, 0.57, 0.6, 0.6, 0.6, 0.53], abs=1e-6)
    outcome = run(attack)
    assert outcome.status == "b"
    assert outcome.distance[0] == pytest.approx(0.03, abs=1e-6)


class Plateau(nn.Module):
    """A step up that leads onto flat ground, with the true class's end behind it."""

    def forward(self, x):
        lead = -0.5 + (x.flatten(1) - 0.5).clamp(max=0.02) + 20 * (x.flatten(1) - 0.56).clamp(min=0)
        return torch.cat([torch.zeros_like(lead), lead], 1)


@judged_twice
def test_momentum_carries_over_ground_without_a_gradient():
    assert run(MIFGSM(eps=0.1, alpha=0.03, steps=10), Plateau()).status == "b"
    assert run(PGD(eps=0.1, alpha=0.03, steps=10, random_start=False), Plateau()).status == "r"


@pytest.mark.parametrize("memory", [False, True])
def test_an_iterate_that_stays_or_comes_back_ends_a_run_only_without_a_memory(memory):
    window = SimpleNamespace(stepper=SimpleNamespace(steady=0), memory=memory, circles=not memory)
    window.fingerprint = lambda adv: adv[:, 0]
    state = {"history": torch.tensor([[7, 8, 9, 0], [5, 6, 7, 0]]), "step": torch.tensor([3, 3])}
    state["adv"] = torch.tensor([[7], [3]])
    assert FirstSuccess.came_back(window, state, torch.tensor([[1], [3]])).tolist() == [not memory] * 2


@pytest.mark.parametrize("attack", [MIFGSM(eps=EPS), APGD(eps=EPS, steps=9), FABT(eps=EPS, steps=9, n_classes=4)])
def test_a_run_with_a_memory_is_made_once_in_float32(attack):
    """A first pass cut to a quarter of the steps says little of steps that build on each other, and costs."""
    net, x = SmallConv(), images(12)
    spent = {}
    for kind in ("float32", "bfloat16"):
        for one in (attack, PGD(eps=EPS, retries=0)):
            outcome = evaluate(net, x, labelled(net, x), [one], precision=kind).outcomes[0]
            spent[kind, one.name] = outcome.status, outcome.forwards, outcome.notes["precision"]
    assert spent["float32", attack.name] == spent["bfloat16", attack.name]
    assert spent["bfloat16", "PGD-20"][1] > spent["float32", "PGD-20"][1]
    assert spent["bfloat16", "PGD-20"][2] == "bfloat16, then float32"


def test_a_stepper_that_does_not_say_whether_it_has_a_memory_is_not_run():
    class Silent(PGD):
        def stepper(self, model):
            return SimpleNamespace(steps=2, steady=0, runs=1, retries=0, start=None, objective=None, advance=None)

    outcome = run(Silent(eps=0.1))
    assert outcome.status == "f"
    assert "memory" in outcome.error


def test_it_has_a_name_and_says_what_it_is():
    attack = ATTACKS["mi-fgsm"]()
    assert (attack.name, attack.threat, attack.effort) == ("MI-FGSM-10", "Linf 8/255", 10.0)
    assert (attack.knowledge, attack.objective) == ("white box", "cross-entropy")
    assert attack.lengths == pytest.approx([0.8 / 255] * 10)
    with pytest.raises(InputError, match=r"for L1 use PGD\(norm='L1'\)"):
        MIFGSM(eps=12, norm="L1")


@pytest.fixture(scope="module")
def digits():
    return trained_digits()


BESIDE = {
    "stepped": MIFGSM(eps=EPS),
    "torchattacks' own": TorchAttack(
        name="MI-FGSM", build=lambda model: torchattacks.MIFGSM(model, eps=8 / 255), eps=8 / 255
    ),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_a_chain_with_it_beside_pgd_on_the_margin_is_trusted(kind, digits):
    net, x, y = digits
    attacks = (BESIDE[kind], PGD(eps=EPS, loss="margin"))
    found = evaluate(net, x, y, attacks)
    assert 0 < sum(found.outcomes[1].robust) < sum(found.clean)
    checks = gather(EvidenceContext(model=net, x=x, y=y, outcomes=found.outcomes, clean=found.clean, attacks=attacks))
    assert trust(checks) == "TRUSTED", [check for check in checks if check.status == "fail"]
