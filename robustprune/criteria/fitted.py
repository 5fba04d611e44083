"""Weights of a consensus' voters that were fitted, as a file that a suite loads (`robustprune tune` writes it)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustprune.errors import InputError

FORMAT = "robustprune weights 1"
"""What such a file says that it is."""


def fitted_weights(file: str | Path) -> dict[str, float]:
    """Return criterion -> weight from a file of `robustprune tune`, for `Consensus(weights=...)`.

    In a suite: `Consensus(name="consensus-fitted", weights=fitted_weights(Path(__file__).with_name("weights.json")))`.
    Raises InputError for a file that is none, or holds anything but finite weights of 0 or more.
    """
    place = Path(file)
    try:
        found: Any = json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{place}: {error.strerror or error}; expected a file of `robustprune tune`") from None
    except (ValueError, RecursionError):
        raise InputError(f"{place}: no JSON; expected a file of `robustprune tune`") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{place}: expected a file of `robustprune tune` ('format': '{FORMAT}')")
    weights: Any = found.get("weights")
    if not _are_weights(weights):
        raise InputError(f"{place}: 'weights' is {weights!r}; expected criterion -> number, 0 or more, some above 0")
    return {str(name): float(weight) for name, weight in weights.items()}


def _are_weights(found: Any) -> bool:
    """Whether this is what a consensus can count with."""
    if not isinstance(found, Mapping) or not found:
        return False
    plain = all(type(weight) in (int, float) and 0 <= weight < 1e300 for weight in found.values())
    return plain and any(found.values())
