"""How fast the engine is: against a plain torchattacks loop, and against the passes it had to make.

Skipped without ROBUSTPRUNE_DATA: `ROBUSTPRUNE_DATA=... pytest tests/benchmarks`. Both sides run in one
process, on the same network, images and seed. ROBUSTPRUNE_BENCHMARK_IMAGES takes fewer than 1000.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torchattacks
from torch.nn import functional

from robustprune.attacks import FGSM, PGD, evaluate, robust_curve
from robustprune.attacks.engine.lean import attack_copy
from robustprune.models.checkpoints import load_weights
from robustprune.models.resnet import cifar10_resnet, resnet4b

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ROBUSTPRUNE_DATA" not in os.environ, reason="needs ROBUSTPRUNE_DATA"),
]
BATCH = 128


@pytest.fixture(autouse=True)
def all_cores():
    """The other tests keep to one thread; a speed is what all cores give."""
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


def images():
    count = int(os.environ.get("ROBUSTPRUNE_BENCHMARK_IMAGES", "1000"))
    with np.load(Path(os.environ["ROBUSTPRUNE_DATA"]) / "cifar10" / "test_first_1000.npz") as file:
        x, y = torch.from_numpy(file["x"][:count]), torch.from_numpy(file["y"][:count])
    return x.permute(0, 3, 1, 2).float().div(255).contiguous(), y.long()


def network(name):
    folder = Path(os.environ["ROBUSTPRUNE_DATA"]) / "checkpoints"
    if name == "resnet4b":
        return load_weights(resnet4b(), folder / "cifar10_robust_resnet4b.pth").eval()
    return load_weights(cifar10_resnet(56), folder / "cifar10_resnet56-4bfd9763.th").eval()


@dataclass(frozen=True, kw_only=True)
class Setting:
    network: str
    eps: float
    steps: int
    times: float
    """How many times faster than the loop the engine has to be."""
    over_bare: float
    """How much longer than the bare passes it may take; a pass of 0.1 ms a sample lets bookkeeping show."""


SETTINGS = [
    Setting(network="resnet56", eps=1 / 255, steps=20, times=3.0, over_bare=1.15),
    Setting(network="resnet4b", eps=8 / 255, steps=50, times=2.5, over_bare=1.75),
]


def predictions(net, x):
    with torch.no_grad():
        return torch.cat([net(part).argmax(1) for part in x.split(BATCH)])


def plain_loop(net, x, y, eps, steps):
    """FGSM and PGD as one writes them with torchattacks, default step size; returns who resisted both."""
    torch.manual_seed(0)
    robust = predictions(net, x) == y
    for attack in (torchattacks.FGSM(net, eps=eps), torchattacks.PGD(net, eps=eps, steps=steps)):
        adv = torch.cat([attack(a, b) for a, b in zip(x.split(BATCH), y.split(BATCH), strict=True)])
        assert (adv - x).abs().max() <= eps + 1e-6
        robust &= predictions(net, adv) == y
    return robust


def timed(work):
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def bare(net, x, forwards, backwards):
    """Seconds for that many passes of full batches through the copy the engine uses, and nothing else."""
    lean = attack_copy(net.requires_grad_(False), x[:16]).net
    x = x[:BATCH]
    y = torch.zeros(len(x), dtype=torch.long)

    def both():
        adv = x.clone().requires_grad_()
        torch.autograd.grad(functional.cross_entropy(lean(adv), y, reduction="sum"), adv)

    both()
    pair = min(timed(both)[0] for _ in range(5)) / len(x)
    with torch.no_grad():
        single = min(timed(lambda: net(x))[0] for _ in range(5)) / len(x)
    net.requires_grad_(True)
    return backwards * pair + (forwards - backwards) * single


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.network)
def test_engine_against_a_plain_loop(setting, benchmark):
    net, (x, y) = network(setting.network), images()
    attacks = [FGSM(eps=setting.eps), PGD(eps=setting.eps, steps=setting.steps)]
    plain_loop(net, x[:BATCH], y[:BATCH], setting.eps, 2)
    evaluate(net, x[:BATCH], y[:BATCH], [FGSM(eps=setting.eps), PGD(eps=setting.eps, steps=2)])

    loop_seconds, loop_robust = timed(lambda: plain_loop(net, x, y, setting.eps, setting.steps))
    found = benchmark.pedantic(lambda: evaluate(net, x, y, attacks), rounds=1)
    engine_seconds = benchmark.stats.stats.mean

    forwards = len(x) + sum(outcome.forwards for outcome in found.outcomes)
    backwards = sum(outcome.backwards for outcome in found.outcomes)
    loop_forwards, loop_backwards = (setting.steps + 4) * len(x), (setting.steps + 1) * len(x)
    floor = bare(net, x, forwards, backwards)
    robust = torch.tensor(found.outcomes[1].robust)
    benchmark.extra_info.update(
        images=len(x),
        loop_seconds=round(loop_seconds, 2),
        engine_seconds=round(engine_seconds, 2),
        times_faster=round(loop_seconds / engine_seconds, 2),
        over_bare_passes=round(engine_seconds / floor, 3),
        forwards=forwards,
        backwards=backwards,
        loop_forwards=loop_forwards,
        loop_backwards=loop_backwards,
        robust=int(robust.sum()),
        loop_robust=int(loop_robust.sum()),
        robust_here_broken_there=int((robust & ~loop_robust).sum()),
    )
    assert not (robust & ~loop_robust).any()
    assert forwards + backwards < (loop_forwards + loop_backwards) / 2
    assert engine_seconds <= setting.over_bare * floor
    assert loop_seconds >= setting.times * engine_seconds


def test_seven_points_of_a_curve_cost_at_most_two(benchmark):
    net, (x, y) = network("resnet4b"), images()
    eps = [e / 255 for e in (0, 1, 2, 4, 8, 16, 32)]
    curve = benchmark.pedantic(lambda: robust_curve(net, x, y, PGD(eps=0), eps), rounds=1)
    points = [evaluate(net, x, y, [PGD(eps=e)]).outcomes[0] for e in eps]
    spent = sum(outcome.forwards + outcome.backwards for outcome in curve)
    dearest = max(outcome.forwards + outcome.backwards for outcome in points)
    robust = [sum(outcome.robust) for outcome in curve]
    benchmark.extra_info.update(
        passes=spent,
        dearest_point=dearest,
        ratio=round(spent / dearest, 2),
        robust=robust,
        robust_alone=[sum(outcome.robust) for outcome in points],
    )
    assert robust == sorted(robust, reverse=True)
    assert spent <= 2 * dearest


@pytest.mark.parametrize(("pixels", "published"), [(1, 69.4), (2, 61.8), (4, 45.9), (8, 16.9)])
def test_robust_accuracies_are_the_known_ones(pixels, published):
    """PGD-10 on resnet4b, all 1000 images, steps of eps / 4; our own step lengths find as much or more."""
    net, (x, y) = network("resnet4b"), images()
    if len(x) < 1000:
        pytest.skip("the known numbers are for all 1000 images")
    eps = pixels / 255
    usual, ours = (
        sum(evaluate(net, x, y, [PGD(eps=eps, steps=10, alpha=alpha, retries=0)]).outcomes[0].robust) / 10
        for alpha in (eps / 4, None)
    )
    assert usual == pytest.approx(published, abs=1.0)
    assert published - 3 < ours <= usual + 0.2
