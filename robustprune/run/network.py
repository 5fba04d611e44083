"""A network under test: what it is, and where it is built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models import as_network, load_weights, weights_hash
from robustprune.prune import remove

KEPT = 4
"""So many built networks are held at a time: a case needs its own and its parent's, and memory must not grow."""

_built: list[Network] = []


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network, named by its content; `model` is built from disk the first time it is asked for.

    `structure` names what the parent's factory built (classes, attributes, sources; run/keys.py) and the way that an
    image takes through it, `behaviour` what the parent answers to some images (run/behaviour.py), `weights` is the hash
    of all parameters and buffers, `removed` the blocks that are gone. It can be sent to another process: what was
    built stays behind.
    """

    structure: str
    behaviour: str
    weights: str
    removed: tuple[str, ...] = ()
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    similarity: Mapping[str, float] = field(default_factory=dict)
    factory: Callable[[], nn.Module]
    file: Path
    example: Tensor
    """One input, on the device where the network is wanted."""

    @property
    def content_key(self) -> list[Any]:
        """What measurements of this network are keyed by."""
        return [*self.shape, self.behaviour, self.weights]

    @property
    def shape(self) -> list[Any]:
        """What its cost is keyed by: all but the values of its weights."""
        return [self.structure, list(self.removed)]

    @cached_property
    def model(self) -> nn.Module:
        """The network, on its device, in eval mode. InputError where its file no longer holds its weights."""
        net = as_network(self.factory(), "the network under test", self.example)
        net = remove(net, self.removed, self.example) if self.removed else net
        net = load_weights(net, self.file)
        if weights_hash(net) != self.weights:
            raise InputError(f"{self.file}: not the weights that were measured; expected {self.weights[:12]}")
        holding(self)
        return net.to(self.example.device).eval()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the built network behind."""
        return {name: value for name, value in self.__dict__.items() if name != "model"}


def holding(network: Network) -> None:
    """Note that a network is being built, and let the oldest one go where more than `KEPT` are held."""
    _built.append(network)
    for old in _built[:-KEPT]:
        vars(old).pop("model", None)
    del _built[:-KEPT]
