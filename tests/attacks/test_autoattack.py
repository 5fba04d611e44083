"""AutoAttack's parts against the published algorithm, closed forms and torchattacks' own loop."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchattacks
from torch import Tensor, nn
from torch.nn import functional as F

from robustprune.attacks import APGD, APGDT, FABT, Square, autoattack_standard
from robustprune.attacks.algorithms.apgd import AutoPGD
from robustprune.attacks.algorithms.apgd_balls import BALLS
from robustprune.attacks.algorithms.apgd_run import Run, checkpoints
from robustprune.attacks.algorithms.apgdt import TargetedAutoPGD
from robustprune.attacks.algorithms.dlr import dlr_loss, targeted_dlr_loss
from robustprune.attacks.algorithms.fab import TargetedFAB
from robustprune.attacks.algorithms.square import SquareSearch
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.errors import InputError

EPS = {"Linf": 0.06, "L2": 0.4}


def seeded(build, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def small_net(classes: int = 6) -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Conv2d(2, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 36, classes)))


def rugged_net() -> nn.Module:
    """Far from linear inside the budget, so that steps are halved; class 0 wins, so that nothing breaks."""
    net = small_net()
    net[0].weight.data *= 6
    net[3].bias.data[0] += 5
    return net


def images(net: nn.Module, n: int = 10, seed: int = 1) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 2, 8, 8, generator=torch.Generator().manual_seed(seed))
    return x, net(x).argmax(1).detach()


class Spy(nn.Module):
    """Keeps every batch of images that a network is shown."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.seen = net, []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return self.net(x)


class Stubborn(nn.Module):
    """Ten classes, and always right by far: every attack spends its whole budget on it."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(64, classes, generator=torch.Generator().manual_seed(0)))
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += len(x)
        return x.flatten(1) @ self.w * 1e-3 + 50 * F.one_hot(torch.zeros(len(x), dtype=torch.int64), self.w.shape[1])


def published_checkpoints(steps: int) -> list[int]:
    """Section 3.1: p_0 = 0, p_1 = .22, p_{j+1} = p_j + max(p_j - p_{j-1} - .03, .06), w_j = ceil(p_j N)."""
    p = [0.0, 0.22]
    while p[-1] <= 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    return [math.ceil(round(q * steps, 9)) for q in p[1:] if round(q, 9) <= 1]


@pytest.mark.parametrize("steps", [100, 200, 1000])
def test_checkpoints_are_the_published_ones(steps):
    assert checkpoints(steps) == published_checkpoints(steps)


def numpy_apgd(gradient, start: np.ndarray, x: np.ndarray, eps: float, norm: str, steps: int) -> list[np.ndarray]:
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
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd_follows_the_published_algorithm(norm, loss):
    """On an image that resists, so that all 100 iterations are seen, in double precision."""
    net, eps = rugged_net().double(), EPS[norm]
    x, y = images(net.float(), 1)
    net, x = net.double(), x.double()
    spy = Spy(net)
    AutoPGD(spy, norm=norm, eps=eps, steps=100, seed=5, loss=loss)(x, y)
    mine = spy.seen[1:]
    assert len(mine) == 101

    def gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        z = torch.from_numpy(point)[None].requires_grad_()
        value = (F.cross_entropy(net(z), y) if loss == "ce" else dlr_loss(net(z), y)).sum()
        return float(value.detach()), torch.autograd.grad(value, z)[0][0].numpy()

    wanted, halvings = numpy_apgd(gradient, mine[0][0].numpy(), x[0].numpy(), eps, norm, 100)
    assert halvings >= 2
    for k in range(101):
        np.testing.assert_allclose(mine[k][0].numpy(), wanted[k], atol=1e-8, err_msg=f"iterate {k}")


@pytest.mark.parametrize(
    ("rises", "halved_before", "gained", "halves"),
    [
        (12, True, True, True),  # condition 1: 12 <= 0.75 x 16
        (13, True, True, False),
        (13, True, False, False),  # condition 2 waits where the step was halved at the checkpoint before
        (13, False, False, True),  # condition 2: not halved before, and the best loss has not moved
        (13, False, True, False),
    ],
)
def test_steps_are_halved_under_the_two_conditions(rises, halved_before, gained, halves):
    """And then the search goes on from the best point, with the gradient there."""
    x, here, best = (torch.full((1, 1, 2, 2), value) for value in (0.5, 0.52, 0.55))
    run = Run(x, torch.zeros(1), None, here, BALLS["Linf"](eps=0.1))
    run.begin(torch.zeros(1), torch.zeros_like(x))
    run.best, run.best_grad, run.grad = best, torch.ones_like(x), -torch.ones_like(x)
    run.risen, run.halved = torch.tensor([float(rises)]), torch.tensor([halved_before])
    run.best_loss, run.checked_loss = torch.tensor([2.0]), torch.tensor([1.0 if gained else 2.0])
    run.check(16, 0.75)
    assert bool(run.halved) is halves
    assert float(run.step) == pytest.approx(0.1 if halves else 0.2)
    assert torch.equal(run.at, best if halves else here)
    assert float(run.grad.mean()) == (1 if halves else -1)
    assert (float(run.risen), float(run.checked_loss)) == (0, 2)


@pytest.mark.parametrize("targeted", [False, True])
def test_linf_iterates_equal_those_of_torchattacks(targeted, monkeypatch):
    net = rugged_net().double()
    x = images(net.float(), 1)[0].double()
    net, y = net.double(), torch.zeros(1, dtype=torch.int64)
    noise = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(9)).double()
    unit = (2 * noise - 1) / (2 * noise - 1).abs().amax()
    given = {"norm": "Linf", "eps": EPS["Linf"], "steps": 100} | ({"n_classes": 3} if targeted else {"loss": "ce"})
    ours, theirs = (TargetedAutoPGD, torchattacks.APGDT) if targeted else (AutoPGD, torchattacks.APGD)
    mine, other = Spy(net), Spy(net)
    attack = ours(mine, **given)
    monkeypatch.setattr(attack, "_random_start", lambda image: (image + EPS["Linf"] * unit).clamp(0, 1))
    attack(x, y)
    with torch.random.fork_rng(devices=[]), monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *args, **kwargs: noise.clone())
        theirs(other, **given)(x, y)
    assert len(mine.seen) == len(other.seen) > 100
    for a, b in zip(mine.seen, other.seen, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


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
    """The slip in APGDT that is mended here: under L2 a sample's path depends on its neighbours."""
    x = 0.5 + 0.05 * (torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double() - 0.5)
    x[:, 0, 0, 0] = torch.tensor([0.8, 0.2])

    def last(kind: type, rows: slice) -> Tensor:
        spy, y = Spy(TwoLandscapes()), torch.zeros(2, dtype=torch.int64)
        attack = kind(spy, norm="L2", eps=0.3, steps=60, n_classes=2)
        monkeypatch.setattr(attack, "_random_start", lambda image: image.clone(), raising=False)
        with torch.random.fork_rng(devices=[]), monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda *size, **more: torch.zeros(*size))
            attack(x[rows], y[rows])
        return spy.seen[-1]

    apart = {}
    for kind in (TargetedAutoPGD, torchattacks.APGDT):
        alone = torch.cat([last(kind, slice(i, i + 1)) for i in range(2)])
        apart[kind] = float((alone - last(kind, slice(0, 2))).abs().max())
    assert apart[TargetedAutoPGD] < 1e-9
    assert apart[torchattacks.APGDT] > 1e-3


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


