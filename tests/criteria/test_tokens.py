"""How much blocks and branches change tokens: known answers, with formulas as they stand in the papers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from robustprune.criteria import AngularDistance, BlockInfluence, Cka, Taylor
from robustprune.criteria.changes import relative_change, turn
from robustprune.criteria.context import ScoringContext
from robustprune.criteria.replay import Tape
from robustprune.models import evaluating, find_blocks
from robustprune.models.vit import VisionTransformer
from robustprune.prune import remove

X = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(3))
Y = torch.arange(6) % 3


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    made = VisionTransformer(size=8, patch=4, in_channels=1, width=8, layers=2, heads=2, norm="layer")
    with torch.no_grad():
        for weights in made.parameters():
            weights.add_(0.2 * torch.randn(weights.shape))
    return made.eval()


def context(net, unit, **more):
    return ScoringContext(model=net, blocks=find_blocks(net, X, unit), x=X, y=Y, **more)


def states(net):
    """The tokens before the first layer, between its branches, and so on."""
    with torch.no_grad():
        found = [net[0](X)]
        for layer in net[1]:
            for branch in layer:
                found.append(found[-1] + branch(found[-1]))
    return [state.double().numpy() for state in found]


def cosines(before, after):
    """One cosine a token."""
    return (before * after).sum(-1) / np.linalg.norm(before, axis=-1) / np.linalg.norm(after, axis=-1)


def test_a_quarter_turn_of_one_token_in_two():
    before = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    after = torch.tensor([[[0.0, 2.0], [3.0, 0.0]]])
    assert relative_change(before, after).tolist() == pytest.approx([0.5])
    assert turn(before, after).tolist() == pytest.approx([0.25])
    assert turn(before, -before).tolist() == pytest.approx([1.0])


@pytest.mark.parametrize(("unit", "step"), [("outermost", 2), ("branch", 1)])
def test_influence_and_angle_of_blocks_and_branches(net, unit, step):
    tokens = states(net)[::step]
    ctx = context(net, unit)
    influence, angle = BlockInfluence()(ctx), AngularDistance()(ctx)
    assert len(influence) == len(tokens) - 1
    for index, block in enumerate(ctx.blocks):
        found = cosines(tokens[index], tokens[index + 1])
        assert influence[block.name] == pytest.approx(float((1 - found).mean()), abs=1e-6)
        assert angle[block.name] == pytest.approx(float(np.arccos(found).mean()) / math.pi, abs=1e-6)


def test_what_is_scored_is_what_is_removed(net):
    ctx = context(net, "branch")
    for block in ctx.blocks:
        with torch.no_grad():
            wanted = remove(net, [block])(X)
        np.testing.assert_allclose(ctx.without(block.name).logits, wanted.numpy(), atol=1e-5)


def test_the_gate_of_a_branch_is_the_derivative_along_it(net):
    """Against finite differences of the loss with the branch's output scaled."""
    scores, step = Taylor()(context(net, "branch")), 1e-3
    for name, score in scores.items():
        losses = []
        for gate in (1 - step, 1 + step):
            twin = context(net, "branch")
            hook = net.get_submodule(name).register_forward_hook(lambda module, args, out, gate=gate: gate * out)
            losses.append(nn.functional.cross_entropy(torch.from_numpy(twin.logits), Y).item())
            hook.remove()
        assert score == pytest.approx(((losses[1] - losses[0]) / (2 * step)) ** 2, rel=2e-2, abs=1e-9)


def test_a_batch_keeps_no_more_than_memory_allows(net, monkeypatch):
    kept, record = [], Tape.record

    def watched(tape, batch):
        output = record(tape, batch)
        held = [one for _, one in tape._calls if isinstance(one, torch.Tensor)]
        kept.append((len(batch), sum(one.numel() * one.element_size() for one in held)))
        return output

    monkeypatch.setattr(Tape, "record", watched)
    whole = Cka()(context(net, "branch"))
    (_, everything), *_ = kept
    kept.clear()
    small = Cka()(context(net, "branch", memory=everything // 2))
    assert len(kept) > 1
    assert max(size for _, size in kept) <= everything // 2
    assert sum(count for count, _ in kept) == len(X)
    assert small == pytest.approx(whole, abs=1e-6)


def test_the_network_is_left_as_it_was(net):
    with evaluating(net), torch.no_grad():
        before = net(X)
        assert context(net, "branch").influence
        assert torch.equal(net(X), before)
