"""The ready-made sets of attacks."""

import pytest
import torch
from torch import nn

from robustprune.attacks.algorithms.autoattack import autoattack_standard
from robustprune.attacks.algorithms.tiers import NAMES, passes, tier
from robustprune.attacks.engine.evaluate import evaluate
from robustprune.errors import InputError

EPS = 8 / 255


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("classes", [2, 3, 4, 10, 100])
@pytest.mark.parametrize("parent", [None, object()])
def test_each_tier_holds_the_one_before(norm, classes, parent):
    quick, standard, full = (tier(name, norm, EPS, classes, parent=parent) for name in NAMES)
    assert set(quick) < set(standard) < set(full)
    assert passes(quick) < passes(standard) < passes(full)
    for attacks in (quick, standard, full):
        names = [attack.name for attack in attacks]
        assert len(names) == len(set(names))
        assert [a.effort for a in attacks] == sorted(a.effort for a in attacks)
        assert {attack.threat for attack in attacks} == {attacks[0].threat}


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_standard_holds_the_published_set(norm):
    assert set(autoattack_standard(norm, EPS, 10)) < set(tier("standard", norm, EPS, 10))


def test_below_four_classes_what_exists_remains():
    three = {attack.name for attack in tier("standard", "Linf", EPS, 3)}
    two = {attack.name for attack in tier("standard", "Linf", EPS, 2)}
    assert three - two == {"APGD-DLR"}
    assert {"APGD-CE", "FAB-T", "Square"} <= two
    assert "APGD-T" not in three


def test_transfer_only_with_a_parent():
    with_parent = {a.name for a in tier("standard", "Linf", EPS, parent=nn.Flatten())}
    assert with_parent - {a.name for a in tier("standard", "Linf", EPS)} == {"transfer PGD-20"}


def test_carlini_only_under_l2():
    assert "CW-50" in {a.name for a in tier("full", "L2", 0.5)}
    assert "CW-50" not in {a.name for a in tier("full", "Linf", EPS)}


@pytest.mark.parametrize(
    ("name", "more"), [("quick", set()), ("standard", {"PGD-100 margin x5"}), ("full", {"PGD-200 margin x10"})]
)
def test_under_a_norm_that_autoattack_does_not_know_the_rest_remains(name, more):
    smaller = tier(NAMES[max(0, NAMES.index(name) - 1)], "L1", 12.0)
    assert {a.name for a in tier("quick", "L1", 12.0)} == {"PGD-10", "PGD-20 probability", "PGD-20 targets x3"}
    assert {a.name for a in tier(name, "L1", 12.0)} == {a.name for a in smaller} | more


def test_quick_has_two_losses():
    assert {"cross-entropy", "margin"} <= {attack.objective for attack in tier("quick", "Linf", EPS)}


def test_stated_passes():
    assert passes(tier("quick", "Linf", EPS)) == pytest.approx(97, abs=0.5)
    assert passes(tier("standard", "Linf", EPS)) == pytest.approx(4274, abs=0.5)
    assert passes(tier("full", "Linf", EPS)) == pytest.approx(7284, abs=0.5)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_standard_tier_runs_on_few_classes(norm, classes):
    """A budget that everything breaks within, so that the dear attacks have nothing left to do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, classes)).eval()
    eps = 1.0 if norm == "Linf" else 8.0
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = evaluate(net, x, net(x).argmax(1), tier("standard", norm, eps, classes, parent=net), parent=net)
    assert not any("f" in one.status for one in found.outcomes)
    assert not any(all(one.robust[i] for one in found.outcomes) for i in range(6))


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="quick, standard, full"):
        tier("medium", "Linf", EPS)
    with pytest.raises(InputError, match="2 or more"):
        tier("quick", "Linf", EPS, 1)
