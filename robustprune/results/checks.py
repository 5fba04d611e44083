"""The list of validity checks: number, name, what each is about, what it holds to, and whether a failure blocks.

A check is about the attack where it asks if the number can be believed: was it measured on this network and these
images, within the budget, with usable gradients, by an attack that misses nothing that is there? What the others see is
true of an honest number too: of the network (a class that suffers) or of the sample (too few images or runs for a
claim). Trust rests on the first alone; the others are findings of their own (trust.py).

A failed check of the attack BLOCKS (the number is INVALID) where it shows that the number cannot be what it says; all
others weaken it (SUSPECT). Five decide for themselves: 4 blocks where training mode changes something, 5 passes a
random network that was attacked as one, 8 blocks beyond a few images, 25 where answers differ, 32 beyond any chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["attack", "network", "sample"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the list."""

    number: int
    name: str
    kind: Kind
    blocking: bool
    holds: str
    """What is so where it passes."""


def _entry(number: int, name: str, holds: str, *, kind: Kind = "attack", blocking: bool = False) -> Entry:
    return Entry(number=number, name=name, kind=kind, blocking=blocking, holds=holds)


_ALL = (
    _entry(1, "threat model complete", "every number has norm, eps, and what the attacker knows and may spend"),
    _entry(2, "input domain", "images lie in [0,1], and are normalised inside the model, once", blocking=True),
    _entry(3, "budget kept", "every broken sample was broken within eps + 1e-6", blocking=True),
    _entry(4, "eval mode", "no module trains, and looking at the network changes nothing of it", blocking=True),
    _entry(5, "deterministic", "passes agree, with gradients and without, or all attacks average", blocking=True),
    _entry(6, "logits, not probabilities", "outputs are not in [0,1] with rows that sum to 1", blocking=True),
    _entry(7, "no optimisation at inference", "the forward pass starts no backward pass", blocking=True),
    _entry(8, "gradients exist", "every image has an input gradient along which the loss rises", blocking=True),
    _entry(9, "loss is smooth enough", "the margin changes by 10 % or less, on average, under slight noise"),
    _entry(10, "no silent success", "nothing adversarial was met on the path of an attack that reports robust"),
    _entry(11, "converged", "the loss moves by .05 or less of its range in the last 10 steps"),
    _entry(12, "unbounded attack wins", "with eps 1 at most 1 % resist", blocking=True),
    _entry(13, "eps sweep falls", "robust accuracy falls with eps, from clean accuracy at 0", blocking=True),
    _entry(14, "iterative beats single step", "PGD leaves no more robust than a single step"),
    _entry(15, "distance from AutoAttack bounded", "robust accuracy is above AutoAttack's by the margin at most"),
    _entry(16, "white box beats black box", "queries break next to nothing that gradients leave", blocking=True),
    _entry(17, "white box beats transfer", "images made on the parent break no more than those made on the network"),
    _entry(18, "noise is weaker", "noise of the same budget leaves at least as many robust", blocking=True),
    _entry(19, "more than one loss", "an attack on the cross-entropy and one on a margin both ran"),
    _entry(20, "attack unit test", "on networks of known distances the attacks find 99 %, and no more", blocking=True),
    _entry(21, "misclassified counted", "robust accuracy is over all samples, clean errors included", blocking=True),
    _entry(22, "sample size", "the interval of robust accuracy is no wider than the margin", kind="sample"),
    _entry(23, "paired claim", "what the interval claims beside the parent, an exact test claims too", kind="sample"),
    _entry(24, "seeds", "a claim about a strategy rests on three training runs", kind="sample"),
    _entry(25, "batch invariance", "batches of 1 and of N give the same logits, predictions, outcomes", blocking=True),
    _entry(26, "class floor", "no class lost more robust accuracy than the margin, beyond chance", kind="network"),
    _entry(27, "data hygiene", "no sample that is reported on was learned from, by hash", blocking=True),
    _entry(28, "complete", "every attack decided every sample", blocking=True),
    _entry(29, "provenance", "hashes of weights and samples, versions, device and precision are recorded"),
    _entry(30, "artefact parity", "the file that ships predicts as the network that was reviewed", blocking=True),
    _entry(31, "the same in service", "a fresh process that loads it as a service answers the same", blocking=True),
    _entry(32, "not learned by heart", "its loss is no lower on the samples than on others like them", blocking=True),
)

CATALOGUE = {entry.number: entry for entry in _ALL}
"""All checks by number."""


def listed() -> dict[str, str]:
    """Return number and name of every check with a line that says what it is about, if it blocks, and what it holds to.

    >>> listed()["26 class floor"]
    'network: no class lost more robust accuracy than the margin, beyond chance'
    """
    return {
        f"{one.number} {one.name}": f"{one.kind}{', blocking' if one.blocking else ''}: {one.holds}" for one in _ALL
    }


def kind_of(number: int) -> Kind:
    """Return what a check is about; one that is not in the list is about the attack.

    >>> kind_of(26), kind_of(8)
    ('network', 'attack')
    """
    return CATALOGUE[number].kind if number in CATALOGUE else "attack"
