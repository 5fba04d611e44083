"""What attacks a file that ships: the attacks of the review, images made on its twin, and two attacks that only ask."""

from __future__ import annotations

from collections.abc import Sequence

from robustprune.attacks import Attack, HopSkipJump, Square, Transfer
from robustprune.errors import InputError

BUDGETS = {"quick": 500}
"""Queries a sample by tier; the published 5000 in the others."""

ASKING = ("logits by query", "labels by query", "none", "the parent's gradients")
"""What attacks know that need no gradients of the file."""


def with_queries(attacks: Sequence[Attack], tier: str, gradients: bool) -> tuple[Attack, ...]:
    """Return the attacks with one by scores, one by labels and transfers for each ball; `gradients`: there are some.

    Without gradients those that climb them are left out. Images are transferred from the parent, and to what ships from
    its twin too.

    >>> from robustprune.attacks import PGD
    >>> [attack.name for attack in with_queries([PGD(eps=8/255)], "quick", gradients=True)]
    ['PGD-20', 'transfer PGD-20', 'Square-500', 'HopSkipJump-500']
    >>> [attack.name for attack in with_queries([PGD(eps=8/255)], "quick", gradients=False)]
    ['transfer PGD-20', 'Square-500', 'HopSkipJump-500']
    """
    queries = BUDGETS.get(tier, 5000)
    found = [attack for attack in attacks if gradients or attack.knowledge in ASKING]
    for norm, eps in dict.fromkeys((attack.norm, attack.eps) for attack in attacks if attack.in_a_ball):
        made: list[Attack] = [Transfer(eps=eps, norm=norm)]
        made += [Square(eps=eps, norm=norm, queries=queries)] if norm in Square.norms else []
        made += [HopSkipJump(eps=eps, norm=norm, queries=queries)] if norm in HopSkipJump.norms else []
        there = {(attack.name, attack.threat) for attack in found}
        found += [attack for attack in made if (attack.name, attack.threat) not in there]
    return tuple(found)


def chosen_possible(attacks: Sequence[Attack], gradients: bool) -> tuple[Attack, ...]:
    """Return attacks that were asked for by name. InputError for one that climbs gradients where nothing gives any."""
    lost = [attack.name for attack in attacks if attack.knowledge not in ASKING]
    if lost and not gradients:
        raise InputError(f"--attack {lost[0]}: needs gradients, which what ships has not; give --twin SPEC[@FILE]")
    return tuple(attacks)
