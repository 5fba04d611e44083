"""Naming things by their content: settings, functions, classes, tensors, networks.

`describe` turns a thing into plain data, `digest` names it by that. Data is described by value; what is computed by
code is described by the code too (code.py). What cannot be seen (a lock, an open file) is never guessed: it raises
`Unseen`, and `digest` then gives a name that is used once: what depends on it is measured anew.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import pickle
import uuid
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from robustprune.run.code import code_digest, file_digest, from_library, installed, source_file

PLAIN = (bool, int, float, str)
CONTAINERS = (Path, bytes, Mapping, set, frozenset, list, tuple)


class Unseen(Exception):
    """A thing whose content cannot be read off it."""


class Describer:
    """One walk through a thing. Each object is described once; one that holds itself is told by where it began."""

    def __init__(self) -> None:
        self.done: dict[int, Any] = {}
        self.begun: dict[int, int] = {}
        self.kept: list[Any] = []

    def __call__(self, thing: Any) -> Any:
        """Return `thing` as plain data that is the same in every process."""
        if thing is None or (isinstance(thing, PLAIN) and not isinstance(thing, Enum)):
            return thing
        place = id(thing)
        if place in self.begun:
            return {"holds itself": len(self.begun) - self.begun[place]}
        if place not in self.done:
            self.begun[place] = len(self.begun)
            self.kept.append(thing)  # so that no other object gets its place
            self.done[place] = self._container(thing) if isinstance(thing, CONTAINERS) else self._object(thing)
            del self.begun[place]
        return self.done[place]

    def _container(self, thing: Any) -> Any:
        if isinstance(thing, Path):
            return str(thing)
        if isinstance(thing, bytes):
            return hashlib.sha256(thing).hexdigest()
        if isinstance(thing, Mapping):
            return {str(key): self(thing[key]) for key in sorted(thing, key=str)}
        if isinstance(thing, set | frozenset):
            return sorted((Describer()(item) for item in thing), key=str)
        return [self(item) for item in thing]

    def _object(self, thing: Any) -> Any:
        if hasattr(type(thing), "content_key"):
            return {"type": name_of(type(thing)), "content": self(thing.content_key)}
        if isinstance(thing, ModuleType):
            return {"module": thing.__name__, "source": _module_source(thing)}
        if isinstance(thing, type):
            return self._class(thing)
        if isinstance(thing, functools.partial):
            return [self(thing.func), self(thing.args), self(thing.keywords)]
        if inspect.ismethod(thing):
            return [self(thing.__self__), self(thing.__func__)]
        if isinstance(thing, FunctionType):
            return self._function(thing)
        if hasattr(thing, "__array__") and hasattr(thing, "dtype"):
            return _array(thing)
        if dataclasses.is_dataclass(thing):
            fields = [f for f in dataclasses.fields(thing) if f.metadata.get("key", True)]
            return {"class": self(type(thing)), **{f.name: self(getattr(thing, f.name)) for f in fields}}
        if isinstance(thing, Enum) or (callable(thing) and not hasattr(thing, "__dict__")):
            return name_of(thing)
        return {"class": self(type(thing)), "state": self._state(thing)}

    def _state(self, thing: Any) -> Any:
        """The attributes of an object; of one without any, what it is pickled as."""
        if hasattr(thing, "named_modules"):
            return describe_network(thing, self)
        if hasattr(thing, "__dict__"):
            return self(vars(thing))
        try:
            return hashlib.sha256(pickle.dumps(thing, protocol=4)).hexdigest()
        except Exception as error:
            raise Unseen(f"{name_of(type(thing))}: {error}") from None

    def _function(self, thing: FunctionType) -> Any:
        """Its source with what that imports, its own code, and the values that it takes from around it."""
        if known := _known(thing):
            return known
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        used = {name: thing.__globals__[name] for name in sorted(_names(thing.__code__)) if name in thing.__globals__}
        values = {name: value for name, value in used.items() if not isinstance(value, ModuleType)}
        return {
            "name": name_of(thing),
            "source": _source(thing),
            "code": code_digest(thing.__code__),
            "around": self([cells, thing.__defaults__, thing.__kwdefaults__, values]),
        }

    def _class(self, thing: type) -> Any:
        """Its source with what that imports, and its methods; of a known one those that were put in from elsewhere."""
        known, bases = _known(thing), [base for base in thing.__bases__ if base is not object]
        written = {name: one for name, one in vars(thing).items() if isinstance(one, FunctionType)}
        methods = {name: one for name, one in written.items() if not from_library(one) and source_file(one) is not None}
        if known:
            put_in = {name: one for name, one in methods.items() if not _at_home(one, name, thing)}
            changed = [found for base in bases if "put in" in (found := self(base))]
            return {**known, "put in": [self(put_in), changed]} if put_in or changed else known
        bases = [self(base) for base in bases]
        return {"name": name_of(thing), "source": _source(thing), "methods": self(methods), "bases": bases}


def describe(thing: Any) -> Any:
    """Turn a thing into plain data that is the same in every process. Raises Unseen where it does not show its content.

    >>> describe({"b": (1, 2.0), "a": None})
    {'a': None, 'b': [1, 2.0]}
    """
    return Describer()(thing)


def digest(thing: Any) -> str:
    """Return 32 hexadecimal digits that name `thing` by its content; new ones each time where that cannot be seen.

    >>> digest([1, 2]) == digest((1, 2)), digest([1, 2]) == digest([2, 1])
    (True, False)
    """
    try:
        text = json.dumps(describe(thing), sort_keys=True, separators=(",", ":"))
    except Unseen:
        text = uuid.uuid4().hex
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def describe_network(net: Any, describer: Describer | None = None) -> Any:
    """What a network (nn.Module) computes with beside its parameters and buffers: its classes, attributes and hooks.

    Parameters and buffers are left out: `models.weights_hash` names those.
    """
    walk = describer or Describer()
    return [
        [name, walk(type(module)), walk(_attributes(module))]
        for name, module in net.named_modules(remove_duplicate=False)
    ]


def _attributes(module: Any) -> dict[str, Any]:
    """What was set on a module; of torch's own modules the public part, since the rest is bookkeeping."""
    hidden = {"_parameters", "_buffers", "_modules", "training"}
    theirs = type(module).__module__.startswith("torch.")
    found = {name: value for name, value in vars(module).items() if name not in hidden}
    bookkeeping = _bookkeeping()
    return {
        name: value
        for name, value in found.items()
        if not (theirs and name.startswith("_")) and not (name in bookkeeping and not value)
    }


