"""Square against a plain loop by the public code, on the same draws; its schedule, budget and reach."""

import math

import pytest
import torch
import torchattacks
from attack_nets import images, labelled, linear_case, margins
from paths import path
from torch import Tensor, nn
from torch.nn import functional

from robustprune.attacks import Square, evaluate
from robustprune.attacks.algorithms.square_patterns import half, pattern
from robustprune.attacks.contract.randomness import keys, streams
from robustprune.attacks.contract.state import join, take
from robustprune.attacks.contract.stepped import Seen
from robustprune.attacks.engine.looking import Ahead
from robustprune.errors import InputError

EPS = {"Linf": 0.06, "L2": 0.4}

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def rugged_net(channels: int = 2, side: int = 8) -> nn.Module:
    """Far from linear inside the budget; class 0 always wins, so that nothing breaks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(channels, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * (side - 2) ** 2, 6)
        ).eval()
    net[0].weight.data *= 6
    net[3].bias.data[0] += 8
    return net


class Stubborn(nn.Module):
    """Always right by far: every query of the budget is spent on it."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(64, 10, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.w * 1e-3 + 50 * functional.one_hot(torch.zeros(len(x), dtype=torch.int64), 10)


class Stream:
    """SplitMix64 in whole numbers, one number after the other."""

    def __init__(self, state: int) -> None:
        self.state = state % 2**64

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    def sign(self) -> float:
        return -1.0 if self.next() >> 63 else 1.0

    def signs(self, count: int) -> Tensor:
        return torch.tensor([self.sign() for _ in range(count)], dtype=torch.float64)

    def below(self, bound: int) -> int:
        return (self.next() >> 40) * bound // 2**24


