import hashlib
import os
import pickle
import stat
import threading

import pytest
import safetensors.torch
import torch
from torch import nn

from robustprune.errors import InputError, MissingData
from robustprune.models import (
    CifarResNet,
    Normalized,
    file_hash,
    load_weights,
    read_metadata,
    save_weights,
    weights_hash,
)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


class Evil:
    """Unpickling it makes a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", ["th", "pth", "pt", "safetensors"])
@pytest.mark.parametrize("how", [torch.save, pickle.dump, "legacy"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, suffix, how):
    trap, file = tmp_path / "trap", tmp_path / f"evil.{suffix}"
    content = {"state_dict": network().state_dict(), "extra": Evil(trap)}
    with file.open("wb") as stream:
        if how == "legacy":
            torch.save(content, stream, _use_new_zipfile_serialization=False)
        else:
            how(content, stream)
    model = network()
    before = weights_hash(model)
    with pytest.raises(InputError) as caught:
        load_weights(model, file)
    assert not trap.exists()
    assert weights_hash(model) == before
    assert "\n" not in str(caught.value)
    if how is not pickle.dump and suffix != "safetensors":
        assert "mkdir" in str(caught.value)
        with file.open("rb") as stream:
            torch.load(stream, weights_only=False)
        assert trap.exists(), "the trap itself does not work"


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch.save(network(), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"run code.*state_dict"):
        load_weights(network(), tmp_path / "model.pt")


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"best_prec1": 91.7, "state_dict": s}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch_files_with_and_without_wrapping(tmp_path, wrap, prefix):
    source, target = network(1), network(2)
    torch.save(wrap({prefix + key: tensor for key, tensor in source.state_dict().items()}), tmp_path / "w.th")
    assert load_weights(target, tmp_path / "w.th") is target
    assert weights_hash(target) == weights_hash(source)


def test_files_from_before_batch_counters(tmp_path):
    source = network(1)
    old = {key: tensor for key, tensor in source.state_dict().items() if "num_batches" not in key}
    torch.save(old, tmp_path / "w.th")
    assert weights_hash(load_weights(network(2), tmp_path / "w.th")) == weights_hash(source)


def test_round_trip_with_metadata(tmp_path):
    source, file = network(1), tmp_path / "deep" / "w.safetensors"
    save_weights(source, file, {"parent": "ß", "removed": "layer1.1,layer1.2"})
    assert weights_hash(load_weights(network(2), file)) == weights_hash(source)
    assert read_metadata(file) == {"parent": "ß", "removed": "layer1.1,layer1.2"}
    assert set(safetensors.torch.load_file(file)) == set(source.state_dict())
    with pytest.raises(InputError, match="text to text"):
        save_weights(source, file, {"count": 3})


def test_shared_weights_are_saved(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    save_weights(model, tmp_path / "w.safetensors")
    assert weights_hash(load_weights(model, tmp_path / "w.safetensors")) == weights_hash(model)


def broken(change):
    weights = network(1).state_dict()
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("0.weight"), r"1 weights missing \(0\.weight\), 0 unexpected \(none\)"),
        (lambda w: w.update(new=torch.ones(1)), r"0 weights missing \(none\), 1 unexpected \(new\)"),
        (
            lambda w: [w.pop(key) for key in list(w)[:5]],
            r"5 weights missing \(0\.weight, 0\.bias, 1\.weight, \.\.\.\)",
        ),
        (
            lambda w: w.update({"3.weight": torch.ones(3, 9)}),
            r"3\.weight has shape \(3, 9\); expected \(3, 8\)",
        ),
        (lambda w: w["3.weight"].fill_(float("nan")), r"3\.weight holds NaN"),
        (lambda w: w["1.running_var"].fill_(float("inf")), r"1\.running_var holds NaN or inf"),
        (lambda w: w.update({"3.bias": torch.ones(3, dtype=torch.int64)}), r"3\.bias has type torch\.int64"),
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_what_does_not_fit_changes_nothing(tmp_path, change, message, suffix):
    file, model = tmp_path / f"w.{suffix}", network()
    (torch.save if suffix == "pt" else safetensors.torch.save_file)(broken(change), file)
    before = weights_hash(model)
    with pytest.raises(InputError, match=message) as caught:
        load_weights(model, file)
    assert str(file) in str(caught.value)
    assert weights_hash(model) == before


@pytest.mark.parametrize(
    "content",
    [
        3,
        [],
        {},
        {"state_dict": 1, "epoch": 2},
        {"w": torch.eye(2).to_sparse()},
        {"w": torch.ones(2, device="meta")},
    ],
)
def test_files_that_hold_no_weights(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match="expected weights by name"):
        load_weights(network(), tmp_path / "w.pt")


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 200])
def test_damaged_files(tmp_path, suffix, keep):
    file = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(network().state_dict(), file)
    else:
        save_weights(network(), file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match=str(file)) as caught:
        load_weights(network(), file)
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    for read in (lambda f: load_weights(network(), f), file_hash, read_metadata):
        with pytest.raises(MissingData, match=r"nowhere\.pt"):
            read(tmp_path / "nowhere.pt")
    (tmp_path / "w.pt").write_bytes(b"no")
    with pytest.raises(InputError, match="not a safetensors file"):
        read_metadata(tmp_path / "w.pt")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "w.safetensors"
    save_weights(network(1), file)
    before = file_hash(file)

    def fails(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(InputError, match="disk full"):
        save_weights(network(2), file)
    assert (file_hash(file), os.listdir(tmp_path)) == (before, ["w.safetensors"])


def test_many_writers_and_a_reader(tmp_path):
    file = tmp_path / "w.safetensors"
    models = [network(seed) for seed in range(4)]
    hashes = {weights_hash(model) for model in models}
    save_weights(models[0], file)
    writers = [threading.Thread(target=lambda m=m: [save_weights(m, file) for _ in range(5)]) for m in models]
    for writer in writers:
        writer.start()
    seen = {weights_hash(load_weights(network(9), file)) for _ in range(20)}
    for writer in writers:
        writer.join()
    assert seen <= hashes
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


def test_weights_hash_sees_every_number_name_shape_and_type():
    def changed(change):
        model = network()
        with torch.no_grad():
            change(model)
        return weights_hash(model)

    hashes = [
        changed(lambda m: None),
        changed(lambda m: m[3].bias[0].add_(1e-6)),
        changed(lambda m: m[1].running_mean[1].add_(1e-6)),
        changed(lambda m: m.double()),
        changed(lambda m: m.bfloat16()),
        changed(lambda m: m.append(nn.Linear(1, 1))),
        changed(lambda m: setattr(m[3], "weight", nn.Parameter(m[3].weight.reshape(8, 3)))),
        weights_hash(nn.Sequential(network())),
        weights_hash(Normalized(network(), [0.5], [0.5])),
        weights_hash(Normalized(network(), [0.4], [0.5])),
    ]
    assert len(set(hashes)) == len(hashes)
    assert weights_hash(network()) == hashes[0]
    assert weights_hash(network().eval()) == hashes[0]
    assert weights_hash(network().to(memory_format=torch.channels_last)) == hashes[0]


def test_file_hash_is_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 100_000)
    assert file_hash(tmp_path / "f") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_pruned_weights_load_beside_the_parent(tmp_path):
    from robustprune.prune import remove

    parent = CifarResNet(14, width=2)
    pruned = remove(parent, ["layer1.1", "layer3.1"])
    save_weights(pruned, tmp_path / "pruned.safetensors", {"removed": "layer1.1,layer3.1"})
    names = read_metadata(tmp_path / "pruned.safetensors")["removed"].split(",")
    rebuilt = load_weights(remove(CifarResNet(14, width=2), names), tmp_path / "pruned.safetensors")
    assert weights_hash(rebuilt) == weights_hash(pruned)
    with pytest.raises(InputError, match=r"missing \(layer1\.1\."):
        load_weights(parent, tmp_path / "pruned.safetensors")


WRAPPED = {
    "bare": network,
    "normalised": lambda seed: Normalized(network(seed), [0.5], [0.5]),
    "parallel": lambda seed: nn.DataParallel(network(seed)),
    "both": lambda seed: nn.DataParallel(Normalized(network(seed), [0.5], [0.5])),
}


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("saved", WRAPPED)
@pytest.mark.parametrize("made", WRAPPED)
def test_what_stands_before_all_names_does_not_matter(tmp_path, saved, made, suffix):
    file, source, target = tmp_path / f"w.{suffix}", WRAPPED[saved](1), WRAPPED[made](2)
    torch.save(source.state_dict(), file) if suffix == "pt" else save_weights(source, file)
    load_weights(target, file)
    for mine, theirs in zip(target.state_dict().values(), source.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_names_that_fit_as_they_stand_are_taken_so(tmp_path):
    def named(seed):
        torch.manual_seed(seed)
        return nn.ModuleDict({"module": nn.ModuleDict({"module": nn.Linear(2, 2)})})

    save_weights(named(1), tmp_path / "w.safetensors")
    loaded = load_weights(named(2), tmp_path / "w.safetensors")
    assert torch.equal(loaded["module"]["module"].weight, named(1)["module"]["module"].weight)


class Versioned(nn.Linear):
    """Like torchvision's MNASNet: it reads its version off the state dict."""

    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        if local_metadata.get("version") not in (1, 2):
            raise ValueError("version should be set to 1 or 2")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_modules_find_their_version(tmp_path, suffix):
    file, source = tmp_path / f"w.{suffix}", nn.Sequential(Versioned(2, 2))
    torch.save(source.state_dict(), file) if suffix == "pt" else save_weights(source, file)
    assert weights_hash(load_weights(nn.Sequential(Versioned(2, 2)), file)) == weights_hash(source)


