"""Files that ship: read back by code that is not ours (safetensors, onnxruntime), and by the review."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mini_suite import write_mini
from review_desk import NETS
from safetensors import safe_open
from suite_files import Silent

from robustprune.cost.energy import Energy
from robustprune.data import digits
from robustprune.errors import InputError
from robustprune.models import load_weights, weights_hash
from robustprune.prune import remove
from robustprune.results.costs import FINE_TUNING
from robustprune.results.overstated import by_threat
from robustprune.review.given import description, open_candidate, open_parent
from robustprune.run.energy import suite_energy
from robustprune.run.latest import keep, measured_here
from robustprune.run.shelf import BASELINE, shelf
from robustprune.run.suite import run_suite
from robustprune.ship import export
from robustprune.ship.card import model_card
from robustprune.ship.case import export_case
from robustprune.ship.export import Origin, export_onnx, export_safetensors, factory_text
from robustprune.ship.int8 import INT8
from robustprune.suite.files import load_suite

X = digits().test.x[:100]


@pytest.fixture(scope="module")
def pruned(desk):
    parent = open_parent(f"{NETS}:small", desk.folder / "parent.safetensors", X[:1])
    return parent, remove(parent.load(), ["layer2.1"]).eval()


def test_a_safetensors_file_says_which_blocks_went_and_comes_back(pruned, noisy, tmp_path):
    parent, net = pruned
    case = replace(noisy.candidate, removed=["layer2.1"], blocks=["layer1.1", "layer2.1"])
    origin = Origin(parent="small", factory="nets:small", weights=weights_hash(parent.load()))
    path = tmp_path / "pruned.safetensors"
    export_safetensors(net, case, origin, path, (1, 8, 8))
    with safe_open(path, "pt") as file:
        said = json.loads(file.metadata()["robustprune"])
        assert set(file.keys()) == set(net.state_dict())
    assert said["removed"] == ["layer2.1"]
    assert said["parent"] == {"name": "small", "factory": "nets:small", "weights": origin.weights}
    assert (said["input"], said["classes"]) == ([1, 8, 8], [str(digit) for digit in range(10)])
    assert description(path) == said
    assert torch.equal(open_candidate(str(path), None, parent).load()(X), net(X))


def test_onnx_agrees_with_the_network_on_real_samples_at_any_batch_size(pruned, tmp_path):
    _, net = pruned
    path = tmp_path / "net.onnx"
    found = export_onnx(net, path, X)
    assert (found.file, found.n, found.agree) == ("net.onnx", 100, 100)
    assert found.gap < 1e-4
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in (1, 7):
        (logits,) = session.run(["logits"], {"image": X[:size].numpy()})
        assert np.abs(logits - net(X[:size]).detach().numpy()).max() < 1e-4
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.onnx"]


def test_an_onnx_file_that_disagrees_is_not_written(pruned, tmp_path, monkeypatch):
    _, net = pruned
    monkeypatch.setattr(export, "write_onnx", lambda net, path, x: path.write_bytes(b""))
    wrong = export.Parity(file="x", sha256="", kind="ONNX", n=100, agree=99, gap=1.0)
    monkeypatch.setattr(export, "parity", lambda *_: wrong)
    with pytest.raises(InputError, match=r"not written: the exported ONNX x agrees on 99 of 100"):
        export_onnx(net, tmp_path / "net.onnx", X)
    assert list(tmp_path.iterdir()) == []


def test_factories_are_named_for_people():
    assert factory_text(partial(remove, names=["a"])) == "robustprune.prune:remove(names=['a'])"


def test_a_model_card_states_the_measured_numbers(noisy):
    card = model_card(noisy.candidate, noisy.parent, ["`net.onnx`, sha256 abc"])
    n, right = 600, sum(noisy.candidate.clean)
    assert f"| clean accuracy | {100 * right / n:.1f} % [" in card
    assert f"| MACs a sample | {noisy.candidate.cost.macs:,} | {noisy.parent.cost.macs:,} | +0.0 % |" in card
    assert "upper bound" in card
    assert "adaptive attack" in card
    assert "- `net.onnx`, sha256 abc" in card
    (bound,) = by_threat(noisy.candidate).values()
    assert f"- Robust accuracy, {bound.threat}: {bound.text}." in card
    assert f"Evidence: {noisy.candidate.trust}" in card
    assert "digits 8 x 8 of scikit-learn" in card


class Branching(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1) if x.mean() > 0.9 else 1 - x.flatten(1)


def test_a_network_that_cannot_be_exported_is_refused_in_one_line(tmp_path, capfd):
    with pytest.raises(InputError, match="Branching cannot be exported as ONNX") as caught:
        export_onnx(Branching(), tmp_path / "net.onnx", X)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """A suite of seconds, measured: the suite, its folders, the results of one parent and what was pruned from it."""
    suite = load_suite(write_mini(tmp_path_factory.mktemp("mini")))
    place, cut = shelf(suite), [case for case in suite.cases if case.model.name == "net-0"]
    return suite, place, run_suite(suite, place.store, Silent(), workers=1, cases=cut)


@dataclass
class Ten:
    """A meter by which all work takes ten joules and a gram, as far as it can measure at all."""

    seconds: float = 0.001
    able: bool = True
    asked: list = field(default_factory=list)

    def of(self, work):
        work()
        self.asked.append(work)
        return Energy(joules=10.0, grams=1.0, method="a made-up meter") if self.able else "not measured: no counter"


def test_a_network_that_is_not_in_the_store_is_said_not_to_be_measured(mini, tmp_path):
    suite, _, cases = mini
    empty = shelf(suite, tmp_path / "results")
    for case in suite_energy(suite, empty, cases, "cpu", Ten()):
        assert (case.cost.energy_joules, case.cost.energy_method[:12]) == ({}, "not measured")


def test_every_case_has_its_joules_and_they_are_kept(mini):
    suite, place, cases = mini
    meter = Ten()
    found = suite_energy(suite, place, cases, "cpu", meter)
    for before, now in zip(cases, found, strict=True):
        batch = f"batch {max(suite.batches)}"
        assert now.cost.energy_joules[batch] > 0
        assert now.cost.energy_grams[batch] == pytest.approx(now.cost.energy_joules[batch] / 10)
        assert FINE_TUNING not in now.cost.energy_joules  # nothing was fine-tuned
        assert "a made-up meter" in now.cost.energy_method
        assert before.cost.energy_joules == {}
    assert measured_here(place.latest / BASELINE) == found


def test_where_nothing_can_be_measured_that_is_kept_and_no_zero(mini):
    suite, place, cases = mini
    for case in suite_energy(suite, place, cases, "cpu", Ten(able=False)):
        assert case.cost.energy_joules == case.cost.energy_grams == {}
        assert case.cost.energy_method == "not measured: no counter"


def test_what_is_exported_are_the_weights_that_the_latest_results_are_about(mini, tmp_path):
    suite, place, results = mini

    def exported(cases):
        keep(cases, place.latest / BASELINE)
        return export_case(str(suite.file), results[-1].case, "safetensors", tmp_path / "out")

    with pytest.raises(
        InputError, match=r"depth-first-1/seed0: the latest results are of other weights; `robustprune run"
    ):
        exported([replace(one, weights_hash="0" * 64) for one in results])
    assert not (tmp_path / "out").exists()
    written = exported(results)[0].removeprefix("Written: ")
    net = remove(suite.cases[0].model.build(), results[-1].removed, torch.rand(1, 1, 8, 8))
    assert weights_hash(load_weights(net, Path(written))) == results[-1].weights_hash
    whole, small, *_ = export_case(str(suite.file), results[-1].case, INT8, tmp_path / "out")
    operators = {node.op_type for node in onnx.load(small.removeprefix("Written: ")).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= operators
    assert Path(whole.removeprefix("Written: ").partition(",")[0]).is_file()
    (kept,) = (file for file in (place.store.folder / "fine-tuned").glob("*.safetensors"))
    kept.write_bytes(next((place.store.folder / "trained").glob("*.safetensors")).read_bytes())
    with pytest.raises(InputError, match="its network is not in the store"):
        exported(results)
