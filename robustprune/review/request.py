"""What a review is asked, and the suite of two cases that it is: the parent, and a finished artefact in its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robustprune.attacks import Attack
from robustprune.attacks.contract.texts import check_kind
from robustprune.cost.energy import Metering
from robustprune.data import Data, Split
from robustprune.errors import InputError
from robustprune.evidence import Tier
from robustprune.models import save_weights
from robustprune.models.lending import is_text
from robustprune.policy import Policy
from robustprune.report.markdown import printable
from robustprune.review.extras import Effort
from robustprune.review.given import Given
from robustprune.run.store import Store
from robustprune.suite import Case, Model, Suite


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be reviewed, on what, how hard, and by which policy."""

    candidate: Given
    parent: Given
    data: Data
    attacks: Sequence[Attack]
    policy: Policy = field(default_factory=Policy)
    samples: int | None = None
    seed: int = 0
    tier: Tier = "quick"
    device: str = "cpu"
    twin: Given | None = None
    """The float network that the candidate was made from, where that is a file that ships."""
    shipped: Path | None = None
    training: Sequence[str] | None = None
    """Hashes of the samples that the candidate learned from, where they are known."""
    held_out: Split | None = None
    """More of them, drawn as they were; None: those to test on that are none of these."""
    batches: tuple[int, ...] = (1, 128)
    timing_seconds: float = 1.0
    effort: Effort = field(default_factory=Effort)
    energy: Metering | None = None
    """How the energy of both networks is measured; None: it is not."""
    command: str = ""

    def __post_init__(self) -> None:
        if is_text(self.data.test.x) and (self.shipped or self.candidate.ships):
            raise InputError(f"review of {self.data.name}: what ships is compared on images, and its samples are texts")
        check_kind(self.data.test.x, self.attacks)
        if self.held_out is not None and self.held_out.x.shape[1:] != self.data.test.x.shape[1:]:
            shapes = " and ".join(str(tuple(split.x.shape[1:])) for split in (self.held_out, self.data.test))
            raise InputError(f"samples held out and those reviewed on have shapes {shapes}, expected one shape")
        if self.held_out is not None and int(self.held_out.y.max()) >= len(self.data.classes):
            raise InputError(f"samples held out have more classes than the {len(self.data.classes)} reviewed on")

    @property
    def names(self) -> tuple[str, str]:
        """Names for parent and candidate that differ."""
        parent, candidate = printable(self.parent.name), printable(self.candidate.name)
        return parent, f"{candidate} (candidate)" if parent == candidate else candidate

    @property
    def sides(self) -> list[tuple[str, str, Given]]:
        """What each model is, its name in the suite, and the model: parent, twin where there is one, candidate."""
        parent, candidate = self.names
        twin = [] if self.twin is None else [("the float twin", f"{printable(self.twin.name)} (float twin)", self.twin)]
        return [("the parent", parent, self.parent), *twin, ("the candidate", candidate, self.candidate)]


def as_suite(request: Request, store: Store) -> Suite:
    """The suite of two cases, on the evaluation sample that the review's seed draws."""
    data, n = request.data, request.samples
    if n is not None and n < len(data.test):
        data = dataclasses.replace(data, test=data.test.balanced(n, request.seed))
    data = dataclasses.replace(data, classes=tuple(printable(str(name)) for name in data.classes))
    parent, *others = (_model(name, given, store) for _, name, given in request.sides)
    return Suite(
        name="review",
        data=lambda: data,
        cases=(Case(model=parent), *(Case(model=one, parent=parent) for one in others)),
        attacks=tuple(request.attacks),
        policy=request.policy,
        tier=request.tier,
        batches=request.batches,
        timing_seconds=request.timing_seconds,
        file=request.candidate.source,
    )


def _model(name: str, given: Given, store: Store) -> Model:
    """A model of a suite. Where the factory brings the weights itself they are kept as a file first."""
    weights = given.weights
    if weights is None:
        weights = store.path("given", given.fingerprint, ".safetensors").absolute()
        save_weights(given.load(), weights)
    return Model(name=name, build=given.shape, weights=weights)
