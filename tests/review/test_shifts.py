"""Counts from planted outcomes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import made_up

from robustprune.results.significance import mcnemar
from robustprune.results.statistics import tango, wilson
from robustprune.review.shifts import class_shifts, shifts, transfer

RIGHT = [True] * 8 + [False] * 2


def network(robust, right=RIGHT):
    status = made_up.statuses(right, robust)
    return made_up.case(right, [made_up.outcome("PGD-20", status)])


def test_every_claim_lists_who_broke_and_who_came_right():
    parent = network([True, True, True, False] + [False] * 6)
    candidate = network([True, False, False, True] + [False] * 6)
    clean, attack, worst = shifts(candidate, parent)
    assert (clean.broken, clean.fixed) == ((), ())
    assert (attack.broken, attack.fixed) == ((1, 2), (3,))
    assert (worst.claim, worst.broken) == ("worst case", (1, 2))
    assert (worst.before, worst.now, worst.difference) == (0.3, 0.2, pytest.approx(-0.1))
    assert (worst.low, worst.high) == pytest.approx(tango(1, 2, 10))
    assert worst.p == mcnemar(1, 2)


def test_the_worst_class_comes_first():
    parent = made_up.case([True] * 8)  # labels 0 1 2 3 0 1 2 3
    candidate = made_up.case([True, False, True, True, True, False, True, False])
    found = class_shifts("clean", candidate, parent)
    assert [(one.name, one.now, one.n) for one in found][:2] == [("car", 0.0, 2), ("cat", 0.5, 2)]
    assert found[0].before == 1.0


def test_transfer_counts_over_all_samples():
    found = transfer(made_up.outcome("transfer PGD-20", "erbbrf"))
    assert (found.n, found.right, found.fooled, found.robust) == (6, 5, 2, pytest.approx(2 / 6))
    assert (found.low, found.high) == wilson(2, 6)
