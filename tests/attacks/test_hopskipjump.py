"""HopSkipJump on linear networks, where distances and the quality of its estimates are known in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from attack_nets import SmallConv, images, labelled, linear_case, margins
from paths import path
from torch import Tensor, nn
from torch.nn import functional

from robustprune.attacks import ATTACKS, HopSkipJump, evaluate
from robustprune.attacks.algorithms.hopskipjump_steps import BLOCKS, FEEL, JUMP, SEARCH, START
from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.stepped import Seen
from robustprune.errors import InputError

DUAL = {"Linf": 1, "L2": 2}


class LabelsOnly(nn.Module):
    """A service that tells the class and nothing else."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        return functional.one_hot(logits.argmax(1), logits.shape[1]).float()


class Constant(nn.Module):
    """Always class 0."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.one_hot(torch.zeros(len(x), dtype=torch.int64), 3).float() + 0 * x.flatten(1)[:, :1]


def walk(attack: HopSkipJump, net: nn.Module, x: Tensor, y: Tensor):
    """Yield the state before every query, asking for labels alone."""
    stepper, zero = attack.stepper(net), torch.zeros(len(x), dtype=torch.int64)
    state = {"row": torch.arange(len(x)), "x": x, "y": y, "run": zero, "step": zero}
    stepper.start(state, keys(x), 0)
    for _ in range(attack.queries):
        yield dict(state)
        with torch.no_grad():
            wrong = net(state["adv"]).argmax(1) != y
            state["step"] = state["step"] + 1
            stepper.advance(state, Seen(torch.zeros(len(x)), torch.zeros(len(x), 0), wrong))


@pytest.mark.parametrize(("norm", "tolerance"), [("Linf", 1.25), ("L2", 1.1)])
def test_it_reaches_the_closed_form_distance_of_linear_networks(norm, tolerance):
    """In 2000 queries, within 25 % under Linf and 10 % under L2; nothing is misclassified nearer than it can be."""
    net, x, y = linear_case(12)
    distance = margins(net, x, y, DUAL[norm])
    attack = HopSkipJump(eps=1, norm=norm, queries=2000)
    least = torch.full((12,), torch.inf)
    for adv in path(attack, net, x, y):
        assert 0 <= float(adv.min()) <= float(adv.max()) <= 1
        reached = attack.ball.size(adv - x).where(labelled(net, adv) != y, torch.inf)
        least = torch.minimum(least, reached)
    assert bool((least >= distance * (1 - 1e-4)).all())
    assert float((least / distance).max()) < tolerance


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_what_the_engine_calls_broken_is_inside_the_budget(norm):
    net, x, y = linear_case(24)
    distance = margins(net, x, y, DUAL[norm])
    eps = 1.5 * float(distance.median())
    outcome = evaluate(net, x, y, [HopSkipJump(eps=eps, norm=norm, queries=800)], keep=True)
    broken = ~torch.tensor(outcome.outcomes[0].robust)
    assert bool(broken[distance <= distance.median()].all())
    assert not bool(broken[distance > eps * (1 + 1e-4)].any())
    assert bool((distance > eps * (1 + 1e-4)).any())
    adv = outcome.adversarials[0]
    assert bool((labelled(net, adv) != y)[broken].all())
    size = (adv - x).flatten(1).norm(p={"Linf": math.inf, "L2": 2}[norm], dim=1)
    assert float(size.max()) <= eps + 1e-6


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_first_estimate_is_as_good_as_theory_says(norm):
    """The sum of B random unit vectors on the side of w has a cosine to w of 1 / sqrt(1 + pi (d - 1) / 2B)."""
    net, x, y = linear_case(16, seed=3)
    weight = net[1].weight.detach()
    away = weight[1 - y] - weight[y]
    attack = HopSkipJump(eps=1e-6, norm=norm, b0=400, queries=500)
    sums, ahead = torch.zeros(16, 64), torch.zeros(16, 64)
    for state in walk(attack, net, x, y):
        first = state["round"] == 1
        feeling, jumping = first & (state["phase"] == FEEL), first & (state["phase"] == JUMP)
        sums[feeling] = state["tally"].flatten(1)[feeling]
        ahead[jumping] = state["tally"].flatten(1)[jumping]
    assert bool(ahead.any(1).all())
    expected = (1 + math.pi * 63 / 800) ** -0.5
    cosines = functional.cosine_similarity(sums, away)
    assert float(cosines.mean()) == pytest.approx(expected, abs=0.03)
    if norm == "L2":
        torch.testing.assert_close(ahead.norm(dim=1), torch.ones(16))
        assert float(functional.cosine_similarity(ahead, away).mean()) == pytest.approx(expected, abs=0.03)
    else:
        assert ahead.unique().tolist() == [-1, 1]
        assert float((ahead.sign() == away.sign()).float().mean()) > 0.8


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_phases_follow_the_paper(norm):
    """B0 sqrt(t) probes from a point as near to the boundary as is asked, then a jump of |x_t - x| / sqrt(t)."""
    net, x, y = linear_case(20, seed=5)
    distance = margins(net, x, y, DUAL[norm])
    x, y = x[distance.argmax()][None], y[distance.argmax()][None]
    attack = HopSkipJump(eps=1e-6, norm=norm, b0=30, queries=600)
    states = list(walk(attack, net, x, y))
    phases = [int(state["phase"]) for state in states]
    changes = [(a, b) for a, b in pairwise(phases) if a != b]
    assert {a for a, _ in changes} == {START, SEARCH, FEEL, JUMP}
    assert set(changes) == {(START, SEARCH), (SEARCH, FEEL), (FEEL, JUMP), (JUMP, SEARCH)}
    for number in range(1, 5):
        of_round = [state for state in states if int(state["round"]) == number]
        probes = [state for state in of_round if int(state["phase"]) == FEEL]
        jumps = [state for state in of_round if int(state["phase"]) == JUMP]
        assert len(probes) == int(30 * math.sqrt(number))
        anchor = probes[0]["anchor"]
        probe = float(probes[0]["probe"])
        near = probe * {"Linf": 1 / 64, "L2": 1 / 8}[norm]
        assert -1e-6 <= float(margins(net, anchor, 1 - y, DUAL[norm])) <= near
        for state in probes:
            assert float((state["adv"] - anchor).norm()) == pytest.approx(probe, rel=1e-2)
        searches = [state for state in states if (int(state["round"]), int(state["phase"])) == (number - 1, SEARCH)]
        assert probe == pytest.approx(float(attack.ball.size(searches[0]["anchor"] - x)) / 64, rel=1e-5)
        reached = float(attack.ball.size(anchor - x))
        lengths = [float(state["length"]) * math.sqrt(number) for state in jumps]
        assert lengths == pytest.approx([reached / 2**halvings for halvings in range(len(jumps))], rel=1e-5)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_it_sees_nothing_but_labels(norm):
    net, x = SmallConv(), images(8, 4)
    y = labelled(net, x)
    attack = HopSkipJump(eps={"Linf": 0.05, "L2": 0.25}[norm], norm=norm, queries=200)
    seen = [evaluate(model, x, y, [attack]).outcomes[0] for model in (net, LabelsOnly(net))]
    assert {"b", "r"} <= set(seen[0].status)
    assert (seen[0].status, seen[0].steps) == (seen[1].status, seen[1].steps)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_batch_size_and_neighbours_play_no_part(norm):
    net, x = SmallConv(), images(5, 4)
    y = labelled(net, x)
    attack = HopSkipJump(eps={"Linf": 0.025, "L2": 0.12}[norm], norm=norm, queries=60, b0=10, restarts=2)

    def outcome(x: Tensor, y: Tensor, batch_size: int = 5):
        return evaluate(net, x, y, [attack], batch_size=batch_size, seed=1).outcomes[0]

    whole = outcome(x, y)
    assert {"b", "r"} <= set(whole.status)
    alone, back = outcome(x, y, 1), outcome(x.flip(0), y.flip(0), 4)
    assert (alone.status, alone.steps) == (whole.status, whole.steps)
    assert (back.status[::-1], back.steps[::-1]) == (whole.status, whole.steps)


@pytest.mark.parametrize("net", [Constant(), linear_case(1)[0]], ids=["no start", "far boundary"])
def test_the_budget_is_spent_exactly(net):
    x = images(3, 1, (1, 8, 8), 0.35, 0.65)
    attack = HopSkipJump(eps=1e-7, queries=230, restarts=2, b0=20)
    outcome = evaluate(net, x, labelled(net, x), [attack]).outcomes[0]
    assert set(outcome.status) == {"r"}
    assert (outcome.forwards, outcome.backwards) == (3 * 2 * 230, 0)


def test_starts_are_images_of_blocks_of_all_sizes():
    x = images(2, 1, (3, 32, 32))
    starts = [state["adv"] for state in walk(HopSkipJump(eps=0.1, queries=12), Constant(), x, torch.zeros(2).long())]
    for number, adv in enumerate(starts):
        side = BLOCKS[number % len(BLOCKS)]
        blocks = adv.unfold(2, side, side).unfold(3, side, side).flatten(4)
        assert float((blocks.amax(4) - blocks.amin(4)).max()) == 0
        assert 0.99 <= blocks.unique().numel() / (2 * 3 * (32 // side) ** 2) <= 1
    assert not torch.equal(starts[0], starts[6])


def test_it_is_named_and_says_what_it_sees():
    attack: Attack = ATTACKS["hop-skip-jump"]()
    assert (attack.name, attack.knowledge, attack.objective) == ("HopSkipJump", "labels by query", "none")
    assert attack.budget == {"queries": 5000, "restarts": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: HopSkipJump(eps=0.1, queries=1),
        lambda: HopSkipJump(eps=0.1, b0=0),
        lambda: HopSkipJump(eps=0.1, gamma=0),
        lambda: HopSkipJump(eps=0.1, norm="L1"),
    ],
)
def test_bad_settings_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()
