"""A suite that runs in seconds, as a file that processes and pytest can load."""

from pathlib import Path

TINY = '''"""A tiny suite for tests."""

from functools import partial

from robustprune.attacks import FGSM, PGD
from robustprune.criteria import Cka, DepthFirst
from robustprune.data import digits
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.policy.policy import Policy
from robustprune.suite.cases import Model, Strategy, Suite, grid

build = partial(CifarResNet, depth=20, width=4, in_channels=1)
net = Model(name="net", build=build, recipe=Recipe(name="train", epochs=2, lr=0.1))

SUITE = Suite(
    name="tiny",
    data=digits,
    cases=grid(
        model=net,
        strategy=[Strategy(criterion=Cka(), remove=2, samples=64), Strategy(criterion=DepthFirst(), remove=1)],
        recipe=Recipe(name="ft", epochs=1, lr=0.01, samples=200),
        seed=(0, 1),
    ),
    attacks=(FGSM(eps=0.05), PGD(eps=0.05, steps=3)),
    policy=Policy(max_clean_drop=0.05, max_robust_drop=0.05),
    samples=40,
    minutes=0.1,
    batches=(1, 8),
    timing_seconds=0.02,
)
'''


def write_tiny(folder: Path, text: str = TINY) -> Path:
    """Write the tiny suite to `folder`/suites/tiny.py."""
    file = folder / "suites" / "tiny.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


class Silent:
    """A listener that says nothing and remembers what it was told."""

    def __init__(self):
        self.stages, self.done = [], []

    def stage(self, case, stage, done, total):
        self.stages.append((case, stage))

    def finished(self, case):
        self.done.append(case)
