"""The published Transformer computes what its ONNX file computes, and what its authors measured."""

import numpy as np
import pytest
import torch

from robustprune.data import cifar10, data_root
from robustprune.errors import InputError
from robustprune.models import find_blocks, load_weights
from robustprune.models.external import initialisers
from robustprune.models.vit import VNNCOMP_MEAN, VNNCOMP_STD, VisionTransformer, cifar10_vit
from robustprune.ship.export import export_onnx

FILE = data_root() / "vit" / "vit_pgd_2_3_16.onnx"
published = pytest.mark.skipif(not FILE.is_file(), reason="the published file is not in the data folder")


@published
def test_the_published_network_from_its_onnx_file():
    onnxruntime = pytest.importorskip("onnxruntime")
    net, test = load_weights(cifar10_vit(), FILE).eval(), cifar10().test
    x, y = test.x[:1000], test.y[:1000]
    with torch.no_grad():
        logits = net(x)
    mean, std = (np.float32(one).reshape(3, 1, 1) for one in (VNNCOMP_MEAN, VNNCOMP_STD))
    (theirs,) = onnxruntime.InferenceSession(str(FILE)).run(None, {"input": (x.numpy() - mean) / std})
    np.testing.assert_allclose(logits.numpy(), theirs, atol=1e-4)
    assert int((logits.argmax(1) == y).sum()) == 611
    assert [block.name for block in find_blocks(net, x)] == ["1.0", "1.1"]
    assert [block.name for block in find_blocks(net, x, "branch")] == ["1.0.0", "1.0.1", "1.1.0", "1.1.1"]


def test_weights_come_back_from_an_onnx_file(tmp_path):
    """Linear layers over tokens lose their names on the way, and have them again."""
    torch.manual_seed(0)
    net = VisionTransformer(size=8, patch=4, in_channels=1, width=8, layers=1, heads=2, norm="layer").eval()
    x = torch.rand(4, 1, 8, 8)
    export_onnx(net, tmp_path / "net.onnx", x)
    found = initialisers(tmp_path / "net.onnx")
    for name in ("1.0.0.fn.1.query.weight", "1.0.1.fn.1.3.weight", "2.2.weight"):
        assert torch.equal(found[name], net.get_parameter(name))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="patch=5"):
        VisionTransformer(size=8, patch=5)
