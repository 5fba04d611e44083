"""APGD and APGD-T against the published algorithm, closed forms and torchattacks' own loop."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchattacks
from attack_nets import Spy, Stubborn, near_net, rugged_net, small_case, small_net
from paths import path
from torch import Tensor, nn
from torch.nn import functional as F

from robustprune.attacks import APGD, APGDT
from robustprune.attacks.algorithms.apgd_balls import BALLS
from robustprune.attacks.algorithms.apgd_steps import AdaptiveSteps, checkpoints, gaps
from robustprune.attacks.algorithms.dlr import dlr_loss, targeted_dlr_loss
from robustprune.attacks.algorithms.targets import likeliest_classes
from robustprune.attacks.contract.randomness import keys
from robustprune.attacks.contract.state import join, take
from robustprune.attacks.contract.stepped import Seen
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.attacks.engine.window import look
from robustprune.errors import InputError

EPS = {"Linf": 0.06, "L2": 0.4}
SIX = {"n_classes": 6}


def published_checkpoints(steps: int) -> list[int]:
    """Section 3.1: p_0 = 0, p_1 = .22, p_{j+1} = p_j + max(p_j - p_{j-1} - .03, .06), w_j = ceil(p_j N)."""
    p = [0.0, 0.22]
    while p[-1] <= 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    return [math.ceil(round(q * steps, 9)) for q in p[1:] if round(q, 9) <= 1]


@pytest.mark.parametrize("steps", [100, 200, 1000])
def test_checkpoints_are_the_published_ones(steps):
    assert checkpoints(steps) == published_checkpoints(steps)
    table = gaps(steps)
    assert table.nonzero().flatten().tolist() == published_checkpoints(steps)
    assert table.cumsum(0)[published_checkpoints(steps)].tolist() == published_checkpoints(steps)


def numpy_apgd(gradient, start: np.ndarray, x: np.ndarray, eps: float, norm: str, steps: int):
    """Algorithm 1 for one image that stays right, with whole tables of losses; `gradient` gives loss too."""

    def project(z: np.ndarray) -> np.ndarray:
        if norm == "Linf":
            return np.clip(np.clip(z, x - eps, x + eps), 0, 1)
        length = np.linalg.norm(z - x)
        return np.clip(x + (z - x) * min(1.0, eps / length), 0, 1)

    def direction(g: np.ndarray) -> np.ndarray:
        return np.sign(g) if norm == "Linf" else g / np.linalg.norm(g)

    marks = [0, *published_checkpoints(steps)]
    path, (loss, grad) = [start], gradient(start)
    losses, step = [0.0], 2 * eps
    best, best_loss, best_grad = start, loss, grad
    checked, halved, before, at, halvings = best_loss, True, start, start, 0
    for k in range(1, steps + 1):
        share = 1.0 if k == 1 else 0.75
        plain = project(at + step * direction(grad))
        before, at = at, project(at + share * (plain - at) + (1 - share) * (at - before))
        path.append(at)
        loss, grad = gradient(at)
        losses.append(loss)
        if loss > best_loss:
            best, best_loss, best_grad = at, loss, grad
        if k in marks:
            since = marks[marks.index(k) - 1]
            rises = sum(losses[i] > losses[i - 1] for i in range(since + 1, k + 1))
            poor = rises <= 0.75 * (k - since)
            stuck = not halved and best_loss <= checked
            halved, checked = poor or stuck, best_loss
            if halved:
                step, at, grad, halvings = step / 2, best, best_grad, halvings + 1
    return path, halvings


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("loss", ["ce", "dlr", "targeted"])
def test_iterates_are_those_of_the_published_algorithm(norm, loss):
    """All 101 of an image that resists, in double precision."""
    net, eps = rugged_net(), EPS[norm]
    x, y = small_case(net, 1)
    net, x = net.double(), x.double()
    targeted = loss == "targeted"
    attack = APGDT(eps=eps, norm=norm, n_classes=6) if targeted else APGD(eps=eps, norm=norm, loss=loss)
    mine = path(attack, net, x, y, seed=5, run=2 if targeted else 0)
    assert len(mine) == 101
    target = net(x).argsort(1)[:, -4]  # run 2 aims at the third wrong class

    def gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        z = torch.from_numpy(point)[None].requires_grad_()
        logits = net(z)
        climbed = {"ce": F.cross_entropy, "dlr": dlr_loss}.get(loss, lambda z, y: targeted_dlr_loss(z, y, target))
        value = climbed(logits, y).sum()
        return float(value.detach()), torch.autograd.grad(value, z)[0][0].numpy()

    wanted, halvings = numpy_apgd(gradient, mine[0][0].numpy(), x[0].numpy(), eps, norm, 100)
    assert halvings >= 2
    for k in range(101):
        np.testing.assert_allclose(mine[k][0].numpy(), wanted[k], atol=1e-8, err_msg=f"iterate {k}")


@pytest.mark.parametrize("targeted", [False, True])
def test_linf_iterates_equal_those_of_torchattacks(targeted, monkeypatch):
    net = rugged_net().double()
    x, y = small_case(net.float(), 1)[0].double(), torch.zeros(1, dtype=torch.int64)
    net, noise = net.double(), torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(9)).double()
    unit = (2 * noise - 1) / (2 * noise - 1).abs().amax()
    given = {"norm": "Linf", "eps": EPS["Linf"], "steps": 100} | ({"n_classes": 3} if targeted else {"loss": "ce"})
    spy = Spy(net)
    with torch.random.fork_rng(devices=[]), monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *args, **kwargs: noise.clone())
        (torchattacks.APGDT if targeted else torchattacks.APGD)(spy, **given)(x, y)
    asked = [point for point, grad in zip(spy.seen, spy.grads, strict=True) if grad]
    attack = APGDT(eps=EPS["Linf"], n_classes=6) if targeted else APGD(eps=EPS["Linf"])
    start = (x + EPS["Linf"] * unit).clamp(0, 1)
    mine = [point for run in range(1 + targeted) for point in path(attack, net, x, y, run=run, start=start)]
    assert len(mine) == len(asked) == 101 * (1 + targeted)
    for a, b in zip(mine, asked, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("rises", "halved_before", "gained", "halves"),
    [
        (14, True, True, True),  # condition 1: 14 <= 0.75 x 19
        (15, True, True, False),
        (15, True, False, False),  # condition 2 waits where the step was halved at the checkpoint before
        (15, False, False, True),  # condition 2: not halved before, and the best loss has not moved
        (15, False, True, False),
    ],
)
def test_steps_are_halved_under_the_two_conditions(rises, halved_before, gained, halves):
    """And then the search goes on from the best point, with the gradient there; between checkpoints nothing happens."""
    x, here, best = (torch.full((2, 1, 2, 2), value) for value in (0.5, 0.52, 0.55))
    steps = AdaptiveSteps(ball=BALLS["Linf"](eps=0.1), steps=100, rho=0.75, runs=1, eot=1)
    state = {"x": x, "run": torch.zeros(2, dtype=torch.int64), "step": torch.tensor([42, 43])}  # iterations 41 and 42
    steps.start(state, keys(x), 0)
    state |= {"adv": here, "best": best, "best_grad": torch.ones_like(x)}
    state |= {"rises": torch.full((2,), float(rises)), "halved": torch.full((2,), halved_before)}
    state |= {"best_loss": torch.full((2,), 2.0), "checked_loss": torch.full((2,), 1.0 if gained else 2.0)}
    at, grad = steps.check(state, -torch.ones_like(x))
    assert torch.equal(at, torch.cat((best[:1] if halves else here[:1], here[1:])))
    assert grad.flatten(1).mean(1).tolist() == [1 if halves else -1, -1]
    assert state["length"].tolist() == pytest.approx([0.1 if halves else 0.2, 0.2])
    assert state["rises"].tolist() == [0, rises]
    assert state["halved"].tolist() == [halves, halved_before]
    assert state["checked_loss"].tolist() == [2.0, 1.0 if gained else 2.0]


def test_rises_are_counted_as_public_code_counts_them_and_the_best_point_is_kept():
    """The loss after the first move is compared with 0: 1 after 2 is a rise, and -1 after -2 is none."""
    steps = AdaptiveSteps(ball=BALLS["Linf"](eps=0.1), steps=100, rho=0.75, runs=1, eot=1)
    x = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    state = {"x": x, "run": torch.zeros(2, dtype=torch.int64), "step": torch.zeros(2, dtype=torch.int64)}
    steps.start(state, keys(x), 0)
    seen, rises = [], []
    for value in ([2.0, -2.0], [1.0, -1.0], [1.5, -0.5], [1.4, -0.6]):
        seen.append(state["adv"])
        state["step"] = state["step"] + 1
        grad = torch.full_like(x, len(seen))
        steps.advance(state, Seen(torch.tensor(value), grad, torch.zeros(2, dtype=torch.bool)))
        rises.append(state["rises"].tolist())
    assert rises == [[0, 0], [1, 0], [2, 1], [2, 1]]
    assert torch.equal(state["best"], torch.stack((seen[0][0], seen[2][1])))
    assert state["best_grad"].flatten(1).mean(1).tolist() == [1, 3]
    assert state["best_loss"].tolist() == [2.0, -0.5]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_samples_at_different_iterations_share_a_batch(norm):
    """One begins when its neighbour has made 31 steps, as where places are refilled: each keeps its own path."""
    net = rugged_net().double()
    x, y = small_case(net.float(), 2)[0].double(), torch.zeros(2, dtype=torch.int64)
    net, attack = net.double(), APGD(eps=EPS[norm], norm=norm, steps=60)
    alone = [path(attack, net, x[[row]], y[[row]]) for row in range(2)]
    stepper = attack.stepper(net)

    def begun(row: int) -> dict[str, Tensor]:
        state = {"row": torch.tensor([row]), "x": x[[row]], "y": y[[row]]}
        state |= {"run": torch.zeros(1, dtype=torch.int64), "step": torch.zeros(1, dtype=torch.int64)}
        stepper.start(state, keys(x[[row]]), 0)
        return state

    state = begun(0)
    for taken in range(31 + 60):
        if taken == 31:
            state = join([state, begun(1)])
        if taken == 60:
            state = take(state, torch.tensor([1]))
        seen, _ = look(net, stepper, state)
        state["step"] = state["step"] + 1
        with torch.no_grad():
            stepper.advance(state, replace(seen, wrong=torch.zeros_like(seen.wrong)))
        for row, step, adv in zip(state["row"], state["step"], state["adv"], strict=True):
            torch.testing.assert_close(adv, alone[row][step][0], atol=1e-12, rtol=0)
    assert state["step"].tolist() == [60]
    assert float(state["length"]) < EPS[norm]  # halved twice at least


class TwoLandscapes(nn.Module):
    """On images with a bright first pixel the loss rises whenever it is asked: no step is halved there."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        flat = x.flatten(1) - 0.5
        swinging = torch.sin(60 * flat[:, ::2]).mean(1) + torch.cos(45 * flat).mean(1)
        bright = x[:, 0, 0, 0].detach() > 0.5
        z = torch.where(bright, 0.01 * flat.sum(1) + 0.01 * self.asked, swinging)
        return torch.stack((torch.full_like(z, 5), z, torch.full_like(z, -5), torch.full_like(z, -6)), 1)


