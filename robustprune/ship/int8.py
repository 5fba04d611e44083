"""Int8 files beside the float file that they were made of.

What that costs in accuracy and robustness is for `robustprune review FILE --twin ...` to say.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from robustprune.models.exports.int8 import quantize
from robustprune.review.parity import Parity, parity

INT8 = "int8.onnx"
"""Ending of such a file, whose float file stands beside it."""


def export_int8(net: nn.Module, float_file: Path, path: Path, train: Tensor, x: Tensor) -> Parity:
    """Quantize the ONNX file `float_file` of `net`, with scales from the images `train`; compare on real images `x`.

    How often it predicts as the network is returned, and no reason to refuse it. InputError where it cannot be made.
    """
    beside = path.with_name(f".{path.name}.part.onnx")
    try:
        quantize(float_file, beside, train)
        found = parity(net, beside, x)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return Parity(**{**vars(found), "file": path.name, "kind": "int8 ONNX"})
