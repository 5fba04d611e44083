import dataclasses
import functools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from robustprune.criteria import Cka, FeatureCriterion, Procrustes
from robustprune.models import CifarResNet, Normalize
from robustprune.names import import_file
from robustprune.run.code import file_digest
from robustprune.run.keys import Unseen, describe, describe_network, digest


@dataclasses.dataclass(frozen=True)
class Setting:
    size: int
    name: str = "a"


@dataclasses.dataclass(frozen=True)
class Scale:
    by: float

    def apply(self, x: float) -> float:
        return x * self.by


def scale(x: float, by: float = 2.0) -> float:
    return x * by


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Setting(1), Setting(2)),
        ({"a": 1}, {"a": 2}),
        ((1, 2), (2, 1)),
        (0.1, 0.1 + 1e-16 + 1e-15),
        (scale, describe),
        (functools.partial(scale, by=2), functools.partial(scale, by=3)),
        (Scale(2).apply, Scale(3).apply),
        (1, "1"),
        (None, 0),
    ],
)
def test_what_differs_has_another_digest(one, other):
    assert digest(one) != digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Setting(1), Setting(1, "a")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, 2], (1, 2)),
        ({3, 1, 2}, {2, 3, 1}),
        (functools.partial(scale, by=2), functools.partial(scale, by=2)),
    ],
)
def test_what_is_the_same_has_the_same_digest(one, other):
    assert digest(one) == digest(other)


def test_a_closure_is_told_apart_by_what_it_closes_over():
    def times(factor):
        return lambda x: x * factor

    assert digest(times(2)) == digest(times(2))
    assert digest(times(2)) != digest(times(3))


@dataclasses.dataclass(frozen=True)
class WithAside:
    size: int
    how: int = dataclasses.field(default=0, metadata={"key": False})


class Holder:
    """An object that holds itself."""

    def __init__(self, value: int) -> None:
        self.value, self.me = value, self


def made(text: str, folder: Path, name: str = "nets.py"):
    """A module from a file that holds `text`; every call gives a folder of its own, so nothing is remembered."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return import_file(folder / name)


def test_a_field_that_decides_nothing_stays_out_of_the_key():
    assert digest(WithAside(1, 2)) == digest(WithAside(1, 3))
    assert digest(WithAside(1, 2)) != digest(WithAside(2, 2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(3), torch.tensor([0.0, 0.0, 1e-9])),
        (torch.zeros(3), torch.zeros(3, dtype=torch.float64)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (np.zeros(3), np.ones(3)),
        (functools.partial(scale, by=torch.zeros(2)), functools.partial(scale, by=torch.ones(2))),
        (Holder(1), Holder(2)),
        (b"a", b"b"),
    ],
)
def test_content_is_told_apart_wherever_it_stands(one, other):
    assert digest(one) != digest(other)


def test_an_object_that_holds_itself_is_described_by_its_content():
    assert digest(Holder(1)) == digest(Holder(1))


def test_two_lambdas_of_one_line_are_two():
    one, other = (lambda x: x + 1), (lambda x: x + 2)
    assert digest(one) != digest(other)


def test_a_thing_that_does_not_show_its_content_never_has_the_same_name():
    lock = threading.Lock()
    with pytest.raises(Unseen):
        describe({"lock": lock})
    assert digest({"lock": lock}) != digest({"lock": lock})


BUILD = """
SCALE = {scale}
{comment}
def helper():
    {docstring}
    return SCALE * {factor}
def build():
    return helper()
"""


def build_digest(folder: Path, scale=1, factor=2):
    return describe(made(BUILD.format(scale=scale, factor=factor, comment="", docstring="pass"), folder).build)


def test_a_constant_or_a_helper_beside_a_factory_belongs_to_it(tmp_path: Path):
    plain = build_digest(tmp_path / "a")
    assert build_digest(tmp_path / "b", scale=3) != plain
    assert build_digest(tmp_path / "c", factor=3) != plain


def test_a_value_that_was_read_from_a_file_belongs_to_the_function_that_uses_it(tmp_path: Path):
    read = "from pathlib import Path\nDELTA = (Path(__file__).parent / 'delta').read_text()\n"
    text = read + "def build():\n    return DELTA\n"
    around = []
    for name, content in (("a", "1"), ("b", "2"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "delta").write_text(content)
        around.append(describe(made(text, tmp_path / name).build)["around"])
    assert around[0] != around[1] == around[2]


def test_comments_and_docstrings_in_a_file_change_nothing(tmp_path: Path):
    made(BUILD.format(scale=1, factor=2, comment="", docstring="'A text.'"), tmp_path / "a")
    made(BUILD.format(scale=1, factor=2, comment="# a remark", docstring="'Says what it does.'"), tmp_path / "b")
    made(BUILD.format(scale=1, factor=4, comment="", docstring="'A text.'"), tmp_path / "c")
    a, b, c = (file_digest(tmp_path / name / "nets.py") for name in "abc")
    assert a == b != c


def test_the_suite_itself_is_no_part_of_what_its_file_does(tmp_path: Path):
    made("def f():\n    return 1\nSUITE = 1\n", tmp_path / "a")
    made("def f():\n    return 1\nSUITE = 2\n", tmp_path / "b")
    assert file_digest(tmp_path / "a/nets.py") == file_digest(tmp_path / "b/nets.py")


def test_a_module_that_is_imported_from_the_same_folder_belongs_to_the_file(tmp_path: Path):
    digests = []
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside.py").write_text(f"def value():\n    return {value}\n")
        module = made("def build():\n    from beside import value\n    return value()\n", tmp_path / name)
        assert module.build() == value
        digests.append(file_digest(tmp_path / name / "nets.py"))
    assert digests[0] != digests[1]


NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, flag=False):
        super().__init__()
        self.layer, self.flag = nn.Linear(4, 2), flag
    def forward(self, x):
        return self.layer({forward})
"""


