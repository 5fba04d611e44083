"""What each attack breaks on its own, known on networks of one pixel."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from robustprune.attacks import CW, FGSM, FMN, PGD, Noise
from robustprune.data import Split
from robustprune.run.reach import Reached


@dataclass(frozen=True, kw_only=True)
class Given:
    """A network under test that was made by hand."""

    model: nn.Module


def reached(net, x, y, *attacks):
    wanted = Reached(network=Given(model=net.eval()), sample=Split(x, y), attacks=attacks, device="cpu")
    return wanted.make(Path("nowhere"), lambda stage, done, total: None)


DISTANCES = [0.01, 0.06, 0.15, 0.3]


def plane(boundary=0.5):
    """Class 1 above the boundary, samples of class 0 at `DISTANCES` below it, and one that is above it."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    net[1].weight.data, net[1].bias.data = torch.tensor([[-1.0], [1.0]]), torch.tensor([boundary, -boundary])
    x = torch.tensor([boundary - at for at in (*DISTANCES, -0.1)]).view(5, 1, 1, 1)
    return net, x, torch.zeros(5, dtype=torch.int64)


def test_on_a_plane_every_attack_that_follows_the_gradient_breaks_each_sample_where_it_must():
    found = reached(*plane(), FGSM(eps=0.1), PGD(eps=0.1), FMN(eps=0.1), PGD(eps=0.2, norm="L2"), CW(eps=0.2, lr=0.05))
    names = [("FGSM", "Linf"), ("PGD-20", "Linf"), ("FMN-100", "Linf"), ("PGD-20", "L2"), ("CW-50", "L2")]
    assert [(one.attack, one.norm) for one in found] == names
    for one in found:
        grid = [0.025, 0.05, 0.1, 0.2, 0.4] if one.norm == "Linf" else [0.05, 0.1, 0.2, 0.4, 0.8]
        assert one.grid == grid
        assert one.breaks == [*(min(eps for eps in grid if eps > at) for at in DISTANCES), 0.0], one.attack
        assert one.minimises == (one.attack[:2] in ("FM", "CW"))
        assert one.backwards > 0


class Band(nn.Module):
    """Wrong from .12 to .3 above a sample at .5 alone, so that one long step goes over it; gradients point upwards."""

    def forward(self, x):
        at = x.flatten(1) - 0.5
        lead = torch.where((at > 0.12) & (at < 0.3), 1.0, -1.0) + at - at.detach()
        return torch.cat((torch.zeros_like(at), lead), 1)


def test_an_attack_that_overshoots_at_a_large_eps_is_made_at_smaller_ones_too():
    (one,) = reached(Band(), torch.full((3, 1, 1, 1), 0.5), torch.zeros(3, dtype=torch.int64), FGSM(eps=0.1))
    assert one.breaks == [0.2] * 3  # 0.4 leads beyond, 0.1 not far enough


def test_eps_grows_while_a_sample_resists_all_attacks_but_not_for_ever():
    net, x, y = plane()
    weak, strong = reached(net, x[3:4], y[3:4], Noise(eps=0.01, draws=1), PGD(eps=0.04))
    assert weak.grid == strong.grid == [0.0025, 0.005, 0.01, 0.04, 0.08, 0.16, 0.32]
    assert (weak.breaks, strong.breaks) == ([None], [0.32])
    (never,) = reached(net, x[3:4], y[3:4], FGSM(eps=0.01))
    assert (never.grid[-1], never.breaks) == (0.16, [None])


@pytest.mark.parametrize(
    ("eps", "grid"),
    [
        (0.3, [0.075, 0.15, 0.3, 0.6, 1.0]),
        (0.1, [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0]),
        (1.0, [0.25, 0.5, 1.0]),
    ],
)
def test_under_linf_eps_ends_where_the_ball_is_the_whole_box(eps, grid):
    net, x, y = plane(boundary=5.0)
    (one,) = reached(net, x[:1] * 0.1, y[:1], FGSM(eps=eps))
    assert one.grid == pytest.approx(grid)
    assert one.breaks == [None]


def test_without_a_budget_nothing_is_made():
    (one,) = reached(*plane(), PGD(eps=0))
    assert (one.grid, one.breaks) == ([], [None] * 5)
