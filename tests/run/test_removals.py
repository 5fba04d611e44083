"""A strategy that wants too many blocks is refused before anything is trained; other returns than logits run."""

from dataclasses import replace

import pytest
from suite_files import Silent
from torch import nn

from robustprune.attacks import FGSM
from robustprune.criteria import DepthFirst
from robustprune.data import digits
from robustprune.errors import InputError
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.report.formats import to_markdown
from robustprune.report.table import comparison
from robustprune.run.inspection import inspected
from robustprune.run.keys import digest
from robustprune.run.store import Store
from robustprune.run.suite import run_suite
from robustprune.suite.cases import Model, Strategy, Suite, grid


class Nested(nn.Module):
    """Two branches: y = g(x), a residual unit itself, and y + f(y)."""

    def __init__(self):
        super().__init__()
        self.inner, self.conv = Inner(), nn.Conv2d(1, 1, 1)

    def forward(self, x):
        x = self.inner(x)
        return x + self.conv(x)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x).relu()


def nested():
    return nn.Sequential(*[Nested() for _ in range(4)], nn.Flatten(), nn.Linear(64, 10))


class Returning(nn.Module):
    """Logits with something beside them."""

    def __init__(self):
        super().__init__()
        self.net = CifarResNet(14, width=2, in_channels=1)

    def forward(self, x):
        return {"logits": self.net(x), "input": x}


def parallel():
    return nn.DataParallel(Returning())


def suite(build, **strategy):
    recipe = Recipe(name="train", epochs=1, lr=0.01, samples=100)
    ways = [Strategy(criterion=DepthFirst(), samples=20, **strategy)]
    return Suite(
        name="mine",
        data=digits,
        cases=grid(model=Model(name="net", build=build, recipe=recipe), strategy=ways),
        attacks=(FGSM(eps=0.05),),
        samples=10,
        minutes=0.1,
        batches=(1,),
        timing_seconds=0.01,
    )


@pytest.mark.parametrize(
    "strategy", [{"remove": 0.5}, {"remove": 1}, {"remove": 9, "keep_per_stage": 0}, {"remove": 0.9, "step": 1}]
)
def test_too_many_blocks_are_refused_by_check_and_before_training(strategy, tmp_path):
    wrong, listener = suite(parallel, **strategy), Silent()
    with pytest.raises(InputError, match=r"net/depth-first.*can go with keep_per_stage=.*protect_first=True"):
        inspected(wrong, "cpu")
    with pytest.raises(InputError, match=r"net/depth-first.*can go with keep_per_stage"):
        run_suite(wrong, Store(folder=tmp_path), listener, workers=1)
    assert listener.stages == []


def test_a_wrapped_network_that_returns_a_dict_is_pruned_and_measured(tmp_path):
    right = suite(parallel, remove=2, keep_per_stage=0)
    assert "model net: 4 removable blocks" in inspected(right, "cpu")
    parent, pruned = run_suite(right, Store(folder=tmp_path), Silent(), workers=1)
    assert parent.blocks == ["net.layer1.0", "net.layer1.1", "net.layer2.1", "net.layer3.1"]
    assert len(pruned.removed) == 2
    assert len(pruned.clean) == 10
    assert [check.number for check in pruned.checks] == [*range(1, 30)]


def test_a_strategy_takes_out_the_units_that_it_names(tmp_path):
    """Blocks and branches of one network in one suite; what goes are units of that size, and rows say which."""
    both = [suite(nested, remove=1, unit=unit) for unit in ("outermost", "branch")]
    whole = replace(both[0], cases=[*both[0].cases, *both[1].cases[1:]])
    parent, block, branch = run_suite(whole, Store(folder=tmp_path), Silent(), workers=1)
    assert (parent.blocks, block.blocks) == (["0", "1", "2", "3"], ["0", "1", "2", "3"])
    assert branch.blocks == [f"{layer}.{part}" for layer in range(4) for part in ("inner", "conv")]
    assert (len(block.removed), len(branch.removed)) == (1, 1)
    assert branch.removed[0] in branch.blocks
    assert (block.removed, branch.removed) == (["1"], ["0.conv"])
    assert branch.cost.macs - block.cost.macs == 9 * 64  # of its two convolutions that of nine weights stays
    assert [case.case for case in (block, branch)] == [
        "net/depth-first-1/seed0",
        "net/depth-first (branches)-1/seed0",
    ]
    text = to_markdown(comparison([parent, block, branch]))
    assert "| 1 of 8 branches |" in " ".join(text.split())
    assert "| 1 of 4 |" in " ".join(text.split())
    assert block.weights_hash != branch.weights_hash


def test_a_unit_is_part_of_the_key_and_another_word_is_refused():
    ways = [Strategy(criterion=DepthFirst(), remove=1, unit=unit) for unit in ("outermost", "smallest", "branch")]
    assert len({digest(way) for way in ways}) == 3
    with pytest.raises(InputError, match="unit"):
        Strategy(criterion=DepthFirst(), remove=1, unit="layer")
