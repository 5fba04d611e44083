"""All costs together, and the pair of candidate and parent."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from robustprune.cost import batch_of, measure
from robustprune.cost.memory import peak_memory
from robustprune.errors import InputError


def chain(layers):
    return nn.Sequential(*[nn.Linear(256, 256) for _ in range(layers)])


def test_a_candidate_beside_its_parent():
    example = torch.rand(2, 256, generator=torch.Generator())
    cost = measure(chain(1), example, parent=chain(8), batches=(1, 32), seconds=0.2, threads=1)
    assert (cost.macs, cost.params, cost.threads) == (256 * 256, 256 * 257, 1)
    assert set(cost.latency_ms) == set(cost.latency_ratio) == {"1", "32"}
    assert all(0 < low <= middle <= high for low, middle, high in cost.latency_ms.values())
    assert cost.latency_ratio["32"] < 0.6
    assert all(low <= cost.latency_ratio[batch] <= high for batch, (low, high) in cost.latency_ratio_range.items())
    assert set(cost.latency_ratio_range) == {"1", "32"} >= {*cost.latency_busy}
    assert cost.memory_bytes == peak_memory(chain(1), torch.zeros(32, 256))[0]
    assert cost.memory_method.endswith("batch 32")
    assert cost.device.startswith("cpu (")
    assert json.loads(json.dumps(dataclasses.asdict(cost)))["macs"] == cost.macs


def test_a_parent_has_ratio_one():
    cost = measure(chain(1), torch.zeros(1, 256), batches=(2,), seconds=0.01)
    assert (cost.latency_ratio, cost.latency_ratio_range) == ({"2": 1.0}, {})


def test_models_and_threads_come_back_unchanged():
    model, parent = chain(1).train(), chain(2).train()
    before, threads = model[0].weight.detach().clone(), torch.get_num_threads()
    measure(model, torch.zeros(1, 256), parent=parent, batches=(1,), seconds=0.01, threads=1, device="cpu")
    assert model.training
    assert parent.training
    assert torch.equal(model[0].weight, before)
    assert torch.get_num_threads() == threads


def test_batches_repeat_the_example():
    assert batch_of(torch.arange(3)[:, None], 7).flatten().tolist() == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"batches": ()}, "batches="),
        ({"batches": (1, 0)}, "batches="),
        ({"seconds": 0.0}, "seconds=0.0"),
        ({"threads": 0}, "threads=0"),
        ({"example": torch.zeros(0, 256)}, "at least one sample"),
    ],
)
def test_what_cannot_be_measured_is_refused(settings, complaint):
    example = settings.pop("example", torch.zeros(1, 256))
    with pytest.raises(InputError, match=complaint):
        measure(chain(1), example, **settings)
