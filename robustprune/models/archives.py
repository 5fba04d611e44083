"""Programs in archives: TorchScript and torch.export files, looked through before torch opens them.

`torch.jit.load` reads its own kind of pickle, which can name tensors and script classes only, and runs no Python; but a
script may hold the operators that write and read files. `torch.export.load` is not safe by itself: it falls back to a
plain pickle, has sympy evaluate expressions, runs the guards of a program as Python, and writes Python with the names
in it. So every member must be of a kind that is known to be data, and every text in the program a name or a size; what
is loaded is an archive of that alone, written anew.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from robustprune.errors import InputError

REACHES_FILES = re.compile(rb"\b(?:torch|aten|ops\.aten)\.(?:save|from_file)\b")
"""Operators of TorchScript that write or read a file."""

EXPORTED = re.compile(
    r"archive_(format|version)|byteorder|\.data/\w+|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
)
"""Members of a torch.export program that are data; others are pickles or compiled code."""

NAME = re.compile(r"[\w.]*")
"""A text that Python can only look up."""

SIZE = re.compile(
    r"(Symbol\('[su]\d+'(, (positive|nonnegative|integer)=True)*\)|Max|Min|Mod|FloorDiv|[su]\d+|\d+|[-+*/(), ])*"
)
"""An expression about sizes: evaluating it can do nothing else than arithmetic."""

OPERATOR = re.compile(r"torch\.ops\.(aten|quantized_decomposed)\.(?!from_file)\w+(\.\w+)?|_operator\.\w+")
"""What such a program may call."""

NESTED = re.compile(r'[\w.,:"\[\]{} ]*')
"""How its inputs and outputs are nested, as JSON."""

VERSION = re.compile(r"[\w.+-]*")

FORMS = {"expr_str": SIZE, "target": OPERATOR, "in_spec": NESTED, "out_spec": NESTED, "torch_version": VERSION}
"""Key in the JSON of a program -> the form of the text under it; NAME for all others."""


def script_archive(file: Path) -> io.BytesIO:
    """Return a TorchScript file to be loaded. InputError where it holds no script, or one that touches files."""
    members = _members(file)
    if "constants.pkl" not in members or not any(name.startswith("code/") for name in members):
        raise InputError(f"{file}: holds no TorchScript program; expected a file that torch.jit.save wrote")
    for name, content in members.items():
        if name.startswith("code/") and (found := REACHES_FILES.search(content)):
            raise InputError(f"{file}: refused: its program would touch files ({found[0].decode()} in {name})")
    return io.BytesIO(file.read_bytes())


def exported_archive(file: Path) -> io.BytesIO:
    """Return a torch.export file to be loaded. InputError where loading it could run code."""
    members = _members(file)
    odd = next((name for name in members if not EXPORTED.fullmatch(name)), None)
    if odd is not None or "models/model.json" not in members:
        what = f"{odd} in it may be code" if odd else "it holds no program"
        raise InputError(f"{file}: refused: {what}; expected a file that torch.export.save wrote, tensors alone")
    for name in ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json"):
        for entry in json.loads(members[name])["config"].values():
            if entry["use_pickle"] or "/" in entry["path_name"]:
                raise InputError(f"{file}: refused: {entry['path_name']} is a pickle; expected tensors")
    _check_inputs(file, members["data/sample_inputs/model.pt"])
    program = _bare(file, json.loads(members["models/model.json"]))
    members["models/model.json"] = json.dumps({**program, "guards_code": []}).encode()
    anew = io.BytesIO()
    with zipfile.ZipFile(anew, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"program/{name}", content)
    anew.seek(0)
    return anew


def _members(file: Path) -> dict[str, bytes]:
    """Read an archive: name, without its first folder, and content.

    InputError where it is none, holds a name twice, or has more than one folder at its root.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            found = {name.partition("/")[2]: archive.read(name) for name in names}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise InputError(f"{file}: cannot be opened: no archive, or cut off ({error}); expected a program") from None
    if len(found) < len(names) or len({name.partition("/")[0] for name in names}) > 1:
        raise InputError(f"{file}: refused: names in it stand twice, or under several roots")
    return found


def _bare(file: Path, thing: Any, key: str = "") -> Any:
    """Return the JSON of a program without what is only said about it. InputError for a text of another form."""
    if isinstance(thing, str):
        form = FORMS.get(key, NAME)
        if not form.fullmatch(thing):
            raise InputError(f"{file}: refused: {key} {thing[:60]!r} in it may be code; expected arithmetic and names")
        return thing
    if isinstance(thing, list):
        return [_bare(file, one, key) for one in thing]
    if isinstance(thing, dict):
        kept = {name: {} if name == "metadata" else one for name, one in thing.items() if name != "guards_code"}
        return {_bare(file, name, "name"): _bare(file, one, name) for name, one in kept.items()}
    return thing


def _check_inputs(file: Path, content: bytes) -> None:
    """Refuse example inputs that only a pickle with code could give."""
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:80]
        raise InputError(f"{file}: refused: its example inputs are no plain tensors ({reason})") from None
