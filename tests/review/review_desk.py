"""A small network, trained once on digits, its planted successors, and one store for all reviews."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from robustprune.attacks import PGD
from robustprune.data import digits
from robustprune.evidence import SIZES, Sizes
from robustprune.policy.policy import Policy
from robustprune.review.extras import Effort
from robustprune.review.gate import review
from robustprune.review.given import open_candidate, open_parent
from robustprune.review.request import Request
from robustprune.run.store import Store

NETS = str(Path(__file__).parent / "planted_models.py")
ATTACKS = (PGD(eps=0.05, steps=5), PGD(eps=0.05, steps=5, loss="margin"))
POLICY = Policy(max_clean_drop=0.01, max_robust_drop=0.02, max_class_drop=None)


LITTLE = Sizes(
    samples=16,
    directions=2,
    sweep=(0, 4),
    unbounded_steps=60,
    beside=1.0,
    queries=60,
    single=2,
)
"""Evidence at a glance: the checks have tests of their own."""


@contextmanager
def little_evidence() -> Iterator[None]:
    """Spend little on evidence."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "quick", LITTLE)
        yield


class Silent:
    """A listener that says nothing."""

    def stage(self, case, stage, done, total):
        pass

    def finished(self, case):
        pass


@dataclass(frozen=True)
class Desk:
    """The files of a reviewer, and a way to review them."""

    folder: Path
    nets: str = NETS

    def review(self, candidate, weights="parent.safetensors", **settings):
        data = digits()
        parent = open_parent(f"{NETS}:small", self.folder / "parent.safetensors", data.test.x[:1])
        weights = weights and self.folder / weights
        request = Request(
            candidate=open_candidate(candidate, weights, parent),
            parent=parent,
            **{
                "data": data,
                "attacks": ATTACKS,
                "policy": POLICY,
                "batches": (1,),
                "timing_seconds": 0.01,
                "effort": Effort(transfer_steps=5, curve_samples=100, curve_steps=5, service_samples=0),
                **settings,
            },
        )
        with little_evidence():
            return review(request, Store(folder=self.folder / "store"), Silent())
