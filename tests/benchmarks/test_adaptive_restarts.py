"""How far restarts on near misses bring robust accuracy below other attacks', and what they cost in passes.

`ROBUSTPRUNE_DATA=... pytest tests/benchmarks/test_adaptive_restarts.py --benchmark-json=restarts.json`, on the network
of TRADES (MNIST, all 10,000 test images, or every n-th with ROBUSTPRUNE_BENCHMARK_EVERY=n) and on resnet4b.
"""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from review.honest_models import Trades
from test_engine_speed import all_cores, images, network
from test_everyday_chain import survivors

from robustprune.attacks import AdaptivePGD, evaluate, tier
from robustprune.machine import pick_device
from robustprune.models.checkpoints import load_weights

__all__ = ["all_cores"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ROBUSTPRUNE_DATA" not in os.environ, reason="needs ROBUSTPRUNE_DATA"),
]

AUTOATTACK = 92.81
"""Robust accuracy at .3, in percent of all 10,000, by AutoAttack (published)."""

DEVICE = pick_device()
ROUNDS, BATCH = (7, 2_000) if DEVICE.type == "cuda" else (5, 128)
"""The last round starts a near miss 256 times more, on a GPU 4,096 times."""


def digits(every):
    root = Path(os.environ["ROBUSTPRUNE_DATA"])
    net = load_weights(Trades(), root / "checkpoints" / "mnist_trades_smallcnn.pt").eval()
    with np.load(root / "mnist" / "mnist_test_10000.npz") as file:
        x, y = torch.from_numpy(file["x"][::every]), torch.from_numpy(file["y"][::every])
    return net, x[:, None].float().div(255), y.long()


def attack(net, x, y):
    return evaluate(net, x, y, [AdaptivePGD(eps=0.3, rounds=ROUNDS)], device=DEVICE, batch_size=BATCH)


def spent(outcomes):
    return {
        "forwards": sum(outcome.forwards for outcome in outcomes),
        "backwards": sum(outcome.backwards for outcome in outcomes),
    }


def test_trades_on_mnist(benchmark):
    every = int(os.environ.get("ROBUSTPRUNE_BENCHMARK_EVERY", "1"))
    net, x, y = digits(every)
    began = time.process_time()
    found = benchmark.pedantic(lambda: attack(net, x, y), rounds=1)
    outcome = found.outcomes[0]
    share = 100 * sum(outcome.robust) / len(y)
    benchmark.extra_info.update(
        images=len(y),
        clean=sum(found.clean),
        robust=sum(outcome.robust),
        runs_of_survivors=sum(steps for steps, kept in zip(outcome.steps, outcome.robust, strict=True) if kept) // 27,
        cpu_seconds=round(time.process_time() - began),
        **spent(found.outcomes),
    )
    assert outcome.error is None
    if every == 1:
        assert share < AUTOATTACK + 0.2


@pytest.mark.parametrize(("norm", "eps", "count"), [("Linf", 8 / 255, 500), ("L2", 0.5, 200)])
def test_after_the_everyday_chain_on_resnet4b(norm, eps, count, benchmark):
    """The chain leaves what AutoAttack leaves (test_everyday_chain.py); alone and after it, no more remain here."""
    net, (x, y) = network("resnet4b"), images()
    x, y, attack = x[:count], y[:count], AdaptivePGD(eps=eps, norm=norm)
    chain = benchmark.pedantic(lambda: evaluate(net, x, y, [*tier("quick", norm, eps), attack]), rounds=1)
    alone = evaluate(net, x, y, [attack])
    everyday = {i for i in range(count) if all(one.robust[i] for one in chain.outcomes if one.attack != attack.name)}
    benchmark.extra_info.update(
        everyday_robust=len(everyday),
        robust_after=len(survivors(chain)),
        robust_alone=len(survivors(alone)),
        after=spent([one for one in chain.outcomes if one.attack == attack.name]),
        alone=spent(alone.outcomes),
    )
    assert len(survivors(alone)) <= len(everyday)
