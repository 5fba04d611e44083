"""What cannot be a suite, beyond types and ranges; and the classes that its objects are checked against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustprune.errors import InputError
from robustprune.results.claims import titled
from robustprune.results.sound import twice

if TYPE_CHECKING:
    from robustprune.attacks import Attack


def objects() -> dict[str, Any]:
    """Classes that a suite is written with; imported with the first object, so that looking for suites is quick."""
    from torch import nn

    from robustprune.attacks import Attack
    from robustprune.criteria import Criterion
    from robustprune.data import Data
    from robustprune.finetune import Recipe
    from robustprune.models import UnitSize

    own = {"Attack": Attack, "Criterion": Criterion, "Data": Data, "Recipe": Recipe}
    return {**own, "UnitSize": UnitSize, "nn": nn}


def check_attacks(suite: str, attacks: Sequence[Attack]) -> None:
    """Raise InputError where a suite has no attack, or one that may change nothing."""
    if not attacks:
        raise InputError(f"suite {suite!r}: no attacks; expected at least one, such as PGD(eps=8/255)")
    idle = next((attack for attack in attacks if attack.eps == 0), None)
    if idle is not None:
        raise InputError(f"suite {suite!r}: attack {idle.name!r}: eps={idle.eps}, expected a number above 0")
    titles = [titled(attack.name, attack.threat) for attack in attacks]
    if (name := twice(titles)) is not None:
        raise InputError(f"suite {suite!r}: two attacks are called {name!r}; give one of them another name=")


def check_names(suite: str, names: Sequence[str]) -> None:
    """Raise InputError where a suite has no case, or two of one name."""
    if not names:
        raise InputError(f"suite {suite!r}: no cases; expected at least one, such as Case(model=...)")
    if (name := twice(names)) is not None:
        raise InputError(f"suite {suite!r}: two cases are named {name!r}; give models or recipes other names")