def quantised(kind, seed):
    torch.manual_seed(seed)
    layer = {"linear": nn.Linear(4, 3), "lstm": nn.LSTM(3, 4), "half": nn.Linear(4, 3)}[kind]
    weights = torch.float16 if kind == "half" else torch.qint8
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(layer).eval(), {type(layer)}, dtype=weights)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", ["linear", "lstm", "half"])
def test_packed_weights_are_hashed_and_not_saved(tmp_path, kind):
    one, again, other = quantised(kind, 0), quantised(kind, 0), quantised(kind, 1)
    assert weights_hash(one) == weights_hash(again) != weights_hash(other)
    file = tmp_path / "w.safetensors"
    for use in (save_weights, load_weights):
        save_weights(nn.Linear(4, 3), file) if use is load_weights else None
        with pytest.raises(InputError, match=r"Sequential: 0\..*packed") as caught:
            use(one, file)
        assert "\n" not in str(caught.value)


def test_networks_without_weights(tmp_path):
    nothing = hashlib.sha256().hexdigest()
    hashes = {weights_hash(net) for net in (nn.ReLU(), nn.Flatten(), nn.Sequential(nn.ReLU()), nn.Flatten(2))}
    assert len(hashes) == 4
    assert nothing not in hashes
    save_weights(nn.Flatten(), tmp_path / "w.safetensors")
    assert load_weights(nn.Flatten(), tmp_path / "w.safetensors") is not None
