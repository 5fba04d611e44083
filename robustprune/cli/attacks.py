"""Which attacks a review makes: those of its tier (attacks/tiers.py), or the ones that were named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from robustprune.attacks import Attack
from robustprune.attacks.algorithms.tiers import tier
from robustprune.attacks.contract.threat import Norm
from robustprune.errors import InputError
from robustprune.names import find
from robustprune.report.attackers import UNSTATED, number

QUICK_SAMPLES = 1000


def samples_of(name: str) -> int | None:
    """How many test images a tier attacks unless told; None: all."""
    return QUICK_SAMPLES if name == "quick" else None


def tier_attacks(name: str, norm: Norm, budgets: Sequence[float], classes: int) -> tuple[Attack, ...]:
    """The attacks of a tier, for every budget.

    Transfer from the parent is measured apart, on the candidate alone, so it is not among them.

    >>> [attack.threat for attack in tier_attacks("quick", "L2", (0.25, 0.5), 10)][::3]
    ['L2 0.25', 'L2 0.5']
    """
    return tuple(attack for eps in budgets for attack in tier(name, norm, eps, classes))


def named_attacks(names: Sequence[str], norm: Norm, budgets: Sequence[float]) -> tuple[Attack, ...]:
    """Attacks by their registered names, for every budget. InputError for one that knows no such norm.

    Those whose threat is no ball of a norm, such as corruptions, keep their own size, and are there once.

    >>> [attack.threat for attack in named_attacks(["fgsm", "corruptions"], "Linf", (1/255, 2/255))]
    ['Linf 1/255', 'severity 3', 'Linf 2/255']
    """
    rounds = [[_named(name, norm, eps) for name in names] for eps in budgets]
    again = [attack for attacks in rounds[1:] for attack in attacks if attack.in_a_ball]
    return (*rounds[0], *again)


def described(lines: Mapping[str, str]) -> dict[str, str]:
    """Put before the line about each attack what it knows, and the passes that it may spend on a sample at most.

    >>> described({"square": "Random search."})["square"]
    'logits by query                    5,001                0  Random search.'
    """
    head = {"name": _columns("knowledge", "queries", "gradient passes", "what it does")}
    return head | {name: _columns(*_knows_and_spends(find("attacks", name)), line) for name, line in lines.items()}


def _columns(knowledge: str, queries: str, gradients: str, line: str) -> str:
    return f"{knowledge:<24}{queries:>16}{gradients:>17}  {line}"


def _knows_and_spends(attack: object) -> tuple[str, str, str]:
    if not isinstance(attack, Attack):
        return UNSTATED, UNSTATED, UNSTATED
    found = attack.allowance
    return attack.knowledge, number(found.get("allowed_forwards")), number(found.get("allowed_backwards"))


def _named(name: str, norm: Norm, eps: float) -> Attack:
    found = find("attacks", name)
    if not isinstance(found, Attack) or not {"eps", "norm"} <= {field.name for field in fields(found)}:
        raise InputError(f"--attack {name}: has no eps and norm of its own; expected an attack such as pgd")
    return found.change(eps=eps, norm=norm) if found.in_a_ball else found
