"""What a network costs: multiply-accumulates, parameters, file size, latency and memory.

counts.py counts, latency.py times, memory.py follows tensors; `measure` here puts them into one `Cost`. To add one:
measure it in one of these files and in `measure`; the record and the tables take it from `robustprune.results`, whose
docstring says where.

Energy is not measured: the counters that would tell (RAPL, NVML) can be read by the administrator only on
most machines, and a figure made from latency and a nominal power would say nothing that latency does not.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustprune.cost.counts import count_macs, count_params, file_bytes
from robustprune.cost.latency import latency, quartiles, ratio, threads_set
from robustprune.cost.memory import peak_memory
from robustprune.errors import InputError
from robustprune.machine import device_name
from robustprune.models.device import device_of
from robustprune.results.costs import Cost


def measure(
    model: nn.Module,
    example: Tensor,
    *,
    parent: nn.Module | None = None,
    batches: Sequence[int] = (1, 128),
    seconds: float = 2.0,
    threads: int | None = None,
    device: str | torch.device | None = None,
) -> Cost:
    """Measure everything about `model` on inputs like `example`, a batch (n, ...) of at least one sample.

    Latency is measured for each batch size of `batches`, spending about `seconds` on each, on `threads` CPU
    threads (None: as many as torch uses now), in turn with `parent` where one is given. Memory is the peak of
    one forward pass of the largest batch. `device` None is where the model is; on another one copies are
    measured. The models come back unchanged. Raises InputError where there is nothing to measure.

    >>> cost = measure(nn.Linear(4, 2), torch.zeros(1, 4), batches=(1,), seconds=0.01)
    >>> cost.macs, cost.params, cost.latency_ratio
    (8, 10, {'1': 1.0})
    """
    _check(example, batches, seconds, threads)
    place = torch.device(device) if device is not None else device_of(model, example.device)
    model, parent = _on(model, place), parent if parent is None else _on(parent, place)
    spans, ratios = {}, {}
    with threads_set(threads) as used:
        for size in batches:
            times = latency(model, batch_of(example, size).to(place), seconds, parent)
            spans[str(size)], ratios[str(size)] = quartiles(times[:, 0]), ratio(times)
        memory, method = peak_memory(model, batch_of(example, max(batches)).to(place))
    return Cost(
        macs=count_macs(model, example[:1].to(place)),
        params=count_params(model),
        file_bytes=file_bytes(model),
        latency_ms=spans,
        latency_ratio=ratios,
        memory_bytes=memory,
        memory_method=f"{method}; batch {max(batches)}",
        threads=used,
        device=f"{place} ({device_name(place)})",
    )


def batch_of(example: Tensor, size: int) -> Tensor:
    """Return `size` samples, those of `example` over and over.

    >>> batch_of(torch.tensor([[1], [2]]), 3).flatten().tolist()
    [1, 2, 1]
    """
    return example[torch.arange(size, device=example.device) % len(example)]


def _check(example: Tensor, batches: Sequence[int], seconds: float, threads: int | None) -> None:
    if len(example) == 0:
        raise InputError(f"cost: example of shape {tuple(example.shape)}, expected at least one sample")
    if not batches or min(batches) < 1:
        raise InputError(f"cost: batches={tuple(batches)}, expected one or more sizes of at least 1")
    if seconds <= 0 or (threads is not None and threads < 1):
        raise InputError(f"cost: seconds={seconds}, threads={threads}, expected above 0, and None or at least 1")


def _on(model: nn.Module, device: torch.device) -> nn.Module:
    return model if device_of(model, device) == device else copy.deepcopy(model).to(device)


__all__ = ["count_macs", "latency", "measure"]