@pytest.mark.parametrize(
    ("build", "passes"),
    [
        (lambda net: AutoPGD(net, steps=100, loss="ce"), 1 + (1 + 100)),
        (lambda net: TargetedAutoPGD(net, steps=100, n_classes=10), 1 + 9 * (1 + 1 + 100)),
        (
            lambda net: TargetedFAB(net, steps=100, multi_targeted=True, n_classes=10),
            1 + 9 * (2 + 2 * 100 + 1),
        ),
        (lambda net: SquareSearch(net, n_queries=5000, resc_schedule=False), 1 + (1 + 5000) + 1),
    ],
    ids=["APGD-CE", "APGD-T", "FAB-T", "Square"],
)
def test_published_budgets_are_spent_in_full(build, passes):
    """A start and 100 iterations; 9 targets of these; 9 x 100 steps and looks; a start and 5000 queries."""
    net = Stubborn()
    x = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        build(net)(x, torch.zeros(1, dtype=torch.int64))
    assert net.passes == passes


def test_standard_set_has_the_published_settings():
    ce, targeted, fab, square = autoattack_standard("Linf", 8 / 255, 10)
    assert (ce.name, ce.steps, ce.restarts, ce.loss, ce.rho, ce.eot) == ("APGD-CE", 100, 1, "ce", 0.75, 1)
    assert (targeted.name, targeted.steps, targeted.targeted_classes, targeted.restarts) == (
        "APGD-T",
        100,
        9,
        1,
    )
    assert (fab.name, fab.steps, fab.targeted_classes) == ("FAB-T", 100, 9)
    assert (square.name, square.queries, square.restarts, square.p) == ("Square", 5000, 1, 0.8)
    efforts = [attack.effort for attack in (ce, targeted, fab, square)]
    assert efforts == sorted(efforts)
    made = fab.make(small_net(10), 0), square.make(small_net(10), 0)
    assert (made[0].alpha_max, made[0].eta, made[0].beta) == (0.1, 1.05, 0.9)
    assert made[1].rescale_schedule is False


