"""What a network costs: multiply-accumulates, parameters, file size, latency and memory.

counts.py counts (operators.py what each operator costs), latency.py times (steadiness.py says whether a time can be
believed), memory.py follows tensors; `measure` here puts them into one `Cost`. To add one: measure it in one of these
files and in `measure`; the record and the tables take it from `robustprune.results`, whose docstring says where.

Energy is measured apart, where it is asked for (energy.py): the counters that would tell (RAPL, NVML) can be read by
the administrator only on most machines, and elsewhere there is an estimate.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustprune.cost.counts import count_macs, count_params, counted_macs, file_bytes
from robustprune.cost.latency import latency, threads_set, timed
from robustprune.cost.memory import peak_memory
from robustprune.errors import InputError
from robustprune.machine import device_name
from robustprune.models.artefact import Artefact
from robustprune.models.device import device_of
from robustprune.models.lending import restored
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

    Latency is measured for each batch size of `batches`, spending about `seconds` on each (up to three times that where
    the machine is busy), on `threads` CPU threads (None: as many as torch uses now), in turn with `parent` where one is
    given. Memory is the peak of one forward pass of the largest batch. The networks get copies of the images, in the
    type of their weights, and come back as they were. `device` None is where the model is; on another one copies are
    measured. Raises InputError where there is nothing to measure, or the network does not run.

    >>> cost = measure(nn.Linear(4, 2), torch.zeros(1, 4), batches=(1,), seconds=0.01)
    >>> cost.macs, cost.params, cost.latency_ratio
    (8, 10, {'1': 1.0})
    """
    _check(example, batches, seconds, threads)
    with restored(model), restored(parent if parent is not None else model):
        return _measured(model, example, parent, batches, seconds, threads, device)


def _measured(
    model: nn.Module,
    example: Tensor,
    parent: nn.Module | None,
    batches: Sequence[int],
    seconds: float,
    threads: int | None,
    device: str | torch.device | None,
) -> Cost:
    place = torch.device(device) if device is not None else device_of(model, example.device)
    model, parent = _on(model, place), parent if parent is None else _on(parent, place)
    macs, unknown, params, stored = _counted(model, example[:1].to(place))
    with threads_set(threads) as used:
        times = {str(size): timed(model, batch_of(example, size).to(place), seconds, parent) for size in batches}
        memory, method = _memory(model, batch_of(example, max(batches)).to(place))
    return Cost(
        macs=macs,
        params=params,
        file_bytes=stored,
        latency_ms={size: time.milliseconds for size, time in times.items()},
        latency_ratio={size: time.ratio[1] for size, time in times.items()},
        latency_ratio_range={
            size: (time.ratio[0], time.ratio[2]) for size, time in times.items() if parent is not None
        },
        latency_busy=tuple(size for size, time in times.items() if time.busy),
        memory_bytes=memory,
        memory_method=f"{method}; batch {max(batches)}",
        threads=used,
        device=f"{place} ({device_name(place)})",
        not_counted=unknown,
    )


def _counted(model: nn.Module, example: Tensor) -> tuple[int, tuple[str, ...], int, int]:
    """Return MACs, what is missing from them, parameters and bytes; of what ships the twin's, 0 without one."""
    if not isinstance(model, Artefact):
        return *counted_macs(model, example), count_params(model), file_bytes(model)
    if model.twin is None:
        return 0, (), 0, model.runtime.bytes
    return *counted_macs(model.twin, example), count_params(model.twin), model.runtime.bytes


def _memory(model: nn.Module, x: Tensor) -> tuple[int, str]:
    """Return the peak of one pass, and how it was measured; 0 of what another runtime keeps to itself."""
    if isinstance(model, Artefact):
        return 0, f"not measured: {model.runtime.kind} keeps its memory to itself"
    return peak_memory(model, x)


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
