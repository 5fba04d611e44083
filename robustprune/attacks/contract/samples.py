"""The samples that an attack is given."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Images `x` (m, C, H, W) in [0,1] of classes `y` (m,), all predicted right.

    `warm` (m, C, H, W): where the attack before came nearest to success, for one that begins there; None where nothing
    is known.
    """

    x: Tensor
    y: Tensor
    warm: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def at(self, rows: Tensor) -> Samples:
        """Return the samples `rows` (k,)."""
        return Samples(self.x[rows], self.y[rows], None if self.warm is None else self.warm[rows])
