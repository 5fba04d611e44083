"""What a network costs by counting: multiply-accumulates, parameters, bytes of its file.

Convention for MACs: every multiplication of an input by a weight, or of two activations, that a convolution, a linear
or recurrent layer or a matrix product (attention) makes for ONE sample. Products element by element, additions of a
bias, normalisation, activations, pooling and interpolation are not counted, as in the papers this project compares
with. What else multiplies and is not counted is named (operators.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from robustprune.cost.operators import Operators
from robustprune.errors import InputError
from robustprune.models.lending import restored, shown
from robustprune.models.modes import evaluating


def count_macs(model: nn.Module, example: Tensor) -> int:
    """Return the multiply-accumulates of one forward pass of the first sample of `example`, a batch (n, ...).

    Warns of operators that multiply and are not counted; `counted_macs` returns their names.

    >>> count_macs(nn.Linear(3, 5), torch.zeros(1, 3))
    15
    """
    macs, unknown = counted_macs(model, example)
    if unknown:
        warnings.warn(f"MACs not counted: {', '.join(unknown)}", stacklevel=2)
    return macs


def counted_macs(model: nn.Module, example: Tensor) -> tuple[int, tuple[str, ...]]:
    """Return the multiply-accumulates as `count_macs`, and the names of operators that multiply and are not counted.

    The pass is really made, in eval mode, with fused attention and recurrent layers taken apart so that none of it is
    missed. Raises InputError, with the network's message, where it does not run on `example`.
    """
    counter = Operators()
    with restored(model), evaluating(model), torch.no_grad(), _unfused():
        try:
            with counter:
                model(shown(model, example[:1]))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InputError(f"MACs: the network fails on input {tuple(example[:1].shape)}: {reason}") from error
    return counter.macs, tuple(counter.unknown)


def count_params(model: nn.Module) -> int:
    """Return the number of parameters, trained or not; a shared one counts once, buffers do not count.

    Weights that a quantised layer keeps packed count too. Raises InputError, naming the layer, where they are hidden.

    >>> count_params(nn.Linear(3, 5))
    20
    """
    own = sum(parameter.numel() for parameter in model.parameters())
    return own + sum(_packed_params(name, module) for name, module in model.named_modules())


def file_bytes(model: nn.Module) -> int:
    """Return the size of the network's state (parameters and buffers) as a safetensors file.

    The format refuses shared memory, so of tensors that are the same one, only the first is counted. Raises InputError,
    naming the entry, for a state that the format cannot hold: the packed weights of a quantised layer.

    >>> file_bytes(nn.Linear(2, 2)) > 6 * 4
    True
    """
    state: dict[str, Tensor] = {}
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor) or tensor.is_quantized:
            kind = "a quantised tensor" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise InputError(f"file size: {name} is {kind}, expected plain tensors, as a safetensors file holds them")
        identity = tensor.data_ptr(), tensor.shape
        if tensor.numel() == 0 or identity not in seen:
            state[name] = tensor.detach().cpu().contiguous().clone()
        seen.add(identity)
    return len(save(state))


def _packed_params(name: str, module: nn.Module) -> int:
    """Count the weights that a module itself keeps packed, outside its parameters, as quantised layers do."""
    count = 0
    for value in vars(module).values():
        if isinstance(value, torch.ScriptObject):
            try:
                given: Any = value
                count += sum(int(one.numel()) for one in given.unpack() if isinstance(one, Tensor))
            except Exception:
                hidden = f"{name or 'the network'} ({type(module).__name__}) hides its packed weights"
                raise InputError(f"parameters: {hidden}; expected layers whose weights can be counted") from None
    return count


@contextmanager
def _unfused() -> Iterator[None]:
    """Have attention and recurrent layers made of plain matrix products, which are known on every device."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), _without_cudnn():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _without_cudnn() -> Iterator[None]:
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before
