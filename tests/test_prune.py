import copy
import random
from itertools import combinations

import pytest
import torch
from bypassing import bypass
from torch import nn

from robustprune.errors import InputError
from robustprune.models import Block, CifarResNet, Skip, find_blocks, resnet4b, weights_hash
from robustprune.prune import check_count, choose, choose_run, count_to_remove, eligible, most_removable, remove

X = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def resnet56():
    model = CifarResNet(56, width=2).eval()
    return model, find_blocks(model, X)


class Unit(nn.Module):
    """act(x + f(x)); extra arguments are ignored."""

    def __init__(self, act=None):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), act or nn.Identity()

    def forward(self, x, *extra):
        return self.act(x + self.conv(x))


class Indexed(nn.Module):
    """Runs the children of a Sequential and of a ModuleList, and attributes, by position."""

    def __init__(self):
        super().__init__()
        self.stages, self.layers = nn.Sequential(Unit(), Unit(), Unit()), nn.ModuleList([Unit(), Unit()])
        self.last = Unit()

    def forward(self, x):
        x = self.stages[2](self.stages[1](self.stages[0](x)))
        return self.last(self.layers[1](self.layers[0](x, None), 3), x)


def parameters(model):
    return sum(weights.numel() for weights in model.parameters())


def test_parent_is_untouched_and_shares_nothing(resnet56):
    model, blocks = resnet56
    before = weights_hash(model)
    pruned = remove(model, [block.name for block in blocks[3:9]], X)
    with torch.no_grad():
        for weights in pruned.parameters():
            weights.zero_()
    assert weights_hash(model) == before
    assert len(model.layer1) == 9
    assert type(pruned) is CifarResNet


def test_remaining_children_keep_their_names(resnet56):
    model, _ = resnet56
    pruned = remove(model, ["layer1.1", "layer1.2", "layer1.7"], X)
    assert list(pruned.layer1._modules) == ["0", "3", "4", "5", "6", "8"]
    assert pruned.state_dict().keys() < model.state_dict().keys()
    for name, tensor in pruned.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    block = parameters(model.layer1[1])
    assert parameters(model) - parameters(pruned) == 3 * block


def test_removing_in_steps_is_removing_at_once(resnet56):
    model, blocks = resnet56
    names = [block.name for block in blocks if block.position == 5]
    step = model
    for name in names:
        step = remove(step, [name], X)
    assert weights_hash(step) == weights_hash(remove(model, names, X))
    with torch.no_grad():
        torch.testing.assert_close(step(X), remove(model, names, X)(X))


def test_nothing_removed_is_a_copy(resnet56):
    model, _ = resnet56
    assert weights_hash(remove(model, [], X)) == weights_hash(model)
    assert remove(model, [], X) is not model


def test_stand_ins_where_code_outside_may_count_positions():
    model = Indexed().eval()
    names = ["stages.1", "layers.0", "last"]
    pruned = remove(model, names)
    assert [type(pruned.get_submodule(name)) for name in names] == [Skip] * 3
    assert parameters(pruned) == parameters(model) // 2
    with torch.no_grad(), bypass(model, names):
        torch.testing.assert_close(pruned(X), model(X))


def test_activation_takes_the_place_of_the_block():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), Unit(nn.ReLU()), Unit(nn.ReLU()), nn.Flatten()).eval()
    pruned = remove(model, ["1", "2"], X - 0.5)
    assert [type(module).__name__ for module in pruned] == ["Conv2d", "Skip", "Flatten"]
    with torch.no_grad():
        torch.testing.assert_close(pruned(X), torch.relu(model[0](X)).flatten(1))


def test_a_block_held_in_two_places_goes_from_both():
    unit = Unit()
    model = nn.Sequential(nn.Sequential(unit, nn.ReLU()), nn.Sequential(unit, nn.Flatten())).eval()
    pruned = remove(model, ["0.0"], X)
    assert parameters(pruned) == 0
    torch.testing.assert_close(pruned(X), X.flatten(1))


