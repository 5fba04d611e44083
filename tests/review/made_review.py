"""A review of two made-up networks: everything but the measuring, so that it takes no time."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import made_up

from robustprune.policy.policy import Policy, judge
from robustprune.results.records import Check
from robustprune.review.changes import Changes, Layer
from robustprune.review.record import Facts, Review

CHECKS = {13: "pass", 16: "fail", 18: "pass", 20: "pass", 25: "skipped"}
NAMES = {13: "eps sweep falls", 16: "white box beats black box", 18: "noise is weaker", 20: "attack unit test"}


def checks(**status: str) -> list[Check]:
    """The checks of a candidate, some of them otherwise: c16="pass"."""
    found = CHECKS | {int(name[1:]): value for name, value in status.items()}
    return [
        Check(number=number, name=NAMES.get(number, f"check {number}"), status=one, evidence="seen", blocking=True)
        for number, one in found.items()
    ]


def side(lost: int, name: str, n: int = 200, **fields):
    """A network that is right on nine of ten; `lost` more samples break under PGD-20 than the parent's quarter."""
    clean = [row % 10 != 0 for row in range(n)]
    kept = [ok and row >= n // 4 + lost for row, ok in enumerate(clean)]
    attacks = [
        replace(
            made_up.outcome("PGD-20", made_up.statuses(clean, kept), steps=20),
            knowledge="all of the network",
            objective="cross-entropy",
            budget={"forwards": 20, "backwards": 20},
        )
    ]
    fields = {"checks": checks(c16="pass"), "environment": {"commit": "0123abc", "torch": "2.14.1"}} | fields
    return made_up.case(clean, attacks, case=name, model=name, suite="review", sample_hash="5a" * 32, **fields)


def made_review(lost: int = 60, policy: Policy | None = None, **fields) -> Review:
    """A review of a candidate that lost `lost` samples more than its parent."""
    parent = side(0, "big")
    candidate = side(lost, "small", parent="big", weights_hash="cd34" * 8, **fields)
    policy = policy or Policy(max_class_drop=None)
    sides = [
        {"name": name, "spec": f"nets:{name}", "weights": f"{name}.pt", "sha256": digit * 64, "fingerprint": "f"}
        for name, digit in (("small", "1"), ("big", "2"))
    ]
    return Review(
        candidate=candidate,
        parent=parent,
        policy=policy,
        verdict=judge(candidate, parent, policy),
        changes=Changes(
            gone=(Layer(name="layer1.1", kind="BasicBlock", params=4672),),
            added=(),
            altered=(),
            counts={"Conv2d": (9, 7)},
            blocks=(4, 3),
            same_weights=20,
            shared_weights=20,
            wrapper="",
        ),
        facts=Facts(
            candidate=sides[0],
            parent=sides[1],
            data={"name": "digits", "source": "made up", "seed": 0},
            tier="quick",
            command="robustprune review small --parent big",
            made="2026-01-02T03:04:05Z",
            samples=[f"{row:064x}" for row in range(len(candidate.labels))],
        ),
    )
