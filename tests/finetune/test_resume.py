"""A training that is killed and begun again ends with the weights, bit by bit, of one that never stopped."""

import pytest
import torch
from tiny_trainings import blobs, recipe, small

from robustprune.finetune import Adversarial, finetune

PGD = Adversarial(eps=0.05, steps=2)


class Killed(Exception):
    pass


class Kept:
    """A keeper in memory, which kills the training once so many epochs are kept."""

    def __init__(self):
        self.state, self.kill_after = None, None

    def load(self):
        return self.state

    def save(self, state):
        self.state = state
        if state.done == self.kill_after:
            raise Killed


def trained(settings, keeper=None, told=None):
    model = small(dropout=0.5)
    finetune(model, blobs(40), settings, 3, small(1), told.append if told is not None else None, keeper=keeper)
    return model.state_dict()


@pytest.mark.parametrize(
    "settings",
    [
        recipe(epochs=4, augment="crop-flip"),
        recipe(epochs=4, momentum=0.0, schedule="onecycle", recalibrate=True),
        recipe(epochs=4, adversarial=PGD, distill=0.5, schedule="cosine", samples=30),
        recipe(epochs=4, adversarial=Adversarial(eps=0.05, steps=2, gamma=0.01), hold_out=0.3, lr=0.3),
        recipe(epochs=6, hold_out=0.3, patience=2, lr=0.3),
        recipe(epochs=4, train="norms", adversarial=Adversarial.trades(0.05, steps=2)),
    ],
    ids=range(6),
)
@pytest.mark.parametrize("killed", [2])
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(settings, killed):
    whole = []
    wanted = trained(settings, told=whole)
    keeper, before, after = Kept(), [], []
    keeper.kill_after = killed
    with pytest.raises(Killed):
        trained(settings, keeper, before)
    keeper.kill_after = None
    found = trained(settings, keeper, after)
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())
    assert [epoch.done for epoch in before] == list(range(1, killed))
    assert after == whole[killed:]
    again = []
    once_more = trained(settings, keeper, again)
    assert again == []
    assert all(torch.equal(tensor, once_more[name]) for name, tensor in wanted.items())


def test_several_kills_are_as_good_as_one():
    settings, keeper = recipe(epochs=5, augment="shift", adversarial=PGD), Kept()
    for killed in range(1, 5):
        keeper.kill_after = killed
        with pytest.raises(Killed):
            trained(settings, keeper)
    keeper.kill_after = None
    found, wanted = trained(settings, keeper), trained(settings)
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


@pytest.mark.parametrize("group", ["network.", "momentum.", "generator.order", "generator.cpu"])
def test_each_kind_of_what_is_kept_is_needed(group):
    """Another value in its place and the weights end otherwise: nothing is kept for show, nothing is left behind."""
    settings, keeper = recipe(epochs=3, augment="shift"), Kept()
    keeper.kill_after = 1
    with pytest.raises(Killed):
        trained(settings, keeper)
    keeper.kill_after = None
    for name, tensor in keeper.state.tensors.items():
        if name.startswith(group):
            other = torch.Generator().manual_seed(99).get_state() if "generator" in name else tensor + 1
            keeper.state.tensors[name] = other
    found, wanted = trained(settings, keeper), trained(settings)
    assert not all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_too():
    results = []
    for killed in (None, 2):
        keeper = Kept()
        keeper.kill_after = killed
        for _ in range(2):
            model = small(dropout=0.5).cuda()
            try:
                finetune(model, blobs(40), recipe(epochs=4, augment="shift", adversarial=PGD), 3, keeper=keeper)
            except Killed:
                keeper.kill_after = None
        results.append(model.state_dict())
    assert all(torch.equal(tensor, results[1][name]) for name, tensor in results[0].items())
