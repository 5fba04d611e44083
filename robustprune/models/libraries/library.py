"""What a library of networks has to say: how one is built, where its weights are, and what images it expects."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from robustprune.errors import InputError
from robustprune.models.made import logits_alone
from robustprune.models.normalize import Normalized

Arguments = Mapping[str, Any]
"""Keyword arguments for the library's own builder."""

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a library's configuration says of a network: `labels` are () where they are unknown.

    `size` is (C, H, W); () where it reads texts, which are normalised by nothing.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, ...]
    classes: int
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Library:
    """One library: `package` is what is imported, `extra` installs it with this program ("": it comes with it).

    `card` and `bare` need a name and arguments: what the configuration says, and the network with random weights.
    `own` gives it with the library's weights as they lie on this machine, and `fetch` alone downloads them.
    `classes` and `channels` are what the library calls these two arguments; "" where it has none.
    """

    package: str
    extra: str
    classes: str
    channels: str
    card: Callable[[str, Arguments], Card]
    bare: Callable[[str, Arguments], nn.Module]
    own: Callable[[str, Arguments], nn.Module]
    fetch: Callable[[str], None]

    @property
    def version(self) -> str:
        """Name and version of what is installed."""
        return f"{self.package} {importlib.metadata.version(self.package)}"

    def check(self, spec: str) -> None:
        """Raise InputError where the package is not installed."""
        try:
            importlib.import_module(self.package)
        except ImportError as error:
            what = f"{spec} needs {self.package}, which cannot be imported ({' '.join(str(error).split())[:100]})"
            raise InputError(f"{what}: pip install 'robustprune[{self.extra}]'") from None


class LibraryNetwork(Normalized):
    """A library's network that takes images in [0,1] and returns logits alone.

    `size` (C, H, W) is what the library made it for, `labels` are the names of its logits, () where they are unknown.

    >>> card = Card(mean=(0.5,), std=(0.5,), size=(1, 1, 2), classes=2)
    >>> import torch
    >>> LibraryNetwork(nn.Flatten(), card)(torch.zeros(1, 1, 1, 2))
    tensor([[-1., -1.]])
    """

    def __init__(self, net: nn.Module, card: Card) -> None:
        super().__init__(net, card.mean, card.std)
        self.size, self.labels = card.size, card.labels

    def forward(self, x: Tensor) -> Tensor:
        """Images in [0,1] to logits (n, classes)."""
        return logits_alone(self.net(self.normalize(x)))


def unknown(spec: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that a library does not have, with the nearest ones that it has.

    >>> print(unknown("timm:resnt18", "resnt18", ["resnet18", "vgg11"]))
    timm:resnt18: no such network; did you mean resnet18?
    """
    close = difflib.get_close_matches(name, list(known), n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "its library lists none with a name like it"
    return InputError(f"{spec}: no such network; {hint}")


def per_channel(values: Sequence[float], channels: int, spec: str) -> tuple[float, ...]:
    """Return one value a channel: those of the library, or for another number of channels the one they agree on.

    A grey image takes the mean of the library's values.

    >>> per_channel((0.25, 0.5, 0.75), 1, "timm:resnet18"), per_channel((0.5, 0.5, 0.5), 2, "timm:test_vit")
    ((0.5,), (0.5, 0.5))
    """
    if channels == len(values):
        return tuple(values)
    if channels != 1 and len(set(values)) > 1:
        raise InputError(
            f"{spec}: {channels} channels, and the library normalises {len(values)}; expected named(..., mean=, std=)"
        )
    return (sum(values) / len(values),) * channels
