"""Values held against the types that a dataclass declares: one check for what a user writes and for what a file holds.

`check` refuses a field of the wrong type or out of range when an object is made; `built` makes an object from plain
JSON data and refuses what does not fit. rules.py has ranges and names, which stand in annotations
(`Annotated[int, Rule(...)]`), values.py compares. Annotations that cannot be resolved at run time accept everything.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from robustprune.errors import InputError
from robustprune.typed.rules import (
    Count,
    FolderName,
    Label,
    Line,
    NotNegative,
    Positive,
    Rule,
    Seconds,
    Seed,
    Sha256,
    Share,
    Whole,
    is_label,
)
from robustprune.typed.values import Mismatch, fields_of, mismatch

Made = TypeVar("Made")


def check(thing: Any, **names: Any) -> None:
    """Raise InputError where a field of a dataclass is not what its annotation says.

    `names` are those that its module imports for types alone.

    >>> check(Mismatch(place=3, value=0, expected=""))
    Traceback (most recent call last):
    ...
    robustprune.errors.InputError: Mismatch: place=3, expected a text
    """
    name = vars(thing).get("name")
    who = type(thing).__name__ + (f" {name!r}" if isinstance(name, str) and is_label(name) else "")
    for name, hint in fields_of(type(thing), **names).items():
        found = mismatch(getattr(thing, name), hint)
        if found is not None:
            raise InputError(f"{who}: {found.below(name)}")


def built(kind: type[Made], record: Any, who: str) -> Made:
    """Make a dataclass, and those in it, from plain JSON data. InputError names the place that does not fit.

    >>> built(Mismatch, {"place": "a", "value": 1, "expected": "b"}, "x.json")
    Mismatch(place='a', value=1, expected='b')
    """
    found = mismatch(record, kind, data=True)
    if found is not None:
        raise InputError(f"{who}: {found}")
    made: Made = _made(kind, record)
    return made


@functools.cache
def _stays(hint: Any) -> bool:
    """Whether JSON data that fits a type is what the type asks for: there is no dataclass and no tuple in it."""
    inner = all(_stays(part) for part in get_args(hint) if isinstance(part, type) or get_origin(part) is not None)
    return not dataclasses.is_dataclass(hint) and get_origin(hint) is not tuple and inner


def _made(hint: Any, value: Any) -> Any:
    """What plain data that fits a type stands for."""
    origin, parts = get_origin(hint), get_args(hint)
    if _stays(hint):
        return value
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        kind: Any = hint
        hints = fields_of(kind)
        return kind(**{name: _made(hints[name], one) for name, one in value.items()})
    if origin in (Annotated, Union, types.UnionType):
        choices = parts[:1] if origin is Annotated else parts
        return _made(next(part for part in choices if mismatch(value, part, data=True) is None), value)
    if origin is tuple and isinstance(value, list):
        each = [parts[0]] * len(value) if parts[-1:] == (...,) else [*parts]
        return tuple(_made(part, one) for part, one in zip(each, value, strict=True))
    if origin is list:
        return [_made(parts[0], one) for one in value]
    if origin is dict:
        return {key: _made(parts[1], one) for key, one in value.items()}
    return value


__all__ = [
    "Count",
    "FolderName",
    "Label",
    "Line",
    "Mismatch",
    "NotNegative",
    "Positive",
    "Rule",
    "Seconds",
    "Seed",
    "Sha256",
    "Share",
    "Whole",
    "built",
    "check",
    "mismatch",
]
