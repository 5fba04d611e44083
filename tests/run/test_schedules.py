"""Which blocks go under each schedule: planted networks whose answer is known, and all subsets tried."""

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from robustprune.attacks import FGSM
from robustprune.criteria import AblationLoss, Cka, OnInputs, ScoringContext, WeightNorm, cka
from robustprune.data import Data, Split
from robustprune.errors import InputError
from robustprune.finetune import Recipe
from robustprune.models import find_blocks, save_weights
from robustprune.prune import remove
from robustprune.run.bench import open_bench
from robustprune.run.keys import digest
from robustprune.run.networks import chosen, parent_network
from robustprune.run.original import AgainstOriginal
from robustprune.run.store import Store
from robustprune.suite.cases import Case, Model, Strategy, Suite

ALL = {"keep_per_stage": 0, "protect_first": False, "samples": 40}


class Bent(nn.Module):
    """x + gain relu(slope x + offset), by 1 x 1 convolutions."""

    def __init__(self, gain, slope, offset):
        super().__init__()
        self.look, self.add = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1, bias=False)
        for weight, value in ((self.look.weight, slope), (self.look.bias, offset), (self.add.weight, gain)):
            nn.init.constant_(weight, value)

    def forward(self, x):
        return x + self.add(F.relu(self.look(x)))


def lift():
    """Moves what is dark to 1.4 and leaves the rest: a second one finds nothing to do."""
    return Bent(4.0, -1.0, 0.5)


def push(gain):
    """Moves what is above 1.2 a little further: the larger the gain, the surer the network."""
    return Bent(gain, 1.0, -1.2)


def shift(by):
    """Moves everything."""
    return Bent(by, 0.0, 1.0)


def network(*blocks):
    """Dark images are of class 0. They are told from bright ones once lifted: either of two lifts is enough."""
    head = nn.Linear(1, 2)
    head.weight.data, head.bias.data = torch.tensor([[20.0], [0.0]]), torch.tensor([-22.0, 0.0])
    return nn.Sequential(nn.Sequential(*blocks), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def build():
    return network(lift(), push(0.25), lift(), push(3.0), push(1.0))


def drifting():
    return network(*map(shift, (1.0, 1.5, -1.75, 4.0, -5.0)))


def images(n, seed):
    y = torch.arange(n) % 2
    noise = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Split(0.2 + 0.6 * y.float()[:, None, None, None] + 0.02 * noise, y)


def data():
    return Data("planted", ("dark", "bright"), images(40, 0), images(20, 1), "made here")


@pytest.fixture
def removed(tmp_path):
    """What a strategy removes of a network, and the first scores."""

    def one(build=build, **settings):
        file = tmp_path / f"{build.__name__}.safetensors"
        save_weights(build(), file)
        strategy = Strategy(**{"criterion": AblationLoss(), **ALL, **settings})
        case = Case(model=Model(name="net", build=build, weights=file), strategy=strategy)
        suite = Suite(name="mine", data=data, cases=[case], attacks=(FGSM(eps=0.05),))
        bench = open_bench(suite, Store(folder=tmp_path / "store"), "cpu")
        choice = chosen(case, parent_network(case.model, bench), bench)
        return choice.removed, choice.scores[strategy.criterion.name]

    return one


def loss(names, x=None):
    """Cross-entropy on the scoring samples, or on `x` with their labels, without these blocks."""
    net, sample = build(), images(40, 0)
    with torch.no_grad():
        logits = remove(net, list(names), sample.x[:2])(sample.x if x is None else x)
        return float(F.cross_entropy(logits.double(), sample.y))


def nudged(model, x, y):
    """One step of 0.05 uphill, by logits small enough that the slope of a sure network is not rounded away."""
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(model(x) / 100, y), x)
    return (x + 0.05 * slope.sign()).detach()


NAMES = [f"0.{place}" for place in range(5)]


def test_lowest_takes_both_of_two_that_stand_in_for_each_other_and_greedy_does_not(removed):
    lowest, _ = removed(remove=2)
    greedy, _ = removed(remove=2, schedule="greedy")
    assert lowest == ("0.0", "0.2")
    assert greedy in (("0.0", "0.1"), ("0.1", "0.2"))
    assert loss(lowest) > 5
    assert loss(greedy) < 0.01


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_greedy_takes_the_least_loss_of_all_subsets_that_hold_what_is_gone(removed, count):
    wanted = set()
    for _ in range(count):
        subsets = [set(one) for one in combinations(NAMES, len(wanted) + 1) if wanted < set(one)]
        wanted = min(subsets, key=lambda one: loss(sorted(one)))
    assert set(removed(remove=count, schedule="greedy")[0]) == wanted


