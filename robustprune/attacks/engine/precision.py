"""Low precision as a first pass: never the last word, and "auto" never without a gain.

A success in bfloat16 counts only when the original confirms it in float32, and every survivor is attacked anew in
float32; so the first pass can only save work. It is cut short (a quarter of the steps), since most samples that fall
fall early and the survivors are paid for twice. Whether it saves time depends on the network, the processor and the
attack: on a processor with units for bfloat16 it was seen to cost a third more. So "auto" attacks a first batch in
float32, times a pass in both, and goes on with bfloat16 only where that would have been clearly cheaper for the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.found import Found

Precision = Literal["auto", "float32", "bfloat16"]

HASTY = 4
"""The first pass makes one step in so many."""

GAIN = 0.8
"""The first pass is made where it is foreseen to bring the cost down to this share; by so much that noise in the timing
does not decide."""

TIMINGS = 3

WORTH = 4
"""A pass is timed where the rest of an attack may take so many times as many as the timing."""


class InBfloat16(nn.Module):
    """A network whose convolutions and products are computed in bfloat16; its logits come out in float32."""

    def __init__(self, net: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.net, self.kind = net, device.type

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (m, classes) of `x` (m, C, H, W)."""
        with torch.autocast(self.kind, dtype=torch.bfloat16):
            logits: Tensor = self.net(x)
        return logits.float()


Use = Literal["never", "where it pays", "always"]


def use_of_bfloat16(precision: Precision, device: torch.device) -> Use:
    """Say when a first pass in bfloat16 is made: where "auto", only where the device has units for it, and it pays.

    >>> use_of_bfloat16("float32", torch.device("cpu")), use_of_bfloat16("bfloat16", torch.device("cpu"))
    ('never', 'always')
    """
    if precision != "auto":
        return "always" if precision == "bfloat16" else "never"
    if device.type == "cuda":
        able = torch.cuda.get_device_capability(device)[0] >= 8
    else:
        able = device.type == "cpu" and cpu_has_bfloat16()
    return "where it pays" if able else "never"


def pays(found: Found, steps: int, ratio: float) -> bool:
    """Say whether a hasty first pass would have made an attack in float32 clearly cheaper.

    `found` is what the attack in float32 gave on some samples, `steps` the length of a run, `ratio` the time of a step
    in bfloat16 over that in float32. Samples that broke within the hasty steps would have cost `ratio` of theirs; all
    others `ratio` of the hasty steps more.

    >>> early = Found(*(torch.tensor(v) for v in ([True, True], [0.1, 0.1], [2, 3], [False, False])))
    >>> late = Found(*(torch.tensor(v) for v in ([False, False], [0.1, 0.1], [20, 20], [False, False])))
    >>> pays(early, 20, 0.5), pays(early, 20, 0.9), pays(late, 20, 0.5)
    (True, False, False)
    """
    hasty = max(1, steps // HASTY)
    caught = found.success & (found.steps <= hasty)
    plain = float(found.steps.sum())
    first = ratio * float(found.steps.clamp(max=hasty).sum())
    return first + float(found.steps[~caught].sum()) < GAIN * plain


def worth_timing(found: Found, steps: int, rest: int) -> bool:
    """Say whether timing a pass in both can pay for `rest` samples more, after `found` in float32 on some (see `pays`).

    Not where too few broke early for any first pass to pay, nor where too little work is left.

    >>> early = Found(*(torch.tensor(v) for v in ([True, True], [0.1, 0.1], [2, 3], [False, False])))
    >>> late = Found(*(torch.tensor(v) for v in ([False, False], [0.1, 0.1], [20, 20], [False, False])))
    >>> worth_timing(early, 20, 1000), worth_timing(early, 20, 3), worth_timing(late, 20, 1000)
    (True, False, False)
    """
    passes = 2 * (TIMINGS + 1) * len(found.steps)
    return rest * steps >= WORTH * passes and pays(found, steps, 0.0)


def time_ratio(low: nn.Module, full: nn.Module, x: Tensor) -> float | None:
    """Return the time of a forward and backward pass of `x` (m, C, H, W) in `low` over that in `full`, in turn.

    None where the network does not run so.
    """
    try:
        return _time_ratio(low, full, x)
    except Exception:
        return None


def _time_ratio(low: nn.Module, full: nn.Module, x: Tensor) -> float:
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(2 * (TIMINGS + 1)):
        net = low if turn % 2 else full
        times[bool(turn % 2)].append(_seconds(partial(_pass, net, x), x.device))
    return min(times[True][1:]) / min(times[False][1:])


def _pass(net: nn.Module, x: Tensor) -> None:
    adv = x.detach().requires_grad_()
    torch.autograd.grad(net(adv).sum(), adv, allow_unused=True)


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def cpu_has_bfloat16() -> bool:
    """Whether this processor has units for bfloat16 (AMX or AVX-512 BF16), as far as torch can tell."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    found = ask() if ask is not None else {}
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
