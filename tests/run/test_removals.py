"""A strategy that wants too many blocks is refused before anything is trained; other returns than logits run."""

import pytest
from suite_files import Silent
from torch import nn

from robustprune.attacks import FGSM
from robustprune.criteria import DepthFirst
from robustprune.data import digits
from robustprune.errors import InputError
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.run.inspection import inspected
from robustprune.run.store import Store
from robustprune.run.suite import run_suite
from robustprune.suite.cases import Model, Strategy, Suite, grid


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
