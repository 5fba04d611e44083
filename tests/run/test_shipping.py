"""Cases that ship as another format: the file itself answers, its float network lends slopes, and both are measured."""

import importlib.metadata
import pickle
from dataclasses import replace

import onnxruntime
import pytest
import torch
from mini_suite import write_mini
from suite_files import Silent, evidence_taken_as_read

from robustprune.errors import InputError
from robustprune.report import ships
from robustprune.results.records import CaseResult, from_record, to_record
from robustprune.run.case import Finished
from robustprune.run.shipping import Shipped
from robustprune.run.store import Store
from robustprune.run.suite import CaseWork, recall, run_suite
from robustprune.ship.case import write_network
from robustprune.suite import grid
from robustprune.suite.cases import SHIPS
from robustprune.suite.files import load_suite

FORMS = ("onnx-int8", "bfloat16")


@pytest.fixture(scope="module", autouse=True)
def _evidence_taken_as_read():
    with evidence_taken_as_read():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One parent and one pruned network of the mini suite, in float and as three formats."""
    folder = tmp_path_factory.mktemp("ships")
    suite = load_suite(write_mini(folder))
    model = suite.cases[0].model
    pruned = next(case for case in suite.cases if case.strategy is not None and case.model == model)
    suite = replace(suite, cases=[pruned, *(replace(pruned, ships=form) for form in FORMS)])
    store = Store(folder=folder / "store")
    return suite, store, {case.case: case for case in run_suite(suite, store, Silent(), workers=1)}


@pytest.fixture(scope="module")
def networks(finished):
    """The measured networks, by format; None: float."""
    suite, store, _ = finished
    work = CaseWork(suite=suite, store=store, device="cpu")
    return work.bench, {case.ships: recall(case, work) for case in suite.cases if case.strategy is not None}


def test_each_is_a_case_of_its_own_beside_the_same_parent_and_its_float_network(finished):
    suite, _, results = finished
    assert [case.id for case in suite.cases] == [
        "net-0/parent",
        "net-0/depth-first-1/seed0",
        "net-0/depth-first-1 as int8 ONNX/seed0",
        "net-0/depth-first-1 as bfloat16/seed0",
    ]
    for case in suite.cases[2:]:
        found = results[case.id]
        assert (found.parent, found.twin) == ("net-0/parent", "net-0/depth-first-1/seed0")
        assert found.removed == results[found.twin].removed
        assert found.cost.macs == results[found.twin].cost.macs
    assert all(results[case.id].twin is None for case in suite.cases[:2])


def test_a_grid_ships_each_of_its_cases_and_a_suite_adds_what_they_are_compared_with(finished):
    model, strategy = finished[0].cases[1].model, finished[0].cases[1].strategy
    cases = grid(model=model, strategy=[strategy], recipe=model.recipe, ships=["float16"])
    assert [case.ships for case in cases] == [None] * 3 + ["float16"] * 3
    assert [case.kind for case in cases[3:]] == [
        "parent as float16",
        "dense, fine-tuned as float16",
        "depth-first as float16",
    ]
    alone = replace(finished[0], cases=[cases[-1]])
    assert [*alone.cases] == [cases[0], cases[2], cases[-1]]


def test_the_file_itself_is_what_was_attacked(networks):
    """Its logits are those of onnxruntime on the kept bytes, and of the network in half precision."""
    bench, found = networks
    x, net = bench.sample.x, found[None].network.model
    with torch.no_grad():
        shipped = found["onnx-int8"].network.model
        session = onnxruntime.InferenceSession(shipped.runtime.content)
        (theirs,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        assert torch.allclose(shipped(x), torch.from_numpy(theirs), atol=1e-5)
        assert 1e-4 < (shipped(x) - net(x)).abs().max() < 1
        half = found["bfloat16"].network.model(x)
        assert half.equal(pickle.loads(pickle.dumps(net)).bfloat16()(x.bfloat16()).float())


def test_scales_are_found_on_training_images_alone(finished, networks):
    """Each quantized input is written with the range of the training images, not that of the evaluation samples."""
    import onnx
    from onnx import numpy_helper

    bench, found = networks
    graph = onnx.load_from_string(found["onnx-int8"].network.model.runtime.content).graph
    scales = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "image")
    low, high = min(0.0, float(bench.data.train.x.min())), float(bench.data.train.x.max())
    assert float(scales[first.input[1]]) == pytest.approx((high - low) / 255, rel=1e-4)


def test_queries_and_images_of_the_float_network_are_added_for_what_ships(finished):
    _, _, results = finished
    for case in results.values():
        names = [outcome.attack for outcome in case.outcomes]
        more = ["transfer PGD-20", "Square-500", "HopSkipJump-500"] if case.twin else []
        assert names == ["FGSM", *more]


def test_a_second_run_measures_nothing_and_travels(finished, networks):
    suite, store, results = finished
    again = run_suite(suite, replace(store, readonly=True), Silent(), workers=1)
    assert [to_record(case) for case in again] == [to_record(case) for case in results.values()]
    bench, found = networks
    for form in FORMS:
        network = found[form].network
        sent = pickle.loads(pickle.dumps(network))
        assert sent.model(bench.sample.x).equal(network.model(bench.sample.x))


def test_what_is_kept_and_was_changed_is_not_used(networks):
    network = networks[1]["onnx-int8"].network
    other = replace(network, content="0" * 64)
    with pytest.raises(InputError, match="not the int8 ONNX copy that was measured"):
        _ = other.model


def test_other_bytes_are_another_network_for_every_measurement(networks):
    network = networks[1]["onnx-int8"].network
    assert isinstance(network, Shipped)
    assert replace(network, content="0" * 64).content_key != network.content_key
    assert replace(network, makers="onnx 0").content_key != network.content_key
    assert network.shape != network.twin.shape


def test_the_exported_file_is_the_one_that_was_measured(finished, networks, tmp_path):
    (_, _, results), (bench, found) = finished, networks
    int8, half = (
        Finished(measured=found[form], result=results[found[form].case.id]) for form in ("onnx-int8", "bfloat16")
    )
    path, parity = write_network(int8, int8.measured.parent.network, "onnx", tmp_path, bench)
    assert path.read_bytes() == int8.network.model.runtime.content
    assert parity.n == len(bench.sample)
    with pytest.raises(InputError, match="made where it runs; export the same case in float"):
        write_network(half, half.measured.parent.network, "onnx", tmp_path, bench)


def test_without_its_libraries_nothing_is_trained(finished, tmp_path, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(InputError, match=r"need onnx: pip install 'robustprune\[onnx\]'"):
        run_suite(finished[0], Store(folder=tmp_path / "store"), Silent(), workers=1)
    assert not [*(tmp_path / "store").glob("trained/*.safetensors")]


def test_the_table_sets_the_copy_beside_its_float_network(finished):
    """8 of 16 samples were right in float; FGSM, which both saw, takes 3 from the copy, and queries 2 more."""
    _, _, results = finished
    plain: list[CaseResult] = list(results.values())
    changed = []
    for case in plain:
        record = to_record(case) | {"clean": [k < 8 for k in range(16)]}
        for outcome in record["outcomes"]:
            kept = {"FGSM": 5, "Square-500": 3}.get(outcome["attack"], 8) if case.twin else 8
            letters = "".join("r" if k < kept else "b" if k < 8 else "e" for k in range(16))
            distance = [0.05 if letter == "b" else None for letter in letters]
            outcome.update(status=letters, distance=distance, steps=[0] * 16)
        changed.append(from_record(record))
    ((title, _, rows),) = ships.parts(changed)
    assert title == "What shipping costs"
    assert [row["what ships"] for row in rows] == [f"depth-first as {SHIPS[form]}" for form in FORMS]
    for row in rows:
        assert (row["clean %"], row["worst case %"]) == ("50.0 %", "18.8 %")
        assert row["clean, change"].startswith("+0.0 [")
        assert row["worst case, change"].startswith("-18.8 [")
        assert row["added attacks alone"] == "-12.5"
    assert [*ships.parts([case for case in changed if case.twin is None])] == []
