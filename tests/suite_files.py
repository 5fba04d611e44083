"""A suite that runs in seconds, as a file that processes and pytest can load."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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


@contextmanager
def evidence_taken_as_read() -> Iterator[None]:
    """Let every check pass unseen: for tests of what is done with networks, since checks take most of the time."""
    from robustprune.results.checks import CATALOGUE
    from robustprune.results.records import Check

    def passed(context, tier):
        return [
            Check(number=number, name=entry.name, status="pass", evidence="taken as read", blocking=entry.blocking)
            for number, entry in CATALOGUE.items()
            if number < 30
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robustprune.run.examined.gather", passed)
        yield


class Silent:
    """A listener that says nothing and remembers what it was told."""

    def __init__(self):
        self.stages, self.done = [], []

    def stage(self, case, stage, done, total):
        self.stages.append((case, stage))

    def finished(self, case):
        self.done.append(case)
