"""How near the everyday tier comes to AutoAttack, and how much faster; run it as test_engine_speed.py says."""

import os

import pytest
from test_engine_speed import all_cores, images, network, timed

from robustprune.attacks import autoattack_standard, evaluate, tier
from robustprune.data import data_root
from robustprune.machine import pick_device
from robustprune.models import load_weights
from robustprune.models.vit import cifar10_vit

__all__ = ["all_cores"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ROBUSTPRUNE_DATA" not in os.environ, reason="needs ROBUSTPRUNE_DATA"),
]


def survivors(found):
    return {i for i in range(len(found.clean)) if all(one.robust[i] for one in found.outcomes)}


@pytest.mark.parametrize(("norm", "eps", "count", "times"), [("Linf", 8 / 255, 500, 10), ("L2", 0.5, 200, 8)])
def test_the_everyday_tier_leaves_what_autoattack_leaves(norm, eps, count, times, benchmark):
    """On resnet4b; the speeds are those of one process, the passes of the chain at most 12,000."""
    net, (x, y) = network("resnet4b"), images()
    x, y = x[:count], y[:count]
    everyday = tier("quick", norm, eps)
    evaluate(net, x[:50], y[:50], everyday)
    found = benchmark.pedantic(lambda: evaluate(net, x, y, everyday), rounds=3)
    seconds = benchmark.stats.stats.median
    published_seconds, published = timed(lambda: evaluate(net, x, y, autoattack_standard(norm, eps)))
    backwards = sum(outcome.backwards for outcome in found.outcomes)
    ours, theirs = survivors(found), survivors(published)
    benchmark.extra_info.update(
        images=len(x),
        seconds=round(seconds, 2),
        autoattack_seconds=round(published_seconds, 2),
        times_faster=round(published_seconds / seconds, 1),
        forwards=sum(outcome.forwards for outcome in found.outcomes),
        backwards=backwards,
        autoattack_forwards=sum(outcome.forwards for outcome in published.outcomes),
        autoattack_backwards=sum(outcome.backwards for outcome in published.outcomes),
        robust=len(ours),
        autoattack_robust=len(theirs),
        robust_here_broken_there=len(ours - theirs),
    )
    assert len(ours) <= len(theirs)
    assert backwards <= 12_000
    assert published_seconds >= times * seconds


@pytest.mark.parametrize("eps", [1 / 255, 2 / 255])
def test_a_vit_keeps_no_sample_that_autoattack_breaks(eps, benchmark):
    """On all 1,000 images, beyond .2 points; on a GPU where there is one, which this wants."""
    net = load_weights(cifar10_vit(), data_root() / "vit" / "vit_pgd_2_3_16.onnx").eval()
    (x, y), place = images(), {"device": pick_device(), "batch_size": 500}
    seconds, ours = timed(lambda: survivors(evaluate(net, x, y, tier("quick", "Linf", eps), **place)))
    attacks = autoattack_standard("Linf", eps)
    theirs = survivors(benchmark.pedantic(lambda: evaluate(net, x, y, attacks, **place), rounds=1))
    benchmark.extra_info.update(
        images=len(x),
        seconds=round(seconds, 2),
        robust=len(ours),
        autoattack_robust=len(theirs),
        robust_here_broken_there=len(ours - theirs),
    )
    assert len(x) == 1_000
    assert len(ours - theirs) <= 2
