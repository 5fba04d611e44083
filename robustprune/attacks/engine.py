"""All attacks on all samples of one network, in the order that costs least.

Samples that are wrong without any attack are never attacked. The attacks of one threat model (norm and eps) form a
chain, cheapest first; a later one sees the survivors only. Whatever an attack claims, a sample is broken only when the
original model in float32 says so, inside the budget.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from robustprune.attacks.base import Attack, Evaluation, Found, Passes
from robustprune.attacks.context import attacking, check_samples, device_of
from robustprune.attacks.fold import SAMPLES, attack_copy
from robustprune.attacks.precision import InBfloat16, Precision, wants_bfloat16
from robustprune.attacks.target import Counted, Target
from robustprune.errors import InputError
from robustprune.results import BROKEN, BROKEN_EARLIER, CLEAN_ERROR, FAILED, ROBUST, Outcomes

Tick = Callable[[int, int], None]


def evaluate(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attacks: Sequence[Attack],
    *,
    seed: int = 0,
    batch_size: int = 128,
    device: torch.device | str | None = None,
    parent: nn.Module | Sequence[nn.Module] | None = None,
    tick: Tick | None = None,
    on_outcome: Callable[[Outcomes], None] | None = None,
    keep: bool = False,
    precision: Precision = "auto",
) -> Evaluation:
    pass
