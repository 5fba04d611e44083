"""What mixed precision saves in a training, where the processor has units for it: a ResNet-56 without 15 blocks.

`pytest tests/benchmarks/test_training_speed.py -s`. Both trainings run in one process, in turn, on the same images.
"""

import copy
import time
from dataclasses import replace
from statistics import median

import pytest
import torch

from robustprune.attacks.engine.precision import cpu_has_bfloat16
from robustprune.data import Split
from robustprune.finetune import RECIPES, finetune
from robustprune.models import cifar10_resnet
from robustprune.prune import remove

GONE = [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in (1, 3, 4, 6, 7)]


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this processor has no units for bfloat16")
def test_mixed_precision_is_faster():
    draws = torch.Generator().manual_seed(0)
    data = Split(torch.rand(1024, 3, 32, 32, generator=draws), torch.arange(1024) % 10)
    parent, seconds = cifar10_resnet(56).eval(), {"float32": [], "bfloat16": []}
    pruned = remove(parent, GONE)
    for _ in range(3):
        for precision, found in seconds.items():
            recipe = replace(RECIPES["distill-stages"](), epochs=1, precision=precision)
            begun = time.perf_counter()
            finetune(copy.deepcopy(pruned), data, recipe, seed=0, teacher=parent)
            found.append(time.perf_counter() - begun)
    ratio = median(seconds["float32"]) / median(seconds["bfloat16"])
    print(f"\nan epoch of {len(data)} images: {ratio:.2f} times faster in bfloat16 ({torch.get_num_threads()} threads)")
    assert ratio > 1.2
