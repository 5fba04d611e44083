"""One rule, for suites and reviews: does this network fit these data?"""

import pytest
import torch
from torch import nn

from robustprune.errors import InputError
from robustprune.run.fits import check_fits

X = torch.rand(1, 1, 8, 8)


class Gives(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output


def fits(net, classes=10):
    return check_fits(net, X, classes, "the net")


def test_a_logit_for_every_class_is_enough_and_more_are_allowed():
    for logits in (10, 1000):
        assert fits(nn.Sequential(nn.Flatten(), nn.Linear(64, logits))) is None


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 9)),
            r"the net gives \(1, 9\) for one image, the data have 10 classes",
        ),
        (Gives((torch.zeros(1, 10), None)), "the net gives tuple for one image"),
        (Gives(torch.zeros(1, 10, 1, 1)), r"the net gives \(1, 10, 1, 1\)"),
        (Gives(torch.zeros(2, 10)), r"the net gives \(2, 10\)"),
        (nn.Linear(3, 10), "the net does not run on images of shape"),
    ],
)
def test_everything_else_is_refused_in_one_line(net, reason):
    with pytest.raises(InputError, match=reason) as refused:
        fits(net)
    assert "\n" not in str(refused.value)


def test_the_network_comes_back_as_it_was():
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).train()
    before = net[1].running_mean.clone()
    fits(net)
    assert net.training
    assert torch.equal(net[1].running_mean, before)
