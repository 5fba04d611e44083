"""How much of the parent's representation is left in a pruned network, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.criteria import cka
from robustprune.models import Block, UnitSize, evaluating, find_blocks
from robustprune.models.lending import shown

IMAGES = 256
"""Training images that both networks look at, where there are so many."""


def layer_similarity(parent: nn.Module, child: nn.Module, x: Tensor, unit: UnitSize = "outermost") -> dict[str, float]:
    """Linear CKA (1 = the same representation) between the outputs of every block that stayed and the parent's.

    `x` (n, C, H, W) are the images that both look at. Outputs are averaged over space. Block names agree because
    removal keeps names.
    """
    blocks = find_blocks(child, x[:1], unit)
    ours, theirs = (_block_outputs(net, blocks, x) for net in (child, parent))
    return {block.name: 1 - cka(ours[block.name].numpy(), theirs[block.name].numpy()) for block in blocks}


def _block_outputs(net: nn.Module, blocks: Sequence[Block], x: Tensor) -> dict[str, Tensor]:
    """Outputs of blocks by name, (n, channels) in float64: averaged over pixels (NCHW) or over tokens (NTC)."""
    kept: dict[str, Tensor] = {}

    def keep(block: Block) -> Callable[..., None]:
        tensor_of = block.stand_in().given

        def hook(module: nn.Module, inputs: Any, result: Any) -> None:
            output = tensor_of(result)
            pooled = output.mean((2, 3)) if output.ndim == 4 else output.mean(1) if output.ndim == 3 else output
            kept[block.name] = pooled.detach().cpu().double()

        return hook

    handles = [net.get_submodule(block.name).register_forward_hook(keep(block)) for block in blocks]
    try:
        with evaluating(net), torch.no_grad():
            net(shown(net, x))
    finally:
        for handle in handles:
            handle.remove()
    return kept
