"""Weights are found that a search through all choices would find, on held-out training samples, again after a stop."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import pytest
import torch

from robustprune.attacks import FGSM
from robustprune.cli import main
from robustprune.consensus import Consensus, fitted_weights
from robustprune.data import Data, Split
from robustprune.errors import InputError
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.prune import remove
from robustprune.run.bench import open_bench
from robustprune.run.store import Store
from robustprune.suite import Case, Model, Strategy, Suite
from robustprune.tune.search import Search, best, write_weights
from robustprune.tune.trial import Fitting, consensus_cases, held_out_bench

BLOCKS = ["layer1.1", "layer2.1", "layer3.1"]


@dataclass(frozen=True, kw_only=True)
class Prefers:
    """A voter whose lowest score has one block, and whose highest the one before it."""

    gone: int
    family: ClassVar[str] = "planted"

    @property
    def name(self):
        return f"without-{self.gone}"

    def __call__(self, ctx):
        return {block.name: float((place - self.gone) % 3) for place, block in enumerate(ctx.blocks)}


def halves():
    """Dark above a light half, or beside it; ten of the training images are test images too."""

    def split(n, seed):
        y = torch.arange(n) % 2
        x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) / 2
        x[y == 1, :, :4] += 0.4
        return Split(x, y)

    train, test = split(90, 0), split(30, 1)
    shared = Split(torch.cat([train.x, test.x[:10]]), torch.cat([train.y, test.y[:10]]))
    return Data(name="halves", classes=("even", "half"), train=shared, test=test, source="made here")


VOTERS = tuple(Prefers(gone=k) for k in range(3))
MODEL = Model(
    name="net",
    build=partial(CifarResNet, depth=14, width=4, in_channels=1, classes=2),
    recipe=Recipe(name="t", epochs=2, lr=0.1),
)
STRATEGY = Strategy(criterion=Consensus(voters=VOTERS), remove=1, keep_per_stage=0, samples=16)
HALVES = Suite(
    name="halves", data=halves, cases=[Case(model=MODEL, strategy=STRATEGY)], attacks=(FGSM(eps=0.1),), samples=20
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return held_out_bench(open_bench(HALVES, Store(folder=tmp_path_factory.mktemp("store")), "cpu"), 0.4, 0)


@pytest.fixture
def search(bench, tmp_path):
    fitting = Fitting(bench=bench, cases=consensus_cases(HALVES), objective="clean")
    return Search(fitting=fitting, by="voter", networks=3, seed=0, storage=tmp_path / "deep" / "study.db")


def test_it_finds_what_a_search_through_all_choices_finds(search, bench):
    parent, held = search.fitting.starts[0].model, bench.sample
    by_hand = {}
    for name in BLOCKS:
        with torch.no_grad():
            right = remove(parent, [name], held.x[:1]).eval()(held.x).argmax(1) == held.y
        by_hand[name] = float(right.double().mean())
    assert len({*by_hand.values()}) > 1, "every choice is as good: nothing could be found"
    tried = search.run()
    assert {names[0]: one.worth.value for one in tried for names in one.worth.removed} == pytest.approx(by_hand)
    assert best(tried).worth.value == pytest.approx(max(by_hand.values()))
    chosen = replace(STRATEGY.criterion, weights=best(tried).weights).combine(search.fitting.votes[0])
    assert (min(chosen, key=chosen.__getitem__),) == best(tried).worth.removed[0]


def test_no_image_that_a_suite_is_judged_on_is_looked_at(bench):
    whole = halves()
    learned, held, judged = ({*split.hashes()} for split in (bench.data.train, bench.sample, whole.test))
    assert not learned & held
    assert not (learned | held) & judged
    assert learned | held | judged >= {*whole.train.hashes()}
    assert len(held) == pytest.approx(0.4 * 90, abs=2)


def test_a_stopped_search_goes_on_as_if_it_had_not_been(search, tmp_path):
    whole = search.run()
    stopped, heard = replace(search, storage=tmp_path / "other.db"), []

    def tell(one):
        heard.append(one)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.run(tell)
    assert stopped.run(heard.append) == whole == heard
    assert stopped.run(heard.append) == whole
    assert len(heard) == len(whole), "nothing is tried again"


def test_two_searches_at_once_take_turns(search):
    heard = []
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(replace(search, networks=2).run, heard.append) for _ in range(2)]
        assert both[0].result() == both[1].result() == heard


def test_a_file_that_is_no_study_is_one_line(search):
    search.storage.parent.mkdir()
    search.storage.write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match=r"study\.db: no study can be kept there \(.*\); remove the file"):
        search.run()


def test_families_share_a_weight(search):
    tried = replace(search, by="family", patience=9).run()
    assert {tuple(one.weights.values()) for one in tried} == {(1.0, 1.0, 1.0)}
    assert len(tried) == 10, "it ends where nothing new is chosen"


def test_robust_accuracy_is_counted_under_the_attacks_of_the_suite(search):
    robust = replace(search, fitting=replace(search.fitting, objective="robust"), networks=1).run()[0]
    clean = replace(search, networks=1).run()[0]
    assert robust.worth.removed == clean.worth.removed
    assert robust.worth.value < clean.worth.value
    assert (robust.worth.passes > 0, clean.worth.passes) == (True, 0)


def test_the_file_says_what_was_found_and_is_loaded_by_a_suite(search, tmp_path):
    tried, file = search.run(), tmp_path / "weights.json"
    write_weights(search, tried, file)
    assert fitted_weights(file) == best(tried).weights
    found = json.loads(file.read_text())
    assert found["cost"] == {
        "trials": len(tried),
        "networks": 3,
        "fine-tuning passes": 0,
        "attack passes": 0,
    }
    assert found["value"] >= found["beside"]["equal weights"]
    Consensus(voters=VOTERS, weights=fitted_weights(file))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "robustprune weights 1"}',
        '{"format": "robustprune weights 1", "weights": {"cka": -1}}',
        '{"format": "robustprune weights 1", "weights": {"cka": 0}}',
        '{"format": "robustprune weights 1", "weights": {"cka": NaN}}',
        '{"format": "robustprune weights 1", "weights": {"cka": true}}',
        '{"format": "robustprune weights 1", "weights": [1]}',
    ],
)
def test_another_file_is_refused_in_one_line(text, tmp_path):
    (tmp_path / "w.json").write_text(text)
    with pytest.raises(InputError, match=r"w\.json: .*expected") as error:
        fitted_weights(tmp_path / "w.json")
    assert "\n" not in str(error.value)


def test_a_suite_without_a_consensus_is_refused():
    with pytest.raises(InputError, match="no one-shot case with a consensus for any model"):
        consensus_cases(replace(HALVES, cases=[Case(model=MODEL)]))
    with pytest.raises(InputError, match="for other; known: net"):
        consensus_cases(HALVES, ["other"])
    with pytest.raises(InputError, match="--held-out 1"):
        held_out_bench(None, 1.0, 0)


def test_the_verb_writes_the_file(tmp_path, capsys):
    file = tmp_path / "suites" / "halves.py"
    file.parent.mkdir()
    file.write_text("from test_tune import HALVES as SUITE\n")
    words = ["tune", str(file), "--networks", "2", "--by", "voter", "--output", str(tmp_path / "w.json")]
    main.main(words, standalone_mode=False)
    assert main.ended is not None
    assert main.ended.code == 0
    assert set(fitted_weights(tmp_path / "w.json")) == {voter.name for voter in VOTERS}
    assert "equal weights" in capsys.readouterr().err
