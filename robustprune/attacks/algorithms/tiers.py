"""Ready-made sets of attacks for one threat model, in three sizes, with what they cost.

| tier | attacks, cheapest first | passes a sample that resists (10 classes, Linf) |
|---|---|---|
| quick | noise, FGSM (Linf), PGD-20 on the cross-entropy, PGD-20 on the margin | 46 |
| standard | quick; with a parent transferred PGD; PGD-100 on the margin from 5 starts; AutoAttack | 4,423 |
| full | standard; CW under L2; PGD-200 margin from 10 starts; APGD-CE, APGD-DLR from 5 | 7,433 |

A pass is one forward and backward; a forward alone counts a third (a half for noise). A sample that breaks
costs far less, since each attack sees only the survivors of those before; one that resists narrowly costs
each PGD up to three runs more (`retries`). AutoAttack is the published
standard set (`autoattack_standard`) with its published budgets. The quick tier has two losses because one is
no evidence (check 19); it is meant for development, and for gates that run every day.
"""

from __future__ import annotations

from collections.abc import Sequence

from robustprune.attacks.algorithms.apgd import APGD
from robustprune.attacks.algorithms.autoattack import autoattack_standard
from robustprune.attacks.algorithms.cw import CW
from robustprune.attacks.algorithms.fab import FABT
from robustprune.attacks.algorithms.fgsm import FGSM
from robustprune.attacks.algorithms.noise import Noise
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.algorithms.square import Square
from robustprune.attacks.algorithms.transfer import Transfer
from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.threat import Norm
from robustprune.errors import InputError

NAMES = ("quick", "standard", "full")


def tier(name: str, norm: Norm, eps: float, n_classes: int = 10, *, parent: object | None = None) -> tuple[Attack, ...]:
    """Return the attacks of tier `name` for one threat model, cheapest first.

    `n_classes` is the number of logits of the network. With `parent` (anything but None) the standard and
    full tiers transfer from it: give the same network to `evaluate`. Below four classes the published
    AutoAttack set does not exist; the standard tier then has the parts that do: APGD-CE, APGD-DLR from three
    classes on, FAB-T and Square. Under a norm that an attack cannot be made for the tier goes without it.

    Raises InputError for an unknown tier or fewer than two classes.

    >>> [attack.name for attack in tier("quick", "Linf", 8/255)]
    ['FGSM', 'noise x10', 'PGD-20', 'PGD-20 margin']
    >>> [attack.name for attack in tier("standard", "Linf", 8/255)][4:]
    ['APGD-CE', 'PGD-100 margin x5', 'APGD-T', 'FAB-T', 'Square']
    """
    if name not in NAMES:
        raise InputError(f"attack tier {name!r}: expected one of {', '.join(NAMES)}")
    if n_classes < 2:
        raise InputError(f"attack tier with n_classes={n_classes}: expected 2 or more")
    attacks = _quick(norm, eps)
    if name != "quick":
        attacks += _more(norm, eps, n_classes, parent is not None)
    if name == "full":
        attacks += _most(norm, eps, n_classes)
    return tuple(sorted(attacks, key=lambda attack: attack.effort))


def passes(attacks: Sequence[Attack]) -> float:
    """Return the expected forward-and-backward passes for a sample that resists all of `attacks`.

    >>> round(passes(tier("quick", "Linf", 8/255)))
    46
    """
    return sum(attack.effort for attack in attacks)


def _quick(norm: Norm, eps: float) -> list[Attack]:
    single: list[Attack] = [FGSM(eps=eps)] if norm in FGSM.norms else []
    descent = [PGD(eps=eps, norm=norm), PGD(eps=eps, norm=norm, loss="margin")]
    return [Noise(eps=eps, norm=norm), *single, *descent]


def _more(norm: Norm, eps: float, n_classes: int, parent: bool) -> list[Attack]:
    moved: list[Attack] = [Transfer(eps=eps, norm=norm)] if parent else []
    restarted = PGD(eps=eps, norm=norm, steps=100, loss="margin", restarts=5)
    return [*moved, restarted, *_auto(norm, eps, n_classes)]


def _auto(norm: Norm, eps: float, n_classes: int) -> tuple[Attack, ...]:
    if norm not in APGD.norms:
        return ()
    if n_classes >= 4:
        return autoattack_standard(norm, eps, n_classes)
    ratio = (APGD(eps=eps, norm=norm, loss="dlr"),) if n_classes == 3 else ()
    rest = (FABT(eps=eps, norm=norm, n_classes=n_classes), Square(eps=eps, norm=norm))
    return (APGD(eps=eps, norm=norm), *ratio, *rest)


def _most(norm: Norm, eps: float, n_classes: int) -> list[Attack]:
    carlini: list[Attack] = [CW(eps=eps)] if norm in CW.norms else []
    adaptive = [APGD(eps=eps, norm=norm, restarts=5)] if norm in APGD.norms else []
    ratio = [attack.change(loss="dlr") for attack in adaptive if n_classes > 2]
    restarted = PGD(eps=eps, norm=norm, steps=200, loss="margin", restarts=10)
    return [*carlini, *ratio, *adaptive, restarted]
