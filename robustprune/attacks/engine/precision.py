"""Low precision as a first pass: cheap where the processor computes in it, and never the last word.

A success in bfloat16 counts only when the original confirms it in float32, and every survivor is attacked
anew in float32; so the first pass can only save work. It is cut short (a quarter of the steps), since most
samples that fall fall early and the survivors are paid for twice. Where the processor merely emulates
bfloat16 it would cost more than it saves, so "auto" leaves it out there.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "float32", "bfloat16"]


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


def wants_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether a first pass in bfloat16 is asked for, or worth it.

    >>> wants_bfloat16("float32", torch.device("cpu")), wants_bfloat16("bfloat16", torch.device("cpu"))
    (False, True)
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and cpu_has_bfloat16()


def cpu_has_bfloat16() -> bool:
    """Whether this processor has units for bfloat16 (AMX or AVX-512 BF16), as far as torch can tell."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    found = ask() if ask is not None else {}
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
