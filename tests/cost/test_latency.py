"""Timing: the arithmetic exactly, the clock against waiting times that are known."""

import gc
import math
import os
import time

import numpy as np
import pytest
import torch
from torch import nn

from robustprune.cost.latency import latency, threads_set, time_in_turn, timed
from robustprune.cost.steadiness import crowded, quartiles, ratios, steadiest, unsteadiness


class Clock:
    """Stands in for time.perf_counter; tasks move it on by as much as they are said to take."""

    def __init__(self, monkeypatch):
        self.now, self.slowness = 0.0, 1.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def task(self, seconds):
        def run():
            self.now += seconds * self.slowness

        return run


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_calls_are_timed_in_turn():
    order = []
    time_in_turn([lambda: order.append("a"), lambda: order.append("b")], seconds=0.001)
    assert len(order) >= 8
    assert order == ["a", "b"] * (len(order) // 2)


def test_milliseconds_and_ratio_of_known_times(clock):
    times = time_in_turn([clock.task(0.002), clock.task(0.005)], seconds=1.0)
    assert quartiles(times[:, 0]) == pytest.approx((2.0, 2.0, 2.0))
    assert quartiles(times[:, 1]) == pytest.approx((5.0, 5.0, 5.0))
    assert quartiles(ratios(times)) == pytest.approx((0.4, 0.4, 0.4))


def test_quartiles_are_of_the_rounds():
    assert quartiles(np.array([40.0, 10.0, 30.0, 20.0, 50.0])) == (20.0, 30.0, 40.0)


def test_the_ratio_holds_when_the_machine_slows_down(clock):
    parent = clock.task(0.004)

    def slowing():
        parent()
        clock.slowness *= 1.01

    times = time_in_turn([clock.task(0.002), slowing], seconds=2.0)
    assert times[-1, 0] > 2 * times[0, 0]
    assert quartiles(ratios(times)) == pytest.approx((0.5, 0.5, 0.5))


def test_warming_up_is_not_counted(clock):
    spans = iter([0.5] + [0.01] * 1000)

    def slow_at_first():
        clock.now += next(spans)

    assert time_in_turn([slow_at_first], seconds=1.0).max() == pytest.approx(10.0)


def test_the_budget_bounds_the_rounds_but_never_below_three(clock):
    assert time_in_turn([clock.task(100.0)], seconds=1e-9).shape == (3, 1)
    began = clock.now
    assert 70 <= len(time_in_turn([clock.task(0.01)], seconds=1.0)) <= 81
    assert clock.now - began == pytest.approx(1.0, abs=0.03)
    assert len(time_in_turn([clock.task(1e-9)], seconds=1.0)) == 1000


def test_a_larger_network_takes_longer_and_a_copy_as_long():
    small, large = nn.Linear(512, 512), nn.Sequential(*[nn.Linear(512, 512) for _ in range(10)])
    x = torch.rand(64, 512, generator=torch.Generator())
    assert timed(large, x, 0.3, small).ratio[1] > 3
    assert timed(small, x, 0.3, small).ratio[1] == pytest.approx(1.0, abs=0.4)


def test_networks_are_timed_in_eval_mode_without_gradients_and_come_back():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append((self.training, torch.is_grad_enabled(), gc.isenabled()))
            return x

    spy = Spy().train()
    latency(spy, torch.zeros(1, 1), 0.001)
    assert set(seen) == {(False, False, False)}
    assert spy.training
    assert gc.isenabled()


def test_threads_are_set_stated_and_put_back():
    before = torch.get_num_threads()
    with threads_set(1) as used:
        assert (used, torch.get_num_threads()) == (1, 1)
    assert torch.get_num_threads() == before
    with threads_set(None) as used:
        assert used == before


def test_known_spreads():
    """Quartiles of 8, 9, 10, 11, 12 are 9 and 11: a fifth of the median. Allowed: a tenth, a quarter."""
    spread = np.array([8.0, 9.0, 10.0, 11.0, 12.0])
    assert unsteadiness(spread[:, None]) == pytest.approx(0.2 / 0.25)
    assert unsteadiness(np.stack([spread, np.full(5, 20.0)], axis=1)) == pytest.approx(0.2 / 0.1)
    assert unsteadiness(np.stack([spread, 2 * spread], axis=1)) == pytest.approx(0.2 / 0.25)


def test_what_is_not_steady_is_measured_again_and_the_steadiest_is_kept():
    def alike(first, last):
        return np.array([[first], [first], [last]])

    rounds = iter([alike(1.0, 9.0), alike(2.0, 4.0), alike(3.0, 8.0), alike(4.0, 4.0)])
    times, steady = steadiest(lambda: next(rounds))
    assert (times[0, 0], steady, len([*rounds])) == (2.0, False, 1)
    rounds = iter([alike(1.0, 9.0), alike(2.0, 2.0), alike(3.0, 3.0)])
    times, steady = steadiest(lambda: next(rounds))
    assert (times[0, 0], steady, len([*rounds])) == (2.0, True, 1)


class Slow(nn.Module):
    """Takes time on the clock that stands in, longer in a burst of other work."""

    def __init__(self, clock, seconds, burst):
        super().__init__()
        self.run, self.clock, self.burst = clock.task(seconds), clock, burst

    def forward(self, x):
        self.clock.slowness = 20.0 if self.burst(self.clock.now) else 1.0
        self.run()
        return x


@pytest.mark.parametrize(
    ("until", "busy", "longest"),
    [(0.0, False, 1.1), (0.9, False, 2.4), (math.inf, True, 3.8)],
    ids=["quiet", "quiet after a while", "busy"],
)
def test_a_noisy_clock_is_noticed_and_outlasted(clock, monkeypatch, until, busy, longest):
    """Until then two passes in five fall into a burst."""
    draws = np.random.default_rng(0)

    def burst(now):
        return now < until and draws.random() < 0.4

    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    model, parent = Slow(clock, 0.002, burst), Slow(clock, 0.004, burst)
    found = timed(model, torch.zeros(1, 1), 1.0, parent)
    assert found.busy is busy
    assert clock.now <= longest
    if not busy:
        assert found.ratio == pytest.approx((0.5, 0.5, 0.5))
        assert found.milliseconds == pytest.approx((2.0, 2.0, 2.0))
    else:
        assert found.ratio[2] - found.ratio[0] > 0.05


def test_more_work_than_processors_marks_steady_times(clock, monkeypatch):
    assert [crowded(load, processors=4) for load in (0.0, 4.4, 4.6, 40.0)] == [False, False, True, True]
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    assert timed(Slow(clock, 0.002, lambda now: False), torch.zeros(1, 1), 0.1).busy
    monkeypatch.delattr(os, "getloadavg")
    assert not timed(Slow(clock, 0.002, lambda now: False), torch.zeros(1, 1), 0.1).busy
