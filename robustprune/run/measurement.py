"""A measurement: a frozen dataclass whose fields are everything its value depends on. Asking finds it, or makes it.

Its key follows from its fields (keys.py), from the source of the module that defines it with all that this imports,
and from the versions of libraries (code.py). A field that is needed to make the value but does not decide on it is
declared with `field(metadata=ASIDE)` and stays out of the key.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from robustprune.errors import InputError
from robustprune.run.code import module_digest
from robustprune.run.keys import digest
from robustprune.run.store import NotMeasured, Store

Value = TypeVar("Value")

Tick = Callable[[str, int, int], None]
"""Called with the stage, what is done and what there is to do; or with a line to say, and `SAID` to do."""

SAID = 0
"""What there is to do where a stage is a line that has to be said, and no progress."""

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

    What is damaged there (a record that does not fit, a file of weights that is gone or holds something else) is made
    anew, and that is said. Raises NotMeasured where the store is read-only and does not have it.
    """
    place = store.path(wanted.kind, wanted.key, "")
    record = store.get(wanted.kind, wanted.key)
    if record is not None:
        try:
            return _found(wanted, record, place)
        except (InputError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            if not store.readonly:
                said = " ".join(str(error).split())
                tick(f"{place} is damaged ({type(error).__name__}: {said}); measured anew", 0, SAID)
    if store.readonly:
        raise NotMeasured(f"{wanted.kind}/{wanted.key}")
    made = dict(wanted.write(wanted.make(place, tick)))
    record = {"value": made, "file": _hash(place)}
    store.put(wanted.kind, wanted.key, record)
    return _found(wanted, record, place)


def _found(wanted: Measurement[Value], record: Mapping[str, Any], place: Path) -> Value:
    if record["file"] != _hash(place):
        raise InputError("its weights are not those that were kept")
    return wanted.read(record["value"], place)


def _hash(place: Path) -> str | None:
    """The hash of the weights that belong to a record; None where there are none."""
    file = place.with_suffix(WEIGHTS)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
