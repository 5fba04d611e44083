"""How long a forward pass takes by several ways of running one network: what ships beside PyTorch and torch.compile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from robustprune.cost import batch_of
from robustprune.cost.latency import threads_set, time_in_turn
from robustprune.cost.steadiness import crowded, quartiles, steadiest
from robustprune.models.lending import shown
from robustprune.models.modes import evaluating
from robustprune.results.speeds import Quartiles, Speeds

COMPILED = "torch.compile"


def speeds(
    ways: Mapping[str, nn.Module], example: Tensor, batches: Sequence[int], seconds: float, threads: int | None = None
) -> Speeds:
    """Time a forward pass of `ways` of running a network, in turn, at each batch size; about `seconds` on each.

    `example` is a batch of at least one sample. A way that does not run is missing, with the reason.

    >>> found = speeds({"eager": nn.Linear(4, 2)}, torch.zeros(1, 4), batches=(1,), seconds=0.01)
    >>> found.ratio, found.missing
    ({'eager': {'1': (1.0, 1.0, 1.0)}}, {})
    """
    milliseconds: dict[str, dict[str, Quartiles]] = {}
    ratio: dict[str, dict[str, Quartiles]] = {}
    busy: list[str] = []
    with threads_set(threads) as used, torch.no_grad(), ExitStack() as stack:
        for net in ways.values():
            stack.enter_context(evaluating(net))
        missing = {way: reason for way, net in ways.items() if (reason := _fails(net, example, batches))}
        for size in batches:
            calls = [_call(net, batch_of(example, size)) for way, net in ways.items() if way not in missing]
            crowd = crowded()
            times, steady = steadiest(partial(time_in_turn, calls, seconds))
            for place, way in enumerate(way for way in ways if way not in missing):
                milliseconds.setdefault(way, {})[str(size)] = quartiles(times[:, place])
                ratio.setdefault(way, {})[str(size)] = quartiles(times[:, place] / times[:, 0])
            busy += [str(size)] if crowd or not steady else []
    return Speeds(milliseconds=milliseconds, ratio=ratio, threads=used, busy=tuple(busy), missing=missing)


def compiled(net: nn.Module) -> nn.Module:
    """Return a network as torch.compile runs it; it is compiled at its first pass."""
    return cast(nn.Module, torch.compile(net, dynamic=False))


def _fails(net: nn.Module, example: Tensor, batches: Sequence[int]) -> str:
    """Make a first pass at every batch size; return why it fails, in one line, or nothing."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        for size in batches:
            _call(net, batch_of(example, size))()
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    finally:
        logging.disable(level)
    return ""


def _call(net: nn.Module, x: Tensor) -> Callable[[], Any]:
    mine = shown(net, x)
    return lambda: net(mine)
