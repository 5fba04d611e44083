"""What every attack is and what every attack returns.

There are two kinds. A *stepped* attack (FGSM, PGD, CW) is cut open into single steps, so that the engine
can take each sample out of the batch at its first adversarial iterate and fill the place from the queue. A
*library* attack runs a torchattacks object whole, batch by batch (adapter.py). Both answer the same
question through one method, `run`, and neither is believed: a success counts only when the original model
in float32 confirms it inside the budget.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor

from robustprune.errors import InputError
from robustprune.results import Outcomes, threat_name

if TYPE_CHECKING:
    from robustprune.attacks.target import Target

Norm = Literal["Linf", "L2"]

BUDGET_TOLERANCE = 1e-6
"""A perturbation of norm eps + 1e-6 still counts as inside the budget: float32 cannot do better on [0,1]."""


@dataclass
class Found:
    """What one attack found on m samples, in the order given to it.

    `success` (m, bool): the original model in float32 is wrong on a checked perturbation inside the budget.
    `distance` (m, float32): norm of the smallest perturbation known to break the sample, nan where none is
    known. An attack that minimises (CW) may know one beyond the budget: then `success` is False and
    `distance` > eps. `steps` (m, int64): iterations spent. `failed` (m, bool): the attack could not be
    carried out, `error` says why. `adversarial` (m, ...): the perturbed images where `success`, the clean
    ones elsewhere; None unless asked for.
    """

    success: Tensor
    distance: Tensor
    steps: Tensor
    failed: Tensor
    adversarial: Tensor | None = None
    error: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """What else the results should record about this attack."""

    @classmethod
    def nothing(cls, x: Tensor, keep: bool = False) -> Found:
        """Return the state before an attack of the samples `x`: nothing found, nothing spent, all on the
        CPU.
        """
        n = len(x)
        return cls(
            success=torch.zeros(n, dtype=torch.bool),
            distance=torch.full((n,), float("nan")),
            steps=torch.zeros(n, dtype=torch.int64),
            failed=torch.zeros(n, dtype=torch.bool),
            adversarial=x.detach().cpu().clone() if keep else None,
        )

    def put(self, rows: Tensor, adv: Tensor, success: Tensor, distance: Tensor, steps: Tensor) -> None:
        """Write down the results of the samples `rows` (k,): `adv` (k, ...), the rest (k,)."""
        rows = rows.cpu()
        self.success[rows] = success.cpu()
        self.distance[rows] = torch.where(success, distance, float("nan")).cpu()
        self.steps[rows] = steps.cpu()
        if self.adversarial is not None:
            self.adversarial[rows] = adv.detach().cpu()

    def merge(self, rows: Tensor, later: Found) -> None:
        """Put what a later attempt found on the samples `rows` (k,) over what was known; steps add up."""
        self.success[rows], self.distance[rows] = later.success, later.distance
        self.steps[rows] += later.steps
        self.failed[rows] = later.failed
        self.error = self.error or later.error
        if self.adversarial is not None and later.adversarial is not None:
            self.adversarial[rows] = later.adversarial

    def fail(self, rows: Tensor, reason: BaseException) -> None:
        """Mark `rows` as not attacked; never robust. The first reason is kept.

        >>> found = Found.nothing(torch.zeros(2, 1, 2, 2))
        >>> found.fail(torch.tensor([1]), RuntimeError("no kernel"))
        >>> found.failed.tolist(), found.error
        ([False, True], 'RuntimeError: no kernel')
        """
        self.failed[rows.cpu()] = True
        self.error = self.error or f"{type(reason).__name__}: {reason}".splitlines()[0]


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """An attack with its threat model: find x' with |x' - x|_norm <= eps, x' in [0,1], that the model gets
    wrong.

    `eps` is in units of [0,1] pixels. The fields of a subclass are its whole configuration and are what
    results record.
    """

    eps: float
    norm: Norm = "Linf"
    name: str = ""
    """What tables call this attack, eps left out; built from the settings (`title`) where not given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.title)
        if not 0 <= self.eps < float("inf"):
            raise InputError(f"{type(self).__name__}(eps={self.eps}): expected 0 <= eps in [0,1] pixel units")
        if self.norm not in ("Linf", "L2"):
            raise InputError(f"{type(self).__name__}(norm={self.norm!r}): expected 'Linf' or 'L2'")

    @property
    def title(self) -> str:
        """The name it gets by itself; subclasses add what tells two of a kind apart, such as 'PGD-20'."""
        return type(self).__name__

    def change(self, **fields: Any) -> Self:
        """Return the same attack with other settings; a name that was built from the settings is built
        anew.
        """
        return replace(self, **{"name": "" if self.name == self.title else self.name, **fields})

    @property
    def threat(self) -> str:
        """The threat model's name, such as 'Linf 8/255'."""
        return threat_name(self.norm, self.eps)

    @property
    @abstractmethod
    def effort(self) -> float:
        """Expected forward-and-backward passes for a sample that resists. Orders a chain, cheapest first."""

    @property
    def minimises(self) -> bool:
        """Whether the smallest success is looked for (CW), or any inside the budget ends the attack."""
        return False

    @property
    def alone(self) -> bool:
        """Whether it stands outside the chain of its threat model, and so sees all samples that are right."""
        return False

    @property
    def needs_parent(self) -> bool:
        """Whether it only makes sense for a network with a parent, `evaluate(parent=...)`."""
        return False

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration as plain data, for the results."""
        shown = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("eps", "norm", "name")}
        return {name: plain(value) for name, value in shown.items()}

    @abstractmethod
    def run(self, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
        """Attack the samples `x` (m, C, H, W) in [0,1] of true class `y` (m,), all of them predicted right.

        Everything tried goes through `target`, which counts. `seed` is the only source of randomness. A
        batch that raises is written down with `Found.fail`; KeyboardInterrupt passes.
        """


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


@dataclass
class Passes:
    """What was spent, in samples that went through the network."""

    forwards: int = 0
    backwards: int = 0

    def since(self, earlier: Passes) -> Passes:
        """Return the difference to an earlier reading.

        >>> Passes(forwards=5, backwards=3).since(Passes(forwards=1, backwards=1))
        Passes(forwards=4, backwards=2)
        """
        return Passes(self.forwards - earlier.forwards, self.backwards - earlier.backwards)

    def copy(self) -> Passes:
        """Return a reading that stays as it is."""
        return Passes(self.forwards, self.backwards)


@dataclass
class Evaluation:
    """What `evaluate` returns: per sample the clean verdict, per attack the outcomes."""

    clean: list[bool]
    outcomes: list[Outcomes] = field(default_factory=list)
    adversarials: list[Tensor | None] = field(default_factory=list)
    """One entry an attack: the perturbed images (n, C, H, W) on the CPU, clean where not broken; None
    unless kept.
    """
    notes: dict[str, Any] = field(default_factory=dict)
    """How it was done: whether BatchNorm was folded, the precision, the batch size in the end."""
