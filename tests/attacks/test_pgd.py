"""FGSM and PGD: the steps are torchattacks', the results are the closed form's."""

import pytest
import torch
import torchattacks
from attack_nets import SmallConv, images, labelled, linear_case, margins
from paths import path
from torch import nn

from robustprune.attacks import FGSM, PGD, evaluate
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.threat import threat
from robustprune.errors import InputError

pytestmark = pytest.mark.usefixtures("precision")


PAIRS = {
    "fgsm": (FGSM(eps=0.03), lambda net: torchattacks.FGSM(net, eps=0.03)),
    "linf": (
        PGD(eps=0.03, steps=7, alpha=0.01, random_start=False),
        lambda net: torchattacks.PGD(net, eps=0.03, alpha=0.01, steps=7, random_start=False),
    ),
    "l2": (
        PGD(eps=0.15, norm="L2", steps=7, alpha=0.03, random_start=False),
        lambda net: torchattacks.PGDL2(net, eps=0.15, alpha=0.03, steps=7, random_start=False),
    ),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_steps_equal_the_librarys(kind):
    ours, theirs = PAIRS[kind]
    net, x = SmallConv(), images(20)
    y = labelled(net, x)
    assert torch.allclose(path(ours, net, x, y)[-1], theirs(net)(x, y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_engine_ends_where_the_library_ends(norm):
    """For samples that no iterate breaks but the last, result and library agree."""
    ours, theirs = PAIRS[norm.lower()]
    net, x = SmallConv(), images(200)
    y = labelled(net, x)
    library = theirs(net)
    adv = library(x, y)
    library.steps = 6
    held = labelled(net, library(x, y)) == y
    found = evaluate(net, x, y, [ours], keep=True, precision="float32")  # the first pass changes the steps
    late = held & (torch.tensor(found.outcomes[0].steps) == 7)
    late &= torch.tensor([letter == "b" for letter in found.outcomes[0].status])
    assert late.sum() >= 1
    assert torch.allclose(found.adversarials[0][late], adv[late], rtol=0, atol=1e-6)
    broken_by_library = labelled(net, adv) != y
    robust = torch.tensor(found.outcomes[0].robust)
    assert not (robust & broken_by_library).any()


@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize(
    ("attack", "dual"),
    [
        (FGSM(eps=0.02), 1),
        (PGD(eps=0.02), 1),
        (PGD(eps=0.02, loss="margin", restarts=3), 1),
        (PGD(eps=0.15, norm="L2", steps=40), 2),
        (PGD(eps=0.15, norm="L2", steps=40, loss="margin", restarts=3), 2),
        (PGD(eps=0.25, norm="L1", steps=40), torch.inf),
        (PGD(eps=0.25, norm="L1", steps=40, loss="margin", restarts=3), torch.inf),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_on_a_linear_net_exactly_the_margins_within_eps_fall(attack, dual, classes):
    net, x, y = linear_case(300, classes)
    reach = margins(net, x, y, dual) <= attack.eps
    assert 150 < reach.sum() < 300
    broken = torch.tensor([letter == "b" for letter in evaluate(net, x, y, [attack]).outcomes[0].status])
    assert not (broken & ~reach).any()
    # With several classes one gradient step need not aim at the nearest border, least where it moves one pixel alone.
    mixed = 0.06 if attack.norm == "L1" else 0.04
    allowed = 0.0 if classes == 2 else 0.01 if "margin" in attack.name else mixed
    assert (reach & ~broken).float().mean() <= allowed


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_starts_fill_the_ball_and_belong_to_the_sample(norm):
    x = images(50, low=0.4, high=0.6)
    stepper = PGD(eps=0.1, norm=norm, restarts=2).stepper(SmallConv())
    state = {"x": x, "y": torch.zeros(50), "run": torch.zeros(50, dtype=torch.long)}
    stepper.start(state, keys(x), seed=1)
    first = state["adv"] - x
    length = threat(norm, 0.1).size(first)
    assert length.max() <= 0.1 + 1e-6
    if norm == "Linf":
        assert length.min() > 0.09
        assert first.std() == pytest.approx(0.1 / 3**0.5, rel=0.03)
    elif norm == "L2":
        assert length.mean() == pytest.approx(0.05, abs=0.015)
    else:
        assert length.mean() == pytest.approx(0.1 * 64 / 65, rel=0.01)  # uniform in a ball of 64 dimensions
    alone = {"x": x[7:8], "y": torch.zeros(1), "run": torch.zeros(1, dtype=torch.long)}
    stepper.start(alone, keys(x[7:8]), seed=1)
    assert torch.equal(alone["adv"][0], state["adv"][7])
    again = {"x": x, "y": torch.zeros(50), "run": torch.ones(50, dtype=torch.long)}
    stepper.start(again, keys(x), seed=1)
    assert not torch.isclose(again["adv"], state["adv"]).flatten(1).all(1).any()


def test_a_restart_begins_where_the_first_run_failed():
    net, x = SmallConv(), images(200, seed=5)
    y = labelled(net, x)
    attack = PGD(eps=0.05, steps=2, alpha=0.001)
    settings = {"precision": "float32"}  # steps are counted
    once, thrice = (evaluate(net, x, y, [attack.change(restarts=r)], **settings).outcomes[0] for r in (1, 8))
    assert sum(thrice.robust) < sum(once.robust)
    assert all(o or not t for o, t in zip(once.robust, thrice.robust, strict=True))
    assert max(thrice.steps) == 16


class TwoPeaks(nn.Module):
    """Left of 0.5 the loss leads up to a false peak, right of it to a true one; the start decides."""

    def __init__(self, false_peak):
        super().__init__()
        self.false_peak = false_peak

    def forward(self, x):
        x = x.flatten(1)
        other = torch.maximum(self.false_peak - 8 * (x - 0.4).abs(), 1.05 - 8 * (x - 0.6).abs())
        return torch.cat([torch.ones_like(other), other], 1)


@pytest.mark.parametrize(("false_peak", "near"), [(0.99, True), (0.7, False)])
def test_near_misses_are_tried_again_and_only_those(false_peak, near):
    x = torch.linspace(0.49, 0.51, 41).view(41, 1, 1, 1)
    y = torch.zeros(41, dtype=torch.long)
    attack = PGD(eps=0.15, steps=120, alpha=0.001)
    plain, again = (evaluate(TwoPeaks(false_peak), x, y, [attack.change(retries=r)]).outcomes[0] for r in (0, 3))
    assert 5 < sum(plain.robust) < 36
    if near:
        assert sum(again.robust) <= sum(plain.robust) - 5
    else:
        assert again.steps == plain.steps
        assert again.status == plain.status


def test_restarts_end_for_a_sample_that_one_of_them_has_broken():
    """Each start finds the true peak about every other time, so four leave about a sixteenth of the samples."""
    x = torch.linspace(0.49, 0.51, 41).view(41, 1, 1, 1)
    attack = PGD(eps=0.15, steps=120, alpha=0.001, retries=0)
    y = torch.zeros(41, dtype=torch.long)
    once, often = (evaluate(TwoPeaks(0.7), x, y, [attack.change(restarts=n)]).outcomes[0] for n in (1, 4))
    left = {place for place, letter in enumerate(once.status) if letter == "r"}
    still = {place for place, letter in enumerate(often.status) if letter == "r"}
    assert still < left
    assert len(still) <= 8
    assert all(often.steps[place] <= once.steps[place] for place in range(41) if place not in left)
    assert sum(often.steps[place] for place in left - still) < 4 * 120 * len(left - still)


def test_the_margin_loss_sees_where_cross_entropy_is_flat():
    net, x, y = linear_case(60)
    net[1].weight.data *= 1e4
    net[1].bias.data *= 1e4
    ce, margin = (
        evaluate(net, x, y, [PGD(eps=0.02, loss=loss, random_start=False)]).outcomes[0] for loss in ("ce", "margin")
    )
    reach = (margins(net, x, y, 1) <= 0.02).sum()
    assert margin.status.count("b") == reach
    assert ce.status.count("b") < reach


def test_names_sort_and_record():
    attack = PGD(eps=8 / 255, steps=50, restarts=5)
    assert (attack.name, attack.effort) == ("PGD-50 x5", 250.0)
    assert attack.change(steps=10).name == "PGD-10 x5"
    assert PGD(eps=0.1, name="mine").change(steps=10).name == "mine"
    assert attack.settings == {
        "steps": 50,
        "alpha": None,
        "restarts": 5,
        "loss": "ce",
        "random_start": True,
        "retries": 3,
    }
    assert PGD(eps=0.5, norm="L2", steps=10).lengths == pytest.approx([0.125] * 10)
    lengths = PGD(eps=1.0, steps=20).lengths
    assert lengths == sorted(lengths, reverse=True)
    assert (lengths[0], lengths[-1]) == (1.0, 0.02)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PGD(eps=-1), "expected 0 <= eps"),
        (lambda: PGD(eps=0.1, norm="L3"), "expected 'Linf' or 'L2' or 'L1'$"),
        (lambda: PGD(eps=0.1, steps=0), "at least 1"),
        (lambda: PGD(eps=0.1, restarts=2, random_start=False), "use restarts=1"),
        (lambda: PGD(eps=0.1, loss="dlr"), "'ce' or 'margin' or 'probability'$"),
        (lambda: FGSM(eps=0.1, norm="L2"), r"expected 'Linf'; for L2 use PGD\(norm='L2'\)"),
        (lambda: FGSM(eps=0.1, norm="L3"), "expected 'Linf'$"),
    ],
)
def test_bad_settings_are_refused_in_one_line(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)
