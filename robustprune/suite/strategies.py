"""How a network is pruned: which criterion, how much, all at once or step by step, and what counts as a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from robustprune.errors import InputError
from robustprune.results.words import BLOCKS
from robustprune.suite.refused import objects
from robustprune.typed import Count, Label, Whole, check, mismatch

if TYPE_CHECKING:
    from robustprune.criteria import Criterion
    from robustprune.finetune import Recipe
    from robustprune.models import UnitSize


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """Which blocks go: a criterion, how many, and whether it looks again after every removal.

    `remove` is a number of blocks, or a share (0..1) of those that may go. `step` None is one-shot; a number removes
    that many at a time and scores what is left again, fine-tuned by `between` where that is given. `samples` training
    images, class-balanced, are used for scoring. `unit` says which of the units that lie in one another is a block
    (`models.find_blocks`): the outermost, as usual, those that hold none, or single branches of the outermost.

    `schedule` says which of the scored blocks go: the "lowest"; the "contiguous" run of neighbours with the lowest sum
    (`prune.choose_run`); or, "greedy", the lowest one, and again and again the lowest one of what is then left, without
    training. Greedy with `AblationLoss()` is greedy forward selection by the loss on the scoring samples, and with that
    on adversarial inputs by the adversarial loss.

    `scored` says what a block's removal is measured against when it looks again: the "current" network, or the
    "original" one, before anything was removed. "once": it does not look again, the first scores decide.
    """

    criterion: Criterion
    remove: int | float
    step: Count | None = None
    between: Recipe | None = None
    keep_per_stage: Whole = 1
    protect_first: bool = True
    samples: Count = 256
    unit: UnitSize = "outermost"
    schedule: Literal["lowest", "contiguous", "greedy"] = "lowest"
    scored: Literal["current", "original", "once"] = "current"

    def __post_init__(self) -> None:
        check(self, **objects())
        if found := mismatch(self.criterion.name, Label):
            raise InputError(f"a strategy's criterion, {type(self.criterion).__name__}: {found.below('name')}")
        share = isinstance(self.remove, float)
        if (share and not 0 < self.remove < 1) or (not share and self.remove < 1):
            raise InputError(
                f"remove={self.remove!r}: expected a number of blocks (1, 2, ...) or a share between 0 and 1"
            )
        again = self.step is not None or self.schedule == "greedy"
        if self.scored != "current" and not again:
            raise InputError(f"scored={self.scored!r} with one look, expected a step, or 'current'")
        if self.scored == "once" and self.schedule == "greedy":
            raise InputError("scored='once' with schedule='greedy', which scores again for each block; expected a step")

    @property
    def name(self) -> str:
        """The criterion's name, with what differs from the usual one-shot removal."""
        unusual: list[str] = [self.schedule] if self.schedule != "lowest" else []
        unusual += [f"iterative, {self.step}"] if self.step else []
        unusual += {"current": [], "original": ["against the original"], "once": ["scored once"]}[self.scored]
        unusual += [self.units] if self.units != BLOCKS else []
        return self.criterion.name + (f" ({', '.join(unusual)})" if unusual else "")

    @property
    def units(self) -> str:
        """What the things that go are called."""
        return {"outermost": BLOCKS, "smallest": "smallest units", "branch": "branches"}[self.unit]
