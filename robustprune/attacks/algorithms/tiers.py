"""Ready-made sets of attacks for one threat model, in three sizes, with what they cost.

| tier | attacks, cheapest first | passes a sample that resists (10 classes, Linf) |
|---|---|---|
| quick | FGSM (Linf), PGD-10 on the cross-entropy, PGD-20 on probabilities, 20 steps to each of 3 targets | 97 |
| standard | quick; with a parent transferred PGD; AutoAttack (L1: PGD-100 on the margin from 5 starts) | 4,274 |
| full | standard; CW under L2; PGD-200 margin from 10 starts; APGD-CE, APGD-DLR from 5 | 7,284 |

A pass is one forward and backward; a forward alone counts a third. A sample that breaks
costs far less, since each attack sees only the survivors of those before; one that resists narrowly costs
each PGD up to three runs more (`retries`). AutoAttack is the published
standard set (`autoattack_standard`) with its published budgets. The quick tier is for every day: suites use it, and
evidence says by how much AutoAttack might lower the number (check 15). It has two kinds of loss because one is no
evidence (check 19); what two short attacks leave is driven towards the three nearest classes from where it came nearest
to success.

On texts, in a ball behind the embedding (`norm="embedding"`), or with so many words exchanged (`norm="words"`):

| tier | attacks behind the embedding | exchanges of words: tried for each word |
|---|---|---|
| quick | PGD-10 on the cross-entropy, PGD-20 on the margin | 8 |
| standard | quick; PGD-100 on the margin from 5 starts | 8, 32 |
| full | standard; PGD-200 on the margin from 10 starts | 8, 32, 128 |
"""

from __future__ import annotations

from collections.abc import Sequence

from robustprune.attacks.algorithms.apgd import APGD
from robustprune.attacks.algorithms.autoattack import parts
from robustprune.attacks.algorithms.cw import CW
from robustprune.attacks.algorithms.fgsm import FGSM
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.algorithms.targeted_pgd import TargetedPGD
from robustprune.attacks.algorithms.texts.embedded import EmbeddingPGD
from robustprune.attacks.algorithms.texts.substitution import Substitution
from robustprune.attacks.algorithms.transfer import Transfer
from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.threat import Norm
from robustprune.errors import InputError
from robustprune.results.exchanged import EMBEDDING, WORDS

NAMES = ("quick", "standard", "full")


def tier(name: str, norm: Norm, eps: float, n_classes: int = 10, *, parent: object | None = None) -> tuple[Attack, ...]:
    """Return the attacks of tier `name` for one threat model, cheapest first.

    `n_classes` is the number of logits of the network. With `parent` (anything but None) the standard and
    full tiers transfer from it: give the same network to `evaluate`. Below four classes the published
    AutoAttack set does not exist; the standard tier then has the parts that do: APGD-CE, APGD-DLR from three
    classes on, FAB-T and Square. Under a norm that an attack cannot be made for the tier goes without it.

    Raises InputError for an unknown tier or fewer than two classes.

    >>> [attack.name for attack in tier("quick", "Linf", 8/255)]
    ['FGSM', 'PGD-10', 'PGD-20 probability', 'PGD-20 targets x3']
    >>> [attack.name for attack in tier("standard", "Linf", 8/255)][3:]
    ['PGD-20 targets x3', 'APGD-CE', 'APGD-T', 'FAB-T', 'Square']
    >>> [attack.name for attack in (*tier("quick", "embedding", 0.1), *tier("standard", "words", 3))]
    ['PGD-10', 'PGD-20 margin', 'substitution 8 of 8', 'substitution 32 of 8']
    """
    if name not in NAMES:
        raise InputError(f"attack tier {name!r}: expected one of {', '.join(NAMES)}")
    if n_classes < 2:
        raise InputError(f"attack tier with n_classes={n_classes}: expected 2 or more")
    if norm in (EMBEDDING, WORDS):
        return _on_texts(norm, eps)[: NAMES.index(name) + (norm == EMBEDDING) + 1]
    attacks = _quick(norm, eps)
    if name != "quick":
        attacks += _more(norm, eps, n_classes, parent is not None)
    if name == "full":
        attacks += _most(norm, eps, n_classes)
    return tuple(sorted(attacks, key=lambda attack: attack.effort))


def passes(attacks: Sequence[Attack]) -> float:
    """Return the expected forward-and-backward passes for a sample that resists all of `attacks`.

    >>> round(passes(tier("quick", "Linf", 8/255)))
    97
    """
    return sum(attack.effort for attack in attacks)


def _quick(norm: Norm, eps: float) -> list[Attack]:
    single: list[Attack] = [FGSM(eps=eps)] if norm in FGSM.norms else []
    descent = [PGD(eps=eps, norm=norm, steps=10), PGD(eps=eps, norm=norm, loss="probability")]
    return [*single, *descent, TargetedPGD(eps=eps, norm=norm, steps=20)]


def _more(norm: Norm, eps: float, n_classes: int, parent: bool) -> list[Attack]:
    moved: list[Attack] = [Transfer(eps=eps, norm=norm)] if parent else []
    published = parts(norm, eps, n_classes)
    return [*moved, *(published or [PGD(eps=eps, norm=norm, steps=100, loss="margin", restarts=5)])]


def _most(norm: Norm, eps: float, n_classes: int) -> list[Attack]:
    carlini: list[Attack] = [CW(eps=eps)] if norm in CW.norms else []
    adaptive = [APGD(eps=eps, norm=norm, restarts=5)] if norm in APGD.norms else []
    ratio = [attack.change(loss="dlr") for attack in adaptive if n_classes > 2]
    restarted = PGD(eps=eps, norm=norm, steps=200, loss="margin", restarts=10)
    return [*carlini, *ratio, *adaptive, restarted]


def _on_texts(norm: Norm, eps: float) -> tuple[Attack, ...]:
    """Return the attacks on texts of all tiers, cheapest first."""
    if norm == WORDS:
        return tuple(Substitution(eps=eps, tries=tries) for tries in (8, 32, 128))
    many = [
        EmbeddingPGD(eps=eps, steps=steps, loss="margin", restarts=starts) for steps, starts in ((100, 5), (200, 10))
    ]
    return EmbeddingPGD(eps=eps, steps=10), EmbeddingPGD(eps=eps, loss="margin"), *many
