"""Names for the command line. Objects are all a suite needs; a name serves only where one has to be typed.

Other packages add names through the entry-point group `robustprune.plugins`: an entry
`criteria.mine = pkg.module:factory` makes the criterion `mine` known here.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from robustprune.errors import InputError

TABLES = {
    "models": "robustprune.models:MODELS",
    "criteria": "robustprune.consensus:CRITERIA",
    "attacks": "robustprune.attacks:ATTACKS",
    "recipes": "robustprune.finetune:RECIPES",
    "datasets": "robustprune.data:DATASETS",
}
"""Kind -> where its table of factories (name -> zero-argument callable) stands."""


def load_object(where: str) -> Any:
    """Import `package.module:name`.

    >>> load_object("math:tau")
    6.283185307179586
    """
    module, _, name = where.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{where}: cannot be imported ({error}); expected package.module:name") from None


def names(kind: str) -> Mapping[str, Callable[..., Any]]:
    """All factories of one kind, by name: ours, then those of installed plug-ins."""
    table: dict[str, Callable[..., Any]] = dict(load_object(TABLES[kind]))
    for entry in entry_points(group="robustprune.plugins"):
        group, _, name = entry.name.partition(".")
        if group == kind:
            table[name] = entry.load()
    return table


def find(kind: str, name: str) -> Any:
    """Make the object with this name. InputError names the closest ones that would have worked."""
    table = names(kind)
    if name not in table:
        close = difflib.get_close_matches(name, table, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"no {kind} named {name!r}{hint} Known: {', '.join(sorted(table))}")
    return table[name]()


def describe_all(kind: str) -> dict[str, str]:
    """Name -> the first line of its documentation."""
    return {name: (made.__doc__ or "").strip().partition("\n")[0] for name, made in sorted(names(kind).items())}
