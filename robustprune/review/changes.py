"""What changed between two networks, as plain data; anatomy.py finds it, anatomy_text.py says it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A module by name, its class, and the parameters in it."""

    name: str
    kind: str
    params: int


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What changed from the parent to the candidate.

    `gone` and `added` name the largest modules that only one of them has. `altered` are layers of one name
    whose class or weights' shapes differ, as text. `counts`: kind of layer -> how many before and now.
    `blocks`: residual blocks before and now. `same_weights` of the `shared_weights` tensors that both hold
    under one name are equal. `wrapper` says in words that one network contains the other; "" where it does
    not.
    """

    gone: tuple[Layer, ...]
    added: tuple[Layer, ...]
    altered: tuple[str, ...]
    counts: Mapping[str, tuple[int, int]]
    blocks: tuple[int, int]
    same_weights: int
    shared_weights: int
    wrapper: str

    @property
    def none(self) -> bool:
        """True where the structure is the same."""
        return not (self.gone or self.added or self.altered or self.wrapper)


def changes_from(record: Mapping[str, Any]) -> Changes:
    """Return what verdict.json says has changed."""
    return Changes(
        gone=tuple(Layer(**one) for one in record["gone"]),
        added=tuple(Layer(**one) for one in record["added"]),
        altered=tuple(record["altered"]),
        counts={kind: (int(before), int(now)) for kind, (before, now) in record["counts"].items()},
        blocks=(int(record["blocks"][0]), int(record["blocks"][1])),
        same_weights=int(record["same_weights"]),
        shared_weights=int(record["shared_weights"]),
        wrapper=str(record["wrapper"]),
    )