def test_torchattacks_l2_step_is_that_of_the_first_sample_and_ours_is_not(monkeypatch):
    """So under L2 a sample's path there depends on its neighbours, and ours can be compared in batches of one only."""
    x = 0.5 + 0.05 * (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double() - 0.5)
    x[:, 0, 0, 0] = torch.tensor([0.8, 0.2])
    y = torch.zeros(2, dtype=torch.int64)

    def theirs(rows: slice) -> Tensor:
        spy = Spy(TwoLandscapes())
        attack = torchattacks.APGDT(spy, norm="L2", eps=0.3, steps=60, n_classes=2)
        with torch.random.fork_rng(devices=[]), monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *size, **more: torch.zeros(*size))
            attack(x[rows], y[rows])
        return spy.seen[-1]

    def ours(rows: slice) -> Tensor:
        return path(APGDT(norm="L2", eps=0.3, steps=60, n_classes=4), TwoLandscapes(), x[rows], y[rows])[-1]

    def apart(last) -> float:
        alone = torch.cat([last(slice(i, i + 1)) for i in range(2)])
        return float((alone - last(slice(0, 2))).abs().max())

    assert apart(ours) < 1e-9
    assert apart(theirs) > 1e-3


def test_dlr_closed_forms():
    z = torch.tensor([[5.0, 1.0, 3.0, 2.0], [5.0, 1.0, 3.0, 2.0]])
    y = torch.tensor([0, 1])
    assert dlr_loss(z, y).tolist() == pytest.approx([-(5 - 3) / (5 - 2), -(1 - 5) / (5 - 2)])
    target = torch.tensor([3, 0])
    assert targeted_dlr_loss(z, y, target).tolist() == pytest.approx([-(5 - 2) / (5 - 1.5), -(1 - 5) / (5 - 1.5)])


