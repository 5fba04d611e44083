"""What leaves this program: weights with a description of the architecture, and ONNX.

The safetensors file holds, beside the weights, which blocks went and from what, as JSON under the metadata
key `robustprune`: `removed`, `blocks`, `parent` (name, factory, hash of its weights), `input` (shape of one
image), `classes` and where it was made. `robustprune review FILE --parent SPEC` builds the network again
from that and the parent's factory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robustprune import __version__
from robustprune.errors import InputError
from robustprune.models import save_weights
from robustprune.models.exports.onnx import write_onnx
from robustprune.results.records import CaseResult
from robustprune.review.given import METADATA
from robustprune.review.parity import Parity, parity


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a network comes from: the parent's name, what built it, and the hash of its weights."""

    parent: str
    factory: str
    weights: str


def export_safetensors(net: nn.Module, case: CaseResult, origin: Origin, path: Path, shape: tuple[int, ...]) -> None:
    """Write weights and description; `shape` is that of one image (C, H, W)."""
    save_weights(net, path, {METADATA: json.dumps(architecture(case, origin, shape), sort_keys=True)})


def architecture(case: CaseResult, origin: Origin, shape: tuple[int, ...]) -> dict[str, Any]:
    """Describe a pruned network so that it can be built again."""
    return {
        "schema": 1,
        "robustprune": __version__,
        "suite": case.suite,
        "case": case.case,
        "removed": list(case.removed),
        "blocks": list(case.blocks),
        "parent": {"name": origin.parent, "factory": origin.factory, "weights": origin.weights},
        "weights": case.weights_hash,
        "input": list(shape),
        "classes": list(case.classes),
        "range": "pixels in [0, 1]; normalisation is inside the network",
    }


def export_onnx(net: nn.Module, path: Path, x: Tensor) -> Parity:
    """Write the network as ONNX, any batch size, and compare it on the real images `x` (n, C, H, W).

    onnxruntime runs it. The file is put in its place only if it agrees on 99.9 % of them; InputError where it
    does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part.onnx")
    try:
        write_onnx(net, beside, x[:2])
        found = parity(net, beside, x)
        if not found.holds:
            raise InputError(f"{path.name}: not written: the exported {found}, at least 99.9 % was expected")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return Parity(**{**vars(found), "file": path.name})


def factory_text(build: object) -> str:
    """Name what builds a network, for people.

    >>> factory_text(partial(dict, depth=32))
    'builtins:dict(depth=32)'
    """
    if isinstance(build, partial):
        arguments = [*map(repr, build.args), *(f"{name}={value!r}" for name, value in build.keywords.items())]
        return f"{factory_text(build.func)}({', '.join(arguments)})"
    module = getattr(build, "__module__", type(build).__module__)
    return f"{module}:{getattr(build, '__qualname__', type(build).__qualname__)}"


def metadata_table(described: Mapping[str, Any]) -> list[str]:
    """What a file says about itself, one line each."""
    parent = described.get("parent", {})
    return [
        f"exported by robustprune {described.get('robustprune')} from case {described.get('case')}",
        f"parent {parent.get('name')}, built by {parent.get('factory')}, weights {parent.get('weights')}",
        f"{len(described.get('removed', []))} of {len(described.get('blocks', []))} removable blocks gone",
    ]
