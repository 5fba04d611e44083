"""Int8 files: an exported ONNX file quantized as it will ship, by onnxruntime's own quantizer.

Static, in the QDQ form: a scale for every activation, found on training samples, and one for every output channel of
the weights. What that costs in accuracy and robustness is for `robustprune review FILE --twin ...` to say.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.review.parity import Parity, parity

INT8 = "int8.onnx"
"""Ending of such a file, whose float file stands beside it."""

CALIBRATION = 256
"""Training samples, class-balanced, by which scales are found."""

BATCH = 32


def export_int8(net: nn.Module, float_file: Path, path: Path, train: Tensor, x: Tensor) -> Parity:
    """Quantize the ONNX file `float_file` of `net`, with scales from the images `train`; compare on real images `x`.

    How often it predicts as the network is returned, and no reason to refuse it. InputError where it cannot be made.
    """
    beside = path.with_name(f".{path.name}.part.onnx")
    try:
        _quantize(float_file, beside, train)
        found = parity(net, beside, x)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return Parity(**{**vars(found), "file": path.name, "kind": "int8 ONNX"})


def _quantize(source: Path, target: Path, train: Tensor) -> None:
    try:
        library: Any = importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise InputError("int8 export needs onnx and onnxruntime: pip install 'robustprune[onnx]'") from error
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # that it should be preprocessed, which the exporter has done
    try:
        library.quantize_static(
            str(source), str(target), _reader(library, train), quant_format=library.QuantFormat.QDQ, per_channel=True
        )
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{source.name}: cannot be quantized to int8 ({reason})") from error
    finally:
        logging.disable(level)


def _reader(library: Any, train: Tensor) -> Any:
    """Return the images as onnxruntime's calibration asks for them, batch after batch."""

    class Images(library.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(train.split(BATCH))

        def get_next(self) -> Any:
            part = next(self.left, None)
            return None if part is None else {"image": part.cpu().numpy()}

    return Images()
