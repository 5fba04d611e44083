"""The frontier and the interception of calls, by themselves."""

import pytest
import torch
from torch import nn

from robustprune.criteria.replay import Tape, first, frontier, intercepted
from robustprune.errors import InputError


def nest():
    return nn.Sequential(
        nn.Sequential(nn.Linear(2, 2), nn.ReLU()),
        nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Tanh())),
        nn.Linear(2, 2),
    )


def test_frontier_covers_every_layer_once():
    net = nest()
    for blocks in ([net[1][1]], [net[1]], [net[0][0], net[1][0]], [net[2]]):
        found = frontier(net, blocks)
        assert set(blocks) <= set(found)
        covered = [leaf for module in found for leaf in module.modules() if not list(leaf.children())]
        assert covered == [leaf for leaf in net.modules() if not list(leaf.children())]
        assert sum(len(set(blocks) & set(module.modules())) for module in found) == len(blocks)


def test_frontier_is_as_coarse_as_can_be():
    net = nest()
    assert frontier(net, [net[1][1]]) == [net[0], net[1][0], net[1][1], net[2]]


def test_one_block_inside_another_is_refused():
    net = nest()
    with pytest.raises(InputError, match="contains another block"):
        frontier(net, [net[1], net[1][1]])


def test_interceptions_nest_and_keep_a_forward_of_the_modules_own():
    layer = nn.Identity()
    layer.forward = own = lambda x: x + 1

    def twice(module, forward, x):
        return 2 * forward(x)

    with intercepted([layer], twice):
        with intercepted([layer], lambda module, forward, x: forward(x) + 10):
            assert layer(torch.zeros(())).item() == 12
        assert layer(torch.zeros(())).item() == 2
    assert layer.forward is own
    with pytest.raises(RuntimeError, match="boom"), intercepted([layer], twice):
        raise RuntimeError("boom")
    assert layer.forward is own


def test_a_tape_knows_its_batch_only():
    net = nest()
    tape = Tape(net, {"1": net[1]}, {"1": nn.Identity()})
    with torch.no_grad():
        for _ in range(2):
            x = torch.rand(3, 2)
            assert torch.equal(tape.record(x), net(x))
            assert torch.equal(tape.without("1"), net[2](net[0](x)))
            assert torch.equal(tape.without("1"), net[2](net[0](x)))


def test_a_tape_without_a_record_says_so():
    net = nest()
    with pytest.raises(InputError, match="block 1: the forward pass never calls it"):
        Tape(net, {"1": net[1]}, {"1": nn.Identity()}).without("1")


def test_first_argument():
    assert [first((1, 2), {}), first((1,), {"x": 2}), first((), {"x": 2})] == [1, 1, 2]
