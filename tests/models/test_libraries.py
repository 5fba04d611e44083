"""Networks that a library knows: the library's own logits, classes from a file, and nothing got or guessed unasked."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
import transformers
from PIL import Image

from robustprune.errors import InputError, MissingData
from robustprune.models import load_weights, named, save_weights
from robustprune.models.libraries.hf_images import side_lengths
from robustprune.run.fits import check_labels
from robustprune.run.keys import digest

HIDDEN = {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "layer_type": "basic"}
TIMM, TORCHVISION = "timm:test_resnet", "torchvision:shufflenet_v2_x0_5"


def picture(side):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels), torch.tensor(pixels).permute(2, 0, 1)[None] / 255


def resnet(**settings):
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**HIDDEN, **settings)).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network of transformers as save_pretrained leaves it, with three named classes."""
    place = tmp_path_factory.mktemp("hf") / "net"
    torch.manual_seed(0)
    resnet(id2label={0: "cat", 1: "dog", 2: "cow"}).save_pretrained(place)
    shown = {"size": {"height": 32, "width": 32}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    transformers.ViTImageProcessor(**shown).save_pretrained(place)
    return place


def with_file(text, net, file):
    """The wrapped network with the weights of `net`, by way of a file."""
    save_weights(net, file)
    return load_weights(named(text).for_file(file)(), file).eval()


def test_timm_gives_its_own_logits_after_its_own_transforms(tmp_path):
    own = timm.create_model("test_resnet", num_classes=5).eval()
    config = own.pretrained_cfg
    image, x = picture(160)
    shown = {name: config[name] for name in ("input_size", "mean", "std")}
    expected = own(timm.data.create_transform(**shown, crop_pct=1.0)(image)[None])
    net = with_file(TIMM, own, tmp_path / "w.safetensors")
    assert net.size == config["input_size"]
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-5)


def test_torchvision_gives_its_own_logits_after_its_own_transforms(tmp_path):
    own = torchvision.models.shufflenet_v2_x0_5(num_classes=5).eval()
    transform = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.transforms()
    transform.resize_size = transform.crop_size = [32]
    image, x = picture(32)
    net = with_file(TORCHVISION, own, tmp_path / "w.safetensors")
    assert (net.size, net.labels) == ((3, 224, 224), ())
    torch.testing.assert_close(net(x), own(transform(image)[None]), rtol=0, atol=1e-5)


def test_transformers_gives_its_own_logits_after_its_own_transforms(folder):
    image, x = picture(32)
    own = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    net = named(f"hf:{folder}")().eval()
    assert (net.size, net.labels) == ((3, 32, 32), ("cat", "dog", "cow"))
    torch.testing.assert_close(net(x), own(**processor(image, return_tensors="pt")).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False}, {"do_rescale": False}]
)
def test_what_a_preprocessing_does_to_pixels_is_one_normalisation(folder, tmp_path, settings):
    processor = transformers.EfficientNetImageProcessor(size={"height": 32, "width": 32}, **settings)
    processor.save_pretrained(tmp_path)
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).symlink_to(folder / file)
    image, x = picture(32)
    expected = processor(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(named(f"hf:{tmp_path}")().normalize(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "make", "found"),
    [
        (TIMM, lambda: timm.create_model("test_resnet", num_classes=7, in_chans=1), {"num_classes": 7, "in_chans": 1}),
        (TIMM, lambda: timm.create_model("test_resnet"), {}),
        ("timm:test_convnext", lambda: timm.create_model("test_convnext", num_classes=2), {"num_classes": 2}),
        (TORCHVISION, lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=4), {"num_classes": 4}),
        ("hf", lambda: resnet(num_labels=9, num_channels=2), {"num_labels": 9, "num_channels": 2}),
    ],
)
def test_classes_and_channels_are_those_of_the_file(folder, tmp_path, text, make, found):
    save_weights(make(), tmp_path / "w.safetensors")
    build = named(f"hf:{folder}" if text == "hf" else text).for_file(tmp_path / "w.safetensors")
    assert build.arguments == found
    if "num_channels" not in found:  # two channels: no normalisation is known
        load_weights(build(), tmp_path / "w.safetensors")
    else:
        with pytest.raises(InputError, match="2 channels, and the library normalises 3"):
            build()


def test_a_file_of_another_network_is_not_followed(tmp_path):
    save_weights(torch.nn.Linear(3, 10**6), tmp_path / "w.safetensors")
    assert named(TIMM).for_file(tmp_path / "w.safetensors").arguments == {}


def test_what_builds_it_can_be_sent_and_is_known_by_version(folder):
    build = named(TIMM, weights="random", num_classes=3)
    assert pickle.loads(pickle.dumps(build)) == build
    assert digest(build) == digest(named(TIMM, weights="random", num_classes=3))
    assert digest(build) != digest(named(TIMM, weights="random", num_classes=4))
    assert build.content_key["version"] == f"timm {timm.__version__}"
    nets = [named(f"hf:{folder}")() for _ in range(2)]
    assert digest(nets[0]) == digest(nets[1])


def test_a_key_does_not_depend_on_where_a_folder_lies(folder, tmp_path):
    elsewhere = tmp_path / "moved"
    elsewhere.symlink_to(folder)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert digest(named(f"hf:{copy}")()) == digest(named(f"hf:{folder}")())


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Empty caches of torch and of huggingface_hub."""
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cached(caches, repository, files):
    """Put files into the hub's cache as a download would."""
    place = caches / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    (place / "snapshots" / "abc").mkdir(parents=True)
    for file in files:
        (place / "snapshots" / "abc" / file.name).write_bytes(file.read_bytes())


