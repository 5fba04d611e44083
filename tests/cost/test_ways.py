"""Several ways of running one network, timed in turn: who is slower, and who does not run at all."""

from __future__ import annotations

import time

import torch
from torch import nn

from robustprune.cost.ways import speeds
from robustprune.results.speeds import speeds_from


class Slow(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return x


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("no kernel\nfor this")


def test_ways_are_timed_beside_the_first_and_one_that_fails_is_missing_with_the_reason():
    ways = {"file": Slow(0.004), "eager": Slow(0.012), "compiled": Broken()}
    found = speeds(ways, torch.zeros(1, 2), batches=(1, 4), seconds=0.05, threads=1)
    assert list(found.milliseconds) == ["file", "eager"]
    assert found.missing == {"compiled": "RuntimeError: no kernel for this"}
    assert (found.threads, set(found.ratio["eager"])) == (1, {"1", "4"})
    assert 4 <= found.milliseconds["file"]["1"][1] < found.milliseconds["eager"]["1"][1]
    assert found.ratio["file"]["4"] == (1.0, 1.0, 1.0)
    assert found.ratio["eager"]["1"][1] > 1.5
    lines = list(found.lines)
    assert lines[0].startswith("batch 1, 1 thread, in turn: file 4")
    assert lines[-1] == "compiled: not measured: RuntimeError: no kernel for this"
    assert speeds_from({**vars(found)}) == found