def test_training_state_and_class_survive(resnet56):
    model = CifarResNet(14, width=2).train()
    model.bn1.eval()
    model.linear.bias.requires_grad_(False)
    pruned = remove(model, ["layer2.1"])
    assert pruned.layer1[1].bn1.training
    assert not pruned.bn1.training
    assert not pruned.linear.bias.requires_grad


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["layer1.9"], r"no module 'layer1\.9'; did you mean .*layer1\."),
        (["layer2.0"], r"layer2\.0 is no removable block; did you mean .*layer2\."),
        (["layer1.1.conv1"], r"layer1\.1\.conv1 is no removable block"),
        (["layer1"], r"layer1 is no removable block"),
        ([""], r"no module ''"),
        (["layer1.1", "layer1.1"], "twice"),
    ],
)
def test_refuses_names(resnet56, names, message):
    with pytest.raises(InputError, match=message):
        remove(resnet56[0], names, X)


def test_papers_rule_for_resnet56(resnet56):
    _, blocks = resnet56
    candidates = eligible(blocks)
    assert [sum(block.stage == stage for block in candidates) for stage in range(3)] == [8, 8, 8]
    assert len(eligible(blocks, protect_first=False)) == 25
    assert (most_removable(blocks), most_removable(blocks, 0), most_removable(blocks, 1, False)) == (
        21,
        24,
        22,
    )


def test_ceiling_leaves_two_blocks_in_each_stage(resnet56):
    model, blocks = resnet56
    scores = {block.name: random.Random(block.name).random() for block in blocks}
    pruned = remove(model, choose(scores, blocks, 21), X)
    assert [len(stage) for stage in (pruned.layer1, pruned.layer2, pruned.layer3)] == [2, 2, 2]
    left = find_blocks(pruned, X)
    assert (len(eligible(left)), most_removable(left)) == (3, 0)
    assert [block.name for block in left if block.first] == ["layer1.0"]


def test_step_by_step_ends_where_one_shot_ends():
    model = CifarResNet(26, width=2).eval()
    for _ in range(6):
        blocks = find_blocks(model, X)
        scores = {block.name: random.Random(block.name).random() for block in blocks}
        model = remove(model, choose(scores, blocks, 1), X)
    assert sorted(len(stage) for stage in (model.layer1, model.layer2, model.layer3)) == [2, 2, 2]


def blocks_of(stages):
    """Blocks named a, b, ... with the stages given as digits, the first of each stage opening it."""
    return [
        Block(name=chr(97 + i), container="", stage=int(s), position=i, shape=(1,), first=stages.index(s) == i)
        for i, s in enumerate(stages)
    ]


@pytest.mark.parametrize(
    ("scores", "count", "keep", "protect", "expected"),
    [
        ([9, 1, 2, 3, 9, 0, 5], 3, 1, True, "bcf"),
        ([9, 1, 2, 3, 9, 0, 5], 3, 0, True, "fbc"),
        ([0, 1, 2, 3, 9, 0, 5], 2, 0, False, "af"),
        ([1, 1, 1, 1, 1, 1, 1], 3, 1, True, "bcf"),
        ([1, 1, 1, 1, 1, 1, 1], 0, 1, True, ""),
        ([0, float("inf"), 2, -float("inf"), 9, 0, 5], 2, 0, True, "df"),
    ],
)
def test_lowest_scores_go_first(scores, count, keep, protect, expected):
    blocks = blocks_of("0000111")
    chosen = choose(dict(zip("abcdefg", scores, strict=True)), blocks, count, keep, protect)
    assert sorted(chosen) == sorted(expected)
    numbers = [scores["abcdefg".index(name)] for name in chosen]
    assert numbers == sorted(numbers)


def test_choice_does_not_depend_on_the_order_of_the_scores():
    blocks = blocks_of("00001111")
    scores = {name: float(value) for name, value in zip("abcdefgh", [5, 3, 3, 3, 5, 3, 3, 1], strict=True)}
    shuffled = dict(sorted(scores.items(), reverse=True))
    assert choose(scores, blocks, 3) == choose(shuffled, blocks, 3) == ["h", "b", "c"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 4}, r"4 blocks to remove, but at most 3 of 7 can go.*5 if none is kept"),
        ({"count": -1}, "expected 0 or more"),
        ({"keep_per_stage": -1}, "expected 0 or more"),
        ({"scores": {"b": 1.0}}, "no score for c, d, f"),
        ({"scores": dict.fromkeys("abcdefg", float("nan"))}, "no score for b, c, d"),
    ],
)
def test_choose_refuses(changes, message):
    arguments = {"scores": dict.fromkeys("abcdefg", 1.0), "blocks": blocks_of("0000111"), "count": 1}
    with pytest.raises(InputError, match=message):
        choose(**(arguments | changes))


