"""A second device without a GPU: tensors that lie on the processor, say that they do not, and refuse to be mixed.

What a GPU refuses, and a processor alone never notices, is two devices in one operation. Here tensors on the device
`apart` are wrapped, each operation runs on what they hold, and one that mixes them with tensors of the processor is
refused as CUDA refuses it. Importing this module makes the device, once a process; nothing else changes.
"""

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "apart"
MOVES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)
"""What takes a tensor from one device to another."""
BY_NUMBERS = (
    torch.ops.aten.index,
    torch.ops.aten.index_put,
    torch.ops.aten.index_put_,
    torch.ops.aten._index_put_impl_,
)
"""What takes the numbers of elements from the processor too, as on CUDA."""


class Module:
    """What torch asks of a device that is not its own; there is nothing to wait for."""

    def is_initialized(self):
        return True

    is_available = is_initialized

    def current_device(self):
        return 0

    def device_count(self):
        return 1

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]

    def synchronize(self, device=None):
        pass


backend_registration._setup_privateuseone_for_python_backend(NAME, Module())
APART = torch.device(NAME, 0)


class Apart(Tensor):
    """A tensor on the device `apart`."""

    @staticmethod
    def __new__(cls, held):
        return Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=APART,
        )

    def __init__(self, held):
        self.held = held

    def tolist(self):
        return self.held.tolist()

    def __format__(self, spec):
        return format(self.held, spec)

    def __repr__(self):
        return f"{self.held!r} apart"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return carry_out(func, args, kwargs or {})


def carry_out(func, args, kwargs):
    """Run one operation on what the tensors hold; what comes out is apart, unless it was asked onto the processor."""
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    target = kwargs.get("device")
    if func not in MOVES:
        refuse_mixture(func, args, tensors)
    if target is not None and torch.device(target).type == NAME:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*tree_map(held, args), **tree_map(held, kwargs))
    if target is not None and torch.device(target).type == "cpu":
        return out
    if func is torch.ops.aten.copy_.default:
        return args[0]
    out = tree_map(lambda one: Apart(one) if isinstance(one, Tensor) else one, out)
    return return_and_correct_aliasing(func, args, kwargs, out)


def held(one):
    """What a tensor of the device holds; all else is itself."""
    return one.held if isinstance(one, Apart) else one


def refuse_mixture(func, args, tensors):
    """Raise as CUDA does, unless what lies on the processor is a single number, or numbers of elements."""
    strangers = [one for one in tensors if not isinstance(one, Apart)]
    if len(strangers) == len(tensors):
        return
    by_numbers = func.overloadpacket in BY_NUMBERS and isinstance(args[0], Apart)
    if not by_numbers and any(one.ndim for one in strangers):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {APART} and cpu, in {func}")


def copied(to, source, non_blocking=False):
    """The last step of `torch.tensor(..., device="apart")`, which torch takes past what wraps tensors."""
    return carry_out(torch.ops.aten.copy_.default, (to, source, non_blocking), {})


_all, _aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
_all.fallback(lambda func, *args, **kwargs: carry_out(func, args, kwargs), "PrivateUse1")
_aten.impl("copy_", copied, "PrivateUse1")