def test_own_weights_are_found_in_the_caches(caches, folder):
    own = torchvision.models.shufflenet_v2_x0_5().eval()
    file = Path(torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url).name
    (caches / "checkpoints").mkdir()
    torch.save(own.state_dict(), caches / "checkpoints" / file)
    net = timm.create_model("test_resnet")
    save_weights(net, caches / "model.safetensors")
    cached(caches, "timm/test_resnet.r160_in1k", [caches / "model.safetensors"])
    cached(caches, "org/net", folder.iterdir())
    for text, expected in ((TORCHVISION, own), (TIMM, net)):
        found = named(text)()
        assert all(torch.equal(a, b) for a, b in zip(found.parameters(), expected.parameters(), strict=True))
        assert len(found.labels) == 1000
    assert named("hf:org/net")().labels == ("cat", "dog", "cow")


def test_a_pickle_with_code_in_a_cache_is_not_run(caches):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (caches / "ran",))

    (caches / "checkpoints").mkdir()
    file = caches / "checkpoints" / Path(torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url).name
    file.write_bytes(pickle.dumps({"state_dict": Evil()}))
    with pytest.raises(InputError, match="refused"):
        named(TORCHVISION)()
    assert not (caches / "ran").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            TIMM,
            r"weights are not here, looked for .*models--timm--test_resnet.*; expected timm:test_resnet@FILE",
        ),
        (TORCHVISION, r"weights are not here, looked for .*checkpoints.shufflenetv2_x0\.5.*@random"),
        ("hf:org/net", r"not in .*; expected a folder with config.json and model.safetensors, or hf:org/net@download"),
    ],
)
def test_what_cannot_be_had_here_is_said(caches, text, reason):
    with pytest.raises(MissingData, match=reason) as caught:
        named(text)()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("timm:os.system", "no such network"),
        ("timm:hf-hub:org/net", "no such network"),
        ("timm:local-dir:/tmp", "no such network"),
        ("timm:resnt18", "did you mean resnet18"),
        ("timm:resnet18.a9_in1k", r"did you mean resnet18\.a"),
        ("torchvision:resnt18", "did you mean resnet18"),
        ("torchvision:resnet18.V9", "expected one of IMAGENET1K_V1"),
        ("torchvision:fasterrcnn_resnet50_fpn", "no such network"),
        ("hf:../..", "holds no config.json"),
        ("hf:/no/such/folder", "no such folder"),
        ("hf:a/../b", "no such folder"),
    ],
)
def test_names_that_are_none_are_refused(caches, text, reason):
    with pytest.raises(InputError, match=reason) as caught:
        named(text, weights="random")()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["timm:", "nets:small", "resnet18", "timm:a\nb", "hf:" + "a" * 999])
def test_texts_that_name_no_network_of_a_library_are_refused(text):
    with pytest.raises(InputError, match=r"^network "):
        named(text)


@pytest.mark.parametrize(("text", "module", "extra"), [(TIMM, "timm", "timm"), ("hf:org/net", "transformers", "hf")])
def test_a_missing_library_is_said_with_what_installs_it(monkeypatch, text, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"needs {module}, .*pip install 'robustprune\[{extra}\]'$"):
        named(text)()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architectures": ["BertForQuestionAnswering"]}, r"is BertForQues.*; expected one of \*ForImageClassif"),
        ({"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}, "code of its own, which is never run"),
        ({"id2label": {"0": "a"}, "label2id": {"a": 0}}, "cannot be built"),
    ],
)
def test_other_kinds_of_folders_are_refused_in_one_line(folder, tmp_path, change, reason):
    import json

    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=reason) as caught:
        named(f"hf:{tmp_path}")()
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_in_the_file_are_never_random(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    resnet(num_labels=3).resnet.save_pretrained(tmp_path / "body")
    (tmp_path / "body" / "model.safetensors").rename(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"2 weights are not in its file .* they would be random"):
        named(f"hf:{tmp_path}")()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickles_of_a_folder_are_never_opened(folder, tmp_path, name):
    for file in folder.iterdir():
        target = name if file.suffix == ".safetensors" else file.name
        (tmp_path / target).write_bytes(file.read_bytes())
    with pytest.raises(MissingData, match=r"holds no \.safetensors"):
        named(f"hf:{tmp_path}")()


@pytest.mark.parametrize(
    ("classes", "wrong"),
    [(("cat", "dog"), None), (("Dog", "cat"), "class 0 'Dog', which is logit 1"), (("dog", "horse"), None)],
)
def test_data_whose_classes_stand_in_another_order_are_refused(folder, classes, wrong):
    net = named(f"hf:{folder}")()
    if wrong is None:
        check_labels(net, classes, "it")
    else:
        with pytest.raises(InputError, match=wrong):
            check_labels(net, classes, "it")


@pytest.mark.parametrize("text", ["timm:test_resnet", "hf:org/net"])
def test_a_download_asks_for_safetensors_alone_and_fails_in_one_line(caches, monkeypatch, text):
    asked = []

    def snapshot(repository, allow_patterns):
        asked.append((repository, tuple(allow_patterns)))
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(InputError, match=r"cannot be downloaded: OSError: no network$"):
        named(text, weights="download")()
    kinds = {pattern.rpartition(".")[2] for _, patterns in asked for pattern in patterns}
    assert kinds <= {"json", "safetensors", "txt"}
    assert asked[0][0] in ("timm/test_resnet.r160_in1k", "org/net")


@pytest.mark.parametrize("size", [-5, 0, {"height": 10**9, "width": 10**9}])
def test_images_that_cannot_be_are_refused(size):
    with pytest.raises(InputError, match=r"images of .* pixels; expected 1 to 10,000 a side"):
        side_lengths({"size": size}, -1)
