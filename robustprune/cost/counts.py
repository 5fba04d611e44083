"""What a network costs by counting: multiply-accumulates, parameters, bytes of its file.

Convention for MACs: every multiplication of an input by a weight, or of two activations, that a convolution,
a linear layer or a matrix product (attention) makes for ONE sample. Additions of a bias, BatchNorm,
activations and pooling are not counted, as in the papers this project compares with. torch counts 2 FLOPs for
each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from robustprune.models.modes import evaluating


def count_macs(model: nn.Module, example: Tensor) -> int:
    """Return the multiply-accumulates of one forward pass of the first sample of `example`, a batch (n, ...).

    The pass is really made, in eval mode, with fused attention taken apart so that none of it is missed.

    >>> count_macs(nn.Linear(3, 5), torch.zeros(1, 3))
    15
    """
    counter = FlopCounterMode(display=False)
    with evaluating(model), torch.no_grad(), _unfused(), counter:
        model(example[:1])
    return int(counter.get_total_flops()) // 2


def count_params(model: nn.Module) -> int:
    """Return the number of parameters, trained or not; a shared one counts once, buffers do not count.

    >>> count_params(nn.Linear(3, 5))
    20
    """
    return sum(parameter.numel() for parameter in model.parameters())


def file_bytes(model: nn.Module) -> int:
    """Return the size of the network's state (parameters and buffers) as a safetensors file.

    The format refuses shared memory, so of tensors that are the same one, only the first is counted.

    >>> file_bytes(nn.Linear(2, 2)) > 6 * 4
    True
    """
    state: dict[str, Tensor] = {}
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in model.state_dict().items():
        identity = tensor.data_ptr(), tensor.shape
        if tensor.numel() == 0 or identity not in seen:
            state[name] = tensor.detach().cpu().contiguous().clone()
        seen.add(identity)
    return len(save(state))


@contextmanager
def _unfused() -> Iterator[None]:
    """Have attention made of plain matrix products, which the counter knows on every device."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
