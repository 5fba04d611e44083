"""AutoAttack's set: its settings, and what all of its parts have to do."""

import pytest
import torch
from attack_nets import near_net, small_case, small_net
from torch import Tensor, nn

from robustprune.attacks import APGD, APGDT, FABT, autoattack_standard
from robustprune.attacks.algorithms.fab import ALPHA_MAX, BETA, ETA
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.errors import InputError

EPS = {"Linf": 0.06, "L2": 0.4}


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
    assert (ALPHA_MAX, ETA, BETA) == (0.1, 1.05, 0.9)


@pytest.mark.parametrize(("classes", "targets"), [(4, 3), (5, 4), (10, 9), (100, 9)])
def test_targets_are_nine_or_all_wrong_classes(classes, targets):
    _, targeted, fab, _ = autoattack_standard("L2", 0.5, classes)
    assert targeted.targeted_classes == fab.targeted_classes == targets


def test_few_classes_are_refused_with_what_would_work():
    for classes in (2, 3):
        with pytest.raises(InputError, match="needs 4 classes"):
            autoattack_standard("Linf", 0.1, classes)


@pytest.mark.parametrize("attack", [APGDT(eps=0.01, steps=2), FABT(eps=0.01, steps=2)], ids=lambda a: a.name)
def test_a_wrong_number_of_classes_is_an_error_not_robustness(attack):
    net = small_net(6)
    x, y = small_case(net, 3)
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
        lambda: APGD(eps=12, norm="L1"),
    ],
)
def test_bad_settings_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()


def least_distance(net: nn.Module, x: Tensor, y: Tensor, norm: str) -> Tensor:
    """min over wrong classes of (z_y - z_j) / |w_y - w_j| in the dual norm, the box left out."""
    w, z = net[1].weight.detach(), net(x).detach()
    gap = z.gather(1, y[:, None]) - z
    apart = w[y][:, None] - w[None]
    length = apart.abs().sum(2) if norm == "Linf" else apart.norm(dim=2)
    ratio = gap / length.clamp(min=1e-12)
    return ratio.scatter(1, y[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize(
    "attack",
    [
        APGD(eps=1, steps=50),
        APGD(eps=1, steps=50, loss="dlr"),
        APGDT(eps=1, steps=50, n_classes=4),
        FABT(eps=1, steps=30, n_classes=4),
    ],
    ids=lambda attack: attack.name,
)
def test_each_part_decides_a_linear_network_exactly(attack, norm):
    """eps between the distances of the nearer and the farther half of the images.

    The cross-entropy of several classes is not the margin, so APGD-CE gets two.
    """
    net = near_net(2 if attack.name == "APGD-CE" else 4)
    x = 0.5 + 0.2 * (torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5)
    y = net(x).argmax(1)
    distance = least_distance(net, x, y, norm)
    certain = distance <= distance.median()
    eps = float((distance[certain].max() + distance[~certain].min()) / 2)
    robust = torch.tensor(evaluate(net, x, y, [attack.change(eps=eps, norm=norm)]).outcomes[0].robust)
    assert not bool((~robust & (distance > eps * (1 + 1e-4))).any())
    assert not bool((robust & certain).any())


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_batch_size_and_neighbours_play_no_part(norm):
    net = small_net()
    x, y = small_case(net, 7)
    eps = {"Linf": 0.03, "L2": 0.15}[norm]
    attacks = [
        APGD(eps=eps, norm=norm, steps=10),
        APGDT(eps=eps, norm=norm, steps=5, n_classes=6, targets=2),
        FABT(eps=eps, norm=norm, steps=5, n_classes=6, targets=2),
    ]
    for attack in attacks:
        whole = evaluate(net, x, y, [attack], seed=3).outcomes[0].status
        assert whole == evaluate(net, x, y, [attack], seed=3, batch_size=1).outcomes[0].status
        assert whole == evaluate(net, x, y, [attack], seed=3, batch_size=3).outcomes[0].status
        back = evaluate(net, x.flip(0), y.flip(0), [attack], seed=3).outcomes[0].status
        assert whole == back[::-1]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_results_are_inside_the_budget_and_carry_no_gradients(norm):
    """With few steps: what holds after ten of them holds after a hundred."""
    net = small_net()
    x, y = small_case(net, 6)
    for attack in autoattack_standard(norm, EPS[norm], 6):
        few = attack.change(**({"queries": 200} if attack.name == "Square" else {"steps": 10}))
        (found,) = evaluate(net, x, y, [few], keep=True).adversarials
        delta = (found - x).flatten(1)
        length = delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)
        assert not found.requires_grad
        assert 0 < float(length.max()) <= EPS[norm] + 1e-6
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert all(parameter.grad is None for parameter in net.parameters())
