"""Does what ships compute what was reviewed? Validity check 30.

The network under review is a PyTorch module, since attacks need its gradients. What goes into service is
often another file: ONNX, TorchScript, lower precision. It is compared on the evaluation samples: the same
prediction on at least 99.9 % of them. Where it is not, the verdict is about another network than the one
that ships, and the check blocks.

An ONNX file is data for onnxruntime. A TorchScript file holds a program of its own, which torch's
interpreter runs.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustprune.errors import InputError, MissingData
from robustprune.results.checks import CATALOGUE
from robustprune.results.records import Check

if TYPE_CHECKING:
    from torch import Tensor, nn

AGREE = 0.999
"""Smallest share of samples on which what ships must predict as the candidate does (our threshold)."""

NUMBER = 30
NAME = CATALOGUE[NUMBER].name


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How a file agrees with a network: on `agree` of `n` predictions; `gap` between two logits."""

    file: str
    sha256: str
    kind: str
    n: int
    agree: int
    gap: float | None
    """None where a logit is not a finite number."""

    @property
    def holds(self) -> bool:
        """Whether they agree often enough."""
        return self.agree >= AGREE * self.n

    def __str__(self) -> str:
        """Write the finding as one line for people."""
        share = math.floor(10000 * self.agree / self.n) / 100
        gap = "not finite" if self.gap is None else f"{self.gap:.2g}"
        agreement = f"agrees on {self.agree} of {self.n} ({share:g} %)"
        return f"{self.kind} {self.file} {agreement}, largest logit gap {gap}"


def parity(net: nn.Module, file: Path, x: Tensor, batch_size: int = 128) -> Parity:
    """Compare a shipped file with the network on images `x` (n, C, H, W) in [0,1].

    Raises InputError where the file cannot be run, or gives something else than one row of logits a sample.
    """
    import torch

    from robustprune.models import evaluating, file_hash

    shipped = open_shipped(file)
    theirs = torch.cat([shipped(part.cpu()).float() for part in torch.split(x, batch_size)])
    with evaluating(net), torch.no_grad():
        ours = torch.cat([net(part.clone()).float().cpu() for part in torch.split(x, batch_size)])
    if theirs.shape != ours.shape:
        raise InputError(f"{file}: gives shape {tuple(theirs.shape)}, the candidate gives {tuple(ours.shape)}")
    gap = float((theirs - ours).abs().max())
    same = (theirs.argmax(1) == ours.argmax(1)) & torch.isfinite(theirs).all(1)
    return Parity(
        file=file.name,
        sha256=file_hash(file),
        kind="ONNX" if file.suffix == ".onnx" else "TorchScript",
        n=len(x),
        agree=int(same.sum()),
        gap=gap if math.isfinite(gap) else None,
    )


def parity_check(found: Parity | None) -> Check:
    """Validity check 30; without a shipped file it is skipped and says so, never passed.

    >>> parity_check(None).status
    'skipped'
    """
    if found is None:
        evidence = "unmeasured: no shipped file was given, so the verdict is about the PyTorch network alone"
        return Check(number=NUMBER, name=NAME, status="skipped", evidence=evidence)
    return Check(
        number=NUMBER,
        name=NAME,
        status="pass" if found.holds else "fail",
        evidence=f"{found}; at least {AGREE:.1%} asked for",
        blocking=True,
    )


def open_shipped(file: Path) -> Callable[[Tensor], Tensor]:
    """Open an ONNX or TorchScript file as a function from images to logits, both on the CPU."""
    if not file.is_file():
        raise MissingData(f"{file}: no such file; expected what ships, an .onnx or a TorchScript .pt")
    try:
        return _onnx(file) if file.suffix == ".onnx" else _torchscript(file)
    except InputError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[:1]
        raise InputError(
            f"{file}: cannot be opened, expected .onnx or TorchScript ({type(error).__name__}: {''.join(reason)})"
        ) from error


def _onnx(file: Path) -> Callable[[Tensor], Tensor]:
    import torch

    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise InputError("ONNX files need onnxruntime: pip install 'robustprune[onnx]'") from error
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    size = entry.shape[0] if isinstance(entry.shape[0], int) else None

    def run(part: Tensor) -> Tensor:
        (logits, *_) = session.run(None, {entry.name: part.numpy()})
        return torch.from_numpy(logits)

    return lambda x: _in_batches(run, x, size)


def _in_batches(run: Callable[[Tensor], Tensor], x: Tensor, size: int | None) -> Tensor:
    """Run in batches of the one size that the file accepts, the last one filled up; None: any size."""
    import torch

    if size is None:
        return run(x)
    short = -len(x) % size
    filled = torch.cat([x, x[-1:].expand(short, *x.shape[1:])]) if short else x
    return torch.cat([run(part.contiguous()) for part in torch.split(filled, size)])[: len(x)]


def _torchscript(file: Path) -> Callable[[Tensor], Tensor]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script: Any = torch.jit.load(str(file), map_location="cpu").eval()

    def run(x: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = script(x.clone())
        return logits

    return run
