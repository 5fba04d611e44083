"""A file that ships as the candidate: judged itself, beside its float twin; strangers and other ranges are refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from review_desk import ATTACKS, NETS, POLICY, Silent, little_evidence

from robustprune.attacks import HopSkipJump, Square, Transfer
from robustprune.data import digits
from robustprune.errors import InputError
from robustprune.models import find_blocks, save_weights
from robustprune.models.artefact import Artefact
from robustprune.models.runtimes import open_runtime
from robustprune.prune import remove
from robustprune.review.artefacts.belongs import check_belongs
from robustprune.review.artefacts.opened import open_reviewed
from robustprune.review.bundle import write_bundle
from robustprune.review.extras import Effort
from robustprune.review.gate import review
from robustprune.review.given import METADATA, open_parent
from robustprune.review.record import to_json
from robustprune.review.request import Request
from robustprune.review.summary import table, to_markdown, to_text
from robustprune.review.verify import verify
from robustprune.run.queries import chosen_possible
from robustprune.run.store import Store
from robustprune.ship.export import export_onnx
from robustprune.ship.int8 import export_int8

DATA = digits()
LITTLE = Effort(transfer_steps=2, curve_samples=20, curve_steps=2, service_samples=8, compiles=0)
HASTY = replace(LITTLE, service_samples=0)


@pytest.fixture(scope="module")
def parent(desk):
    return open_parent(f"{NETS}:small", desk.folder / "parent.safetensors", DATA.test.x[:1])


@pytest.fixture(scope="module")
def files(parent, tmp_path_factory):
    """The parent as ONNX and as int8, and a copy that takes pixels in 0..255."""
    folder, net, x = tmp_path_factory.mktemp("files"), parent.load(), DATA.test.x
    export_onnx(net, folder / "net.onnx", x)
    export_int8(net, folder / "net.onnx", folder / "int8.onnx", DATA.train.x[:64], x)
    model = onnx.load(str(folder / "net.onnx"))
    nodes = list(model.graph.node)
    for node in nodes:
        for place, name in enumerate(node.input):
            node.input[place] = "pixels" if name == "image" else name
    del model.graph.node[:]
    model.graph.node.extend([helper.make_node("Div", ["image", "most"], ["pixels"]), *nodes])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(255), "most"))
    onnx.save(model, str(folder / "bytes.onnx"))
    return folder


def reviewed(desk, parent, file, twin=f"{NETS}:small", attacks=ATTACKS, samples=60, effort=LITTLE):
    given = f"{twin}@{desk.folder / 'parent.safetensors'}" if twin == f"{NETS}:small" else twin
    candidate, beside = open_reviewed(str(file), None, given, parent)
    request = Request(
        candidate=candidate,
        twin=beside,
        parent=parent,
        data=DATA,
        attacks=attacks,
        policy=POLICY,
        samples=samples,
        batches=(1,),
        timing_seconds=0.01,
        effort=effort,
    )
    with little_evidence():
        return review(request, Store(folder=desk.folder / "store"), Silent())


@pytest.fixture(scope="module")
def same(desk, parent, files):
    """A review of the parent's own ONNX file."""
    return reviewed(desk, parent, files / "net.onnx")


def test_a_float_file_is_broken_where_its_twin_is_and_loses_nothing(same):
    twin = same.beside.twin
    assert [one.status for one in same.candidate.outcomes] == [one.status for one in twin.outcomes]
    assert 0 < sum(same.candidate.worst) < sum(same.candidate.clean)
    assert {one.difference for one in same.beside.alone(same.candidate, 0.95)} == {0.0}
    checks = {check.number: check for check in same.candidate.checks}
    assert [number for number, check in checks.items() if check.status == "fail" and check.blocking] == []
    assert "what ships was itself attacked and judged" in checks[30].evidence
    assert (checks[8].status, checks[31].status) == ("pass", "pass")


def test_twin_and_file_stand_in_columns_and_in_the_json(same):
    head, *rows = table(same)
    assert head[1:4] == ("parent", "float twin", "what ships")
    clean = next(row for row in rows if row[0] == "clean accuracy")
    assert clean[1] == clean[2] == clean[3]
    assert {len(row) for row in rows} == {6}
    said = json.loads(json.dumps(to_json(same)))["artefact"]
    assert said["twin"]["case"] == same.beside.twin.case
    assert [one["difference"] for one in said["alone"]] == [0.0] * len(said["alone"])
    assert set(said["speeds"]["milliseconds"]) == {"the file (ONNX)", "PyTorch"}
    assert said["speeds"]["missing"] == {"torch.compile": "not asked for"}
    for text in (to_text(same), to_markdown(same)):
        assert "torch.compile: not measured: not asked for" in text
        assert "the file alone loses 0 of 60 samples and wins 0" in text


def test_of_twin_and_copy_the_same_blocks_are_gone(desk, parent, tmp_path):
    net = parent.load()
    gone = find_blocks(net, DATA.test.x[:1])[0].name
    about = {METADATA: json.dumps({"removed": [gone]})}
    save_weights(remove(net, [gone], DATA.test.x[:1]), tmp_path / "pruned.safetensors", about)
    found = reviewed(
        desk,
        parent,
        "bfloat16",
        twin=str(tmp_path / "pruned.safetensors"),
        attacks=ATTACKS[:1],
        samples=20,
        effort=HASTY,
    )
    assert found.candidate.removed == found.beside.twin.removed == [gone]


