"""Opening models: what is code and what is not, and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import planted_models
import pytest
import torch
from review_desk import NETS

from robustprune.errors import InputError, MissingData
from robustprune.models import save_weights
from robustprune.review.given import METADATA, open_candidate, open_parent
from robustprune.suite.specs import factory, split_spec

X = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def parent_of(desk):
    return open_parent(f"{NETS}:small", desk.folder / "parent.safetensors", X)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cifar10-resnet56", ("cifar10-resnet56", None)),
        ("cifar10-resnet56@a/b.th", ("cifar10-resnet56", "a/b.th")),
        ("pkg.nets:make@w.pt", ("pkg.nets:make", "w.pt")),
        ("a@b/nets.py:make@c@d.pt", ("a@b/nets.py:make", "c@d.pt")),
        (r"nets.py:make@C:\w.pt", ("nets.py:make", r"C:\w.pt")),
    ],
)
def test_a_spec_comes_apart_at_the_right_place(text, parts):
    assert split_spec(text) == parts


@pytest.mark.parametrize("text", ["", "@w.pt", ":make"])
def test_a_spec_without_a_name_is_refused(text):
    with pytest.raises(InputError, match="expected NAME"):
        split_spec(text)


def test_a_factory_of_a_file_and_of_a_package_give_networks():
    assert type(factory(f"{NETS}:small")()).__name__ == "CifarResNet"
    assert type(factory("torch.nn:Identity")()) is torch.nn.Identity
    assert sum(1 for name in factory("cifar10-resnet20")().state_dict() if name.endswith("conv1.weight")) == 10
    with pytest.raises(InputError, match=r"expected package\.module:factory, file\.py:factory, or one of cifar10-"):
        factory("resnet-of-nobody")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (f"{NETS}:nothing", "defines no 'nothing'"),
        (f"{NETS}:number", "is int, expected a function"),
        ("nowhere.py:make", "no such file"),
        ("no_such_package.here:make", "cannot be imported"),
    ],
)
def test_a_factory_that_is_not_there_is_refused(spec, reason):
    with pytest.raises(InputError, match=reason):
        factory(spec)


@pytest.mark.parametrize(("name", "reason"), [("broken", "RuntimeError: nothing here"), ("text", "gave str")])
def test_a_factory_that_gives_no_network_is_refused(name, reason):
    with pytest.raises(InputError, match=reason):
        factory(f"{NETS}:{name}")()


def test_a_file_that_raises_on_import_says_what_it_raised(tmp_path: Path):
    file = tmp_path / "bad.py"
    file.write_text("import nothing_of_this_name")
    with pytest.raises(InputError, match="ModuleNotFoundError"):
        factory(f"{file}:make")


def test_weights_are_found_in_the_data_folder(desk, monkeypatch):
    monkeypatch.setenv("ROBUSTPRUNE_DATA", str(desk.folder))
    assert open_parent(f"{NETS}:small@noisy.safetensors", None, X).weights == desk.folder / "noisy.safetensors"
    with pytest.raises(MissingData, match="no such weight file"):
        open_parent(f"{NETS}:small@elsewhere.pt", None, X)


def test_a_malicious_pickle_is_refused_without_running(desk, tmp_path: Path):
    trace = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (trace,))

    file = tmp_path / "evil.th"
    file.write_bytes(pickle.dumps({"state_dict": Evil()}))
    given = open_candidate(f"{NETS}:small", file, parent_of(desk))
    with pytest.raises(InputError, match="refused"):
        given.load()
    assert not trace.exists()
    pickle.loads(file.read_bytes())
    assert trace.exists()  # it would have run


def test_wrappers_and_prefixes_are_understood(desk, tmp_path: Path):
    net = parent_of(desk).load()
    content = {"state_dict": {f"module.{name}": tensor for name, tensor in net.state_dict().items()}}
    torch.save(content, tmp_path / "wrapped.th")
    loaded = open_candidate(f"{NETS}:small", tmp_path / "wrapped.th", parent_of(desk)).load()
    assert torch.equal(loaded(X), net(X))


def exported(desk, path: Path, **fields):
    """A file that says which block went, with the weights of the network without it."""
    from robustprune.prune import remove

    parent = parent_of(desk)
    pruned = remove(parent.load(), ["layer2.1"])
    said = {"removed": ["layer2.1"], "parent": {"factory": "os:system"}, **fields}
    save_weights(pruned, path, {METADATA: json.dumps(said)})
    return parent, pruned


def test_an_exported_file_is_built_from_the_parents_factory(desk, tmp_path: Path):
    parent, pruned = exported(desk, tmp_path / "pruned.safetensors")
    given = open_candidate(str(tmp_path / "pruned.safetensors"), None, parent)
    assert given.removed == ("layer2.1",)
    assert torch.equal(given.load()(X), pruned.eval()(X))
    assert given.spec.endswith("planted_models.py:small without 1 block")


def test_a_factory_named_in_a_file_is_never_imported(desk, tmp_path: Path, monkeypatch):
    parent, _ = exported(desk, tmp_path / "pruned.safetensors", parent={"factory": "planted_models:broken"})
    monkeypatch.setattr(planted_models, "broken", lambda: pytest.fail("the file's factory was called"))
    given = open_candidate(str(tmp_path / "pruned.safetensors"), None, parent)
    given.load()
    assert given.described["parent"]["factory"] == "planted_models:broken"


@pytest.mark.parametrize("removed", [3, [1], None])
def test_a_damaged_description_is_refused(desk, tmp_path: Path, removed):
    parent, _ = exported(desk, tmp_path / "p.safetensors", removed=removed)
    with pytest.raises(InputError, match=r"description of the architecture is damaged"):
        open_candidate(str(tmp_path / "p.safetensors"), None, parent)


def test_a_lone_file_that_was_not_exported_here_needs_a_factory(desk):
    with pytest.raises(InputError, match="was not exported by robustprune"):
        open_candidate(str(desk.folder / "noisy.safetensors"), None, parent_of(desk))


def test_a_fingerprint_names_weights_and_architecture(desk):
    parent = parent_of(desk)
    again = open_candidate(f"{NETS}:small", desk.folder / "parent.safetensors", parent)
    noisy = open_candidate(f"{NETS}:small", desk.folder / "noisy.safetensors", parent)
    masked = open_candidate(f"{NETS}:masked", desk.folder / "parent.safetensors", parent)
    assert again.fingerprint == parent.fingerprint
    assert len({parent.fingerprint, noisy.fingerprint, masked.fingerprint}) == 3
    assert masked.sha256 == parent.sha256


def test_a_factory_that_is_another_network_at_every_call_needs_a_weight_file(desk):
    given = open_candidate(f"{NETS}:moody", None, parent_of(desk))
    with pytest.raises(InputError, match="gives other weights each time"):
        _ = given.fingerprint