def test_greedy_by_the_adversarial_loss_attacks_what_is_left_each_time(removed):
    sample, wanted = images(40, 0), list[str]()
    for _ in range(2):
        x = nudged(remove(build(), wanted, sample.x[:2]), sample.x, sample.y)
        wanted.append(min(set(NAMES) - set(wanted), key=lambda name: loss([*wanted, name], x)))
    found, scores = removed(remove=2, schedule="greedy", criterion=OnInputs(criterion=AblationLoss(), inputs=nudged))
    assert found == tuple(sorted(wanted))
    x = nudged(build(), sample.x, sample.y)
    assert scores == pytest.approx({name: loss([name], x) - loss([], x) for name in NAMES}, abs=1e-5)
    assert scores["0.3"] != pytest.approx(removed(remove=1)[1]["0.3"], rel=0.1)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_contiguous_run_is_the_least_of_all_subsets_without_a_gap(removed, count):
    found, scores = removed(remove=count, schedule="contiguous")
    subsets = combinations(range(5), count)
    runs = [one for one in subsets if one[-1] - one[0] == count - 1]
    sums = {one: sum(scores[NAMES[place]] for place in one) for one in runs}
    assert len(runs) == 6 - count
    assert found == tuple(NAMES[place] for place in min(sums, key=sums.get))


def test_greedy_by_weights_is_lowest_by_weights(removed):
    """Nothing that is removed changes the weights of the others."""
    greedy, lowest = (removed(remove=3, criterion=WeightNorm(), schedule=one)[0] for one in ("greedy", "lowest"))
    assert greedy == lowest


def test_scored_once_removes_in_steps_what_one_look_removes(removed):
    assert removed(remove=3, step=1, scored="once")[0] == removed(remove=3)[0]
    assert removed(remove=2, step=1, scored="once")[0] != removed(remove=2, step=1)[0]


def test_against_the_original_features_are_the_originals_and_the_rest_is_the_networks():
    x, y = images(40, 0).x, images(40, 0).y
    original = build()
    net = remove(original, ["0.1"], x[:2])
    blocks = find_blocks(net, x[:1])
    ctx = AgainstOriginal(model=net, blocks=blocks, x=x, y=y, original=original)
    plain = ScoringContext(model=net, blocks=blocks, x=x, y=y)

    def features(*gone):
        with torch.no_grad():
            return remove(original, gone, x[:2])[:-1](x).double().numpy()

    scores = ctx.score(Cka())
    assert np.allclose(ctx.features, features())
    for block in blocks:
        assert scores[block.name] == pytest.approx(cka(features(), features("0.1", block.name)), abs=1e-9)
    assert ctx.score(WeightNorm()) == plain.score(WeightNorm())
    moved = ctx.on(lambda model, x, y: x * 0.5)
    with torch.no_grad():
        assert np.allclose(moved.logits, original(x * 0.5).double().numpy(), atol=1e-5)


class Drift:
    """How far the features are from those of the reference, on average: what takes them back is not missed."""

    name = "drift"

    def __call__(self, ctx):
        return {b.name: abs(float((ctx.without(b.name).features - ctx.features).mean())) for b in ctx.blocks}


def test_against_the_original_what_went_before_counts(removed):
    """Shifts of 1, 1.5, -1.75, 4 and -5: the first goes, then the next smallest, or the one that makes up for it."""
    for settings in ({"step": 1}, {"schedule": "greedy"}):
        again, against = (
            removed(drifting, remove=2, criterion=Drift(), scored=scored, **settings)[0]
            for scored in ("current", "original")
        )
        assert again == ("0.0", "0.1")
        assert against == ("0.0", "0.2")


def test_between_greedy_removals_nothing_is_trained_until_a_step_is_over(removed, monkeypatch):
    trained = []
    monkeypatch.setattr("robustprune.run.choice.train", lambda net, *args, **more: trained.append(more["near"]))
    recipe = Recipe(name="r", epochs=1, lr=1e-3)
    found, _ = removed(remove=4, step=2, schedule="greedy", between=recipe)
    assert len(found) == 4
    assert len(trained) == 1


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "cka"),
        ({"schedule": "contiguous"}, "cka (contiguous)"),
        ({"schedule": "greedy"}, "cka (greedy)"),
        ({"step": 2}, "cka (iterative, 2)"),
        ({"step": 2, "scored": "once"}, "cka (iterative, 2, scored once)"),
        ({"schedule": "greedy", "scored": "original"}, "cka (greedy, against the original)"),
        ({"schedule": "contiguous", "step": 1, "unit": "branch"}, "cka (contiguous, iterative, 1, branches)"),
    ],
)
def test_a_schedule_shows_in_the_name_and_in_the_key(settings, name):
    strategy = Strategy(criterion=Cka(), remove=4, **settings)
    assert strategy.name == name
    assert (digest(strategy) == digest(Strategy(criterion=Cka(), remove=4))) == (settings == {})


@pytest.mark.parametrize(
    "settings",
    [{"schedule": "middle"}, {"scored": "original"}, {"scored": "once"}, {"scored": "once", "schedule": "greedy"}],
)
def test_schedules_that_cannot_work_are_refused(settings):
    with pytest.raises(InputError, match=r"schedule|scored"):
        Strategy(criterion=Cka(), remove=2, **settings)
