"""Timing: the arithmetic exactly, the clock against waiting times that are known."""

import gc
import time

import numpy as np
import pytest
import torch
from torch import nn

from robustprune.cost.latency import latency, quartiles, ratio, threads_set, time_in_turn


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
    assert ratio(times) == pytest.approx(0.4)


def test_quartiles_are_of_the_rounds():
    assert quartiles(np.array([40.0, 10.0, 30.0, 20.0, 50.0])) == (20.0, 30.0, 40.0)


def test_the_ratio_holds_when_the_machine_slows_down(clock):
    parent = clock.task(0.004)

    def slowing():
        parent()
        clock.slowness *= 1.01

    times = time_in_turn([clock.task(0.002), slowing], seconds=2.0)
    assert times[-1, 0] > 2 * times[0, 0]
    assert ratio(times) == pytest.approx(0.5)


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
    assert ratio(latency(large, x, 0.3, small)) > 3
    assert ratio(latency(small, x, 0.3, small)) == pytest.approx(1.0, abs=0.4)


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