@pytest.mark.parametrize(("classes", "targets"), [(4, 3), (5, 4), (10, 9), (100, 9)])
def test_targets_are_nine_or_all_wrong_classes(classes, targets):
    _, targeted, fab, _ = autoattack_standard("L2", 0.5, classes)
    assert targeted.targeted_classes == fab.targeted_classes == targets


def test_few_classes_are_refused_with_what_would_work():
    for classes in (2, 3):
        with pytest.raises(InputError, match="needs 4 classes"):
            autoattack_standard("Linf", 0.1, classes)
    with pytest.raises(InputError, match="at least 3"):
        dlr_loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(InputError, match="at least 4"):
        targeted_dlr_loss(torch.zeros(1, 3), *[torch.zeros(1, dtype=torch.int64)] * 2)


@pytest.mark.parametrize("attack", [APGDT(eps=0.01, steps=2), FABT(eps=0.01, steps=2)], ids=lambda a: a.name)
def test_a_wrong_number_of_classes_is_an_error_not_robustness(attack):
    net = small_net(6)
    x, y = images(net, 3)
    outcome = evaluate(net, x, y, [attack]).outcomes[0]
    assert set(outcome.status) == {"f"}
    assert "n_classes" in (outcome.error or "")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: APGD(eps=0.1, steps=0),
        lambda: APGD(eps=0.1, loss="hinge"),
        lambda: APGDT(eps=0.1, targets=10),
        lambda: FABT(eps=0.1, n_classes=1),
        lambda: Square(eps=0.1, p=1.5),
        lambda: Square(eps=0.1, queries=0),
        lambda: APGD(eps=12, norm="L1"),
        lambda: Square(eps=12, norm="L1"),
    ],
)
def test_bad_settings_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()


def test_images_too_small_for_square_are_refused():
    search = SquareSearch(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), norm="L2", eps=0.5)
    with pytest.raises(InputError, match="5 or more"):
        search(torch.rand(1, 1, 4, 4), torch.zeros(1, dtype=torch.int64))


def linear_net(classes: int = 10, seed: int = 0) -> nn.Module:
    """A linear network whose decision is near for every image."""
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, classes)), seed)
    net[1].bias.data.zero_()
    return net