def test_a_flag_and_the_source_of_its_class_belong_to_a_network(tmp_path: Path):
    plain = made(NET.format(forward="x"), tmp_path / "a").Net
    other = made(NET.format(forward="x * 0.3"), tmp_path / "b").Net
    assert digest(describe_network(plain())) == digest(describe_network(plain()))
    assert digest(describe_network(plain())) != digest(describe_network(plain(flag=True)))
    assert digest(describe_network(plain())) != digest(describe_network(other()))


def test_weights_are_no_part_of_the_structure_but_everything_else_is():
    one, other = CifarResNet(8, width=4), CifarResNet(8, width=4)
    assert digest(describe_network(one)) == digest(describe_network(other))
    assert digest(describe_network(one)) != digest(describe_network(CifarResNet(8, width=8)))
    other.register_forward_hook(lambda module, args, output: output * 2)
    assert digest(describe_network(one)) != digest(describe_network(other))
    third = CifarResNet(8, width=4)
    third.forward = lambda x: x
    assert digest(describe_network(one)) != digest(describe_network(third))


def test_a_method_that_was_put_into_a_class_is_seen(monkeypatch):
    net = nn.Sequential(Normalize((0.5,), (0.2,)))
    before = digest(describe_network(net))
    monkeypatch.setattr(Normalize, "forward", lambda self, x: x)
    assert digest(describe_network(net)) != before


def test_a_reversed_criterion_is_seen_wherever_in_its_class_it_was_reversed(monkeypatch):
    """The score is made by a method of a base class; a method may come from another class of the same file."""
    before = digest(Cka())
    monkeypatch.setattr(FeatureCriterion, "__call__", lambda self, ctx: {block.name: 0.0 for block in ctx.blocks})
    assert digest(Cka()) != before
    monkeypatch.undo()
    assert digest(Cka()) == before
    monkeypatch.setattr(Cka, "distance", Procrustes.distance)
    assert digest(Cka()) != before


SAID = """
from functools import partial
from robustprune.attacks import PGD
from robustprune.consensus import Consensus
from robustprune.models import CifarResNet
from robustprune.run.keys import digest
name = digest([CifarResNet(8), Consensus(), PGD(eps=0.1), partial(CifarResNet, 8), {"a", "b", "c"}])
"""


def test_every_process_gives_the_same_names():
    here = {}
    exec(SAID, here)
    there = {**os.environ, "PYTHONHASHSEED": "1"}
    run = [sys.executable, "-c", f"{SAID}print(name)"]
    assert subprocess.run(run, capture_output=True, text=True, check=True, env=there).stdout.strip() == here["name"]


WAYS = {
    "by name": "from helper_of_mine import VALUE",
    "relative": "from .helper_of_mine import VALUE",
    "by its folder": "from suites.helper_of_mine import VALUE",
    "as a module": "import suites.helper_of_mine as helper\nVALUE = helper.VALUE",
    "from the folder": "from . import helper_of_mine as helper\nVALUE = helper.VALUE",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_helper_beside_a_suite_is_reached_and_an_edited_one_changes_the_key(way, tmp_path):
    files = {}
    for repository, value in (("one", 1), ("other", 2)):
        folder = tmp_path / repository / "suites"
        folder.mkdir(parents=True)
        (folder / "helper_of_mine.py").write_text(f"VALUE = {value}\n")
        files[repository] = folder / "mine.py"
        files[repository].write_text(f"{WAYS[way]}\n")
    assert [import_file(files[name]).VALUE for name in ("one", "other", "one")] == [1, 2, 1]
    before = file_digest(files["one"])
    assert before == file_digest(files["one"])
    files["one"].with_name("helper_of_mine.py").write_text("VALUE = 1 + 10\n")
    assert file_digest(files["one"]) != before
    assert import_file(files["one"]).VALUE == 11
