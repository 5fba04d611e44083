"""What recipes cost, beside what they are."""

from __future__ import annotations

from collections.abc import Mapping

from robustprune.finetune import Recipe, cost
from robustprune.names import find
from robustprune.report.attackers import UNSTATED

IMAGES = 1000
"""How many training images the costs are stated for."""


def described(lines: Mapping[str, str]) -> dict[str, str]:
    """Put before the line about each recipe the sample passes that it takes per 1,000 training images.

    >>> described({"fgsm-rs": "One step."})["fgsm-rs"]
    '      60,000       60,000            0  One step.'
    """
    head = {"name": _columns("forwards", "backwards", "teacher's", f"per {IMAGES:,} training images: what it does")}
    return head | {name: _columns(*_passes(find("recipes", name)), line) for name, line in lines.items()}


def _columns(forwards: str, backwards: str, teacher: str, line: str) -> str:
    return f"{forwards:>12} {backwards:>12} {teacher:>12}  {line}"


def _passes(recipe: object) -> tuple[str, str, str]:
    if not isinstance(recipe, Recipe):
        return UNSTATED, UNSTATED, UNSTATED
    passes = cost(recipe, IMAGES)
    return f"{passes.forwards:,}", f"{passes.backwards:,}", f"{passes.teacher:,}"
