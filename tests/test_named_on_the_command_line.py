"""Verbs take networks by the names of libraries; `new` writes a suite that `check` accepts."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from suite_files import evidence_taken_as_read

from robustprune.attacks import FGSM
from robustprune.cli.verbs import main
from robustprune.data import load_data
from robustprune.models import load_weights, named, save_weights
from robustprune.review import service
from robustprune.review.artefacts.opened import open_reviewed
from robustprune.review.extras import Effort
from robustprune.review.gate import review
from robustprune.review.given import open_parent
from robustprune.review.request import Request
from robustprune.run.store import Store
from robustprune.suite.draft import Draft
from robustprune.suite.files import load_suite
from robustprune.suite.sweep import LEVELS, Sweep

NET = "timm:test_convnext"


def call(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def one_line(result, *expected):
    """Exit code 2 and one last line on stderr, with these texts."""
    assert result.exit_code == 2, result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("robustprune: ")
    assert all(text in last for text in expected), last


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two networks with 3 classes, as files, and images that the first has all right."""
    folder = tmp_path_factory.mktemp("named")
    torch.manual_seed(0)
    net, other = (named(text, weights="random", num_classes=3)().eval() for text in (NET, "timm:test_resnet"))
    x = torch.randint(0, 256, (48, 3, 4, 4), dtype=torch.uint8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    with torch.no_grad():
        head = net.net.head.fc
        head.bias -= net(x / 255).mean(0)
        for weight in head.parameters():
            weight *= 10
        y = net(x / 255).argmax(1).numpy()
    save_weights(net.net, folder / "b.safetensors")
    save_weights(other.net, folder / "a.safetensors")
    images = x.permute(0, 2, 3, 1).numpy()
    np.savez(folder / "test.npz", x=images[:12], y=y[:12])
    np.savez(folder / "both.npz", x_train=images[:24], y_train=y[:24], x_test=images[24:], y_test=y[24:])
    return folder


@pytest.fixture(autouse=True)
def _here(home, monkeypatch):
    monkeypatch.chdir(home)


class Silent:
    """A listener that says nothing."""

    def stage(self, case, stage, done, total):
        pass

    def finished(self, case):
        pass


def test_a_review_of_one_architecture_beside_another_says_what_differs(home, tmp_path):
    data = load_data("test.npz", test_share=1)
    parent = open_parent(f"{NET}@b.safetensors", None, data.test.x[:1])
    candidate, _ = open_reviewed("timm:test_resnet@a.safetensors", None, None, parent)
    asked = Request(
        candidate=candidate,
        parent=parent,
        data=data,
        attacks=(FGSM(eps=4 / 255),),
        batches=(1,),
        timing_seconds=0.01,
        effort=Effort(curve_steps=1, curve_samples=1, service_samples=0, transfer_steps=1),
    )
    with evidence_taken_as_read():
        found = review(asked, Store(folder=tmp_path), Silent())
    assert found.facts.candidate["spec"] == "timm:test_resnet"
    assert found.verdict.verdict in ("FAIL", "INCONCLUSIVE", "UNTRUSTED")
    assert sum(found.parent.clean) == 12
    kinds = [[type(part).__name__ for part in side.shape().modules()] for side in (parent, candidate)]
    assert found.changes.counts["Conv2d"] == tuple(one.count("Conv2d") for one in kinds)
    assert found.changes.gone


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("timm:resnt18@a.safetensors", "did you mean resnet18"),
        ("timm:test_resnet@nowhere.safetensors", "no such weight file"),
        ("timm:test_resnet@b.safetensors", "does not fit the model"),
        ("hf:../..@a.safetensors", "holds no config.json"),
        ("timm:test_resnet", "its weights are not here"),
    ],
)
def test_a_review_refuses_in_one_line(spec, expected, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    one_line(call("review", spec, "--parent", "cifar10-resnet20", "--data", "test.npz"), expected)


def test_random_weights_are_the_same_each_time_where_they_are_asked_for():
    nets = [open_parent(f"{NET}@random", None, torch.zeros(1, 3, 32, 32)).load() for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


def test_a_service_builds_what_was_reviewed():
    given = open_parent(f"{NET}@b.safetensors", None, torch.zeros(1, 3, 32, 32))
    loading, x = given.loading, torch.rand(2, 3, 32, 32)
    job = json.loads(json.dumps({**vars(loading), "input": [1, 3, 32, 32]}))
    there = load_weights(service.network(job, x), Path("b.safetensors")).eval()
    assert torch.equal(there(x), given.load()(x))


def test_blocks_needs_no_weights():
    found = call("blocks", NET, "--json")
    assert found.exit_code == 0
    units = json.loads(found.stdout)["units"]
    assert sum(unit["removable"] for unit in units) == 9


def test_a_written_suite_passes_check_and_is_not_written_over(home):
    words = ["new", "suites/mine.py", "--model", NET, "--weights", "b.safetensors", "--data", "both.npz"]
    written = call(*words)
    assert written.exit_code == 0, written.output
    assert call("check", "suites/mine.py").exit_code == 0
    suite = load_suite("suites/mine.py")
    kinds = {case.kind for case in suite.cases}
    assert {"parent", "dense, fine-tuned", "random", "depth-first", "consensus"} <= kinds
    assert {case.strategy.remove for case in suite.cases if case.strategy} == {1}
    level = suite.attacks[0].eps * 255
    assert any(abs(level - one) < 1e-9 for one in LEVELS)
    text = Path("suites/mine.py").read_text()
    one_line(call(*words), "is there already", "--force")
    one_line(call(*words[:-1], "digits", "--force"), "Normalize")
    assert Path("suites/mine.py").read_text() == text


@pytest.mark.parametrize(
    ("place", "more", "expected"),
    [
        ("suites/mine", [], "expected the name of a Python file"),
        ("suites/x.py", ["--eps", "much"], "expected a number such as 8/255"),
        ("suites/x.py", ["--model", "timm:test_resnet@a.safetensors"], "no block can go"),
        ("suites/x.py", ["--data", "nowhere"], "neither a path nor one of"),
        ("b.safetensors/x.py", [], "cannot be written"),
    ],
)
def test_new_refuses_in_one_line_and_writes_nothing(place, more, expected):
    words = ["--model", f"{NET}@b.safetensors", "--data", "both.npz", "--eps", "1/255"]
    one_line(call("new", place, *words, *more), expected)
    assert not Path("suites/x.py").exists()


@pytest.mark.parametrize("name", ['"""\nimport os\nos.abort()\n"""', "{eps}", 'a"b\\', "x" * 200])
def test_no_name_can_put_code_into_a_written_suite(home, name):
    draft = Draft(
        file=Path("suites/x.py"),
        spec=NET,
        weights=home / "b.safetensors",
        name=name,
        source="both.npz",
        data=replace(load_data("both.npz"), name=name),
        classes=3,
        removable=5,
        sweep=Sweep(images=24, right=24, kept={1: 12}, seconds=0.01),
        eps="1 / 255",
    )
    tree = ast.parse(draft.text())
    kinds = [type(node).__name__ for node in tree.body]
    assert kinds == ["Expr", *["ImportFrom"] * 10, *["Assign"] * 7]
    model = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "parent")
    assert ast.literal_eval(model.keywords[0].value) == name
    assert all(len(line) <= 120 for line in ast.get_docstring(tree).splitlines())
