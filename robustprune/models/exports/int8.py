"""Int8 files: an ONNX file quantized as it will ship, by onnxruntime's own quantizer.

Static, in the QDQ form: a scale for every activation, found on training samples, and one for every output channel of
the weights.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

from torch import Tensor

from robustprune.errors import InputError
from robustprune.models.exports.onnx import IMAGE

CALIBRATION = 256
"""Training samples, class-balanced, by which scales are found."""

BATCH = 32


def quantize(source: Path, target: Path, train: Tensor) -> None:
    """Write the ONNX file `source` in int8, with scales from the images `train`. InputError where it cannot be."""
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
            return None if part is None else {IMAGE: part.cpu().numpy()}

    return Images()
