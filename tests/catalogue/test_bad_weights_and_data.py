"""Suite files, weights and data that cannot be read, or do what nobody asked for."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from suite_files import TINY

from robustprune.models import CifarResNet

FILES = {
    "an exit at import": ("import sys\nsys.exit(0)\n" + TINY, "SystemExit"),
    "an exit in a class": (TINY.replace("SUITE =", "class A:\n    exit()\n\nSUITE ="), "SystemExit"),
    "an error at import": (TINY + "\n1 / 0\n", "ZeroDivisionError"),
    "an odd end at import": ("class Odd(BaseException):\n    pass\n\nraise Odd\n" + TINY, "line 4 raised Odd"),
    "a loop at import": (TINY + "\nwhile True:\n    pass\n", "takes longer than"),
    "a sleep at import": ("import time\ntime.sleep(1e6)\n" + TINY, "takes longer than"),
    "a recursion at import": (TINY + "\ndef f():\n    f()\n\nf()\n", "RecursionError"),
    "a syntax error": (TINY + "\ndef f(:\n", "SyntaxError"),
    "no code": ("\x00\x01" + TINY, "cannot be imported"),
    "Latin-1": (TINY.encode() + b"CAF\xe9 = 1\n", "cannot be imported"),
    "nothing": ("", "found NoneType"),
    "no SUITE": (TINY.replace("SUITE", "OTHER"), "expected a module-level `SUITE = Suite(...)`, found NoneType"),
    "a SUITE that is a list": (TINY + "\nSUITE = [SUITE, SUITE]\n", "found list"),
    "a SUITE that is a class": (TINY + "\nSUITE = Suite\n", "found type"),
    "a helper that is not there": ("import no_such_helper\n" + TINY, "No module named 'no_such_helper'"),
    "a helper in a helper": ("from suites import none_such\n" + TINY, "none_such"),
    "a helper from nowhere": ("from .no_such_helper import net\n" + TINY, "No module named"),
    "a star from nowhere": ("from ... import net\n" + TINY, "cannot be imported"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_suite_file(what, sandbox, monkeypatch):
    if "takes longer" in FILES[what][1]:
        monkeypatch.setattr("robustprune.names.IMPORT_SECONDS", 1.0)
    text, said = FILES[what]
    file = sandbox.suite("")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    sandbox.refuses(["check", file], said)


@pytest.mark.parametrize("where", ["suites", "suites/tiny.txt", "none.py", "../outside", "/", "", "tiny/../..", "tony"])
def test_a_place_without_a_suite(where, sandbox):
    sandbox.suite()
    (sandbox.work / "suites/tiny.txt").write_text(TINY)
    sandbox.refuses(["check", where], where if where not in ("", "/") else "")


STATE = CifarResNet(20, width=4, in_channels=1).state_dict()
SHIPPED = TINY.replace('recipe=Recipe(name="train", epochs=2, lr=0.1)', 'weights="{}"')


def torch_bytes(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def safe_bytes(state: dict[str, torch.Tensor]) -> bytes:
    path = Path("made.safetensors")
    save_file({name: value.clone() for name, value in state.items()}, path)
    found = path.read_bytes()
    path.unlink()
    return found


class Runs:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch outside.txt ../outside/ran.txt",)


def changed(name: str, value: object) -> dict[str, object]:
    return {**STATE, name: value}


WEIGHTS = {
    "pickled code": (".pt", lambda: torch_bytes(Runs()), "opening it would run code"),
    "pickled code beside weights": (".pth", lambda: torch_bytes({**STATE, "x": Runs()}), "opening it would run code"),
    "an old pickle": (".th", lambda: pickle.dumps(Runs()), "refused"),
    "a whole network": (".pt", lambda: torch_bytes(CifarResNet(20, width=4, in_channels=1)), "opening it would run"),
    "no weights": (".pt", lambda: torch_bytes({}), "holds dict"),
    "a list": (".pt", lambda: torch_bytes([1, 2]), "holds list"),
    "a number among them": (".pt", lambda: torch_bytes(changed("linear.bias", 3)), "linear.bias is no dense tensor"),
    "other shapes": (".pt", lambda: torch_bytes(changed("linear.bias", torch.zeros(7))), "linear.bias has shape (7,)"),
    "whole numbers": (
        ".pt",
        lambda: torch_bytes(changed("linear.bias", torch.zeros(10).long())),
        "linear.bias has type",
    ),
    "NaN": (
        ".pt",
        lambda: torch_bytes(changed("linear.bias", torch.full((10,), float("nan")))),
        "linear.bias holds NaN",
    ),
    "infinity": (
        ".safetensors",
        lambda: safe_bytes(changed("linear.bias", torch.full((10,), float("inf")))),
        "holds NaN or inf",
    ),
    "other names": (".pt", lambda: torch_bytes({name[::-1]: value for name, value in STATE.items()}), "missing"),
    "one name too many": (".pt", lambda: torch_bytes(changed("head.bias", torch.zeros(10))), "1 unexpected"),
    "one name too few": (
        ".pt",
        lambda: torch_bytes({n: v for n, v in STATE.items() if n != "linear.bias"}),
        "1 weights",
    ),
    "no bytes": (".safetensors", lambda: b"", "cannot be read as weights"),
    "a cut file": (".safetensors", lambda: safe_bytes(STATE)[:-100], "cannot be read as weights"),
    "a cut torch file": (".pt", lambda: torch_bytes(STATE)[:-100], "net.pt"),
    "a header of 2**60": (".safetensors", lambda: struct.pack("<Q", 2**60) + b"{}", "cannot be read as weights"),
    "a header that lies": (
        ".safetensors",
        lambda: (
            struct.pack("<Q", 68)
            + json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode().ljust(68)
        ),
        "cannot be read as weights",
    ),
    "a page": (".th", lambda: b"<!doctype html><p>404", "net.th"),
    "a packed nothing": (".pt", lambda: zipped(), "net.pt"),
    "a name with code": (".py", lambda: b"import os", "net.py"),
}


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "hello")
    return stream.getvalue()


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights(what, sandbox):
    ending, content, said = WEIGHTS[what]
    file = sandbox.work / "suites" / f"net{ending}"
    suite = sandbox.suite(SHIPPED.replace("{}", file.name))
    file.write_bytes(content())
    sandbox.refuses(["check", suite], said)
    sandbox.refuses(["blocks", f"cifar10-resnet20@{file}", "--input", "3x32x32"], "")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a folder", "not found"),
        ("a link to nothing", "not found"),
        ("a pipe", "not found"),
        ("another hash", "sha256 is"),
    ],
)
def test_a_place_without_weights(how, said, sandbox):
    file = sandbox.work / "suites" / "net.pt"
    suite = sandbox.suite(SHIPPED.replace("{}", f'net.pt", sha256="{"0" * 64}'))
    if how == "a folder":
        file.mkdir()
    elif how == "a link to nothing":
        file.symlink_to("none.pt")
    elif how == "a pipe":
        os.mkfifo(file)
    else:
        torch.save(STATE, file)
    sandbox.refuses(["check", suite], said)


X, Y = np.zeros((8, 8, 8), np.uint8), np.arange(8) % 2


def npz(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


DATA = {
    "labels of 2**40": ("a.npz", npz(x=X, y=Y + 2**40), "expected class numbers"),
    "labels without an axis": ("a.npz", npz(x=X, y=np.array(3)), "labels are"),
    "labels below 0": ("a.npz", npz(x=X, y=Y - 3), "negative"),
    "labels of text": ("a.npz", npz(x=X, y=np.array(["a", "b"] * 4)), "labels are"),
    "one class": ("a.npz", npz(x=X, y=Y * 0), "expected two classes"),
    "pixels above 1": ("a.npz", npz(x=X + 7.5, y=Y), "pixels from"),
    "pixels of NaN": ("a.npz", npz(x=X * np.nan, y=Y), "pixels from nan"),
    "no axis": ("a.npz", npz(x=np.array(0.5), y=Y), "images are ()"),
    "pickled objects": ("a.npz", npz(x=np.array([None] * 8), y=Y), "Python objects"),
    "fewer labels": ("a.npz", npz(x=X, y=Y[:5]), "labels are"),
    "no images": ("a.npz", npz(y=Y), "a.npz"),
    "no npz": ("a.npz", b"hello", "a.npz"),
    "nothing": ("a.npz", b"", "a.npz"),
    "a zip of text": ("a.npz", zipped(), "a.npz"),
    "no parquet": ("a.parquet", b"PAR1hello", "a.parquet"),
    "an empty parquet": ("a.parquet", b"", "a.parquet"),
    "another file": ("a.csv", b"1,2,3", "expected .npz, .parquet, or a folder"),
    "an idx file": ("train-images-idx3-ubyte.gz", b"\x1f\x8b", "expected .npz"),
    "a picture": ("folder/cat/a.png", b"\x89PNG\r\n", "one class folder"),
    "a folder of text": ("folder/cat/a.txt", b"hello", "folder"),
    "parts of npz": ("folder/train.npz", npz(x=X), "train.npz"),
}


@pytest.mark.parametrize("what", DATA)
def test_data(what, sandbox):
    name, content, said = DATA[what]
    file = sandbox.work / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    place = file if name.startswith(("a.", "train-")) else sandbox.work / "folder"
    for words in (["review", "cifar10-resnet20", "--parent", "cifar10-resnet20"], ["blocks", "cifar10-resnet20"]):
        sandbox.refuses([*words, "--data", place], said)
