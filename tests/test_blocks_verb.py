"""The verb `blocks`: every unit, its cost, and what forbids it."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from robustprune.cli.suites import main
from robustprune.cost.counts import count_macs
from robustprune.models import CifarResNet
from robustprune.prune import remove

NETS = '''"""Networks."""
import torch
from torch import nn
from robustprune.models import CifarResNet

def small():
    return nn.DataParallel(CifarResNet(14, "B", width=4))

def flat():
    return torch.fx.symbolic_trace(CifarResNet(8, width=2))

def number():
    return 3
'''


@pytest.fixture
def blocks(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)

    def call(name, *options):
        words = ["blocks", f"{tmp_path / 'nets.py'}:{name}", *options]
        return CliRunner().invoke(main, words)

    return call


def test_the_table(blocks):
    text = blocks("small", "--input", "3x16x16").output
    head, *rows = text.split("\n\n")[0].splitlines()
    assert head.split()[:4] == ["unit", "class", "MACs", "parameters"]
    assert [row.split()[0] for row in rows] == [f"layer{stage}.{index}" for stage in (1, 2, 3) for index in (0, 1)]
    assert "layer2.0.shortcut.0), its input 4x16x16 and output 8x8x8 differ" in rows[2]
    assert text.split("\n\n")[1] == (
        "4 removable blocks, of which a strategy may take 0 with keep_per_stage=1, protect_first=True; "
        "3 if none is kept (keep_per_stage=0), 1 if first blocks may go (protect_first=False), 4 with both\n"
    )


def test_costs_are_what_goes_with_a_block(blocks):
    found = json.loads(blocks("small", "--input", "3x16x16", "--json").output)
    net, x = CifarResNet(14, "B", width=4).eval(), torch.rand(1, 3, 16, 16)
    assert found["removable"] == sum(unit["removable"] for unit in found["units"]) == 4
    for unit in found["units"]:
        if unit["removable"]:
            without = remove(net, [unit["name"]], x)
            assert unit["macs"] == count_macs(net, x) - count_macs(without, x)
            assert unit["parameters"] == _numbers(net) - _numbers(without)
    assert [unit["stage"] for unit in found["units"]] == [0, 0, 1, 1, 2, 2]


def _numbers(net: nn.Module):
    return sum(weights.numel() for weights in net.parameters())


def test_without_data_an_input_that_fits_is_found_and_reasons_are_said(blocks):
    assert "0 removable blocks: the additions of" in blocks("flat").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("number",), "its factory gave int"),
        (("small", "--input", "3x-1"), "--input '3x-1': expected the lengths of one input"),
        (("small", "--data", "digits"), "does not run on an example of shape (2, 1, 8, 8)"),
        (("small", "--data", "digits", "--input", "1x8x8"), "expected one of the two"),
    ],
)
def test_wrong_use_is_one_line(blocks, words, said):
    result = blocks(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
