"""A long attack in chunks gives what it gives whole, sample by sample."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from suite_files import Silent

from robustprune.attacks import FGSM, FMN, PGD, Square, tier
from robustprune.attacks.engine import precision
from robustprune.data import digits
from robustprune.finetune import Recipe, finetune
from robustprune.models import CifarResNet, save_weights
from robustprune.run.attacked import Attacked
from robustprune.run.chunks import LONG, chunk, chunks, dealt, joined
from robustprune.run.executors import Local
from robustprune.run.store import Store
from robustprune.run.suite import run_suite
from robustprune.suite.cases import Case, Model, Suite

N = 24


@pytest.fixture(scope="module")
def net():
    """A network that a small budget breaks on some samples."""
    torch.manual_seed(0)
    made = CifarResNet(8, width=4, in_channels=1)
    finetune(made, digits().train, Recipe(name="t", epochs=3, lr=0.1), seed=0)
    return made.eval()


def made(net, attacks, **more):
    """The attacks on the whole; a chunk is made as any other measurement."""
    network = SimpleNamespace(model=net)
    sample = digits().test.balanced(N, seed=0)
    return Attacked(network=network, parent=None, sample=sample, attacks=attacks, device="cpu", batch_size=16, **more)


def result(measurement):
    return measurement.make(None, lambda stage, done, total: None)


CHAINS = {
    "quick Linf": tuple(tier("quick", "Linf", 0.06)),
    "quick L2": tuple(tier("quick", "L2", 0.5)),
    "Square": (PGD(eps=0.1, steps=3), Square(eps=0.1, queries=60)),
    "FMN": (FMN(eps=0.3, norm="L2", steps=15),),
    "starts": (PGD(eps=0.06, steps=4, restarts=3),),
}


@pytest.fixture
def float32_alone(monkeypatch):
    """Whether a first pass in bfloat16 is made is decided by the clock, so that passes could not be compared."""
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.usefixtures("float32_alone")
def test_every_cut_gives_the_same_outcomes(net, chain):
    whole = made(net, chain)
    wanted = result(whole)
    assert {"e", "r", "b"} <= set("".join(one.status for one in wanted.outcomes))
    for count in (3, N):
        found = joined([result(chunk(whole, number, count)) for number in range(count)])
        assert found.clean == wanted.clean
        for one, other in zip(found.outcomes, wanted.outcomes, strict=True):
            assert one.status == other.status
            assert one.steps == other.steps
            assert one.distance == pytest.approx(other.distance, abs=1e-5, nan_ok=True)
            assert (one.forwards, one.backwards) == (other.forwards, other.backwards)
            assert (one.attack, one.settings, one.notes) == (other.attack, other.settings, other.notes)


def test_what_was_noted_of_the_chunks_says_the_least_that_was_done(net):
    first, second = (result(chunk(made(net, CHAINS["FMN"]), number, 2)) for number in range(2))
    (one,), (other,) = first.outcomes, second.outcomes
    one.notes.update({"precision": "bfloat16, then float32", "fresh passes": 21, "batchnorm_folded": True})
    other.notes.update({"precision": "float32", "fresh passes": 1, "batchnorm_folded": False, "left out": ["copy"]})
    (found,) = joined([first, second]).outcomes
    assert found.notes["precision"] == "bfloat16, then float32"
    assert (found.notes["fresh passes"], found.notes["batchnorm_folded"]) == (1, False)
    assert found.notes["left out"] == ["copy"]
    assert found.seconds == pytest.approx(one.seconds + other.seconds)


def test_the_cut_follows_from_the_suite_and_leaves_short_attacks_whole():
    quick, standard = (tuple(tier(name, "Linf", 8 / 255)) for name in ("quick", "standard"))
    assert chunks(300, quick, 128) == 1
    assert chunks(128, standard, 128) == 2
    assert chunks(64, standard, 128) == 2
    assert chunks(10_000, standard, 128) == round(10_000 / 256)
    assert chunks(10, standard, 128) == 1
    for samples in range(1, 2000, 37):
        count = chunks(samples, standard, 64)
        parts = [range(number, samples, count) for number in range(count)]
        assert dealt(parts) == [*range(samples)]
        assert samples * 4274 <= LONG or count == 1 or min(map(len, parts)) >= 10


class StopsAfterOne:
    """An executor that is interrupted when one item is done."""

    def each(self, work, items, listener, known):
        Local().each(work, items[:1], listener, known)
        raise KeyboardInterrupt


def test_a_run_that_was_stopped_goes_on_inside_a_long_attack(net, tmp_path, monkeypatch):
    monkeypatch.setattr("robustprune.run.chunks.LONG", 0)
    monkeypatch.setattr("robustprune.run.chunks.SMALLEST", 8)
    save_weights(net, tmp_path / "net.safetensors")
    build = partial(CifarResNet, 8, width=4, in_channels=1)
    case = Case(model=Model(name="net", build=build, weights=tmp_path / "net.safetensors"))
    attacks = (FGSM(eps=0.06), PGD(eps=0.06, steps=3))
    how = {"samples": N, "batches": (1,), "timing_seconds": 0.01, "quick": True}
    suite, store = Suite(name="long", data=digits, cases=[case], attacks=attacks, **how), Store(folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, store, Silent(), executor=StopsAfterOne())
    (kept,) = (tmp_path / "attacked").glob("*.json")
    before = kept.stat().st_mtime_ns
    (found,) = run_suite(suite, store, Silent(), workers=1)
    assert len([*kept.parent.glob("*.json")]) == 2
    assert kept.stat().st_mtime_ns == before
    assert [one.status for one in found.outcomes] == [one.status for one in result(made(net, attacks)).outcomes]
