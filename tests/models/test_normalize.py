import pytest
import torch
from torch import nn
from torchvision.transforms.functional import normalize

from robustprune.errors import InputError
from robustprune.models import Normalize, Normalized

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]


def test_agrees_with_torchvision():
    x = torch.rand(4, 3, 5, 6)
    torch.testing.assert_close(Normalize(MEAN, STD)(x), normalize(x, MEAN, STD))
    net = nn.Flatten()
    torch.testing.assert_close(Normalized(net, MEAN, STD)(x), net(normalize(x, MEAN, STD)))


def test_values_follow_the_model_and_stay_out_of_weight_files():
    layer = Normalize(MEAN, STD).double()
    assert layer.mean.dtype == torch.float64
    assert (list(layer.state_dict()), list(layer.parameters())) == ([], [])


def test_a_grey_image_does_not_become_a_colour_image():
    with pytest.raises(InputError, match=r"\(2, 1, 4, 4\).*\(N, 3, H, W\)"):
        Normalize(MEAN, STD)(torch.rand(2, 1, 4, 4))


@pytest.mark.parametrize(
    ("mean", "std"), [([0.5], [0.0]), ([0.5], [-1]), ([0.5, 0.5], [1.0]), ([], []), ([0.5], [float("nan")])]
)
def test_refuses_what_cannot_be(mean, std):
    with pytest.raises(InputError):
        Normalize(mean, std)


def test_refuses_means_that_are_not_finite():
    with pytest.raises(InputError, match="finite"):
        Normalize([float("nan")], [1.0])