@functools.cache
def _bookkeeping() -> frozenset[str]:
    """Names of what every module of torch has: hooks and flags, of interest only where they are set."""
    from torch.nn import Module

    return frozenset(vars(Module()))


def name_of(thing: Any) -> str:
    """The full name of a function or class."""
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _array(thing: Any) -> Any:
    """A tensor or array by type, shape and bytes."""
    import numpy as np

    plain = thing.detach().cpu() if hasattr(thing, "detach") else thing
    if str(plain.dtype) == "torch.bfloat16":
        plain = plain.float()
    values = np.ascontiguousarray(np.asarray(plain))
    if values.dtype == object:
        raise Unseen(f"an array of {type(values.flat[0]).__name__}")
    return [str(thing.dtype), list(values.shape), hashlib.sha256(values.tobytes()).hexdigest()]


def _known(thing: Any) -> dict[str, str]:
    """A function or class by name alone: of a library with its version, of this package without.

    The source of this package belongs to the key of every measurement that imports it (measurement.py).
    """
    if str(getattr(thing, "__module__", "")).startswith("robustprune."):
        return {"name": name_of(thing)}
    version = installed(thing)
    return {"name": name_of(thing), "version": version} if version else {}


def _at_home(method: FunctionType, name: str, kind: type) -> bool:
    """Whether a method stands where its class was written, under its own name; else it was put in later."""
    return source_file(method) == source_file(kind) and method.__qualname__ == f"{kind.__qualname__}.{name}"


def _source(thing: Any) -> str:
    file = source_file(thing)
    if file is None:
        raise Unseen(f"{name_of(thing)}: its source is not to be found")
    return file_digest(file)


def _module_source(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return installed(module) or (file_digest(Path(file)) if file and file.endswith(".py") else "built in")


def _names(code: CodeType) -> set[str]:
    """Global names that a function uses, its inner functions included."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*map(_names, inner))
