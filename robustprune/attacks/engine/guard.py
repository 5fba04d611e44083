"""The one context in which attacks run; everything it changes is put back, also after an exception.

torchattacks 3.5.1 leaves a network in training mode after an exception, thaws frozen BatchNorm, writes
`.grad` on parameters and reseeds the global generators. Inside `attacking` none of this reaches the caller.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import isfinite

import numpy as np
import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.device import device_of
from robustprune.models.lending import is_text, restored
from robustprune.models.modes import frozen


@contextmanager
def attacking(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode with frozen parameters, fork every random generator, switch gradients on.

    On the way out every module's own training flag, every buffer, every parameter's `requires_grad` and `.grad`, the
    states of the generators of torch, numpy and random, and the gradient mode are as before. Autocast is
    off inside, and on CUDA convolutions are deterministic and in true float32, since the verdict is a
    float32 one.
    """
    device = device_of(model)
    with ExitStack() as stack:
        stack.enter_context(restored(model))
        stack.enter_context(frozen(model))
        stack.enter_context(forked_generators(device))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(exact_cuda())
        yield


@contextmanager
def forked_generators(device: torch.device) -> Iterator[None]:
    """Restore the states of the generators of torch (CPU and `device`), numpy and random on the way out."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = [device] if device.type in ("cuda", "mps") else []
    kind = device.type if devices else "cuda"
    try:
        with torch.random.fork_rng(devices=devices, device_type=kind):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@contextmanager
def exact_cuda() -> Iterator[None]:
    """Deterministic cuDNN and float32 without TF32."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul


def check_samples(x: Tensor, y: Tensor) -> None:
    """Refuse samples that no number should be reported on.

    Raises InputError unless `x` is (n, C, H, W) float in [0,1] without NaN, or texts (n, T) int64, and `y` is (n,)
    integer class numbers.

    >>> check_samples(torch.full((1, 1, 2, 2), 2.0), torch.tensor([0]))
    Traceback (most recent call last):
    robustprune.errors.InputError: x: expected images in [0,1], found 2..2; normalise inside the model
    """
    if not x.is_floating_point() and not is_text(x):
        raise InputError(f"x: expected float32 images in [0,1], found {x.dtype}; divide uint8 images by 255")
    if y.ndim != 1 or len(x) != len(y) or y.is_floating_point():
        raise InputError(f"y: expected {len(x)} integer class numbers, found {tuple(y.shape)} of {y.dtype}")
    if len(x) == 0:
        raise InputError("x: expected at least one sample, found none")
    if is_text(x):
        return
    low, high = map(float, x.aminmax())
    if not (isfinite(low) and isfinite(high)):
        raise InputError("x: expected finite values in [0,1], found NaN or infinity")
    if low < 0 or high > 1:
        found = f"{low:.4g}..{high:.4g}"
        raise InputError(f"x: expected images in [0,1], found {found}; normalise inside the model")
