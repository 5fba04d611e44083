"""The contract of removal over every architecture: pruned = bypassed, and the layers are really gone."""

import copy

import pytest
import torch
from block_zoo import ARCHITECTURES, expected, made
from bypassing import bypass

from robustprune.models import find_blocks, weights_hash
from robustprune.prune import remove


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_pruned_is_bypassed(name):
    model, x = made(name)
    wanted = expected(name, model)[1::2] or expected(name, model)[:1]
    before, flags = weights_hash(model), [module.training for module in model.modules()]
    blocks = [block for block in find_blocks(model, x) if block.name in wanted]
    pruned = remove(model, blocks)
    with torch.no_grad():
        with bypass(model, blocks):
            bypassed = model(x)
        with bypass(model, wanted):
            torch.testing.assert_close(model(x), bypassed)
        torch.testing.assert_close(pruned(x), bypassed, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(model(x), bypassed, rtol=1e-3, atol=1e-3)
    gone = {key for key in model.state_dict() if key.startswith(tuple(f"{name}." for name in wanted))}
    assert gone
    assert set(pruned.state_dict()) == set(model.state_dict()) - gone
    assert len(list(pruned.modules())) < len(list(model.modules()))
    assert (weights_hash(model), [module.training for module in model.modules()]) == (before, flags)
    left = {block.name for block in find_blocks(pruned, x)}
    assert left == {*expected(name, model)} - {*wanted}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_block_whose_weights_are_zero_is_its_skip_path(name):
    """An oracle that knows nothing of traces: with zero weights, x + f(x) is x, as bypassing must give."""
    model, x = made(name)
    blocks = find_blocks(model, x)
    zeroed = copy.deepcopy(model)
    with torch.no_grad():
        for block in blocks:
            for weights in zeroed.get_submodule(block.name).parameters():
                weights.zero_()
        with bypass(model, blocks):
            torch.testing.assert_close(model(x), zeroed(x))
