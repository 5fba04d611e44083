"""What a factory gives, made into a network as everything here uses it: an nn.Module that returns logits alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating
from robustprune.models.probe import at_home

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
"""What runs another network on several devices; the network itself stands in `module`."""


def as_network(thing: object, who: str, example: Tensor | None = None) -> nn.Module:
    """The network that a factory gave, without DataParallel around it; `who` begins the messages.

    Where it returns more than logits for `example`, a batch of its input, it is made to return them alone from now on
    (`logits_alone`), by a hook, so that names of layers and weights stay. Raises InputError for what is no network, or
    has no numbers (the meta device), or lies on several devices.

    >>> type(as_network(nn.DataParallel(nn.Linear(2, 2)), "mine")).__name__
    'Linear'
    """
    if isinstance(thing, type):
        raise InputError(f"{who}: its factory gave the class {thing.__name__}, expected a network: {thing.__name__}()")
    if not isinstance(thing, nn.Module):
        raise InputError(f"{who}: its factory gave {type(thing).__name__}, expected a network (torch.nn.Module)")
    net: nn.Module = thing
    while isinstance(net, WRAPPERS):
        net = net.module
    devices = sorted({str(tensor.device) for tensor in (*net.parameters(), *net.buffers())})
    if len(devices) > 1 or "meta" in devices:
        expected = "numbers on the CPU or on one accelerator"
        raise InputError(f"{who}: its weights lie on {' and '.join(devices)}; expected {expected}")
    if example is not None and returns_more(net, example):
        net.register_forward_hook(_alone)
    return net


@contextmanager
def returning_logits(net: nn.Module, example: Tensor) -> Iterator[nn.Module]:
    """The network returns logits alone in here (`logits_alone`); `example` is a batch of its input.

    >>> pair = nn.LSTM(2, 3)
    >>> with returning_logits(pair, torch.rand(4, 2)):
    ...     pair(torch.rand(4, 2)).shape
    torch.Size([4, 3])
    """
    hook = net.register_forward_hook(_alone) if returns_more(net, example) else None
    try:
        yield net
    finally:
        if hook is not None:
            hook.remove()


def logits_alone(output: Any) -> Tensor:
    """The logits in what a network returned: the tensor itself, what is called `logits`, or the one that can be meant.

    Of several tensors that is the only one with two axes, (n, classes). Raises InputError where none or several are.

    >>> logits_alone((torch.zeros(1, 3), torch.zeros(1, 8, 4, 4))).shape
    torch.Size([1, 3])
    """
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    parts = [*output.values()] if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else []
    tensors = [part for part in parts if isinstance(part, Tensor)]
    flat = tensors if len(tensors) == 1 else [tensor for tensor in tensors if tensor.ndim == 2]
    if len(flat) != 1:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or "no tensor"
        raise InputError(
            f"the network returns {type(output).__name__} with {shapes}: which are its logits? expected them alone, "
            "under the name logits, or as the only tensor of shape (n, classes)"
        )
    return flat[0]


def _alone(module: nn.Module, args: Any, output: Any) -> Tensor:
    return logits_alone(output)


def returns_more(net: nn.Module, example: Tensor) -> bool:
    """Whether the network returns something else than a tensor for `example`, a batch of its input."""
    return bool(len(example)) and not isinstance(_tried(net, example), Tensor | None)


def _tried(net: nn.Module, example: Tensor) -> Any:
    """What a copy of the network returns for one sample; None where it fails, which whoever uses it will say."""
    cuda = [example.device] if example.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda), torch.no_grad():
            twin = copy.deepcopy(net)
            with evaluating(twin):
                return twin(shown(twin, at_home(twin, example[:1])))
    except Exception:
        return None
