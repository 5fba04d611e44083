"""How much of the parent's representation is left in a pruned network, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.criteria import cka
from robustprune.models import UnitSize, evaluating, find_blocks
from robustprune.models.lending import shown

IMAGES = 256
"""Training images that both networks look at, where there are so many."""


def layer_similarity(parent: nn.Module, child: nn.Module, x: Tensor, unit: UnitSize = "outermost") -> dict[str, float]:
    """Linear CKA (1 = the same representation) between the outputs of every block that stayed and the parent's.

    `x` (n, C, H, W) are the images that both look at. Outputs are averaged over space. Block names agree because
    removal keeps names.
    """
    names = [block.name for block in find_blocks(child, x[:1], unit)]
    ours, theirs = (_block_outputs(net, names, x) for net in (child, parent))
    return {name: 1 - cka(ours[name].numpy(), theirs[name].numpy()) for name in names}


def _block_outputs(net: nn.Module, names: list[str], x: Tensor) -> dict[str, Tensor]:
    """Outputs of the named modules, (n, channels) in float64: averaged over pixels (NCHW) or over tokens (NTC)."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            pooled = output.mean((2, 3)) if output.ndim == 4 else output.mean(1) if output.ndim == 3 else output
            kept[name] = pooled.detach().cpu().double()

        return hook

    handles = [net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        with evaluating(net), torch.no_grad():
            net(shown(net, x))
    finally:
        for handle in handles:
            handle.remove()
    return kept