def bump(side: int, lying: bool) -> Tensor:
    """Equation 2 by the public code's loop over growing rectangles."""

    def rectangle(x: int, y: int) -> Tensor:
        delta = torch.zeros(x, y, dtype=torch.float64)
        a, b = x // 2, y // 2
        for count in range(max(a, b) + 1):
            delta[max(a, 0) : min(a + 2 * count + 1, x), max(b, 0) : min(b + 2 * count + 1, y)] += 1 / (count + 1) ** 2
            a, b = a - 1, b - 1
        return delta / delta.norm()

    eta = torch.zeros(side, side, dtype=torch.float64)
    eta[: side // 2], eta[side // 2 :] = rectangle(side // 2, side), -rectangle(side - side // 2, side)
    eta /= eta.norm()
    return eta.T if lying else eta


def share(query: int) -> float:
    """p of the paper for 10,000 queries, by its list of cases."""
    bounds = [(10, 1), (50, 2), (200, 4), (500, 8), (1000, 16), (2000, 32), (4000, 64), (6000, 128), (8000, 256)]
    return 0.8 / next((by for bound, by in bounds if query <= bound), 512)


def length(delta: Tensor) -> Tensor:
    return delta.square().sum().sqrt()


def plain_square(net: nn.Module, x: Tensor, eps: float, norm: str, queries: int, stream: Stream):
    """The public code's loop for one image x (C, H, W) of class 0: every image asked about, and how many improved."""
    c, h, w = x.shape

    def lead(image: Tensor) -> float:
        logits = net(image[None])[0]
        return float(logits[0] - logits[1:].max())

    def scaled(delta: Tensor) -> Tensor:
        return (x + delta / (length(delta) + 1e-12) * eps).clamp(0, 1)

    def propose_linf(best: Tensor, query: int) -> Tensor:
        s = max(round(math.sqrt(share(query) * h * w)), 1)
        top, left = stream.below(h - s + 1), stream.below(w - s + 1)
        delta = torch.zeros_like(x)
        delta[:, top : top + s, left : left + s] = 2 * eps * stream.signs(c)[:, None, None]
        return torch.min(torch.max(best + delta, x - eps), x + eps).clamp(0, 1)

    def propose_l2(best: Tensor, query: int) -> Tensor:
        s = max(round(math.sqrt(share(query) * h * w)), 3)
        s += 1 - s % 2
        delta = best - x
        one, other = ((stream.below(h - s + 1), stream.below(w - s + 1)) for _ in range(2))
        first, second = ((slice(None), slice(a, a + s), slice(b, b + s)) for a, b in (one, other))
        mask = torch.zeros_like(x)
        mask[first] = mask[second] = 1
        unused, both = max(eps**2 - float(length(delta)) ** 2, 0), length(delta * mask)
        new = bump(s, bool(stream.next() >> 63)) * stream.signs(c)[:, None, None]
        new += delta[first] / (1e-12 + delta[first].square().sum((1, 2), keepdim=True).sqrt())
        new = new / (1e-12 + new.square().sum((1, 2), keepdim=True).sqrt()) * (unused / c + both**2).sqrt()
        delta[second] = 0
        delta[first] = new
        return scaled(delta)

    if norm == "Linf":
        best = (x + eps * stream.signs(c * w).view(c, 1, w)).clamp(0, 1)
    else:
        delta, s = torch.zeros_like(x), h // 5
        edge = (h - 5 * s) // 2
        for top in range(edge, edge + s * (h // s), s):
            for left in range(edge, edge + s * (w // s), s):
                tile = bump(s, bool(stream.next() >> 63)) * stream.signs(c)[:, None, None]
                delta[:, top : top + s, left : left + s] += tile
        best = scaled(delta)
    asked, least, improved = [best], lead(best), 0
    for query in range(queries):
        asked.append((propose_linf if norm == "Linf" else propose_l2)(best, query))
        if lead(asked[-1]) < least:
            best, least, improved = asked[-1], lead(asked[-1]), improved + 1
    return asked, improved


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize(("side", "run"), [(8, 1), (16, 0)])
def test_square_asks_what_the_public_code_asks(norm, side, run):
    """220 queries about images that resist, four sizes of squares, in double precision and on the same draws."""
    net = rugged_net(side=side).double()
    x = images(2, 1, (2, side, side)).double()
    mine = path(Square(eps=EPS[norm], norm=norm, queries=220, restarts=2), net, x, torch.zeros(2).long(), 7, run)
    assert len(mine) == 221
    for row, stream in enumerate(streams(7, keys(x), torch.full((2,), run)).tolist()):
        with torch.no_grad():
            wanted, improved = plain_square(net, x[row], EPS[norm], norm, 220, Stream(stream))
        assert 5 <= improved <= 210
        for query in range(221):
            torch.testing.assert_close(mine[query][row], wanted[query], atol=1e-9, rtol=0, msg=f"query {query}")


@pytest.mark.parametrize("side", [3, 5, 7, 9, 29])
def test_bumps_are_those_of_torchattacks(side):
    theirs = torchattacks.Square(nn.Conv2d(1, 1, 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        other = theirs.eta(side)
    both = torch.stack((pattern(side), pattern(side).T)).float()
    assert min(float((one - other).abs().max()) for one in both) < 1e-6
    torch.testing.assert_close(half(side // 2, side).float(), theirs.eta_rectangles(side // 2, side))


@pytest.mark.parametrize(("norm", "least"), [("Linf", 1), ("L2", 3)])
def test_squares_shrink_on_the_published_schedule(norm, least):
    """Seen in what is asked: of a network that nothing improves only one square differs from the start."""
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    nn.init.zeros_(flat[1].weight)
    stepper = Square(eps=0.1, norm=norm).stepper(flat)
    assert stepper.steps == 5000
    x, zero = images(1, 0, (3, 32, 32), 0.2, 0.8), torch.zeros(1, dtype=torch.int64)
    state = {"row": zero, "x": x, "y": zero, "run": zero, "step": zero}
    stepper.start(state, keys(x), 0)
    state["lead"] = torch.zeros(1)
    state["best"] = x.clone()
    for query in (0, 10, 11, 50, 51, 200, 201, 500, 501, 1000, 1001, 2000, 2001, 4000, 4001, 4999, 6001, 8001):
        state["step"] = zero + query + 1
        stepper.advance(state, Seen(torch.zeros(1), x, zero.bool()))
        changed = (state["adv"] != x)[0].any(0)
        seen = int(changed.any(1).sum()), int(changed.any(0).sum())
        side = max(round(math.sqrt(share(query) * 1024)), least)
        side += norm == "L2" and side % 2 == 0
        assert seen == (side, side)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (14, 14), (20, 6)])
def test_squares_reach_every_pixel_and_stay_in_the_ball(norm, height, width):
    """The last row and column too (Algorithm 2), also where a square or a tile does not fit."""
    x = images(2, 0, (1, height, width), 0.3, 0.7)
    net = nn.Sequential(nn.Flatten(), nn.Linear(height * width, 2))
    attack = Square(eps=0.2, norm=norm, queries=700)
    iterates = path(attack, net, x, torch.zeros(2).long())
    for adv in iterates:
        assert bool(attack.ball.inside(adv, x).all())
    moved = torch.stack([now != before for now, before in zip(iterates[1:], iterates, strict=False)]).any(0)
    assert bool(moved.all())


@pytest.mark.parametrize(("queries", "restarts"), [(300, 1), (37, 3)])
def test_the_budget_is_spent_in_full(queries, restarts):
    """A start and the queries, in every run."""
    outcome = evaluate(
        Stubborn(), images(1), torch.zeros(1).long(), [Square(eps=0.1, queries=queries, restarts=restarts)]
    )
    assert outcome.outcomes[0].forwards == restarts * (queries + 1)
    assert outcome.outcomes[0].backwards == 0
    assert Square(eps=0.1, queries=queries, restarts=restarts, eot=4).effort == pytest.approx(
        4 * restarts * (queries + 1) / 3
    )


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_square_decides_linear_networks(norm):
    """In 500 queries it breaks what lies nearer than half of eps, and nothing beyond eps."""
    net, x, y = linear_case(24, classes=4)
    distance = margins(net, x, y, {"Linf": 1, "L2": 2}[norm])
    certain = distance <= distance.median()
    eps = float(distance[certain].max()) / 0.5
    robust = torch.tensor(evaluate(net, x, y, [Square(eps=eps, norm=norm, queries=500)]).outcomes[0].robust)
    assert not bool((~robust & (distance > eps * (1 + 1e-4))).any())
    assert not bool((robust & certain).any())
    assert bool((distance > eps).any())


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_batch_size_and_neighbours_play_no_part(norm):
    """With refilled places, so that samples at different queries share a batch."""
    net = rugged_net()
    net[3].bias.data[0] -= 7
    x = images(12, 3, (2, 8, 8))
    y = labelled(net, x)
    attack = Square(eps=EPS[norm] / 2, norm=norm, queries=30, restarts=2)

    def outcome(x: Tensor, y: Tensor, batch_size: int = 12):
        return evaluate(net, x, y, [attack], seed=3, batch_size=batch_size).outcomes[0]

    whole = outcome(x, y)
    assert {"b", "r"} <= set(whole.status)
    alone, back = outcome(x, y, 1), outcome(x.flip(0), y.flip(0), 5)
    assert (alone.status, alone.steps) == (whole.status, whole.steps)
    assert (back.status[::-1], back.steps[::-1]) == (whole.status, whole.steps)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("batch_size", [6, 40, 200])
def test_looking_ahead_finds_what_one_query_after_the_other_finds(norm, batch_size, monkeypatch):
    """The same successes after as many queries, and the same count of passes; fewer calls of the network."""
    net, calls = rugged_net(), []
    net[3].bias.data[0] -= 7
    net.register_forward_hook(lambda module, given, out: calls.append(len(out)))
    x = images(24, 3, (2, 8, 8))
    y = labelled(net, x)
    attack = Square(eps=EPS[norm] / 2, norm=norm, queries=120, restarts=2)
    found = []
    for look in (Ahead.room, lambda self, batch, batch_size: 1):
        monkeypatch.setattr(Ahead, "room", look)
        calls.clear()
        seen = evaluate(net, x, y, [attack], seed=3, batch_size=batch_size, keep=True)
        found.append((seen.outcomes[0], seen.adversarials[0], len(calls)))
    (ahead, there, few), (plain, here, many) = found
    assert {"b", "r"} <= set(plain.status)
    assert (ahead.status, ahead.steps, ahead.forwards) == (plain.status, plain.steps, plain.forwards)
    torch.testing.assert_close(there, here, rtol=0, atol=1e-6)
    assert few < 0.6 * many or batch_size < 2 * plain.status.count("r")


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_layout_of_images_in_memory_plays_no_part(norm):
    net, x, y = rugged_net(), images(2, 2, (2, 8, 8)), torch.zeros(2).long()
    attack = Square(eps=EPS[norm], norm=norm, queries=20)
    usual, other = (path(attack, net, x.contiguous(memory_format=layout), y)[-1] for layout in LAYOUTS)
    torch.testing.assert_close(usual, other, check_stride=False)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_samples_at_different_queries_step_as_they_would_alone(norm):
    net, x, y = rugged_net(), images(3, 2, (2, 8, 8)), torch.zeros(3).long()
    stepper = Square(eps=EPS[norm], norm=norm).stepper(net)
    state = {"row": torch.arange(3), "x": x, "y": y, "run": y, "step": torch.tensor([1, 40, 900])}
    stepper.start(state, keys(x), 0)
    seen = Seen(torch.tensor([-1.0, -2.0, -3.0]), x, y.bool())
    alone = []
    for row in range(3):
        one = take(state, slice(row, row + 1))
        stepper.advance(one, Seen(seen.value[row : row + 1], x[:1], y[:1].bool()))
        alone.append(one)
    stepper.advance(state, seen)
    for name, value in join(alone).items():
        torch.testing.assert_close(state[name], value)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Square(eps=0.1, p=1.5),
        lambda: Square(eps=0.1, queries=0),
        lambda: Square(eps=0.1, eot=0),
        lambda: Square(eps=12, norm="L1"),
    ],
)
def test_bad_settings_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()


def test_images_too_small_for_tiles_are_an_error_not_robustness():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    x = images(2, 0, (1, 4, 4))
    outcome = evaluate(net, x, labelled(net, x), [Square(eps=0.1, norm="L2", queries=5)]).outcomes[0]
    assert set(outcome.status) == {"f"}
    assert "5 or more" in (outcome.error or "")
