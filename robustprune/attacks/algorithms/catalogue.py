"""Attacks that have a name on the command line, at 8/255 (Linf), 0.5 (L2), 0.1 (texts) until told otherwise."""

from __future__ import annotations

from collections.abc import Callable

from robustprune.attacks.algorithms.adaptive_pgd import AdaptivePGD
from robustprune.attacks.algorithms.apgd import APGD
from robustprune.attacks.algorithms.apgdt import APGDT
from robustprune.attacks.algorithms.corruptions import Corruptions
from robustprune.attacks.algorithms.cw import CW
from robustprune.attacks.algorithms.fab import FABT
from robustprune.attacks.algorithms.fgsm import FGSM
from robustprune.attacks.algorithms.fmn import FMN
from robustprune.attacks.algorithms.hopskipjump import HopSkipJump
from robustprune.attacks.algorithms.mifgsm import MIFGSM
from robustprune.attacks.algorithms.noise import Noise
from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.algorithms.spatial import RotateTranslate
from robustprune.attacks.algorithms.square import Square
from robustprune.attacks.algorithms.targeted_pgd import TargetedPGD
from robustprune.attacks.algorithms.texts.embedded import EmbeddingPGD
from robustprune.attacks.algorithms.texts.substitution import Substitution
from robustprune.attacks.algorithms.transfer import Transfer
from robustprune.attacks.contract.attack import Attack

LINF, L2, EMBEDDED, WORDS = 8 / 255, 0.5, 0.1, 3
"""Usual budgets."""


def _named(line: str, attack: Attack) -> Callable[[], Attack]:
    def make() -> Attack:
        return attack

    make.__doc__ = line
    return make


ATTACKS: dict[str, Callable[[], Attack]] = {
    "noise": _named("Uniform random noise of the size of the budget, the weakest there is.", Noise(eps=LINF)),
    "fgsm": _named("One step along the sign of the gradient (Goodfellow et al. 1412.6572).", FGSM(eps=LINF)),
    "pgd": _named("20 projected gradient steps on the cross-entropy (Madry et al. 1706.06083).", PGD(eps=LINF)),
    "pgd-margin": _named("20 projected gradient steps on the margin.", PGD(eps=LINF, loss="margin")),
    "pgd-probability": _named(
        "100 projected gradient steps on the margin of probabilities (2411.15210).",
        PGD(eps=LINF, steps=100, loss="probability"),
    ),
    "pgd-targets": _named("50 steps towards each of the three nearest classes (2407.02240).", TargetedPGD(eps=LINF)),
    "pgd-adaptive": _named("Up to 85 starts of 27 steps, most for near misses (2203.05154).", AdaptivePGD(eps=LINF)),
    "pgd-l2": _named("20 projected gradient steps within an L2 ball.", PGD(eps=L2, norm="L2")),
    "mi-fgsm": _named("10 steps along a running sum of gradients (Dong et al. 1710.06081).", MIFGSM(eps=LINF)),
    "cw": _named("Smallest L2 perturbation over a sweep of c (Carlini, Wagner 1608.04644).", CW(eps=L2)),
    "fmn": _named("Smallest perturbation by 100 steps in a ball that adapts (2102.12827).", FMN(eps=LINF)),
    "fmn-targets": _named("FMN towards each of the three nearest classes.", FMN(eps=LINF, targets=3)),
    "fmn-signs": _named("FMN along the signs of the gradient, under Linf.", FMN(eps=LINF, alpha=0.1, signs=True)),
    "transfer": _named("Perturbations made by PGD on the parent.", Transfer(eps=LINF)),
    "apgd": _named("100 steps of adaptive size on the cross-entropy (2003.01690).", APGD(eps=LINF)),
    "apgd-t": _named("APGD towards nine other classes, 100 steps each (2003.01690).", APGDT(eps=LINF)),
    "fab-t": _named("Smallest perturbation towards nine other classes (1907.02044).", FABT(eps=LINF)),
    "square": _named("Random search without gradients, 5000 queries (1912.00049).", Square(eps=LINF)),
    "hop-skip-jump": _named("Search by predicted labels alone, 5000 queries (1904.02144).", HopSkipJump(eps=LINF)),
    "corruptions": _named("11 common corruptions at severity 3 of 5 (1903.12261).", Corruptions(severity=3)),
    "corruptions-1": _named("The same at severity 1, the mildest.", Corruptions(severity=1)),
    "corruptions-5": _named("The same at severity 5, the harshest.", Corruptions(severity=5)),
    "rotate-translate": _named("Turns by 30 degrees, shifts by 10 %, on a grid (1712.02779).", RotateTranslate()),
    "embedding-pgd": _named("Texts: PGD behind the embedding, on the cross-entropy.", EmbeddingPGD(eps=EMBEDDED)),
    "embedding-pgd-margin": _named("The same on the margin.", EmbeddingPGD(eps=EMBEDDED, loss="margin")),
    "substitution": _named("Texts: at most three words exchanged for neighbours.", Substitution(eps=WORDS)),
}
"""Name -> what makes the attack; where its threat is a ball, `attack.change(eps=...)` gives it another budget."""