@pytest.mark.parametrize(
    ("stages", "settings", "more"),
    [
        ("01122", {}, "at most 0 of 5 .* 2 if none is kept .keep_per_stage=0., 2 if first .*False., 5 with both"),
        ("0000", {"keep_per_stage": 0}, "at most 3 of 4 .* 4 if first blocks may go .protect_first=False.$"),
        ("00", {"keep_per_stage": 0, "protect_first": False}, "at most 2 of 2 .* no other setting lets more go"),
        ("", {}, "no removable block; `robustprune blocks` says why"),
    ],
)
def test_too_many_names_the_settings_that_would_let_more_go(stages, settings, more):
    with pytest.raises(InputError, match=more):
        check_count(9, blocks_of(stages), **settings)


@pytest.mark.parametrize(("remove", "count"), [(3, 3), (0.5, 2), (0.1, 1), (0.99, 4)])
def test_a_share_is_of_the_blocks_that_may_go(remove, count):
    assert count_to_remove(remove, blocks_of("00000")) == count


def test_what_a_network_reads_off_its_blocks_stays():
    """torch's encoder asks its first layer for self_attn.batch_first."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    x = torch.rand(2, 5, 8, generator=torch.Generator().manual_seed(0))
    pruned = remove(encoder, ["layers.0", "layers.2"], x)
    for net in (pruned, copy.deepcopy(pruned)):
        torch.testing.assert_close(net(x), encoder.layers[1](x), rtol=0, atol=0)
    assert pruned.layers[0].self_attn.num_heads == 2
    with pytest.raises(AttributeError, match="nothing"):
        _ = pruned.layers[0].nothing


def test_resnet4b_can_lose_its_two_only_if_a_stage_may_keep_none():
    blocks = find_blocks(resnet4b(), torch.rand(1, 3, 32, 32))
    assert (most_removable(blocks), most_removable(blocks, keep_per_stage=0)) == (0, 2)


def staged(sizes):
    """Blocks of so many stages, the first of each protected, named by stage and place."""
    shapes = [(stage, place) for stage, size in enumerate(sizes) for place in range(size)]
    return [
        Block(name=f"{stage}.{place}", container="", stage=stage, position=place, shape=(stage,), first=place == 0)
        for stage, place in shapes
    ]


def is_run(names, blocks, keep):
    """Without a gap, but for the last blocks of a stage which gives all that it may."""
    order = [block.name for block in blocks]
    places = [order.index(name) for name in names]
    for block in blocks[places[0] : places[-1] + 1]:
        mates = [other.name for other in blocks if other.stage == block.stage]
        given = [name for name in mates if name in names]
        most = max(0, len(mates) - keep)
        passed_over = block.name not in names
        if len(given) > most or (passed_over and (len(given) < most or block.name not in mates[most:])):
            return False
    return True


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_the_run_with_the_lowest_sum_of_all_runs(keep):
    rng = random.Random(keep)
    blocks = staged([4, 3, 4])
    free = eligible(blocks)
    for _ in range(10):
        scores = {block.name: rng.uniform(-1, 1) for block in free}
        for count in range(1, most_removable(blocks, keep) + 1):
            runs = [one for one in combinations(scores, count) if is_run(one, free, keep)]
            best = min(runs, key=lambda run: sum(scores[name] for name in run))
            assert choose_run(scores, blocks, count, keep) == list(best)


def test_of_equal_runs_the_earliest_and_none_of_nothing():
    blocks = staged([5])
    scores = dict.fromkeys([block.name for block in eligible(blocks)], 1.0)
    assert choose_run(scores, blocks, 2) == ["0.1", "0.2"]
    assert choose_run(scores, blocks, 0) == []
    with pytest.raises(InputError, match="at most 3"):
        choose_run(scores, blocks, 4)
    with pytest.raises(InputError, match="no score"):
        choose_run({}, blocks, 1)
