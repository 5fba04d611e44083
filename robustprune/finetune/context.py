"""Training mode, random state and arithmetic that are this training's own, and put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from robustprune.models.modes import evaluating


@contextmanager
def training(model: nn.Module, device: torch.device, seed: int) -> Iterator[None]:
    """Training mode with its own random state; afterwards flags and generators are as before."""
    with evaluating(model), _own_randomness(device, seed), _deterministic():
        model.train()
        if device.type == "cpu":
            model.to(memory_format=torch.channels_last)
        try:
            yield
        finally:
            model.to(memory_format=torch.contiguous_format)
            for parameter in model.parameters():
                parameter.grad = None


@contextmanager
def _own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the CPU's and this device's generator inside, for dropout, and put both back on the way out."""
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        if mps is not None:
            torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            if mps is not None:
                torch.mps.set_rng_state(mps)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Ask cuDNN for the algorithms that give the same bits each time."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
