"""Which attacks a review makes: those of its tier (attacks/tiers.py), or the ones that were named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from robustprune.attacks import Attack
from robustprune.attacks.algorithms.tiers import tier
from robustprune.attacks.contract.texts import EmbeddingBall
from robustprune.attacks.contract.threat import Norm, kind_of
from robustprune.errors import InputError
from robustprune.names import find
from robustprune.report.attackers import UNSTATED, number
from robustprune.results.exchanged import EMBEDDING, WORDS

QUICK_SAMPLES = 1000

USUAL_WORDS = 3
"""Words of a text that are exchanged, unless told."""

ON_TEXTS = (EMBEDDING, WORDS)


def samples_of(name: str) -> int | None:
    """How many test images a tier attacks unless told; None: all."""
    return QUICK_SAMPLES if name == "quick" else None


def sizes_of(text: bool, norm: str | None, eps: Sequence[float], words: Sequence[int]) -> dict[Norm, tuple[float, ...]]:
    """Return the sizes of attacks by norm: of images one norm, of texts the ball and the exchanges, or one of them.

    InputError for a norm of the other kind of samples, and for sizes of a threat that is not asked for.

    >>> sizes_of(False, None, (), ()) == {"Linf": (8 / 255,)}, sizes_of(True, None, (0.2,), ())
    (True, {'embedding': (0.2,), 'words': (3,)})
    """
    if not text:
        if words:
            raise InputError(f"--words {words[0]}: is for texts, and the samples are images; expected --eps")
        norm = norm or "Linf"
        return {norm: (*eps,) or (kind_of(norm).usual,)}
    if norm not in (None, EMBEDDING, WORDS):
        raise InputError(f"--norm {norm}: the samples are texts; expected {EMBEDDING} or {WORDS}, or none for both")
    if norm == WORDS and eps:
        raise InputError(f"--eps {eps[0]:g}: --norm {WORDS} counts words; expected --words N")
    if norm == EMBEDDING and words:
        raise InputError(f"--words {words[0]}: --norm {EMBEDDING} is a ball behind the embedding; expected --eps")
    sizes: dict[Norm, tuple[float, ...]] = {
        EMBEDDING: (*eps,) or (EmbeddingBall.usual,),
        WORDS: (*words,) or (USUAL_WORDS,),
    }
    return sizes if norm is None else {norm: sizes[norm]}


def tier_attacks(name: str, sizes: Mapping[Norm, Sequence[float]], classes: int) -> tuple[Attack, ...]:
    """The attacks of a tier, for every size in every norm.

    Transfer from the parent is measured apart, on the candidate alone, so it is not among them.

    >>> [attack.threat for attack in tier_attacks("quick", {"L2": (0.25, 0.5)}, 10)][::3]
    ['L2 0.25', 'L2 0.5']
    """
    return tuple(
        attack for norm, budgets in sizes.items() for eps in budgets for attack in tier(name, norm, eps, classes)
    )


def named_attacks(names: Sequence[str], sizes: Mapping[Norm, Sequence[float]]) -> tuple[Attack, ...]:
    """Attacks by their registered names, for every size. InputError for one that knows no such norm.

    Those whose threat is no ball of a norm, such as corruptions, keep their own size, and are there once.

    >>> [attack.threat for attack in named_attacks(["fgsm", "corruptions"], {"Linf": (1/255, 2/255)})]
    ['Linf 1/255', 'severity 3', 'Linf 2/255']
    >>> texts = {"embedding": (0.1, 0.2), "words": (3,)}
    >>> [attack.threat for attack in named_attacks(["embedding-pgd", "substitution"], texts)]
    ['embedding 0.1', 'words 3', 'embedding 0.2']
    """
    made = [_named(name, sizes) for name in names]
    most = max(map(len, made))
    return tuple(attacks[place] for place in range(most) for attacks in made if place < len(attacks))


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


def _named(name: str, sizes: Mapping[Norm, Sequence[float]]) -> list[Attack]:
    """Return the attack of that name in all sizes that it is asked in."""
    found = find("attacks", name)
    if not isinstance(found, Attack) or not {"eps", "norm"} <= {field.name for field in fields(found)}:
        raise InputError(f"--attack {name}: has no eps and norm of its own; expected an attack such as pgd")
    if found.norm in ON_TEXTS or not {*sizes}.isdisjoint(ON_TEXTS):
        if found.norm not in sizes:
            raise InputError(f"--attack {name}: its threat is {found.norm}, expected {' or '.join(sizes)}")
        return [found.change(eps=eps) for eps in sizes[found.norm]]
    if not found.in_a_ball:
        return [found]
    return [found.change(eps=eps, norm=norm) for norm, budgets in sizes.items() for eps in budgets]


def check_sizes(attacks: Sequence[Attack], eps: Sequence[float], words: Sequence[int]) -> None:
    """Refuse sizes that were given for texts and that no attack has."""
    norms = {attack.norm for attack in attacks}
    for option, given, norm in (("eps", eps, EMBEDDING), ("words", words, WORDS)):
        if given and norms.issubset(ON_TEXTS) and norm not in norms:
            raise InputError(f"--{option} {given[0]:g}: of these attacks none has a threat called {norm}")
