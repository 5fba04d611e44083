"""What ships as a network: the file's own answers, lent gradients, and nothing in a file that is run on opening it."""

from __future__ import annotations

import copy
import io
import json
import pickle
import warnings
import zipfile
from functools import partial

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from robustprune.attacks import PGD, HopSkipJump, Square, Transfer, evaluate
from robustprune.errors import InputError
from robustprune.models.archives import exported_archive, script_archive
from robustprune.models.artefact import Artefact
from robustprune.models.runtimes import Half, open_runtime

GENERATOR = torch.Generator().manual_seed(3)
X = torch.rand(40, 1, 4, 4, generator=GENERATOR)
W = torch.randn(2, 16, generator=GENERATOR)
EPS = 0.05


def linear(weight: torch.Tensor = W, bias: float = 0.0) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, len(weight)))
    with torch.no_grad():
        net[1].weight.copy_(weight)
        net[1].bias.fill_(0.0)
        net[1].bias[0] = bias
    return net.eval()


BIAS = float((X.flatten(1) @ (W[1] - W[0])).median())
"""So that half of the images are of each class."""


def onnx_linear(path, batch="batch", before=(), initial=(), kind=TensorProto.FLOAT):
    """An ONNX file of `linear`, written by hand; `before` are nodes from image to seen."""
    weight = numpy_helper.from_array(W.T.contiguous().numpy(), "weight")
    bias = numpy_helper.from_array(np.float32([BIAS, 0]), "bias")
    nodes = [*before, helper.make_node("Flatten", ["seen" if before else "image"], ["flat"])]
    nodes += [helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"])]
    entry = helper.make_tensor_value_info("image", kind, [batch, 1, 4, 4])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2])
    graph = helper.make_graph(nodes, "net", [entry], [out], [weight, bias, *initial])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def rounding(levels: int):
    """Nodes that round pixels to so many levels: the slope is 0 wherever there is one."""
    scale = numpy_helper.from_array(np.float32(1 / (levels - 1)), "scale")
    zero = numpy_helper.from_array(np.uint8(0), "zero")
    nodes = [helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["whole"])]
    return {
        "before": [*nodes, helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["seen"])],
        "initial": [scale, zero],
    }


def closed_form() -> list[bool]:
    """Whether the margin of a linear network withstands the worst of Linf, exactly; pixels stay in [0,1]."""
    difference = W[0] - W[1]
    y = linear(bias=BIAS)(X).argmax(1)
    sign = torch.where(y == 0, 1.0, -1.0)[:, None]
    worst = (X.flatten(1) - EPS * sign * difference.sign()).clamp(0, 1)
    return ((worst @ difference + BIAS) * sign[:, 0] > 0).tolist()


def test_the_file_judges_and_the_closed_form_is_met(tmp_path):
    twin = linear(bias=BIAS)
    net = Artefact(open_runtime(onnx_linear(tmp_path / "net.onnx")), twin)
    y = twin(X).argmax(1)
    found = evaluate(net, X, y, [PGD(eps=EPS, steps=20)])
    assert found.clean == [True] * len(X)
    assert found.outcomes[0].robust == closed_form()
    assert 5 < sum(closed_form()) < 35


def test_what_equals_its_twin_is_broken_where_the_twin_is(tmp_path):
    twin, y = linear(bias=BIAS), linear(bias=BIAS)(X).argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(twin, X[:2]).save(str(tmp_path / "net.pt"))
    attacks = [PGD(eps=EPS, steps=5), Square(eps=EPS, queries=50)]
    net = Artefact(open_runtime(tmp_path / "net.pt"), twin)
    ours, theirs = (evaluate(one, X, y, attacks) for one in (net, twin))
    assert [one.status for one in ours.outcomes] == [one.status for one in theirs.outcomes]
    assert [one.steps for one in ours.outcomes] == [one.steps for one in theirs.outcomes]


