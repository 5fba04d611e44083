"""What a factory gives becomes a network that returns logits alone, or is refused in one line."""

import copy
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from block_zoo import small_net
from torch import nn

from robustprune.errors import InputError
from robustprune.models import CifarResNet, as_network, load_weights, logits_alone, save_weights, weights_hash

X = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Returning(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.net, self.what, self.drawn = small_net(), what, nn.Buffer(torch.zeros(()))

    def forward(self, x):
        self.drawn += torch.rand(())
        return self.what(self.net(x), x)


@pytest.mark.parametrize(
    "what",
    [
        lambda z, x: z,
        lambda z, x: (z, x),
        lambda z, x: [x, z],
        lambda z, x: (z, None),
        lambda z, x: {"logits": z, "hidden": z + 1},
        lambda z, x: {"out": z},
        lambda z, x: OrderedDict(features=x, scores=z),
        lambda z, x: SimpleNamespace(logits=z, loss=None),
    ],
)
def test_the_logits_are_taken_and_names_stay(what):
    torch.manual_seed(0)
    net = Returning(what).eval()
    names, before, state = [*net.state_dict()], weights_hash(net), torch.get_rng_state()
    made = as_network(net, "mine", X)
    assert made is net
    assert weights_hash(net) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert [*made.state_dict()] == names
    torch.testing.assert_close(copy.deepcopy(made)(X), net.net(X))


@pytest.mark.parametrize("output", [(torch.ones(2, 3), torch.ones(2, 4)), {}, 3, (torch.ones(2), torch.ones(2))])
def test_what_cannot_be_told_is_refused(output):
    with pytest.raises(InputError, match="which are its logits") as caught:
        logits_alone(output)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "mine: its factory gave int"),
        (None, "mine: its factory gave NoneType"),
        (nn.Linear, r"gave the class Linear, expected a network: Linear\(\)"),
        (nn.Linear(2, 2, device="meta"), "its weights lie on meta"),
        (nn.Sequential(nn.Linear(2, 2, device="meta"), nn.Linear(2, 2)), "its weights lie on cpu and meta"),
    ],
)
def test_what_is_no_network(thing, message):
    with pytest.raises(InputError, match=message) as caught:
        as_network(thing, "mine", X)
    assert "\n" not in str(caught.value)


def test_a_network_that_does_not_run_is_left_to_whoever_uses_it():
    net = small_net()
    assert as_network(net, "mine", X[:, :1]) is net
    assert as_network(net, "mine", X[:0]) is net


def test_data_parallel_comes_off(tmp_path):
    net = CifarResNet(8, width=2)
    wrapped = nn.DataParallel(nn.DataParallel(net))
    assert as_network(wrapped, "mine", X) is net
    save_weights(wrapped, tmp_path / "w.safetensors")
    assert weights_hash(load_weights(CifarResNet(8, width=2), tmp_path / "w.safetensors")) == weights_hash(net)
