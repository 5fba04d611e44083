"""The networks of images that people use, without a branch: as an ONNX file onnxruntime says the same."""

import pytest
import torch
from architecture_zoo import ARCHITECTURES, made

from robustprune.models import find_blocks
from robustprune.prune import remove
from robustprune.ship.export import export_onnx

pytestmark = pytest.mark.filterwarnings("ignore")

OF_IMAGES = [name for name, (_, given, *_) in ARCHITECTURES.items() if not isinstance(given, dict)]


class Logits(torch.nn.Module):
    """A network that returns logits alone, also where its library returns more."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        found = self.net(x)
        return found if isinstance(found, torch.Tensor) else found.logits


@pytest.mark.parametrize("name", OF_IMAGES)
def test_without_a_branch_it_is_exported(name, tmp_path):
    pytest.importorskip("onnxruntime")
    net, example = made(name)
    pruned = Logits(remove(net, find_blocks(net, example, "branch")[:1], example)).eval()
    assert export_onnx(pruned, tmp_path / "pruned.onnx", torch.rand(4, *example.shape[1:])).holds
