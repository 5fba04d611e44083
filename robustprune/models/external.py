"""The weights of an ONNX file: what they are, and which files beside it hold them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustprune.errors import InputError, MissingData


def external_files(file: Path) -> list[Path]:
    """Return the files that hold weights of an ONNX file, in order of their names; none where it holds all itself.

    Raises MissingData where one is gone, InputError where one lies outside the file's folder, or the file is no ONNX.
    """
    graph = _opened(file, whole=False).graph
    entries = [entry for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"]
    found = []
    for name in sorted({entry.value for entry in entries}):
        place = file.parent / name
        if not place.resolve().is_relative_to(file.parent.resolve()):
            raise InputError(f"{file}: keeps weights in {name}, outside its folder; expected a file beside it")
        if not place.is_file():
            raise MissingData(f"{file}: its weights lie in {name}, which is not beside it; copy both together")
        found.append(place)
    return found


def initialisers(file: Path) -> dict[str, Tensor]:
    """Return the weights of an ONNX file under the names that they had in the network that was exported.

    The exporter turns the matrix of a linear layer round and takes away its name where rows of tokens go through it: it
    is what is multiplied just before the layer's bias is added. Raises InputError where the file is no ONNX.
    """
    external_files(file)
    model = _opened(file, whole=True)
    to_array = importlib.import_module("onnx.numpy_helper").to_array
    found = {one.name: torch.from_numpy(to_array(one).copy()) for one in model.graph.initializer}
    matrices = {node.output[0]: node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    for node in model.graph.node:
        biases = [name for name in node.input if name in found and name.endswith(".bias")]
        made = [matrices[name] for name in node.input if name in matrices]
        if node.op_type == "Add" and biases and made and made[0] in found:
            found[biases[0].removesuffix("bias") + "weight"] = found.pop(made[0]).T.contiguous()
    return found


def _opened(file: Path, whole: bool) -> Any:
    """Read an ONNX file, with the weights that lie beside it (`whole`) or without."""
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise InputError("ONNX files need onnx and onnxruntime: pip install 'robustprune[onnx]'") from error
    try:
        return onnx.load(str(file), load_external_data=whole)
    except Exception as error:
        raise InputError(f"{file}: cannot be opened: no ONNX file, or cut off ({type(error).__name__})") from None
