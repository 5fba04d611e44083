"""What a results file can hold at all: how much of it is read, and what cannot be true whatever the types."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any

from robustprune.errors import InputError

LARGEST = 2**29
"""Bytes that a results file may hold when it is unpacked: ten times those of a large suite."""


def unpacked(path: Path) -> Any:
    """Read a gzipped JSON file. InputError where it cannot be read, or is too large when it is unpacked."""
    try:
        with gzip.open(path) as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise InputError(f"{path}: more than {LARGEST:,} bytes when unpacked, not a results file of robustprune")
        return json.loads(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no results there; `robustprune run` makes them, `approve` keeps them") from None
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise InputError(f"{path}: not a results file of robustprune ({error})") from None


Attack = tuple[str, str, Sequence[float], Sequence[int]]
"""Title, status, distances and steps."""


def contradictions(
    clean: Sequence[bool], n: int, attacks: Sequence[Attack], blocks: Sequence[str], removed: Sequence[str]
) -> Iterator[str]:
    """Say what cannot be true of one case with n labels. Distances and steps may be left out.

    >>> list(contradictions([True], 1, [("FGSM", "r", [], [1, 1])], ["a"], ["b"]))
    ['steps of FGSM has 2 values, expected 1, one for each label', "removed: 'b' is none of its blocks"]
    """
    lists = {"clean": len(clean)}
    for title, status, distance, steps in attacks:
        left = {"distance": len(distance), "steps": len(steps)}
        counts = {"status": len(status)} | {name: count for name, count in left.items() if count}
        lists |= {f"{name} of {title}": count for name, count in counts.items()}
    for name, count in lists.items():
        if count != n:
            yield f"{name} has {count} values, expected {n}, one for each label"
    for title, _, distance, _ in attacks:
        if any(one < 0 or one == inf for one in distance):
            yield f"distance of {title} holds {min(distance)} to {max(distance)}, expected 0 or more"
    for name, found in {"outcomes": [title for title, *_ in attacks], "blocks": blocks, "removed": removed}.items():
        if (one := twice(found)) is not None:
            yield f"{name}: {one} stands there twice"
    yield from (f"removed: {block!r} is none of its blocks" for block in removed if block not in blocks)


def twice(names: Sequence[Any]) -> Any:
    """Return the first that stands in a list twice; None where all differ.

    >>> twice(["a", "b", "a"]), twice([])
    ('a', None)
    """
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