def test_queries_and_lent_gradients_break_what_its_own_slopes_hide(tmp_path):
    """The file rounds its pixels to 5 levels, the twin's weights are shuffled: what is made on it hardly moves it."""
    runtime = open_runtime(onnx_linear(tmp_path / "coarse.onnx", **rounding(5)))
    y = runtime(X).argmax(1)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    stranger = linear(W[:, order], BIAS)
    eps = 0.15
    moved = evaluate(Artefact(runtime), X, y, [Transfer(eps=eps, steps=5)], parent=stranger).outcomes[0]
    asked = [Square(eps=eps, queries=100), HopSkipJump(eps=eps, queries=400)]
    found = [evaluate(Artefact(runtime), X, y, [attack]).outcomes[0] for attack in asked]
    lent = evaluate(Artefact(runtime, linear(bias=BIAS)), X, y, [PGD(eps=eps, steps=10)]).outcomes[0]
    robust = [sum(one.robust) for one in (moved, *found, lent)]
    assert min(robust[0] - one for one in robust[1:]) >= 10, robust


def test_without_a_twin_no_gradient_attack_says_robust(tmp_path):
    net = Artefact(open_runtime(onnx_linear(tmp_path / "net.onnx")))
    found = evaluate(net, X, linear(bias=BIAS)(X).argmax(1), [PGD(eps=EPS, steps=2)]).outcomes[0]
    assert set(found.status) == {"f"}
    assert "no gradient reaches the input" in str(found.error)


@pytest.mark.parametrize("batch", ["batch", 1, 7])
def test_any_batch_size_gives_the_same_logits(tmp_path, batch):
    runtime = open_runtime(onnx_linear(tmp_path / "net.onnx", batch=batch))
    assert torch.allclose(runtime(X), linear(bias=BIAS)(X), atol=1e-5)


@pytest.mark.parametrize("size", [None, 1])
def test_an_exported_program_answers_as_its_network(tmp_path, size):
    net = linear(bias=BIAS)
    shapes = ({0: torch.export.Dim("batch")},) if size is None else None
    torch.export.save(torch.export.export(net, (X[: size or 2],), dynamic_shapes=shapes), tmp_path / "net.pt2")
    runtime = open_runtime(tmp_path / "net.pt2")
    assert torch.equal(runtime(X), net(X)) or torch.allclose(runtime(X), net(X), atol=1e-6)


@pytest.mark.parametrize(("kind", "error"), [("bfloat16", 2**-7), ("float16", 2**-9)])
def test_a_half_precision_copy_rounds_and_leaves_its_network_as_it_was(kind, error):
    net = linear(bias=BIAS)
    before = copy.deepcopy(net.state_dict())
    runtime = Half(net, kind)
    gap = (runtime(X) - net(X)).abs().max() / (X.flatten(1) @ W.abs().T).max()
    assert 0 < gap < error
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_content_of_a_file_names_it_and_copies_and_pickles_run_it(tmp_path):
    first, second = (onnx_linear(tmp_path / name, **extra) for name, extra in (("a.onnx", {}), ("b.onnx", rounding(9))))
    runtimes = [open_runtime(path) for path in (first, second)]
    assert runtimes[0].content_key != runtimes[1].content_key
    net = Artefact(runtimes[0], linear(bias=BIAS))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(X), net(X))


