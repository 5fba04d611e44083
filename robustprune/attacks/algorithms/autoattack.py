"""AutoAttack's standard set (Croce & Hein 2020, arXiv 2003.01690) with the published budgets.

`autoattack_standard` is the published set and may bear that name: APGD-CE with 100 iterations, APGD-T and
FAB-T with 100 for each of the nine likeliest wrong classes, Square with 5000 queries, one restart each, in
this order, each on the survivors of those before. torchattacks' own `AutoAttack` runs 10 iterations, attacks
clean errors and seeds by time.

Few classes: FAB-T and APGD-T aim at all wrong classes where there are fewer than nine. The DLR loss needs
three classes and the targeted one four, so below four classes there is no published set;
`autoattack_standard` refuses, and `parts` gives what exists.
"""

from __future__ import annotations

from robustprune.attacks.algorithms.apgd import APGD
from robustprune.attacks.algorithms.apgdt import APGDT
from robustprune.attacks.algorithms.fab import FABT
from robustprune.attacks.algorithms.square import Square
from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.threat import Norm

__all__ = ["APGD", "APGDT", "FABT", "Square", "autoattack_standard", "parts"]


def autoattack_standard(norm: Norm, eps: float, n_classes: int = 10) -> tuple[Attack, ...]:
    """Return the published standard set, cheapest first; InputError below four classes.

    >>> [attack.name for attack in autoattack_standard("Linf", 8/255, 10)]
    ['APGD-CE', 'APGD-T', 'FAB-T', 'Square']
    """
    return (
        APGD(norm=norm, eps=eps),
        APGDT(norm=norm, eps=eps, n_classes=n_classes),
        FABT(norm=norm, eps=eps, n_classes=n_classes),
        Square(norm=norm, eps=eps),
    )


def parts(norm: Norm, eps: float, n_classes: int = 10) -> tuple[Attack, ...]:
    """Return the standard set where there is one, else those of its attacks that exist; none under L1.

    Below four classes these are APGD-CE, APGD-DLR from three classes on, FAB-T and Square.

    >>> [attack.name for attack in parts("Linf", 8/255, 3)], parts("L1", 12.0)
    (['APGD-CE', 'APGD-DLR', 'FAB-T', 'Square'], ())
    """
    if norm not in APGD.norms:
        return ()
    if n_classes >= 4:
        return autoattack_standard(norm, eps, n_classes)
    ratio = (APGD(eps=eps, norm=norm, loss="dlr"),) if n_classes == 3 else ()
    rest = (FABT(eps=eps, norm=norm, n_classes=n_classes), Square(eps=eps, norm=norm))
    return (APGD(eps=eps, norm=norm), *ratio, *rest)
