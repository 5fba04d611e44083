"""Weights that an ONNX file keeps in files beside it."""

from __future__ import annotations

import importlib
from pathlib import Path

from robustprune.errors import InputError, MissingData


def external_files(file: Path) -> list[Path]:
    """Return the files that hold weights of an ONNX file, in order of their names; none where it holds all itself.

    Raises MissingData where one is gone, InputError where one lies outside the file's folder, or the file is no ONNX.
    """
    try:
        onnx = importlib.import_module("onnx")
    except ImportError as error:
        raise InputError("ONNX files need onnx and onnxruntime: pip install 'robustprune[onnx]'") from error
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except Exception as error:
        raise InputError(f"{file}: cannot be opened: no ONNX file, or cut off ({type(error).__name__})") from None
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
