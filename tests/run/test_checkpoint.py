"""Trainings of a suite that are killed: the next run goes on with the last epoch, and ends with the same weights."""

import os
from dataclasses import replace

import pytest
import torch

from robustprune.attacks import FGSM
from robustprune.criteria import Cka, DepthFirst
from robustprune.data import digits
from robustprune.finetune import Recipe, State
from robustprune.models import CifarResNet
from robustprune.run.bench import open_bench
from robustprune.run.checkpoint import Checkpoint
from robustprune.run.cleaning import LONG, content, spare
from robustprune.run.measurement import DAMAGED, SAID
from robustprune.run.networks import case_network, parent_network
from robustprune.run.store import Store
from robustprune.suite.cases import Case, Model, Strategy, Suite

LONG_ONE = Recipe(name="long", epochs=4, lr=0.05, samples=40, augment="shift", hold_out=0.2)
PARENT = Recipe(name="parent", epochs=3, lr=0.05, samples=40)


class Killed(Exception):
    pass


def build():
    return CifarResNet(14, width=2, in_channels=1)


def case(**changes):
    net = Model(name="net", build=build, recipe=PARENT)
    strategy = Strategy(criterion=Cka(), remove=3, step=1, samples=20, keep_per_stage=0, between=LONG_ONE)
    return Case(**{"model": net, "strategy": strategy, "recipe": LONG_ONE, **changes})


def bench(store, tick):
    suite = Suite(name="mine", data=digits, cases=[case()], attacks=(FGSM(eps=0.05),), samples=10)
    return open_bench(suite, store, "cpu").telling(tick)


class Watch:
    """Told what runs; kills once a stage has got so far."""

    def __init__(self, stage="", done=0):
        self.stage, self.done, self.epochs, self.said = stage, done, [], []

    def __call__(self, stage, done, total):
        if total == SAID:
            self.said.append((stage, done))
        elif "loss" in stage:
            name = stage.partition(",")[0]
            self.epochs.append((name, done))
            if name == self.stage and done == self.done:
                self.done = 0
                raise Killed


def network(store, watch, wanted=None):
    here = bench(store, watch)
    return case_network(wanted or case(), parent_network(case().model, here), here)


