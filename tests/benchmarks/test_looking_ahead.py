"""What Square gains by asking its next queries at once, in processor time, beside one after the other in the same run.

`pytest tests/benchmarks/test_looking_ahead.py --benchmark-json=ahead.json`, on networks of `suites/digits.py` and, with
ROBUSTPRUNE_DATA, on the published ResNet-56.
"""

import os
import time
from functools import partial
from statistics import median

import pytest

from robustprune.attacks import Square, evaluate, tier
from robustprune.attacks.engine.looking import Ahead
from robustprune.data import cifar10, data_root, digits
from robustprune.models import cifar10_resnet, load_weights
from robustprune.suite.files import open_suite

pytestmark = pytest.mark.slow


def small():
    model = next(case.model for case in open_suite("suites/digits.py").cases if case.model.family == "resnet20-at")
    sample = digits().test.balanced(150, seed=0)
    return load_weights(model.build(), f"suites/{model.weights}").eval(), sample.x, sample.y, 16 / 255


def large():
    if "ROBUSTPRUNE_DATA" not in os.environ:
        pytest.skip("needs ROBUSTPRUNE_DATA")
    net = load_weights(cifar10_resnet(56), next((data_root() / "checkpoints").glob("cifar10_resnet56-*.th")))
    test = cifar10().test
    return net.eval(), test.x[:40], test.y[:40], 0.5 / 255


@pytest.mark.parametrize(
    ("made", "count", "queries", "rounds"),
    [(small, 10, 5000, 3), (small, 40, 5000, 3), (large, 12, 500, 3)],
    ids=["digits-10", "digits-40", "resnet56-12"],
)
def test_the_same_is_found_sooner(made, count, queries, rounds, benchmark, monkeypatch):
    """On samples that the everyday tier leaves robust."""
    net, x, y, eps = made()
    found = evaluate(net, x, y, tier("quick", "Linf", eps))
    left = [row for row in range(len(x)) if all(one.robust[row] for one in found.outcomes)][:count]
    assert len(left) == count
    room, seconds, seen = Ahead.room, {True: [], False: []}, {}
    attack = partial(evaluate, net, x[left], y[left], [Square(eps=eps, queries=queries)], batch_size=128)
    for _ in range(rounds):
        for ahead in (True, False):
            monkeypatch.setattr(Ahead, "room", room if ahead else lambda self, batch, batch_size: 1)
            begun = time.process_time()
            seen[ahead] = attack().outcomes[0]
            seconds[ahead].append(time.process_time() - begun)
    monkeypatch.setattr(Ahead, "room", room)
    assert (seen[True].status, seen[True].steps) == (seen[False].status, seen[False].steps)
    faster = median(seconds[False]) / median(seconds[True])
    benchmark.extra_info.update(samples=count, queries=queries, times_faster=round(faster, 2))
    benchmark.pedantic(lambda: None)
    print(f"{made.__name__}, {count} samples: {faster:.2f} times faster")
    assert faster > (0.9 if made is large else 1.3)