def test_dlr_does_not_see_shift_and_scale():
    z = torch.randn(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(50) % 7
    torch.testing.assert_close(dlr_loss(z, y), dlr_loss(1e4 * z - 300, y))
    torch.testing.assert_close(targeted_dlr_loss(z, y, (y + 1) % 7), targeted_dlr_loss(1e4 * z - 300, y, (y + 1) % 7))
    assert bool(((dlr_loss(z, y) > 0) == (z.argmax(1) != y)).all())


def test_losses_agree_with_those_of_torchattacks():
    net = small_net()
    z = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    y, target = torch.arange(20) % 6, (torch.arange(20) + 2) % 6
    torch.testing.assert_close(dlr_loss(z, y), torchattacks.APGD(net).dlr_loss(z, y))
    torch.testing.assert_close(targeted_dlr_loss(z, y, target), torchattacks.APGDT(net).dlr_loss_targeted(z, y, target))


def test_dlr_on_too_few_classes_is_refused():
    with pytest.raises(InputError, match="at least 3"):
        dlr_loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(InputError, match="at least 4"):
        targeted_dlr_loss(torch.zeros(1, 3), *[torch.zeros(1, dtype=torch.int64)] * 2)


def test_the_likeliest_wrong_classes_come_first():
    logits = torch.tensor([[5.0, 1.0, 3.0, 2.0], [5.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    y = torch.tensor([0, 3, 1])  # right, wrong, all equal
    assert likeliest_classes(nn.Identity(), logits, y, 3).tolist() == [[2, 3, 1], [0, 2, 1], [3, 2, 0]]
    net = small_net()
    x, y = small_case(net, 20)
    public = torch.stack([net(x).argsort(1)[:, -place] for place in range(2, 7)], 1)
    assert torch.equal(likeliest_classes(net, x, y, 5), public)


def test_each_class_gets_its_restarts_and_the_network_is_asked_once_a_sample():
    net = Stubborn()
    x, attack = small_case(small_net(), 1)[0][:, :1], APGDT(eps=0.1, targets=2, restarts=3)
    stepper, order = attack.stepper(net), net(x).argsort(1)[0, [-2, -3]].tolist()
    net.passes = 0
    for run in range(6):
        state = {"x": x, "y": torch.zeros(1, dtype=torch.int64), "run": torch.tensor([run]), "step": torch.tensor([0])}
        stepper.start(state, keys(x), 0)
        assert state["target"].tolist() == [order[run // 3]]
    assert (stepper.runs, net.passes) == (6, 1)


@pytest.mark.parametrize(
    ("attack", "backwards", "forwards"),
    [
        (APGD(eps=0.03), 100, 100 + 1),
        (APGD(eps=0.03, restarts=3), 300, 300 + 3),
        (APGDT(eps=0.03), 9 * 100, 9 * (100 + 1) + 1),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_published_budgets_are_spent_in_full(attack, backwards, forwards):
    """Of each run's 101 points the last one is only judged; once a sample the classes are ordered."""
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    outcome = evaluate(Stubborn(), x, torch.zeros(3, dtype=torch.int64), [attack], precision="float32").outcomes[0]
    assert outcome.status == "rrr"
    assert (outcome.backwards, outcome.forwards) == (3 * backwards, 3 * forwards)
    assert outcome.steps == [backwards] * 3


@pytest.mark.parametrize("attack", [APGD(eps=0.1), APGDT(eps=0.1)], ids=lambda attack: attack.name)
def test_averaged_passes_are_counted(attack):
    averaged = attack.change(eot=4)
    assert averaged.stepper(nn.Identity()).eot == averaged.budget["eot"] == 4
    assert averaged.effort == 4 * attack.effort
    with pytest.raises(InputError, match="eot"):
        attack.change(eot=0)


class Small(nn.Module):
    """Room for the gradients of no more than three samples at a time."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and len(x) > 3:
            raise MemoryError("no more")
        return self.net(x)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_step_that_ran_out_of_memory_is_made_again(norm):
    net = small_net()
    x, y = small_case(net, 12)
    attacks = [kind(eps=EPS[norm] / 3, norm=norm, steps=10, **more) for kind, more in ((APGD, {}), (APGDT, SIX))]
    plain, small = (evaluate(one, x, y, attacks, batch_size=12).outcomes for one in (net, Small(net)))
    assert [one.status for one in plain] == [one.status for one in small]
    assert [one.steps for one in plain] == [one.steps for one in small]
    assert {"b", "r"} <= set(plain[0].status)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_starts_lie_on_the_surface_and_differ_between_images_restarts_and_seeds(norm):
    net = small_net()
    x, y = 0.2 + 0.6 * small_case(net, 2)[0], torch.zeros(2, dtype=torch.int64)
    attack = APGD(eps=0.05, norm=norm, restarts=2)
    moves = [path(attack, net, x, y, seed=seed, run=run)[0] - x for seed, run in ((1, 0), (1, 1), (2, 0))]
    flat = torch.cat(moves).flatten(1)
    assert attack.ball.size(flat).tolist() == pytest.approx([0.05] * 6, rel=1e-4)
    assert float(torch.cdist(flat, flat).fill_diagonal_(1).min()) > 0.01
    assert torch.equal(path(attack, net, x.flip(0), y, seed=1)[0].flip(0) - x, moves[0])


def test_a_larger_budget_never_finds_less():
    net = small_net()
    x, y = small_case(net, 20)
    counts = [
        evaluate(net, x, y, [APGD(eps=eps, steps=20)]).outcomes[0].status.count("b") for eps in (0.0, 0.01, 0.03, 0.1)
    ]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] > counts[1]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_what_is_found_is_inside_the_budget(norm):
    net = near_net()
    x, y = small_case(net, 12, (1, 8, 8))
    attacks = [APGD(eps=EPS[norm], norm=norm, steps=10), APGDT(eps=EPS[norm], norm=norm, steps=5)]
    for attack in attacks:
        found = evaluate(net, x, y, [attack], keep=True)
        hit = torch.tensor([letter == "b" for letter in found.outcomes[0].status])
        assert bool(hit.any())
        assert torch.equal(net(found.adversarials[0]).argmax(1) != y, hit)
        assert bool(attack.ball.inside(found.adversarials[0], x).all())


@pytest.mark.skipif("ROBUSTPRUNE_DATA" not in os.environ, reason="ROBUSTPRUNE_DATA is not set")
def test_published_robust_network_is_no_more_robust_than_pgd_says():
    """PGD-10 leaves 16.9 % of 1000 images at 8/255; APGD must not leave more (+ 2 standard errors of 100)."""
    from robustprune.models import load_weights, resnet4b

    root = Path(os.environ["ROBUSTPRUNE_DATA"])
    net = load_weights(resnet4b(), root / "checkpoints" / "cifar10_robust_resnet4b.pth").eval()
    raw = np.load(root / "cifar10" / "test_first_1000.npz")
    x = torch.from_numpy(raw["x"][:100]).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(raw["y"][:100]).long()
    chain = evaluate(net, x, y, [APGD(eps=8 / 255), APGDT(eps=8 / 255, targets=2)])
    robust = [sum(one.robust) for one in chain.outcomes]
    assert robust[0] <= 16.9 + 2 * 3.7
    assert robust[1] <= robust[0]