def test_its_size_is_the_files_and_its_memory_is_not_claimed(same, files):
    cost = same.candidate.cost
    assert cost.file_bytes == (files / "net.onnx").stat().st_size
    assert cost.macs == same.parent.cost.macs > 0
    assert not [row for row in table(same) if row[0] == "memory"]
    assert "not measured" in cost.memory_method


def test_its_bundle_holds_and_a_changed_twin_is_noticed(same, tmp_path, monkeypatch):
    monkeypatch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))
    write_bundle(same, tmp_path / "bundle")
    assert verify(tmp_path / "bundle").problems == ()
    lost = replace(same.beside.twin, clean=[False] * 60, outcomes=[])
    write_bundle(replace(same, beside=replace(same.beside, twin=lost)), tmp_path / "other")
    said = json.loads((tmp_path / "other" / "verdict.json").read_text())["artefact"]["alone"]
    assert next(one for one in said if one["claim"] == "clean")["before"] == 0.0


def test_an_int8_file_is_near_its_twin_and_judged_by_queries_too(desk, parent, files):
    asked = (ATTACKS[1], Transfer(eps=0.05, steps=2), Square(eps=0.05, queries=20), HopSkipJump(eps=0.05, queries=40))
    found = reviewed(desk, parent, files / "int8.onnx", attacks=asked, samples=40, effort=HASTY)
    assert {one.knowledge for one in found.candidate.outcomes} >= {"logits by query", "labels by query"}
    assert "transfer PGD-2, Linf 12.75/255, made on parent and twin: " in to_text(found)
    assert not [one for one in found.beside.alone(found.candidate, 0.95) if "transfer" in one.claim]
    assert found.parity.kind == "ONNX"
    assert 0.9 * 40 <= found.parity.agree <= 40
    assert found.parity.gap > 1e-3
    gain = sum(found.candidate.worst) - sum(found.beside.twin.worst)
    assert gain <= 0 or "above its twin's" in to_text(found)
    assert found.candidate.weights_hash != found.beside.twin.weights_hash


def test_without_a_twin_only_queries_are_made_and_the_verdict_says_so(desk, parent, files):
    asked = (Square(eps=0.05, queries=20), HopSkipJump(eps=0.05, queries=40))
    found = reviewed(desk, parent, files / "net.onnx", twin=None, attacks=asked, samples=40, effort=HASTY)
    assert found.verdict.verdict == "UNTRUSTED"
    (reason,) = [reason for reason in found.verdict.reasons if reason.startswith("validity check 8, candidate")]
    assert "no float twin was given" in reason
    assert "nothing is known of who has the file" in reason
    assert not [check for check in found.candidate.checks if check.evidence.startswith("could not be carried out")]
    assert not [row for row in table(found) if row[0] == "MACs"]
    with pytest.raises(InputError, match="--attack PGD-5: needs gradients"):
        chosen_possible(ATTACKS, gradients=False)


def test_a_file_of_other_weights_is_not_the_twins(parent, files):
    torch.manual_seed(5)
    stranger = parent.shape().eval()
    net = Artefact(open_runtime(files / "net.onnx"), stranger)
    with pytest.raises(InputError, match=r"net\.onnx: not made of its twin: their logits correlate by -?0\.\d+"):
        check_belongs(net, DATA.test, "net.onnx")


@pytest.mark.parametrize("beside", [True, False], ids=["twin", "labels"])
def test_a_file_that_takes_other_pixels_is_named(parent, files, beside):
    twin = parent.load() if beside else None
    check_belongs(Artefact(open_runtime(files / "int8.onnx"), twin), DATA.test, "int8.onnx")
    with pytest.raises(InputError, match=r"bytes\.onnx: takes pixels in 0\.\.255; expected pixels in \[0, 1\]"):
        check_belongs(Artefact(open_runtime(files / "bytes.onnx"), twin), DATA.test, "bytes.onnx")


@pytest.mark.parametrize(
    ("candidate", "weights", "twin", "reason"),
    [
        (f"{NETS}:small", None, f"{NETS}:small", "gives its own gradients; expected a file ending in .onnx"),
        ("bfloat16", None, None, "a copy of which network"),
        ("net.onnx", "w.pt", None, "holds its own"),
        ("none.onnx", None, None, "no such file"),
    ],
)
def test_what_does_not_fit_together_is_refused(parent, candidate, weights, twin, reason):
    with pytest.raises(InputError, match=reason):
        open_reviewed(candidate, weights, twin, parent)


def test_a_file_that_changes_meanwhile_is_noticed(desk, parent, files, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes((files / "net.onnx").read_bytes())
    given, _ = open_reviewed(str(path), None, None, parent)
    path.write_bytes((files / "int8.onnx").read_bytes())
    with pytest.raises(InputError, match="was changed while it was reviewed"):
        given.load()


def test_halves_are_copies_of_the_twin(desk, parent):
    given, _ = open_reviewed("float16", None, f"{NETS}:small@{desk.folder / 'parent.safetensors'}", parent)
    net, x = given.load(), DATA.test.x[:50]
    gap = (net(x) - parent.load()(x)).abs().max().item()
    assert 0 < gap < 0.1
    assert given.loading is None
