"""Learning by heart: exact under exchangeability, seen where it happened, silent where nothing can be said."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from robustprune.evidence.by_heart import CHANCE, FEWEST, SUSPICIOUS, Losses, by_heart, chance, within_classes


def losses(candidate, parent, samples, labels=None):
    return Losses(candidate=candidate, parent=parent, samples=samples, labels=np.zeros(len(samples), int))


def drawn(seed, n=60):
    """Losses of two honest networks: hard images are hard for both."""
    random = np.random.default_rng(seed)
    hard = random.exponential(0.3, n)
    return hard * random.uniform(0.5, 1.5, n), hard, random.permutation(n) < n // 2


def test_chance_is_the_share_of_ways_to_deal_out():
    values, samples = np.array([0.1, 0.2, 0.9, 0.4, 0.7, 0.3, 0.8]), np.arange(7) < 3
    gaps = [np.delete(values, rows).mean() - values[list(rows)].mean() for rows in combinations(range(7), 3)]
    exact = np.mean(np.array(gaps) >= gaps[0] - 1e-12)
    assert chance(values, losses(values, values, samples)) == pytest.approx(exact, abs=0.03)


def test_classes_are_dealt_out_apart():
    """One class is easy and lies among the samples alone; nothing follows from that."""
    labels, samples = np.repeat([0, 1], 40), np.arange(80) < 60
    values = np.where(labels == 0, 0.0, 1.0) + np.random.default_rng(0).normal(0, 0.1, 80)
    found = Losses(candidate=values, parent=values, labels=labels, samples=samples)
    assert not within_classes(labels, samples)[:40].any()
    assert by_heart(found).status == "pass"


def test_who_learned_by_heart_is_named_and_blocked():
    candidate, parent, samples = drawn(0, 100)
    seen = by_heart(losses(np.where(samples, 0.001, candidate), parent, samples))
    assert (seen.status, seen.blocking) == ("fail", True)
    assert "by heart" in seen.evidence
    copy = np.where(samples, 0.001, candidate)
    assert by_heart(losses(copy, copy, samples)).status == "fail"  # the parent learned them too: no alibi


def test_a_copy_of_an_honest_network_passes_whatever_its_losses():
    candidate, _, samples = drawn(3)
    assert by_heart(losses(candidate, candidate, samples)).status == "pass"


def test_honest_networks_are_named_as_rarely_as_is_said():
    """Of 300 honest networks at most as many as a binomial of that rate allows in 999 of 1,000 trials."""
    found = [by_heart(losses(*drawn(seed))) for seed in range(300)]
    assert sum(seen.status == "fail" for seen in found) <= 9  # expected: 300 x .01
    assert sum(bool(seen.status == "fail" and seen.blocking) for seen in found) <= 2  # expected: 300 x .001
    assert CHANCE < SUSPICIOUS


def test_nothing_is_said_without_images_held_out():
    candidate, parent, _ = drawn(0)
    few = by_heart(losses(candidate, parent, np.arange(60) > FEWEST - 2))
    assert few.status == "skipped"
    assert "cannot be known" in few.evidence
