"""Prefix replay: what a network says without a block, with nothing before the block computed again.

The network is cut along its frontier: the blocks, and the largest modules that contain no block. One full
forward pass records what every frontier module returned, in the order of the calls. For each block the
network's own `forward` then runs once more, while frontier modules give back what they returned before, up to
the block; the block itself is replaced by its skip path; from there on modules compute. Because the network's
own code runs, glue between modules (flattening, additions, concatenations) needs no tracing, and any
architecture will do.

Outputs are copied when recorded and when handed out, since networks may change them in place
(`ReLU(inplace=True)`). The copies cost a few per cent of the layers they save.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.errors import InputError

Handler = Callable[..., Any]
"""(module, its forward, *args, **kwargs) -> what the module shall return."""


def frontier(model: nn.Module, blocks: Iterable[nn.Module]) -> list[nn.Module]:
    """The blocks and the largest modules of `model` that contain no block, each once.

    Raises InputError if one block lies inside another.

    >>> net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), nn.Sequential(nn.Tanh(), nn.Tanh()))
    >>> [type(m).__name__ for m in frontier(net, [net[1][0]])]
    ['Sequential', 'Tanh', 'Tanh']
    """
    wanted = set(blocks)
    found: dict[nn.Module, None] = {}

    def visit(module: nn.Module) -> None:
        inside = wanted.intersection(module.modules())
        if module in wanted and len(inside) > 1:
            raise InputError(f"blocks: a {type(module).__name__} block contains another block, expected separate ones")
        if module in wanted or not inside:
            found[module] = None
        else:
            for child in module.children():
                visit(child)

    visit(model)
    return list(found)


@contextmanager
def intercepted(modules: Iterable[nn.Module], handler: Handler) -> Iterator[None]:
    """While active, a call of one of `modules` returns `handler(module, its own forward, *args, **kwargs)`.

    Hooks still run, the modules themselves are left as they were, also after an exception.

    >>> layer = nn.Identity()
    >>> with intercepted([layer], lambda module, forward, x: 2 * forward(x)):
    ...     layer(torch.ones(2)).tolist()
    [2.0, 2.0]
    >>> layer(torch.ones(2)).tolist()
    [1.0, 1.0]
    """
    before = [(module, vars(module).get("forward")) for module in modules]
    try:
        for module, _ in before:
            vars(module)["forward"] = partial(handler, module, module.forward)
        yield
    finally:
        for module, own in before:
            vars(module).pop("forward", None)
            if own is not None:
                vars(module)["forward"] = own


class Tape:
    """Records one batch at a time, and replays it without one block.

    `blocks` and `skips` map the name of every block to its module and to the module that stands in for it.
    Use inside `torch.no_grad()` with the model in eval mode. The order of calls must be the same in every
    pass.
    """

    def __init__(self, model: nn.Module, blocks: Mapping[str, nn.Module], skips: Mapping[str, nn.Module]) -> None:
        self._model, self._blocks, self._skips = model, blocks, skips
        self._frontier = frontier(model, blocks.values())
        self._batch = torch.empty(0)
        self._calls: list[tuple[nn.Module, Any]] = []
        self._left: Iterator[tuple[nn.Module, Any]] = iter(())

    def record(self, batch: Tensor) -> Any:
        """The model's output for `batch`; what the frontier returned is kept for `without`."""
        self._batch, self._calls = batch, []
        with intercepted(self._frontier, self._remember):
            return self._model(batch.clone())

    def without(self, name: str) -> Any:
        """The model's output for the recorded batch when block `name` is skipped.

        Raises InputError if the recorded pass never called the block.
        """
        block, skip = self._blocks[name], self._skips[name]
        cut = next((i for i, (module, _) in enumerate(self._calls) if module is block), None)
        if cut is None:
            raise InputError(f"block {name}: the forward pass never calls it, expected a block that is used")
        self._left = iter(self._calls[:cut])
        with intercepted(self._frontier, self._recall), intercepted([block], partial(self._skip, skip)):
            return self._model(self._batch.clone())

    def _remember(self, module: nn.Module, forward: Handler, *args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        self._calls.append((module, _copied(output)))
        return output

    def _recall(self, module: nn.Module, forward: Handler, *args: Any, **kwargs: Any) -> Any:
        known = next(self._left, None)
        if known is None:
            return forward(*args, **kwargs)
        if known[0] is not module:
            raise InputError("scoring: the order of module calls differs between passes, expected a fixed one")
        return _copied(known[1])

    def _skip(self, skip: nn.Module, module: nn.Module, forward: Handler, *args: Any, **kwargs: Any) -> Any:
        return skip(*args, **kwargs)


def first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The first argument of a call: the activation, for blocks.

    >>> first((1, 2), {}), first((), {"x": 3})
    (1, 3)
    """
    return args[0] if args else next(iter(kwargs.values()))


def _copied(output: Any) -> Any:
    return output.clone() if isinstance(output, Tensor) else copy.deepcopy(output)
