"""What stands in for what is gone: a block's skip path, or the zeros of a branch that adds nothing any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.models.activations import Activation

Key = int | str
"""An argument of a call, by position or by name."""

_OWN = frozenset(vars(nn.Module()))
"""Attributes that every module has."""


@dataclass(frozen=True)
class Place:
    """Where a block's tensor stands in what it returns: number `position` of `length`, the others None."""

    position: int
    length: int
    kind: type = tuple


@dataclass(frozen=True)
class Blank:
    """A tensor of zeros; a length that is None is that of the same axis of an argument, `own` its type if not its."""

    lengths: tuple[int | None, ...]
    own: torch.dtype | None = None

    def made(self, like: Tensor) -> Tensor:
        """The zeros, for that argument and where it is."""
        lengths = [like.shape[axis] if length is None else length for axis, length in enumerate(self.lengths)]
        return torch.zeros(lengths, dtype=self.own or like.dtype, device=like.device)


@dataclass(frozen=True)
class Blanks:
    """What a module that does not run any more returns: zeros, shaped by one argument, in a tuple or list or alone."""

    argument: Key
    parts: tuple[Blank | bool | int | float | str | None, ...]
    kind: type | None = None


class Skip(nn.Sequential):
    """What stands in for a block that is gone: its skip path, without parameters.

    Whatever the block was called with, one argument goes on, through the path's activations if it has any: the first,
    or that of the position or name `argument`. It is returned alone, or at its `place` in a tuple with None beside it.
    What the network's own code reads off its blocks (`layers[0].self_attn.batch_first`) is in `settings`.

    >>> import torch
    >>> Skip()(torch.tensor(-1.0), "mask", dropout=None).item()
    -1.0
    >>> Skip(nn.ReLU())(torch.tensor(-1.0)).item()
    0.0
    """

    def __init__(
        self,
        *activations: nn.Module,
        argument: Key | None = None,
        place: Place | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(*activations)
        self.argument, self.place, self.settings = argument, place, dict(settings or {})

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            settings = self.__dict__.get("settings", {})
            if name not in settings:
                raise
            return _readable(settings[name])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The argument that goes on, through the activations, at its place."""
        return self.returned(self.along(self.taken(*args, **kwargs)))

    def taken(self, *args: Any, **kwargs: Any) -> Any:
        """The argument that goes on, of all that a block is called with."""
        return first_argument(*args, **kwargs) if self.argument is None else arguments(args, kwargs)[self.argument]

    def along(self, x: Any) -> Any:
        """What the activations make of it."""
        for activation in self:
            x = activation(x)
        return x

    def returned(self, x: Any) -> Any:
        """It alone, or at its place among None."""
        if self.place is None:
            return x
        return self.place.kind(x if index == self.place.position else None for index in range(self.place.length))

    def given(self, result: Any) -> Any:
        """The tensor that takes the place of that argument, of all that a block returns."""
        return result if self.place is None else result[self.place.position]


class Zeros(Skip):
    """What stands in for a module whose work nobody uses any more: it does none, and returns zeros of the same shape.

    >>> Zeros(Blanks(0, (Blank((None, 3)), None), tuple))(torch.ones(2, 5))
    (tensor([[0., 0., 0.],
            [0., 0., 0.]]), None)
    """

    def __init__(self, blanks: Blanks, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(argument=blanks.argument, settings=settings)
        self.blanks = blanks

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Zeros, whatever the argument holds."""
        like, kind = self.taken(*args, **kwargs), self.blanks.kind
        parts = [part.made(like) if isinstance(part, Blank) else part for part in self.blanks.parts]
        return parts[0] if kind is None else kind(parts)

    @property
    def position(self) -> int:
        """The place of its first tensor in what it returns."""
        return next(place for place, part in enumerate(self.blanks.parts) if isinstance(part, Blank))

    def along(self, x: Any) -> Any:
        """The zeros for an argument."""
        blank = self.blanks.parts[self.position]
        return blank.made(x) if isinstance(blank, Blank) else blank

    def returned(self, x: Any) -> Any:
        """A tensor in the place of its first, the others left out."""
        parts = [None if isinstance(part, Blank) else part for part in self.blanks.parts]
        parts[self.position] = x
        return x if self.blanks.kind is None else self.blanks.kind(parts)

    def given(self, result: Any) -> Any:
        """Its first tensor, of all that the module returns."""
        return result if self.blanks.kind is None else result[self.position]


def make_skip(activations: Iterable[Activation], argument: Key | None = None, place: Place | None = None) -> Skip:
    """The module that computes these activations one after the other; see Skip for the rest."""
    return Skip(*(activation.module() for activation in activations), argument=argument, place=place)


def arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[Key, Any]:
    """All arguments of a call, the positional ones by their number."""
    given: dict[Key, Any] = dict(enumerate(args))
    given.update(kwargs.items())
    return given


def first_argument(*args: Any, **kwargs: Any) -> Any:
    """The first positional argument, else the first named one, else None."""
    return next(iter((*args, *kwargs.values())), None)


def settings_of(module: nn.Module) -> dict[str, Any]:
    """The plain attributes of a module and, by name, those of the modules in it: no weights, no code.

    >>> settings_of(nn.Sequential(nn.Linear(2, 3)))["0"]["out_features"]
    3
    """
    children = {name: settings_of(child) for name, child in module.named_children()}
    return {name: value for name, value in vars(module).items() if name not in _OWN and _plain(value)} | children


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_plain(part) for part in value)
    return value is None or isinstance(value, bool | int | float | str)


def _readable(value: Any) -> Any:
    """Nested settings as an object whose attributes they are."""
    if not isinstance(value, dict):
        return value
    return SimpleNamespace(**{name: _readable(part) for name, part in value.items()})
