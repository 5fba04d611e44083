"""A network that lost a branch: its file says which, a review sees which, and a list has both branches of a layer."""

import json

import torch
from click.testing import CliRunner

from robustprune.cli.suites import main
from robustprune.cost.counts import count_macs
from robustprune.models import save_weights
from robustprune.models.vit import VisionTransformer
from robustprune.prune import remove
from robustprune.review.anatomy import anatomy, compare
from robustprune.review.given import METADATA, open_candidate, open_parent

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_review_names_the_branch_that_went():
    torch.manual_seed(0)
    net = VisionTransformer(size=8, patch=4, in_channels=1, width=8, layers=2, heads=2)
    found = compare(anatomy(net, X[:1]), anatomy(remove(net, ["1.0.1"], X), X[:1]))
    assert [(layer.name, layer.kind) for layer in found.gone] == [("1.0.1", "Branch")]
    assert found.blocks == (2, 2)
    assert not found.added
    assert not found.altered


def test_a_file_without_a_branch_comes_back(tmp_path):
    (tmp_path / "nets.py").write_text(
        "from robustprune.models.vit import VisionTransformer\n\n"
        "def net():\n    return VisionTransformer(size=8, patch=4, in_channels=1, width=8, layers=2, heads=2)\n"
    )
    spec = f"{tmp_path / 'nets.py'}:net"
    torch.manual_seed(0)
    net = VisionTransformer(size=8, patch=4, in_channels=1, width=8, layers=2, heads=2).eval()
    save_weights(net, tmp_path / "parent.safetensors")
    pruned = remove(net, ["1.0.0", "1.1.1"], X)
    said = json.dumps({"removed": ["1.0.0", "1.1.1"]})
    save_weights(pruned, tmp_path / "pruned.safetensors", {METADATA: said})
    parent = open_parent(spec, tmp_path / "parent.safetensors", X[:1])
    candidate = open_candidate(str(tmp_path / "pruned.safetensors"), None, parent)
    with torch.no_grad():
        assert torch.equal(candidate.load()(X), pruned(X))
    listed = CliRunner().invoke(main, ["blocks", spec, "--input", "1x8x8", "--unit", "branch", "--json"])
    rows = {row["name"]: row for row in json.loads(listed.output)["units"]}
    assert list(rows) == ["1.0.0", "1.0.1", "1.1.0", "1.1.1"]
    assert all(row["removable"] for row in rows.values())
    for name in ("1.0.0", "1.1.1"):
        assert rows[name]["macs"] == count_macs(net, X) - count_macs(remove(net, [name], X), X)
