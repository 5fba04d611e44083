"""Rules for values that a type alone does not say: ranges, and what can be a name. They stand in annotations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Rule:
    """A rule that a value of the right type has to follow as well, and how that is said."""

    holds: Callable[[Any], bool]
    expected: str


Count = Annotated[int, Rule(lambda value: value >= 1, "1, 2, ...")]
Whole = Annotated[int, Rule(lambda value: value >= 0, "0, 1, 2, ...")]
Seed = Annotated[int, Rule(lambda value: 0 <= value < 2**63, "0, 1, 2, ... below 2**63")]
Positive = Annotated[float, Rule(lambda value: 0 < value < math.inf, "a number above 0")]
Seconds = Annotated[float, Rule(lambda value: 0 < value <= 3600, "a number above 0, at most 3600")]
NotNegative = Annotated[float, Rule(lambda value: 0 <= value < math.inf, "0 or more")]
Share = Annotated[float, Rule(lambda value: 0 <= value <= 1, "a share from 0 to 1")]
Sha256 = Annotated[
    str, Rule(lambda value: len(value) == 64 and not set(value) - set("0123456789abcdef"), "64 hex digits")
]

LONGEST_NAME = 100
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
"""Names that no file may have on Windows."""


def is_label(name: str) -> bool:
    """Whether a name can stand in a table, in the name of a case and in the name of a test."""
    return name.isprintable() and name == name.strip() != "" and len(name.encode(errors="replace")) <= LONGEST_NAME


def is_folder_name(name: str) -> bool:
    r"""Whether a name can be the name of one folder, on every system.

    >>> [is_folder_name(name) for name in ("digits", "../evil", "a\\b", "..", "nul.txt", "")]
    [True, False, False, False, False, False]
    """
    plain = is_label(name) and not set(name) & set('/\\<>:"|?*')
    return plain and not name.startswith(".") and not name.endswith(".") and name.split(".")[0].lower() not in RESERVED


_LABEL = f"a name of 1 to {LONGEST_NAME} printable characters"
Label = Annotated[str, Rule(is_label, _LABEL)]
FolderName = Annotated[str, Rule(is_folder_name, f'{_LABEL} that can be a folder: none of / \\ < > : " | ? *')]
Line = Annotated[str, Rule(str.isprintable, "one line of printable characters")]
