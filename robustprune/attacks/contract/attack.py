"""What every attack states: its threat, what it sees, what it climbs and what it may spend. It never runs itself.

There are four kinds. A *stepped* attack (stepped.py) is cut open into single steps, so that the engine can take each
sample out of the batch at its first adversarial iterate and fill the place from the queue. A *library* attack
(library.py) is an object of torchattacks that runs whole, batch by batch. A *drawn* attack (drawn.py) tries random
perturbations, a *transformed* one (transformed.py) a list of changes to the image as a whole. None of them is believed:
a success counts only when the original model in float32 confirms it inside the budget.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.threat import THREATS, Norm, Threat, threat
from robustprune.errors import InputError
from robustprune.typed import Line, check

Knowledge = Literal["white box", "the parent's gradients", "logits by query", "labels by query", "none"]
"""What an attack sees of the network: its gradients; another network's; its logits, or its labels alone, by asking."""

Objective = Literal["cross-entropy", "margin", "none"]
"""The kind of loss it climbs.

A margin is any lead of one class over another, by logits (DLR and distances to a boundary too) or by probabilities on
a logarithmic scale, which does not vanish where the network is very sure; "none" is for attacks that climb nothing.
"""

SILENT = "silent"
"""Key in the metadata of a field that `settings` leaves out where it has its default."""

FORWARD = 1 / 3
"""What a forward pass costs beside a forward-and-backward one, the unit of `effort`."""


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """An attack under a threat: find x' in [0,1] with |x' - x| <= eps in `norm` that the model gets wrong.

    `eps` is in units of [0,1] pixels. The fields of a subclass are its whole configuration and are what results
    record.
    """

    eps: float
    norm: Norm = "Linf"
    name: Line = ""
    """What tables call this attack, eps left out; built from the settings (`title`) where not given."""

    norms: ClassVar[Collection[Norm]] = THREATS
    """The norms it can be made for; all there are, unless a subclass names some."""

    def __post_init__(self) -> None:
        check(self)
        self.check_budget()
        object.__setattr__(self, "name", self.name or self.label)

    def check_budget(self) -> None:
        """Raise InputError for an eps that cannot be, and for a norm that it cannot be made for."""
        kind = type(self).__name__
        if not 0 <= self.eps < float("inf") or (self.norm == "Linf" and self.eps > 1):
            raise InputError(f"{kind}(eps={self.eps}): expected 0 <= eps in [0,1] pixel units, such as 8/255")
        if self.norm not in self.norms:
            hint = f"; for {self.norm} use PGD(norm={self.norm!r})" if self.norm in THREATS else ""
            raise InputError(f"{kind}(norm={self.norm!r}): expected {' or '.join(map(repr, self.norms))}{hint}")

    @property
    def title(self) -> str:
        """The name it gets by itself; subclasses add what tells two of a kind apart, such as 'PGD-20'."""
        return type(self).__name__

    @property
    def label(self) -> str:
        """`title`, and what every attack of a kind adds to it."""
        return self.title

    def change(self, **fields: Any) -> Self:
        """Return the same attack with other settings; a name built from the settings is built anew."""
        return replace(self, **{"name": "" if self.name == self.label else self.name, **fields})

    @property
    def in_a_ball(self) -> bool:
        """Whether its threat is a ball around every image in a norm, so that steps and sizes mean something."""
        return True

    @property
    def ball(self) -> Threat:
        """The threat it is made under."""
        return threat(self.norm, self.eps)

    @property
    def threat(self) -> str:
        """The threat's name, such as 'Linf 8/255'."""
        return self.ball.name

    @property
    @abstractmethod
    def effort(self) -> float:
        """Expected forward-and-backward passes for a sample that resists. Orders a chain, cheapest first."""

    @property
    def knowledge(self) -> Knowledge:
        """What it sees of the network."""
        return "white box"

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """The kind of loss it climbs."""

    @property
    @abstractmethod
    def budget(self) -> dict[str, int]:
        """What it may spend on a sample, by unit: steps, restarts, queries, draws."""

    @property
    def allowed(self) -> Passes | None:
        """The most passes through a network that it may spend on a sample; None where that is not known.

        Forwards are queries, the one about the last iterate included, backwards are gradient passes. Both are part of
        the threat: who may ask more often is another attacker. What the engine adds of its own is not the attack's: a
        first look in bfloat16, and the judge's pass for a success that the original network does not confirm.
        """
        return None

    @property
    def allowance(self) -> dict[str, int]:
        """What it is allowed, as `Outcomes` record it; nothing where that is not known."""
        found = self.allowed
        return {"allowed_forwards": found.forwards, "allowed_backwards": found.backwards} if found else {}

    @property
    def minimises(self) -> bool:
        """Whether the smallest success is looked for (CW), or any inside the budget ends the attack."""
        return False

    @property
    def alone(self) -> bool:
        """Whether it stands outside the chain of its threat, and so sees all samples that are right."""
        return False

    @property
    def warm(self) -> bool:
        """Whether it begins where the attacks before it, under the same threat, came nearest to success."""
        return False

    @property
    def needs_parent(self) -> bool:
        """Whether it only makes sense for a network with a parent, `evaluate(parent=...)`."""
        return False

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration as plain data, for the results."""
        shown = [f for f in fields(self) if f.name not in ("eps", "norm", "name")]
        given = [f for f in shown if not (f.metadata.get(SILENT) and getattr(self, f.name) == f.default)]
        return {f.name: plain(getattr(self, f.name)) for f in given}


class Unguided(Attack):
    """An attack that tries what it has at hand, and climbs nothing."""

    @property
    def objective(self) -> Objective:
        """None: it does not search."""
        return "none"


def at_least_one(attack: Attack, *names: str) -> None:
    """Raise InputError unless each of these settings is 1 or more."""
    for name in names:
        if getattr(attack, name) < 1:
            raise InputError(f"{type(attack).__name__}({name}={getattr(attack, name)}): expected at least 1")


def plain(value: Any) -> Any:
    """Turn a configuration value into what JSON can hold.

    >>> plain((0.1, "a")), plain(len)
    ([0.1, 'a'], 'len')
    """
    if isinstance(value, Attack):
        return {"attack": value.name, "eps": value.eps, "norm": value.norm, **value.settings}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__name__", None) or repr(value)
