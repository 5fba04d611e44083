"""Networks as one types them: code that builds one, a name, or a name that a library knows; then perhaps @WEIGHTS.

Code is imported and run: it is the user's own, or was read. Weights are read as numbers only (models/checkpoints.py).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import nn

from robustprune.data import data_root
from robustprune.errors import InputError, MissingData
from robustprune.models import Named, as_network, is_named, named
from robustprune.names import named_object, names

Factory = Callable[[], nn.Module]

RANDOM, DOWNLOAD = "random", "download"
"""What may stand in the place of weights for a library's network."""

_SPEC = re.compile(
    r"(?P<where>(?:torchvision|timm|hf):[^@]+|(?!(?:torchvision|timm|hf):).+?:[A-Za-z_][\w.]*|[^@:]+)(?:@(?P<file>.+))?"
)


def split_spec(text: str) -> tuple[str, str | None]:
    """Take SPEC@FILE apart.

    >>> split_spec("nets.py:small@a@b.pt"), split_spec("cifar10-resnet56")
    (('nets.py:small', 'a@b.pt'), ('cifar10-resnet56', None))
    >>> split_spec("hf:nets/small@a.safetensors"), split_spec("timm:resnet18.a1_in1k")
    (('hf:nets/small', 'a.safetensors'), ('timm:resnet18.a1_in1k', None))
    """
    found = _SPEC.fullmatch(text)
    if found is None:
        expected = "NAME, package.module:factory, file.py:factory or timm:NAME"
        raise InputError(f"model {text!r}: expected {expected}, then perhaps @WEIGHTS")
    return found["where"], found["file"]


def opened(spec: str, weights: str | Path | None) -> tuple[Factory, Path | None]:
    """Return what builds a network, and its weight file; None where the factory fills it in.

    A library's network has the classes and channels of its file. Without a file it has the library's own weights, where
    they are on this machine; the words random and download in place of a file ask for others.
    """
    if not is_named(spec):
        return factory(spec), found_file(weights)
    build = _named(spec)
    if weights == RANDOM:
        return dataclasses.replace(build, weights="random", seed=0), None
    if weights == DOWNLOAD:
        return build.fetched(), None
    file = found_file(weights)
    return (build if file is None else build.for_file(file)), file


def _named(spec: str) -> Named:
    """What builds a library's network; a folder is looked for from here and below the data folder."""
    build = named(spec)
    below = data_root() / build.name
    inside = build.library == "hf" and not Path(build.name).is_absolute() and ".." not in Path(build.name).parts
    if inside and not Path(build.name).is_dir() and below.is_dir():
        return dataclasses.replace(build, name=str(below))
    return build


def factory(spec: str) -> Factory:
    """Find what builds a model: a name in the registry, `package.module:factory` or `file.py:factory`."""
    if ":" not in spec:
        known = names("models")
        if spec not in known:
            raise InputError(
                f"model {spec!r}: expected package.module:factory, file.py:factory, "
                f"or one of {', '.join(sorted(known))}"
            )
        return known[spec]
    found = named_object(spec)
    if not callable(found):
        raise InputError(
            f"{spec}: is {type(found).__name__}, expected a function without arguments that gives a network"
        )
    return partial(call, found, spec)


def call(make: Callable[[], object], spec: str) -> nn.Module:
    """Call a factory. InputError where it fails or gives something else than a network."""
    try:
        net = make()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{spec}: failed when called without arguments: {type(error).__name__}: {error}") from error
    return as_network(net, spec)


def found_file(weights: str | Path | None) -> Path | None:
    """Find a weight file, as given or below the data folder; None for None."""
    if weights is None:
        return None
    for place in (Path(weights), data_root() / weights):
        if place.is_file():
            return place.resolve()
    raise MissingData(f"{weights}: no such weight file, neither from here nor in {data_root()}")
