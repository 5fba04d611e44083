"""What scoring ResNet-56 costs: by shared passes against full passes of each criterion; robust criteria beside clean.

Run as test_engine_speed.py says. Costs are processor seconds of one thread, so another program's work counts little.
"""

import os
import time

import pytest
import torch
from test_engine_speed import BATCH, images, network

from robustprune.consensus import CRITERIA
from robustprune.criteria import EIGHT, FeatureCriterion, ScoringContext
from robustprune.models.blocks import find_blocks
from robustprune.prune import eligible, remove

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ROBUSTPRUNE_DATA" not in os.environ, reason="needs ROBUSTPRUNE_DATA"),
]

TIMES_FASTER, TIMES_DEARER = 12, 4


def seconds(work):
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


@pytest.fixture(scope="module")
def shown():
    """The network, its 24 candidates and images; one pass is made before any is timed."""
    net, (x, y) = network("resnet56"), images()
    with torch.no_grad():
        net(x[:BATCH])
    return net, eligible(find_blocks(net, x[:1])), x, y


@pytest.fixture(scope="module")
def eight(shown):
    """Seconds and scores of the eight published criteria in one context."""
    ctx = ScoringContext(*shown)
    return seconds(lambda: {voter.name: ctx.score(voter) for voter in EIGHT})


def by_full_passes(criterion: FeatureCriterion, net, blocks, x, y):
    """One criterion on its own: whole passes of the network, and of every network with one block really removed."""

    def features(some):
        found = []
        hook = some.linear.register_forward_pre_hook(lambda module, args: found.append(args[0]))
        with torch.no_grad():
            for part in x.split(BATCH):
                some(part)
        hook.remove()
        return torch.cat(found).double().numpy()

    dense, labels = features(net), y.numpy()
    return {b.name: criterion.distance(dense, features(remove(net, [b]).eval()), labels) for b in blocks}


def test_shared_passes_against_full_ones(shown, eight, benchmark):
    alone = {voter.name: seconds(lambda one=voter: by_full_passes(one, *shown)) for voter in EIGHT}
    together, scores = eight
    times = sum(took for took, _ in alone.values()) / together
    benchmark.extra_info.update(images=len(shown[2]), seconds=round(together, 1), times_faster=round(times, 2))
    benchmark.pedantic(lambda: None, rounds=1)
    for name, (_, found) in alone.items():
        assert scores[name] == pytest.approx(found, rel=0.02, abs=1e-4), "the same scores, up to rounding"
    assert times >= TIMES_FASTER


def test_all_criteria_against_the_eight(shown, eight, benchmark):
    ctx = ScoringContext(*shown)
    spent = {name: seconds(lambda one=make: ctx.score(one()))[0] for name, make in CRITERIA.items()}
    ratio = sum(spent.values()) / eight[0]
    benchmark.extra_info.update(images=len(shown[2]), criteria=len(spent), ratio=round(ratio, 2))
    benchmark.extra_info.update({name: round(took, 2) for name, took in spent.items() if took > 0.1})
    benchmark.pedantic(lambda: None, rounds=1)
    assert ratio <= TIMES_DEARER