@pytest.fixture(scope="module")
def whole():
    """The weights of a run that nobody killed, and all its epochs."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        watch = Watch()
        weights = network(Store(folder=Path(folder), secret="mine"), watch).weights
        assert not list(Path(folder).glob("*/.*"))
        yield weights, watch.epochs


@pytest.mark.parametrize(("stage", "done"), [("train net", 2), ("fine-tune", 4)])
def test_a_killed_run_goes_on_with_the_next_epoch_and_ends_with_the_same_weights(whole, tmp_path, stage, done):
    store, before, after = Store(folder=tmp_path, secret="mine"), Watch(stage, done), Watch()
    with pytest.raises(Killed):
        network(store, before)
    assert len(list(tmp_path.glob("*/.*.checkpoint"))) == 1
    weights, epochs = whole
    assert network(store, after).weights == weights
    assert before.epochs + after.epochs == epochs
    assert DAMAGED not in [what for _, what in after.said]
    assert not list(tmp_path.glob("*/.*"))


def test_a_kill_in_the_second_training_between_removals_repeats_nothing_of_the_first(whole, tmp_path):
    store, before, after = Store(folder=tmp_path, secret="mine"), Watch(), Watch()

    def second(stage, done, total):
        before(stage, done, total)
        if before.epochs[-2:] == [("fine-tune between removals", 1), ("fine-tune between removals", 2)]:
            before.done += 1
            if before.done == 2:
                raise Killed

    with pytest.raises(Killed):
        network(store, second)
    weights, epochs = whole
    assert network(store, after).weights == weights
    assert before.epochs + after.epochs == epochs


def test_a_recipe_for_what_is_next_to_a_cut_learns_there_and_nowhere_else(tmp_path):
    recipe = Recipe(name="near", epochs=1, lr=0.05, samples=40, train="near")
    strategy = Strategy(criterion=DepthFirst(), remove=1, samples=20, keep_per_stage=0)
    made = network(Store(folder=tmp_path), Watch(), case(strategy=strategy, recipe=recipe))
    assert made.removed == ("layer1.1",)
    before = dict(parent_network(case().model, bench(Store(folder=tmp_path), Watch())).model.state_dict())
    moved = {name for name, now in made.model.state_dict().items() if not torch.equal(now, before[name])}
    assert {".".join(name.split(".")[:2]) for name in moved} == {"layer1.0", "layer2.0"}


def state():
    return State(tensors={"network.a": torch.arange(3.0)}, done=2, best=1, accuracy=1 / 3)


DAMAGES = {
    "a flipped bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "half": lambda content: content[: len(content) // 2],
    "nothing": lambda content: b"",
    "another's": lambda content: b"0" * 64 + content[64:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_with_one_line(tmp_path, damage):
    watch = Watch()
    kept = Checkpoint(store=Store(folder=tmp_path), place=tmp_path / "kind" / ("0" * 32), tick=watch)
    kept.save(state())
    kept.file.write_bytes(DAMAGES[damage](kept.file.read_bytes()))
    assert kept.load() is None
    line = f"{kept.file} is damaged (not what this user's runs wrote); its training begins anew"
    assert watch.said == [(line, DAMAGED)]


def test_with_a_damaged_checkpoint_the_training_begins_anew_and_ends_the_same(whole, tmp_path):
    store, after = Store(folder=tmp_path, secret="mine"), Watch()
    with pytest.raises(Killed):
        network(store, Watch("fine-tune", 3))
    (file,) = tmp_path.glob("*/.*.checkpoint")
    file.write_bytes(b"damaged")
    weights, epochs = whole
    assert network(store, after).weights == weights
    assert after.epochs == [epoch for epoch in epochs if epoch[0] == "fine-tune"]
    assert [line for line, what in after.said if what == DAMAGED] == [
        f"{file} is damaged (not what this user's runs wrote); its training begins anew"
    ]
    assert not file.exists()


def test_what_is_kept_comes_back_exactly(tmp_path):
    kept = Checkpoint(store=Store(folder=tmp_path), place=tmp_path / "kind" / ("0" * 32), tick=Watch())
    assert kept.load() is None
    kept.save(state())
    found = kept.load()
    assert (found.done, found.best, found.accuracy) == (2, 1, 1 / 3)
    assert torch.equal(found.tensors["network.a"], torch.arange(3.0))
    kept.remove()
    assert kept.load() is None


@pytest.mark.parametrize("change", ["secret", "run", "place"])
def test_what_is_not_its_own_is_not_gone_on_from(tmp_path, change):
    watch, store = Watch(), Store(folder=tmp_path, secret="mine", run="one")
    mine = Checkpoint(store=store, place=tmp_path / "kind" / ("0" * 32), tick=watch)
    mine.save(state())
    other = {
        "secret": replace(mine, store=replace(store, secret="theirs")),
        "run": replace(mine, store=replace(store, run="two")),
        "place": replace(mine, place=tmp_path / "kind" / ("1" * 32)),
    }[change]
    if change == "place":
        mine.file.rename(other.file)
    assert other.load() is None
    assert len(watch.said) == (change != "run")  # what another run made is nothing to speak of


def test_a_store_with_a_checkpoint_is_counted_and_cleaned(tmp_path):
    kept = Checkpoint(store=Store(folder=tmp_path), place=tmp_path / "kind" / ("0" * 32), tick=Watch())
    kept.save(state())
    assert content(tmp_path).files == spare(tmp_path, set()).files == ()
    os.utime(kept.file, (0, kept.file.stat().st_mtime - LONG - 1))
    assert spare(tmp_path, {f"kind/{'0' * 32}"}).files == (kept.file,)
