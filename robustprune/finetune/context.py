"""Training mode, random state and arithmetic that are this training's own, and put back afterwards."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from robustprune.models.lending import shown
from robustprune.models.modes import evaluating


@contextmanager
def training(model: nn.Module, device: torch.device, seed: int, layout: torch.memory_format) -> Iterator[None]:
    """Training mode with its own random state, weights in `layout`; afterwards flags and generators are as before."""
    with evaluating(model), _own_randomness(device, seed), _deterministic():
        model.train()
        if layout != torch.contiguous_format:
            model.to(memory_format=layout)
        try:
            yield
        finally:
            model.to(memory_format=torch.contiguous_format)
            for parameter in model.parameters():
                parameter.grad = None


def layout_for(model: nn.Module, x: Tensor, device: torch.device, low: bool = False) -> torch.memory_format:
    """Return channels_last where it is the faster layout and a copy of the network runs in it on images `x`.

    Processors are for it, and GPUs where convolutions are in `low` precision. It is a choice of ours: a network that
    flattens by `view` after a convolution does not run so, forward and backward.
    """
    if x.ndim != 4 or not (device.type == "cpu" or (device.type == "cuda" and low)):
        return torch.contiguous_format
    try:
        with evaluating(copy.deepcopy(model)) as twin, torch.random.fork_rng(devices=[]):
            images = x.to(device, memory_format=torch.channels_last, copy=True).requires_grad_()
            logits = twin.to(memory_format=torch.channels_last)(shown(twin, images))
            torch.autograd.grad(logits.sum(), images, allow_unused=True)
    except Exception:
        return torch.contiguous_format
    return torch.channels_last


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators that a training on `device` draws from: the CPU's, and that device's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_generator_states(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Put the generators back to where `generator_states` saw them."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


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
