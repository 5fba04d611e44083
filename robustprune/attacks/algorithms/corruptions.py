"""Common corruptions (Hendrycks & Dietterich 2019, 1903.12261): what light, lenses and storage do to an image."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robustprune.attacks.algorithms.distortions import KINDS, Kind
from robustprune.attacks.contract.randomness import generators
from robustprune.attacks.contract.threat import Norm
from robustprune.attacks.contract.transformed import Transform, TransformedAttack
from robustprune.errors import InputError
from robustprune.typed import Rule

Severity = Annotated[int, Rule(lambda value: 0 <= value <= 5, "0 to 5")]


@dataclass(frozen=True, kw_only=True)
class Corruptions(TransformedAttack):
    """Every common corruption at one severity, 1 to 5; a sample is robust that is right under all of them.

    What each alone leaves is noted (results/each.py), and so its mean. An image is corrupted as a function of its
    content and the seed, whatever its company. `kinds` chooses some of distortions.py's; of images of one channel those
    that change colours alone are left out. Severity 0 changes nothing.

    >>> Corruptions(severity=3).threat, Corruptions(severity=3, kinds=("jpeg",)).name
    ('severity 3', 'jpeg')
    """

    severity: Severity = 3
    kinds: tuple[str, ...] = tuple(KINDS)

    one_by_one: ClassVar[bool] = True

    def check_budget(self) -> None:
        """Raise InputError for kinds that are unknown, twice there, or none."""
        unknown = [name for name in self.kinds if name not in KINDS]
        if unknown or not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise InputError(f"Corruptions(kinds={self.kinds!r}): expected some of {', '.join(KINDS)}, each once")

    @property
    def title(self) -> str:
        """What is tried."""
        if len(self.kinds) == len(KINDS):
            return "common corruptions"
        return self.kinds[0] if len(self.kinds) == 1 else f"{len(self.kinds)} corruptions"

    @property
    def allows(self) -> tuple[Norm, float]:
        """The severity."""
        return "severity", self.severity

    @property
    def count(self) -> int:
        """One for each kind."""
        return len(self.kinds)

    def transforms(self, shape: Sequence[int]) -> list[Transform]:
        """The corruptions that can change images of this shape (C, H, W)."""
        chosen = {name: KINDS[name] for name in self.kinds if shape[0] > 1 or not KINDS[name].colour}
        return [
            Transform(name=name, size=self.eps, apply=partial(corrupted, name, kind, self.severity))
            for name, kind in chosen.items()
        ]


def corrupted(name: str, kind: Kind, severity: int, x: Tensor, keys: Tensor, seed: int) -> Tensor:
    """Return the images `x` (m, C, H, W), each corrupted on its own, with numbers drawn from its key and the seed."""
    if not severity:
        return x
    own = torch.full_like(keys, zlib.crc32(name.encode()))
    level = kind.levels[severity - 1]
    images = [kind.distort(image, level, draw) for image, draw in zip(x, generators(seed, keys, own), strict=True)]
    return torch.stack(images).clamp(0, 1)
