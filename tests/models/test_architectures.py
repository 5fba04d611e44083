"""Blocks and branches of the networks that people use: found, removed exactly, counted and saved."""

from contextlib import ExitStack

import pytest
import torch
from architecture_zoo import ARCHITECTURES, Bound, made, one_of
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from robustprune.cost.counts import count_macs
from robustprune.models import find_blocks, load_weights, save_weights
from robustprune.models.skip import make_skip
from robustprune.prune import remove

pytestmark = pytest.mark.filterwarnings("ignore")


def answer(net, example):
    with torch.no_grad():
        return Bound(net, example)()


def independent_macs(net, example):
    """Half of the operations that torch's own counter sees, without its fused attention."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        answer(net, one_of(example))
    torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() // 2


def silenced(result):
    """What a module returned, with zeros for its numbers."""
    if isinstance(result, torch.Tensor):
        return torch.zeros_like(result)
    return tuple(silenced(part) if isinstance(part, torch.Tensor) else part for part in result)


def bypassed(net, blocks, example):
    """The answer of the whole network, all its modules at work, with each branch multiplied by 0 where it ends."""
    with ExitStack() as stack:
        for block in blocks:
            module = net.get_submodule(block.at)
            if block.branch is not None:
                hook = module.register_forward_hook(lambda module, args, result: silenced(result))
            else:
                skip = make_skip(block.activations, block.argument, block.place)
                hook = module.register_forward_hook(
                    lambda module, args, kwargs, result, skip=skip: skip(*args, **kwargs), with_kwargs=True
                )
            stack.callback(hook.remove)
        return answer(net, example)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_blocks_and_branches(name, tmp_path):
    net, example = made(name)
    whole, full = answer(net, example), independent_macs(net, example)
    assert count_macs(Bound(net, one_of(example)), torch.zeros(1)) == full
    for unit, count in zip(("outermost", "branch"), ARCHITECTURES[name][2:], strict=True):
        blocks = find_blocks(net, example, unit)
        assert len(blocks) == count
        gone = blocks[::2]
        pruned = remove(net, gone)
        found = answer(pruned, example)
        torch.testing.assert_close(found, bypassed(net, gone, example), rtol=1e-5, atol=1e-5)
        assert (found - whole).abs().max() > 1e-5 or not gone
    macs = independent_macs(pruned, example)
    assert count_macs(Bound(pruned, one_of(example)), torch.zeros(1)) == macs
    assert macs < full or not gone or "PoolFormer" in name  # whose pooling multiplies nothing
    save_weights(pruned, tmp_path / "pruned.safetensors")
    again = remove(net, [block.name for block in gone], example)
    with torch.no_grad():
        for weights in again.parameters():
            weights.zero_()
    torch.testing.assert_close(answer(load_weights(again, tmp_path / "pruned.safetensors"), example), found)
    torch.testing.assert_close(answer(net, example), whole)


@pytest.mark.parametrize("name", ["torchvision ViT", "timm Swin", "transformers Llama"])
def test_what_goes_with_a_branch_is_all_its_work(name):
    """Attention and feed-forward of a layer gone one after the other leave what the layer gone leaves."""
    net, example = made(name)
    branches = find_blocks(net, example, "branch")
    one = remove(net, branches[:1])
    left = find_blocks(one, example, "branch")
    assert [block.name for block in left] == [block.name for block in branches[1:]]
    both, layer = remove(one, left[:1]), remove(net, find_blocks(net, example)[:1])
    assert independent_macs(both, example) == independent_macs(layer, example)
    assert len(find_blocks(both, example)) == len(find_blocks(net, example)) - 1
