"""A suite that is measured in seconds, as a file: two runs of a small net on pictures that are half dark."""

from pathlib import Path

MINI = '''"""A suite of seconds."""

from functools import partial

import torch

from robustprune.attacks import FGSM
from robustprune.criteria import DepthFirst
from robustprune.data import Data, Split
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.suite import Model, Strategy, Suite, grid


def data():
    """Dark above a light half, or beside it."""

    def split(n, seed):
        y = torch.arange(n) % 2
        x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) / 2
        x[y == 1, :, :4] += 0.5
        return Split(x, y)

    return Data(name="halves", classes=("even", "half"), train=split(64, 0), test=split(16, 1), source="made here")


build = partial(CifarResNet, depth=14, width=2, in_channels=1, classes=2)
train = Recipe(name="train", epochs=1, lr=0.1)
nets = [Model(name=f"net-{k}", family="net", build=build, recipe=train, seed=k) for k in (0, 1)]
strategy = Strategy(criterion=DepthFirst(), remove=1, keep_per_stage=0, samples=16)

SUITE = Suite(
    name="mini",
    data=data,
    cases=grid(model=nets, strategy=[strategy]),
    attacks=(FGSM(eps=0.1),),
    samples=16,
    batches=(1,),
    timing_seconds=0.01,
    timing_threads=1,
)
'''


def write_mini(folder: Path) -> Path:
    """Write the suite to `folder`/suites/mini.py."""
    file = folder / "suites" / "mini.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(MINI)
    return file
