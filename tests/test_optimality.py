"""Local optimality: known values, the definition by fine sums, and what it does not depend on."""

from math import inf

import numpy as np
import pytest

from robustprune.errors import InputError
from robustprune.results.optimality import area, best, optimality

GRID = [0.125, 0.25, 0.5, 1.0, 2.0]


def by_definition(breaks, grid):
    """AttackBench's formula, each area by the midpoint rule on steps so fine that corners lie between them."""
    together = [min(column) for column in zip(*breaks.values(), strict=True)]
    end = min((eps for eps in grid if all(at <= eps for at in together)), default=grid[-1])
    middles = (np.arange(2**12) + 0.5) * end / 2**12

    def robust(one, eps):
        return np.mean([at > eps for at in one])

    def under(one):
        corners = [0.0, *grid]
        return float(np.interp(middles, corners, [robust(one, eps) for eps in corners]).mean() * end)

    whole = robust(together, 0.0) * end
    return {name: (whole - under(one)) / (whole - under(together)) for name, one in breaks.items()}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("largest", [0.5, 2.0, inf])
def test_it_is_the_definition(seed, largest):
    draw = np.random.default_rng(seed)
    wrong = draw.random(40) < 0.2
    breaks = {
        name: np.where(wrong, 0.0, draw.choice([eps for eps in [*GRID, inf] if eps <= largest], 40)).tolist()
        for name in "abc"
    }
    found, expected = optimality(breaks, GRID), by_definition(breaks, GRID)
    assert found == pytest.approx(expected, abs=1e-9)
    assert all(0 <= share <= 1 for share in found.values())


def test_known_values():
    assert area([1.0, 2.0, inf], [1.0, 2.0, 4.0]) == pytest.approx((1 + 2 / 3) / 2 + (2 / 3 + 1 / 3) / 2 + 2 / 3)
    one_each = {"first": [1.0, inf], "second": [inf, 1.0]}
    assert best([*one_each.values()]) == [1.0, 1.0]
    assert optimality(one_each, [1.0, 2.0]) == {"first": 0.5, "second": 0.5}  # half of what breaks, at the same eps
    assert optimality({"strong": [1.0, 1.0], "weak": [2.0, 2.0]}, [1.0, 2.0]) == {"strong": 1.0, "weak": 0.0}


def test_an_attack_alone_is_as_strong_as_all_and_one_that_breaks_nothing_wins_nothing():
    assert optimality({"only": [0.0, 1.0, 2.0, inf]}, [1.0, 2.0]) == {"only": 1.0}
    found = optimality({"only": [0.0, 1.0, 2.0, inf], "none": [0.0, inf, inf, inf]}, [1.0, 2.0])
    assert found == {"only": 1.0, "none": 0.0}


def test_a_weaker_attack_beside_changes_nothing_and_a_scale_neither():
    strong, weak, third = [1.0, 2.0, 4.0, inf], [2.0, 4.0, inf, inf], [4.0, 1.0, inf, inf]
    two = optimality({"strong": strong, "third": third}, [1.0, 2.0, 4.0])
    three = optimality({"strong": strong, "third": third, "weak": weak}, [1.0, 2.0, 4.0])
    assert {name: three[name] for name in two} == two
    scaled = {name: [3 * eps for eps in one] for name, one in (("strong", strong), ("third", third))}
    assert optimality(scaled, [3.0, 6.0, 12.0]) == pytest.approx(two)


@pytest.mark.parametrize("breaks", [[inf, inf], [0.0, 0.0], [0.0, inf]])
def test_where_nothing_breaks_nothing_is_said(breaks):
    assert optimality({"a": breaks}, [1.0, 2.0]) == {"a": None}


@pytest.mark.parametrize("breaks", [{}, {"a": []}, {"a": [1.0], "b": [1.0, 2.0]}, {"a": [0.0, 1.0], "b": [1.0, 1.0]}])
def test_other_samples_are_refused(breaks):
    with pytest.raises(InputError, match="the same samples"):
        optimality(breaks, [1.0, 2.0])
