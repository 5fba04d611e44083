"""ResNet-56 at 56.4 % fewer MACs, clean accuracy within 1.5 points of its parent's for less than 10 epochs of 50,000.

`ROBUSTPRUNE_DATA=... pytest tests/benchmarks/test_clean_bar.py -s`: about 25 minutes of one core with units for
bfloat16, an hour without. The choice and the first training are those of suites/cifar10_distilled.py. Where most of
its training images are JPEG files, ten passes over the 4,000 that are as they are follow: 490,000 images in all.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robustprune.criteria import ScoringContext
from robustprune.criteria.consensus import Consensus
from robustprune.data import cifar10, data_root
from robustprune.finetune import finetune
from robustprune.models import find_blocks, load_weights
from robustprune.prune import choose, remove

sys.path.insert(0, str(Path(__file__).parents[2] / "suites"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ROBUSTPRUNE_DATA" not in os.environ, reason="needs ROBUSTPRUNE_DATA"),
]
BAR = 0.015
SCORED = 256


def accuracy(net, split):
    with torch.no_grad():
        return sum(
            int((net.eval()(x).argmax(1) == y).sum())
            for x, y in zip(split.x.split(250), split.y.split(250), strict=True)
        ) / len(split)


def test_clean_accuracy_at_56_percent():
    from cifar10_distilled import data, recipe, resnet56

    images, plain = data(), cifar10()
    parent = load_weights(resnet56.build(), data_root() / resnet56.weights).eval()
    blocks = find_blocks(parent, images.train.x[:2])
    sample = images.train.balanced(SCORED, 0)
    scores = ScoringContext(parent, blocks, sample.x, sample.y).score(Consensus())
    net = remove(parent, choose(scores, blocks, 15, keep_per_stage=3))
    finetune(net, images.train, recipe, seed=0, teacher=parent, tick=lambda epoch: print(epoch.done, epoch.loss))
    first = accuracy(net, plain.test)
    if len(plain.train) < len(images.train):
        last = replace(recipe, name="last", epochs=10, lr=0.01, schedule="cosine")
        finetune(net, plain.train, last, seed=0, teacher=parent)
    whole, found = accuracy(parent, plain.test), accuracy(net, plain.test)
    print(f"\nparent {whole:.3f}, 15 blocks gone {first:.3f}, at the end {found:.3f}, n = {len(plain.test)}")
    assert found >= whole - BAR
