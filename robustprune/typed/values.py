"""Where a value does not fit a type; fields of dataclasses, containers, protocols, and the rules in annotations."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from robustprune.typed.rules import Rule


@dataclass(frozen=True)
class Mismatch:
    """Where a value does not fit, what stands there, and what was expected."""

    place: str
    value: Any
    expected: str

    def below(self, place: str) -> Mismatch:
        """The same seen from further out."""
        return dataclasses.replace(self, place=f"{place}{self.place}")

    def __str__(self) -> str:
        """Write it as part of one line."""
        shown = repr(self.value)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        return f"{self.place.removeprefix('.')}={shown}, expected {self.expected}"


@functools.cache
def _resolved(kind: type, names: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    found = {}
    declared = {field.name for field in dataclasses.fields(kind) if field.init}
    for owner in reversed(kind.__mro__):
        around = {**vars(sys.modules.get(owner.__module__, typing)), **dict(names)}
        for name, hint in inspect.get_annotations(owner).items():
            if name in declared:
                found[name] = _evaluated(hint, around)
    return found


def _evaluated(hint: Any, around: dict[str, Any]) -> Any:
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, around)
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any


def fields_of(kind: type, **names: Any) -> dict[str, Any]:
    """The fields of a dataclass that are given when one is made, with what their annotations mean."""
    return _resolved(kind, tuple(names.items()))


def mismatch(value: Any, hint: Any, data: bool = False) -> Mismatch | None:
    """Say where a value does not fit a type; None where it does. In plain `data` a mapping stands for a dataclass.

    >>> str(mismatch({"a": [1, "2"]}, dict[str, list[int]]))
    "['a'][1]='2', expected a whole number"
    """
    origin, parts = _parts(hint)
    if hint is Any or isinstance(hint, TypeVar | str):
        return None
    if origin is Annotated:
        return mismatch(value, parts[0], data) or next(_broken(value, parts[1:]), None)
    if origin in (Union, types.UnionType):
        return _of_union(value, parts, data)
    if origin is Literal:
        holds = any(type(value) is type(part) and value == part for part in parts)
        return None if holds else Mismatch("", value, " or ".join(map(repr, parts)))
    if origin is not None:
        return _inside(value, origin, parts, data)
    if data and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return _of_record(value, typing.cast("type", hint))
    return None if _is_a(value, hint) else Mismatch("", value, _said(hint))


@functools.cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(hint), get_args(hint)


def _broken(value: Any, rules: Iterable[Any]) -> Iterator[Mismatch]:
    for rule in rules:
        if isinstance(rule, Rule) and not rule.holds(value):
            yield Mismatch("", value, rule.expected)


def _of_union(value: Any, parts: Sequence[Any], data: bool) -> Mismatch | None:
    found = [mismatch(value, part, data) for part in parts]
    wrong = [one for one in found if one is not None]
    if len(wrong) < len(parts):
        return None
    deeper = [one for one in wrong if one.place]
    expected = " or ".join(dict.fromkeys(one.expected for one in wrong))
    return deeper[0] if deeper else Mismatch("", value, expected)


def _inside(value: Any, origin: Any, parts: Sequence[Any], data: bool) -> Mismatch | None:
    """Hold a container, and what is in it, against its type; JSON has lists where Python has tuples."""
    if origin is tuple and isinstance(value, list | tuple) and parts[-1:] != (...,):
        if len(value) != len(parts):
            return Mismatch("", value, f"{len(parts)} values")
        return _first(value, parts, data)
    kind = Sequence if origin is tuple else origin
    if not isinstance(value, kind) or (isinstance(value, str) and kind is not str):
        return Mismatch("", value, _said(origin))
    if isinstance(value, Mapping) and len(parts) == 2:
        wrong = [found for key in value if (found := mismatch(key, parts[0]))]
        return wrong[0] if wrong else _first(value.values(), [parts[1]] * len(value), data, [*value])
    if isinstance(value, Sequence) and parts:
        return _first(value, [parts[0]] * len(value), data)
    return None


def _first(
    values: Iterable[Any], hints: Sequence[Any], data: bool, places: Sequence[Any] | None = None
) -> Mismatch | None:
    """The first value that does not fit; a list of plain values of one type is looked at in one go."""
    values = list(values)
    if hints and all(hint is hints[0] for hint in hints):
        kind = get_args(hints[0])[0] if get_origin(hints[0]) is Annotated else hints[0]
        if kind in (int, float, bool, str) and {*map(type, values)} <= {kind}:
            known = {value for value in set(values) if kind is not hints[0] and mismatch(value, hints[0])}
            if not known:
                return None
    for place, value, hint in zip(range(len(values)) if places is None else places, values, hints, strict=True):
        found = mismatch(value, hint, data)
        if found is not None:
            return found.below(f"[{place!r}]")
    return None


def _of_record(record: Mapping[str, Any], kind: type) -> Mismatch | None:
    """Hold plain data against the fields of a dataclass."""
    hints, needed = fields_of(kind), _needed(kind)
    for name in [*needed - record.keys(), *record.keys() - hints.keys()]:
        what = "missing" if name in needed else "unknown"
        return Mismatch(f".{name}", record.get(name), f"the fields of {kind.__name__}; this one is {what}")
    for name, value in record.items():
        found = mismatch(value, hints[name], data=True)
        if found is not None:
            return found.below(f".{name}")
    return None


@functools.cache
def _needed(kind: type) -> frozenset[str]:
    """Fields without a default."""
    given = [field for field in dataclasses.fields(kind) if field.init]
    return frozenset(one.name for one in given if one.default is one.default_factory is dataclasses.MISSING)


def _is_a(value: Any, hint: Any) -> bool:
    if hint is None or hint is type(None):
        return value is None
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    if getattr(hint, "_is_protocol", False):
        wanted = {name for name in vars(hint) if not name.startswith("_") or name == "__call__"}
        return not isinstance(value, type) and all(hasattr(value, name) for name in wanted)
    return isinstance(value, hint) if isinstance(hint, type) else True


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", type(None): "None"}


def _said(hint: Any) -> str:
    """A type in words."""
    if hint is None or hint in _WORDS:
        return _WORDS[type(None) if hint is None else hint]
    name = getattr(hint, "__name__", str(hint))
    return {"Callable": "something that can be called"}.get(name, f"{'an' if name[0] in 'AEIOU' else 'a'} {name}")
