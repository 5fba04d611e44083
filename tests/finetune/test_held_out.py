"""Samples held out of the training set: which they are, which epoch they choose, and when training stops."""

import copy

import pytest
import torch
from tiny_trainings import blobs, recipe, small, weights

from robustprune.errors import InputError
from robustprune.finetune import Adversarial, Recipe, finetune
from robustprune.finetune.loop import accuracy_on, split
from robustprune.finetune.losses import attacked


class Recording:
    """A keeper that has nothing to begin with and remembers every state."""

    def __init__(self):
        self.states = []

    def load(self):
        return None

    def save(self, state):
        self.states.append(state)


def noisy():
    """Images of which a quarter has a wrong label: accuracy on what is held out goes up and down."""
    data = blobs(80)
    data.y[::4] = (data.y[::4] + 1) % 3
    return data


def test_what_is_held_out_is_class_balanced_and_no_part_of_what_is_trained_on():
    data = blobs(60)
    for seed in (0, 1):
        inside, outside = split(data, recipe(hold_out=0.2, samples=45), seed)
        assert (len(inside), len(outside)) == (36, 9)
        assert outside.y.bincount().tolist() == [3, 3, 3]
        assert not {*inside.hashes()} & {*outside.hashes()}
        whole = data.balanced(45, seed)
        assert sorted([*inside.hashes(), *outside.hashes()]) == sorted(whole.hashes())
    assert outside.hash == split(data, recipe(hold_out=0.2, samples=45), 1)[1].hash
    assert outside.hash != split(data, recipe(hold_out=0.2, samples=45), 0)[1].hash


@pytest.mark.parametrize("adversarial", [None, Adversarial(eps=0.1, steps=2)])
def test_the_weights_of_the_first_most_accurate_epoch_are_kept(adversarial):
    data, model, keeper, told = noisy(), small(), Recording(), []
    settings = recipe(epochs=8, lr=0.3, hold_out=0.4, adversarial=adversarial)
    finetune(model, data, settings, seed=0, tick=told.append, keeper=keeper)
    accuracies = [epoch.held_out for epoch in told]
    best = accuracies.index(max(accuracies))
    assert 0 < best + 1 < 8  # otherwise this says nothing
    kept, last = (keeper.states[epoch].tensors for epoch in (best, -1))
    state = model.state_dict()
    assert all(torch.equal(tensor, kept[f"network.{name}"]) for name, tensor in state.items())
    assert not all(torch.equal(tensor, last[f"network.{name}"]) for name, tensor in state.items())
    _, outside = split(data, settings, 0)
    assert accuracy_on(model, outside, settings, 0, torch.contiguous_format) == accuracies[best]


def test_accuracy_on_what_is_held_out_is_that_of_the_attacked_images():
    data, model = blobs(40), small()
    finetune(model, data, recipe(epochs=3), seed=0)
    settings = recipe(batch_size=40, adversarial=Adversarial.trades(eps=0.15, steps=4))
    x = attacked(model, data.x, data.y, Adversarial(eps=0.15, steps=4), torch.Generator().manual_seed(3))
    expected = float((model.eval()(x).argmax(1) == data.y).float().mean())
    assert accuracy_on(model, data, settings, 3, torch.contiguous_format) == pytest.approx(expected)
    assert expected < accuracy_on(model, data, recipe(), 3, torch.contiguous_format)


def test_training_stops_after_so_many_epochs_without_a_better_one():
    told = []
    finetune(small(), noisy(), recipe(epochs=30, lr=0.3, hold_out=0.4, patience=3), seed=0, tick=told.append)
    accuracies = [epoch.held_out for epoch in told]
    assert len(told) < 30
    assert len(told) - (accuracies.index(max(accuracies)) + 1) == 3
    assert [epoch.last for epoch in told] == [False] * (len(told) - 1) + [True]


def test_looking_at_what_is_held_out_changes_nothing_of_the_training():
    """Trained on the same images, with and without looking: after the same epoch the weights are the same."""
    data, settings = blobs(40), recipe(hold_out=0.25, epochs=3, augment="shift", adversarial=Adversarial(eps=0.05))
    inside, _ = split(data, settings, 0)
    model, twin, keeper = small(dropout=0.5), small(dropout=0.5), Recording()
    finetune(model, data, settings, seed=0, keeper=keeper)
    finetune(twin, inside, recipe(epochs=3, augment="shift", adversarial=Adversarial(eps=0.05)), seed=0)
    last = keeper.states[-1].tensors
    assert all(torch.equal(tensor, last[f"network.{name}"]) for name, tensor in twin.state_dict().items())


def test_without_held_out_samples_nothing_is_said_of_them_and_the_last_epoch_counts():
    told, model, twin = [], small(), small()
    finetune(model, blobs(), recipe(), seed=0, tick=told.append)
    finetune(twin, copy.copy(blobs()), recipe(), seed=0)
    assert [epoch.held_out for epoch in told] == [None, None]
    assert torch.equal(weights(model), weights(twin))


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(InputError, match="patience=2 with hold_out=0"):
        Recipe(name="r", epochs=1, lr=0.1, patience=2)
    with pytest.raises(InputError, match=r"hold_out=0\.9 of 4 images leaves none to train on"):
        finetune(small(), blobs(4), recipe(hold_out=0.9), seed=0)
    with pytest.raises(InputError, match=r"hold_out=1\.0, expected 0 or more, below 1"):
        recipe(hold_out=1.0)
