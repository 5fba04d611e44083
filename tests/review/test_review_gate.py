"""Planted candidates, reviewed for real on a small network: the verdict must be the one that was planted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from review_desk import ATTACKS, NETS, POLICY, Silent

from robustprune.attacks import FGSM
from robustprune.data import Data, Split, cifar10, digits
from robustprune.errors import InputError
from robustprune.policy.policy import Policy
from robustprune.review.extras import Effort
from robustprune.review.gate import review
from robustprune.review.given import open_candidate, open_parent
from robustprune.review.request import Request, as_suite
from robustprune.review.summary import headline, to_markdown, to_text
from robustprune.run.store import Store

REAL = os.environ.get("ROBUSTPRUNE_DATA")


@pytest.fixture(scope="module")
def copy(desk):
    return desk.review(f"{NETS}:small")


@pytest.fixture(scope="module")
def masked(desk):
    return desk.review(f"{NETS}:masked")


def test_an_identical_copy_passes(copy):
    assert copy.verdict.verdict == "PASS", copy.verdict.reasons
    assert copy.exit_code == 0
    assert copy.changes.none
    assert copy.changes.same_weights == copy.changes.shared_weights
    assert headline(copy).startswith("PASS: ")


def test_a_copy_with_noise_in_its_weights_fails_and_says_what_broke(noisy):
    assert noisy.verdict.verdict == "FAIL"
    assert noisy.exit_code == 1
    assert any(finding.measure == "clean accuracy" and finding.verdict == "FAIL" for finding in noisy.verdict.findings)
    text = to_text(noisy)
    assert "clean accuracy: " in text
    assert "newly broken (" in text
    assert noisy.changes.none  # the structure is the same, only numbers differ
    assert noisy.changes.same_weights < noisy.changes.shared_weights


def test_fifty_samples_are_inconclusive_and_say_how_many_would_do(desk):
    found = desk.review(f"{NETS}:small", samples=50, training=digits().train.hashes())
    checks = {check.number: check for check in found.candidate.checks}
    assert (checks[27].status, checks[32].status, checks[32].figures["held_out"]) == ("pass", "pass", 550)
    assert found.verdict.verdict == "INCONCLUSIVE"
    assert found.exit_code == 3
    assert found.verdict.needed_n == 381  # z² (1 - m) / m at a margin of one point, where no sample differs
    assert headline(found).endswith("about 381 samples would settle it")


def test_masked_gradients_are_untrusted_although_robustness_seems_to_have_risen(masked):
    assert sum(masked.candidate.worst) > sum(masked.parent.worst) + 50
    assert masked.verdict.verdict == "UNTRUSTED"
    assert masked.exit_code == 3
    assert any("check 8, candidate" in reason for reason in masked.verdict.reasons)
    assert not any(", parent" in reason for reason in masked.verdict.reasons)


def test_one_weight_file_in_two_architectures_is_two_networks(masked):
    assert masked.facts.candidate["sha256"] == masked.facts.parent["sha256"]
    assert masked.facts.candidate["fingerprint"] != masked.facts.parent["fingerprint"]
    assert masked.candidate.outcomes[0].status != masked.parent.outcomes[0].status


def test_transfer_breaks_a_masked_network_that_its_own_attacks_do_not(masked):
    (moved,) = masked.transfers
    assert moved.attack.startswith("transfer PGD")
    assert sum(moved.robust) < sum(masked.candidate.worst) - 50
    assert moved.status.count("e") == masked.candidate.clean.count(False)


def test_nothing_is_measured_twice(desk, noisy, monkeypatch):
    monkeypatch.setattr("robustprune.run.attacked.evaluate", lambda *_, **__: pytest.fail("attacked again"))
    again = desk.review(f"{NETS}:small", "noisy.safetensors")
    assert again.candidate.outcomes == noisy.candidate.outcomes
    assert again.verdict == noisy.verdict


def test_the_newly_broken_samples_are_shown_with_what_breaks_them(desk, noisy):
    shown = noisy.exhibits.gallery
    worst = next(line for line in to_text(noisy).splitlines() if "robust accuracy, worst case: " in line)
    assert 1 <= len(shown) <= 6
    net = open_parent(f"{NETS}:small", desk.folder / "noisy.safetensors", digits().test.x[:1]).load()
    for sample in shown:
        number = sample.name.removeprefix("sample ")
        assert number in worst or len(noisy.exhibits.gallery) == 6
        assert np.abs(sample.adversarial - sample.original).max() <= 0.05 + 1e-6
        says = net(torch.from_numpy(sample.adversarial)[None]).argmax(1).item()
        assert str(says) == sample.candidate_says != sample.label
        assert net(torch.from_numpy(sample.original)[None]).argmax(1).item() == int(sample.label)


def test_the_seed_draws_other_samples(desk):
    data = digits()
    parent = open_parent(f"{NETS}:small", desk.folder / "parent.safetensors", data.test.x[:1])
    hashes = []
    for seed in (0, 0, 1):
        request = Request(candidate=parent, parent=parent, data=data, attacks=ATTACKS, samples=50, seed=seed)
        hashes.append(as_suite(request, Store(folder=desk.folder / "store")).data().test.hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_curves_over_eps_fall_from_clean_accuracy(noisy):
    for side, case in (("parent", noisy.parent), ("candidate", noisy.candidate)):
        points = noisy.exhibits.curves[side]
        assert [point.eps for point in points] == pytest.approx([0, 0.0125, 0.025, 0.05, 0.1])
        shares = [point.k / point.n for point in points]
        assert shares == sorted(shares, reverse=True)
        assert points[0].n == 100
        assert abs(shares[0] - sum(case.clean) / len(case.clean)) < 0.15


def test_a_candidate_for_other_images_is_refused(desk):
    data = digits()
    grey = Data(
        "wide",
        data.classes,
        *(Split(part.x.repeat(1, 3, 1, 1), part.y) for part in (data.train, data.test)),
        "wide",
    )
    with pytest.raises(InputError, match="Normalize: input of shape"):
        desk.review(f"{NETS}:small", data=grey)


def test_fewer_logits_than_classes_are_refused(desk):
    with pytest.raises(InputError, match=r"the candidate gives \(1, 2\) for one image"):
        desk.review(f"{NETS}:two", None)


def test_a_lone_exported_file_names_the_block_that_went(desk):
    import json

    from robustprune.models import load_weights, save_weights
    from robustprune.prune import remove
    from robustprune.review.given import METADATA
    from robustprune.suite.specs import factory

    net = load_weights(remove(factory(f"{NETS}:small")(), ["layer2.1"]), desk.folder / "pruned.safetensors")
    save_weights(net, desk.folder / "exported.safetensors", {METADATA: json.dumps({"removed": ["layer2.1"]})})
    data = digits()
    parent = open_parent(f"{NETS}:small", desk.folder / "parent.safetensors", data.test.x[:1])
    request = Request(
        candidate=open_candidate(str(desk.folder / "exported.safetensors"), None, parent),
        parent=parent,
        data=data,
        attacks=ATTACKS,
        policy=POLICY,
        batches=(1,),
        timing_seconds=0.01,
        effort=Effort(transfer_steps=5, curve_samples=100, curve_steps=5),
    )
    found = review(request, Store(folder=desk.folder / "store"), Silent())
    assert found.candidate.removed == ["layer2.1"]
    assert [layer.name for layer in found.changes.gone] == ["layer2.1"]
    assert found.candidate.cost.macs < found.parent.cost.macs
    assert set(found.candidate.similarity) == {"layer1.0", "layer1.1", "layer3.1"}
    assert "gone: layer2.1 (BasicBlock, " in to_markdown(found)


@pytest.mark.skipif(REAL is None, reason="ROBUSTPRUNE_DATA is not set: the published ResNets are not here")
def test_two_published_files_of_resnet_56_and_20_are_described_rightly(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("robustprune.run.examined.gather", lambda *_: [])  # evidence has tests of its own
    data = cifar10()
    data = replace(data, test=data.test.take(range(60)))
    example = data.test.x[:1]
    files = {depth: next((Path(REAL) / "checkpoints").glob(f"cifar10_resnet{depth}-*.th")) for depth in (56, 20)}
    (tmp_path / "resnets.py").write_text(
        "from robustprune.models import cifar10_resnet\n"
        "def deep():\n    return cifar10_resnet(56)\n"
        "def shallow():\n    return cifar10_resnet(20)\n"
    )
    parent = open_parent(f"{tmp_path}/resnets.py:deep", files[56], example)
    request = Request(
        candidate=open_candidate(f"{tmp_path}/resnets.py:shallow@{files[20]}", None, parent),
        parent=parent,
        data=data,
        attacks=(FGSM(eps=1 / 255),),
        policy=Policy(),
        samples=20,
        batches=(1,),
        timing_seconds=0.01,
        effort=Effort(transfer_steps=5, curve_samples=20, curve_steps=5),
    )
    found = review(request, Store(folder=tmp_path), Silent())
    assert found.changes.blocks == (27, 9)
    assert (found.parent.cost.macs, found.candidate.cost.macs) == (125_485_696, 40_551_040)
    assert found.candidate.cost.params == 269_722
    gone = [f"layer{stage}.{index}" for stage in (1, 2, 3) for index in range(3, 9)]
    assert [layer.name for layer in found.changes.gone] == gone
    assert found.candidate.removed == gone
    assert found.changes.counts["Conv2d"] == (55, 19)
    text = to_text(found)
    assert "residual blocks: 27 -> 9" in text
    assert "gone: layer1.3 to layer1.8 (6 BasicBlock, 28,032 parameters)" in text
    assert "125,485,696" in text
    assert "(-67.68 %)" in text
    assert sum(found.parent.clean) >= 16
    assert found.verdict.verdict != "PASS"  # twenty samples
