"""A measurement: a frozen dataclass whose fields are everything its value depends on. Asking finds it, or makes it.

Its key follows from its fields (keys.py), from the source of the module that defines it with all that this imports,
and from the versions of libraries (code.py). A field that is needed to make the value but does not decide on it is
declared with `field(metadata=ASIDE)` and stays out of the key.
"""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

from robustprune.errors import InputError
from robustprune.files import open_regular
from robustprune.run.code import module_digest
from robustprune.run.keys import digest
from robustprune.run.lock import alone
from robustprune.run.store import LOCK, RECORD, Damaged, NotMeasured, Store

Value = TypeVar("Value")

Tick = Callable[[str, int, int], None]
"""Called with the stage, what is done and what there is to do; or with a line to say, and `SAID` to do."""

SAID = 0
"""What there is to do where a stage is a line that has to be said, and no progress."""

DAMAGED = 1
"""What is done where such a line is about a damaged file of the store: many of those are told as one."""

WEIGHTS = ".safetensors"
"""Suffix of the weights that belong to a record."""

ASIDE = {"key": False}
"""Metadata of a field that the value does not depend on: how a thing is made, not what comes out."""


@dataclass(frozen=True, kw_only=True)
class Measurement(ABC, Generic[Value]):
    """Something that is measured once. Subclasses have fields, a `kind`, and say how the value is made and written."""

    kind: ClassVar[str]
    """The folder of the store that holds such records."""

    @cached_property
    def key(self) -> str:
        """What names it: the same fields and code give the same key, in every process."""
        return digest([self.kind, module_digest(type(self).__module__), self])

    @abstractmethod
    def make(self, place: Path, tick: Tick) -> Value:
        """Measure. A file that belongs to the value is written to `place`, with a suffix of its own."""

    @abstractmethod
    def write(self, value: Value) -> Mapping[str, Any]:
        """The value as plain JSON data."""

    @abstractmethod
    def read(self, record: Mapping[str, Any], place: Path) -> Value:
        """The value again, from what `write` gave and the files at `place`."""


def obtain(wanted: Measurement[Value], store: Store, tick: Tick) -> Value:
    """Return the value of a measurement: found in the store, else made and kept there.

    It is made by one process at a time; whoever asks meanwhile waits, and finds it. What is damaged in the store (a
    record that is not what was kept, weights that are gone or others) is made anew, and that is said. Raises
    NotMeasured where the store is read-only and does not have it.
    """
    with contextlib.suppress(Damaged, NotMeasured):
        return _found(wanted, store)
    if store.readonly:
        raise NotMeasured(f"{wanted.kind}/{wanted.key}")
    place = store.path(wanted.kind, wanted.key, "")
    with alone(store.path(wanted.kind, wanted.key, LOCK), partial(tick, "waiting for another run", 0, 1)):
        try:
            return _found(wanted, store)
        except NotMeasured:
            pass
        except Damaged as damage:
            tick(f"{damage}; measured anew", DAMAGED, SAID)
        store.make_room(wanted.kind, wanted.key, RECORD, WEIGHTS)
        made = dict(wanted.write(wanted.make(place, tick)))
        store.put(wanted.kind, wanted.key, {"value": made, "file": _hash(place)})
        return wanted.read(made, place)


def _found(wanted: Measurement[Value], store: Store) -> Value:
    """The value in the store. Raises NotMeasured where there is none, Damaged where it is not what was kept."""
    record = store.get(wanted.kind, wanted.key)
    if record is None:
        raise NotMeasured(f"{wanted.kind}/{wanted.key}")
    place = store.path(wanted.kind, wanted.key, "")
    try:
        there = _hash(place)
        whole = record["file"] == there
        value = wanted.read(record["value"], place) if whole else None
    except OSError as error:
        raise Damaged(f"{place.with_suffix(WEIGHTS)} is damaged ({error.strerror or error})") from None
    except (InputError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise Damaged(f"{place.with_suffix(RECORD)} is damaged ({reason})") from None
    if not whole:
        wrong = "is missing" if there is None else "is damaged (not the weights that were kept)"
        raise Damaged(f"{place.with_suffix(WEIGHTS)} {wrong}")
    return cast(Value, value)


def _hash(place: Path) -> str | None:
    """The hash of the weights that belong to a record; None where there are none. OSError where they cannot be read."""
    try:
        with open_regular(place.with_suffix(WEIGHTS)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