def test_weights_beside_an_onnx_file_belong_to_it(tmp_path):
    path = onnx_linear(tmp_path / "net.onnx")
    onnx.save(onnx.load(str(path)), str(path), save_as_external_data=True, location="w.bin", size_threshold=0)
    first = open_runtime(path).sha256
    raw = bytearray((tmp_path / "w.bin").read_bytes())
    raw[0] ^= 1
    (tmp_path / "w.bin").write_bytes(raw)
    assert open_runtime(path).sha256 != first
    (tmp_path / "w.bin").unlink()
    with pytest.raises(InputError, match=r"its weights lie in w\.bin, which is not beside it"):
        open_runtime(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.onnx", b"hello, I am a text\n" * 20, "no ONNX file, or cut off"),
        ("empty.onnx", b"", "cannot be opened"),
        ("net.bin", b"", r"expected what ships, a file ending in \.onnx"),
        ("junk.pt2", b"PK\x03\x04junk", "no archive, or cut off"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        open_runtime(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_off_or_takes_bytes_is_refused(tmp_path):
    path = onnx_linear(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(InputError, match="cut off"):
        open_runtime(path)
    cast = [helper.make_node("Cast", ["image"], ["seen"], to=TensorProto.FLOAT)]
    with pytest.raises(InputError, match=r"takes tensor\(uint8\) under 'image', expected floating-point pixels"):
        open_runtime(onnx_linear(path, before=cast, kind=TensorProto.UINT8))


class Evil:
    """Whoever unpickles it runs its code."""

    ran = False

    def __reduce__(self):
        return exec, (f"import {__name__} as m; m.Evil.ran = True",)


def archive(path, members: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"net/{name}", content)
    return path


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The members of an honest program."""
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(linear(), (X[:2],), dynamic_shapes=shapes), path)
    with zipfile.ZipFile(path) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save((Evil(),), buffer)
    return buffer.getvalue()


def program(change, members):
    found = json.loads(members["models/model.json"])
    change(found)
    return {"models/model.json": json.dumps(found).encode()}


def first_size(found):
    return found["graph_module"]["graph"]["tensor_values"]["input"]["sizes"][0]["as_expr"]


def renamed(found):
    found["graph_module"]["graph"]["nodes"][0]["inputs"][0]["name"] = "a=__import__('os').getpid(), b"


def evaluated(found):
    first_size(found)["expr_str"] = "__import__('os').getpid()"


def called(found):
    found["graph_module"]["graph"]["nodes"][0]["target"] = "torch.load"


CONFIG = "data/constants/model_constants_config.json"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda members: {"data/sample_inputs/model.pt": pickled()}, "example inputs are no plain tensors"),
        (lambda members: {"data/constants/opaque_obj_0": pickle.dumps(Evil())}, "opaque_obj_0 in it may be code"),
        (lambda members: {"data/weights/model.pt": pickled()}, r"model\.pt in it may be code"),
        (
            lambda members: {
                CONFIG: json.dumps({"config": {"a": {"path_name": "tensor_0", "use_pickle": True}}}).encode(),
                "data/constants/tensor_0": pickled(),
            },
            "tensor_0 is a pickle",
        ),
        (partial(program, evaluated), "expr_str .* may be code"),
        (partial(program, renamed), "name .* may be code"),
        (partial(program, called), "target 'torch.load'"),
    ],
)
def test_a_program_that_would_run_code_is_refused_before_it_is_loaded(tmp_path, members, change, reason):
    path = archive(tmp_path / "net.pt2", {**members, **change(members)})
    with pytest.raises(InputError, match=reason):
        open_runtime(path)
    assert not Evil.ran


def test_guards_in_a_program_are_left_out(tmp_path, members):
    """They are run as Python when a program is called."""
    found = json.loads(members["models/model.json"])
    found["guards_code"] = ["__import__('os').getpid() < 0"]
    path = archive(tmp_path / "net.pt2", {**members, "models/model.json": json.dumps(found).encode()})
    with zipfile.ZipFile(exported_archive(path)) as file:
        assert json.loads(file.read("program/models/model.json"))["guards_code"] == []
    assert torch.allclose(open_runtime(path)(X), linear()(X), atol=1e-6)


class Writes(nn.Module):
    def forward(self, x):
        torch.save(x, "written")
        return x


def test_a_script_that_touches_files_and_a_plain_pickle_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Writes()).save(str(tmp_path / "writes.pt"))
    with pytest.raises(InputError, match=r"would touch files \(torch\.save"):
        script_archive(tmp_path / "writes.pt")
    torch.save(Evil(), tmp_path / "evil.pt")
    with pytest.raises(InputError, match="holds no TorchScript program"):
        open_runtime(tmp_path / "evil.pt")
    assert not Evil.ran