def least_distance(net: nn.Module, x: Tensor, y: Tensor, norm: str) -> Tensor:
    """min over wrong classes of (z_y - z_j) / |w_y - w_j| in the dual norm, the box left out."""
    w, z = net[1].weight.detach(), net(x).detach()
    gap = z.gather(1, y[:, None]) - z
    apart = w[y][:, None] - w[None]
    length = apart.abs().sum(2) if norm == "Linf" else apart.norm(dim=2)
    ratio = gap / length.clamp(min=1e-12)
    return ratio.scatter(1, y[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_fab_finds_the_closed_form_distance(norm):
    net = linear_net()
    x = 0.5 + 0.2 * (torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5)
    y = net(x).argmax(1)
    wanted = least_distance(net, x, y, norm)
    with torch.random.fork_rng(devices=[]):
        found = TargetedFAB(net, norm=norm, eps=1.0, steps=100, multi_targeted=True)(x, y)
    delta = (found - x).flatten(1)
    got = delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)
    assert bool((net(found).argmax(1) != y).all())
    assert bool((got >= wanted * (1 - 1e-4)).all())
    assert float((got / wanted).median()) < 1.01


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize(
    "attack",
    [
        APGD(eps=1, steps=50),
        APGD(eps=1, steps=50, loss="dlr"),
        APGDT(eps=1, steps=50, n_classes=4),
        FABT(eps=1, steps=30, n_classes=4),
        Square(eps=1, queries=1000),
    ],
    ids=lambda attack: attack.name,
)
def test_each_part_decides_a_linear_network_exactly(attack, norm):
    """eps between the distances of the nearer and the farther half of the images.

    The cross-entropy of several classes is not the margin, so APGD-CE gets two. Square is a random search: in
    1000 queries it is held to distances below 60 % of eps.
    """
    net = linear_net(2 if attack.name == "APGD-CE" else 4)
    x = 0.5 + 0.2 * (torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5)
    y = net(x).argmax(1)
    distance = least_distance(net, x, y, norm)
    certain = distance <= distance.median()
    reach = 0.6 if isinstance(attack, Square) else 1.0
    eps = float((distance[certain].max() + distance[~certain].min()) / 2) / reach
    robust = torch.tensor(evaluate(net, x, y, [attack.change(eps=eps, norm=norm)]).outcomes[0].robust)
    assert not bool((~robust & (distance > eps * (1 + 1e-4))).any())
    assert not bool((robust & certain).any())


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_batch_size_and_neighbours_play_no_part(norm):
    net = small_net()
    x, y = images(net, 10)
    eps = {"Linf": 0.03, "L2": 0.15}[norm]
    attacks = [
        APGD(eps=eps, norm=norm, steps=10),
        APGDT(eps=eps, norm=norm, steps=5, n_classes=6, targets=2),
        FABT(eps=eps, norm=norm, steps=5, n_classes=6, targets=2),
        Square(eps=eps, norm=norm, queries=20),
    ]
    for attack in attacks:
        whole = evaluate(net, x, y, [attack], seed=3).outcomes[0].status
        assert whole == evaluate(net, x, y, [attack], seed=3, batch_size=1).outcomes[0].status
        assert whole == evaluate(net, x, y, [attack], seed=3, batch_size=3).outcomes[0].status
        back = evaluate(net, x.flip(0), y.flip(0), [attack], seed=3).outcomes[0].status
        assert whole == back[::-1]


def test_starts_differ_between_images_restarts_and_seeds():
    net = small_net()
    x = 0.2 + 0.6 * images(net, 2)[0]
    attack = AutoPGD(net, eps=0.05, seed=1)
    attack._runs = 0
    first, second = attack._random_start(x), attack._random_start(x)
    assert float((first[0] - x[0] - first[1] + x[1]).abs().max()) > 0.01
    assert not torch.equal(first, second)
    other = AutoPGD(net, eps=0.05, seed=2)
    other._runs = 0
    assert not torch.equal(first, other._random_start(x))
    assert float((first - x).abs().max()) <= 0.05 + 1e-6


def test_a_larger_budget_never_finds_less():
    net = small_net()
    x, y = images(net, 20)
    counts = [
        evaluate(net, x, y, [APGD(eps=eps, steps=20)]).outcomes[0].status.count("b") for eps in (0.0, 0.01, 0.03, 0.1)
    ]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] > counts[1]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_results_are_inside_the_budget_and_carry_no_gradients(norm):
    net = small_net()
    x, y = images(net, 6)
    with torch.random.fork_rng(devices=[]):
        for attack in (
            AutoPGD(net, norm=norm, eps=EPS[norm], steps=10),
            TargetedAutoPGD(net, norm=norm, eps=EPS[norm], steps=5, n_classes=4),
            TargetedFAB(net, norm=norm, eps=EPS[norm], steps=10, multi_targeted=True, n_classes=4),
            SquareSearch(net, norm=norm, eps=EPS[norm], n_queries=50, resc_schedule=False),
        ):
            found = attack(x, y)
            delta = (found - x).flatten(1)
            length = delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)
            assert not found.requires_grad
            assert float(length.max()) <= EPS[norm] + 1e-6
            assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert all(parameter.grad is None for parameter in net.parameters())


def test_fab_takes_networks_in_channels_last():
    net = small_net().to(memory_format=torch.channels_last)
    x, y = images(net, 4)
    with torch.random.fork_rng(devices=[]):
        found = TargetedFAB(net, eps=0.3, steps=10, multi_targeted=True, n_classes=3)(
            x.contiguous(memory_format=torch.channels_last), y
        )
    assert bool((net(found).argmax(1) != y).any())


def test_square_reaches_the_last_row_and_column():
    search = SquareSearch(small_net(), eps=0.1)
    search._draws = torch.Generator().manual_seed(0)
    places = {int(search.random_int(0, 7)) for _ in range(300)}
    assert places == set(range(8))
    assert int(search.random_int(0, 0)) == 0


def test_square_shrinks_on_the_published_schedule():
    """p halves after these queries of 10000; AutoAttack's 5000 follow the same schedule, unscaled."""
    search = Square(eps=0.1).make(small_net(), 0)
    marks = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]
    for query in (0, 10, 11, 50, 51, 200, 500, 501, 1000, 1001, 2001, 4000, 4001, 4999):
        assert search.p_selection(query) == pytest.approx(0.8 / 2 ** sum(query > mark for mark in marks))


def test_random_parts_are_averaged_over():
    """With noise on the input, 16 averaged gradients point closer to the clean gradient than one."""
    net = small_net()
    x, y = images(net, 1)

    class Noisy(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return net(z + 0.3 * torch.randn_like(z))

    passes = Spy(Noisy())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoPGD(passes, eps=1e-6, steps=2, eot_iter=16)(x, y)
    assert len(passes.seen) in (1 + 16, 1 + 2 * 16, 1 + 3 * 16)


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
