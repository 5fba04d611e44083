"""Peak memory against sizes added up by hand."""

from itertools import pairwise

import torch
from torch import nn

from robustprune.cost.memory import LiveTensors, peak_memory

FLOAT = 4


def test_a_chain_holds_two_neighbouring_activations_at_its_peak():
    """Sizes 10 -> 100 -> 70 -> 5: while 70 is made, 100 is still there; the input belongs to the caller."""
    widths, n = (10, 100, 70, 5), 3
    model = nn.Sequential(*[nn.Linear(a, b) for a, b in pairwise(widths)])
    weights = sum(a * b + b for a, b in pairwise(widths))
    peak, method = peak_memory(model, torch.zeros(n, 10))
    assert peak == FLOAT * (weights + n * 10 + n * (100 + 70))
    assert "live tensors" in method


def test_a_skip_path_keeps_its_input_alive():
    """y = c(b(a(x))) + a(x), all of width w: at b's and c's output a(x) lives too, so three at the peak."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(2, 2, 1, bias=False) for _ in range(3))

        def forward(self, x):
            skip = self.a(x)
            return self.c(self.b(skip)) + skip

    x = torch.zeros(4, 2, 8, 8)
    assert peak_memory(Skip(), x)[0] == FLOAT * (3 * 4 + x.numel() + 3 * x.numel())


def test_written_in_place_and_seen_anew_cost_nothing():
    x = torch.zeros(4, 2, 8, 8)
    plain = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(inplace=True), nn.Flatten())
    assert peak_memory(plain, x)[0] == FLOAT * (6 + x.numel() + x.numel())
    assert peak_memory(nn.Flatten(), x)[0] == FLOAT * x.numel()


def test_buffers_and_shared_weights_count_once():
    layer = nn.Linear(10, 10)
    peak, _ = peak_memory(nn.Sequential(layer, layer, nn.BatchNorm1d(10)), torch.zeros(1, 10))
    norm = FLOAT * (4 * 10) + 8  # scale, shift, mean, variance, and the int64 counter of batches
    assert peak == FLOAT * (110 + 10 + 2 * 10) + norm


def test_memory_grows_with_the_batch_and_a_pass_leaves_nothing_behind():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 1, 3))
    one, ten = (peak_memory(model, torch.zeros(n, 1, 16, 16))[0] for n in (1, 10))
    weights = FLOAT * sum(parameter.numel() for parameter in model.parameters())
    assert (ten - weights) == 10 * (one - weights)
    assert peak_memory(model, torch.zeros(1, 1, 16, 16))[0] == one


def test_live_follows_what_is_freed():
    with LiveTensors() as memory:
        a = torch.zeros(100)
        view = a[10:]
        b = a * 2
        assert memory.live == FLOAT * 200
        del a
        assert memory.live == FLOAT * 200  # the view still holds it
        del view
        assert memory.live == FLOAT * 100
    del b
    assert (memory.live, memory.peak) == (0, FLOAT * 200)


def test_the_model_keeps_its_mode_and_statistics():
    model = nn.Sequential(nn.BatchNorm1d(3)).train()
    before = model[0].running_mean.clone()
    peak_memory(model, torch.ones(4, 3))
    assert model[0].training
    assert torch.equal(model[0].running_mean, before)
