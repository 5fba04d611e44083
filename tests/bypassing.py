"""Running a network without some of its blocks, with no layer taken out: what removal is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from torch import nn

from robustprune.models import Block, Skip
from robustprune.models.skip import make_skip
from robustprune.models.trace import trace
from robustprune.models.units import skip_path


@contextmanager
def bypass(model: nn.Module, entries: Iterable[Block | str]) -> Iterator[None]:
    """While active, each of these blocks hands its first argument on.

    A Block says itself which activations stand on its skip path; for a bare name they are looked up when the module is
    first called, all of them, whether or not they change anything.
    """
    with ExitStack() as stack:
        for entry in entries:
            module = model.get_submodule(entry.name if isinstance(entry, Block) else entry)
            stack.enter_context(patch.object(module, "forward", _handing_on(module, entry)))
        yield


def _handing_on(module: nn.Module, entry: Block | str) -> Callable[..., Any]:
    own = module.forward
    known: list[Skip] = [entry.stand_in()] if isinstance(entry, Block) else []

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not known:
            with patch.object(module, "forward", own):
                recorded = trace(module, args, kwargs)
            found = skip_path(recorded, recorded.calls[0])
            assert found is not None, f"{entry} has no skip path"
            known.append(make_skip(found[1].activations, found[0], recorded.calls[0].place))
        return known[0](*args, **kwargs)

    return forward
