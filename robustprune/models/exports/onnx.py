"""A network as an ONNX file: one batch of images in, logits out, any batch size, weights inside."""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.modes import evaluating

IMAGE, LOGITS = "image", "logits"
"""What the input and the output of such a file are called."""


def write_onnx(net: nn.Module, path: Path, example: Tensor) -> None:
    """Write `net`, which is moved to the CPU; `example` (n, C, H, W) is a real input. InputError where it cannot be."""
    try:
        importlib.import_module("onnxscript")
    except ImportError as error:
        raise InputError(
            "ONNX export needs onnx, onnxscript and onnxruntime: pip install 'robustprune[onnx]'"
        ) from error
    batch = torch.export.Dim("batch")
    with _one_line(net), evaluating(net), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.cpu(),
            (example.cpu(),),
            str(path),
            dynamo=True,
            dynamic_shapes=({0: batch},),
            input_names=[IMAGE],
            output_names=[LOGITS],
            external_data=False,
            verbose=False,
        )


@contextmanager
def _one_line(net: nn.Module) -> Iterator[None]:
    """Turn what the exporter says of a network that it cannot convert, many lines, into an InputError of one."""
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            yield
    except InputError:
        raise
    except Exception as error:
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        lines = [line.strip() for line in str(first).splitlines() if line.strip()]
        reason = f"{type(first).__name__}: {(lines or ['no reason given'])[0][:200]}"
        raise InputError(
            f"{type(net).__name__} cannot be exported as ONNX ({reason}): its code may branch on the data or the size "
            "of the batch, or use what ONNX lacks; expected a network that torch.export can trace"
        ) from error
