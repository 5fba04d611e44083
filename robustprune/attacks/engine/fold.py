"""A copy of the network with every BatchNorm folded into the convolution before it: the same function, fewer passes.

Which BatchNorm follows which convolution is seen in one forward pass, not guessed from names. Folding is
exact up to rounding; still the copy is used only where its logits agree with the original's on real
samples.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from robustprune.models.lending import shown

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

TOLERANCE = 1e-4
"""Difference of logits that is rounding, as a share of the largest."""


def folded(model: nn.Module, x: Tensor, tolerance: float = TOLERANCE) -> nn.Module | None:
    """Return a folded deep copy of `model` (eval mode); None where nothing can be folded or the logits differ.

    `x` (m, C, H, W) are real samples. The copy is accepted when it differs from the original by at most
    `tolerance` times the largest logit.

    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten()).eval()
    >>> [type(m).__name__ for m in folded(net, torch.rand(2, 1, 4, 4))]
    ['Conv2d', 'Identity', 'Flatten']
    """
    pairs = conv_bn_pairs(model, x[:1])
    if not pairs:
        return None
    names = {module: name for name, module in model.named_modules(remove_duplicate=True)}
    lean = copy.deepcopy(model)
    twins = dict(lean.named_modules(remove_duplicate=True))
    swap: dict[nn.Module, nn.Module] = {}
    for conv, norm in pairs:
        twin = twins[names[conv]]
        swap[twin] = fuse_conv_bn_eval(twin, twins[names[norm]])
        swap[twins[names[norm]]] = nn.Identity()
    replace_modules(lean, swap)
    return lean.requires_grad_(False) if agrees(model, lean, x, tolerance) else None


def conv_bn_pairs(model: nn.Module, x: Tensor) -> list[tuple[nn.Module, nn.Module]]:
    """Return the pairs of a convolution and the BatchNorm that it feeds directly, seen as `x` goes through `model`.

    Both must run exactly once, and the BatchNorm must use its running statistics.
    """
    calls: dict[nn.Module, int] = {}
    source: dict[int, tuple[nn.Module, Tensor]] = {}
    fed: dict[nn.Module, nn.Module] = {}

    def after(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, CONVOLUTIONS):
            source[id(out)] = (module, out)
        elif args and id(args[0]) in source:
            fed[module] = source[id(args[0])][0]

    parts = [m for m in model.modules() if isinstance(m, CONVOLUTIONS + NORMALISATIONS)]
    handles = [m.register_forward_hook(after) for m in parts]
    try:
        with torch.no_grad():
            model(shown(model, x))
    finally:
        for handle in handles:
            handle.remove()
    once = [(conv, norm) for norm, conv in fed.items() if calls[norm] == 1 and calls[conv] == 1]
    return [(conv, norm) for conv, norm in once if not norm.training and norm.running_mean is not None]


def replace_modules(model: nn.Module, swap: dict[nn.Module, nn.Module]) -> None:
    """Put `swap[old]` wherever `old` is a child, under every name it has."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child in swap:
                setattr(parent, name, swap[child])


def agrees(model: nn.Module, other: nn.Module, x: Tensor, tolerance: float) -> bool:
    """Whether both give the same logits on `x`, up to `tolerance` times the largest; NaN counts as 0."""
    with torch.no_grad():
        want, got = (net(shown(net, x)).nan_to_num(0, 0, 0) for net in (model, other))
    return bool((want - got).abs().max() <= tolerance * want.abs().max().clamp(min=1e-6))
