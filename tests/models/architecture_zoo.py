"""Architectures of torchvision, timm and transformers, small and with random weights, and what must be found in each.

`python tests/models/architecture_zoo.py` prints the table.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import timm
import torch
import transformers as hf
from tabulate import tabulate
from timm.models import metaformer, mlp_mixer
from torch import nn
from torchvision import models as tv
from torchvision.models import swin_transformer as tv_swin

from robustprune.cost.counts import count_macs
from robustprune.models import find_blocks

logging.getLogger("transformers").setLevel(logging.ERROR)

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
WORDS = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
PATCHES = {"image_size": 32, "patch_size": 8}


def timm_net(name: str, **settings: Any) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, num_classes=5, **settings)


def hf_net(kind: str, task: str, **settings: Any) -> Callable[[], nn.Module]:
    """A network of transformers: `kind` begins the names of its classes."""
    return lambda: getattr(hf, kind + task)(getattr(hf, f"{kind}Config")(**settings))


def classifier(kind: str, **settings: Any) -> Callable[[], nn.Module]:
    return hf_net(kind, "ForImageClassification", **settings)


def swin(version: int) -> nn.Module:
    block, merging = (tv_swin.SwinTransformerBlock, tv_swin.PatchMerging)
    if version == 2:
        block, merging = tv_swin.SwinTransformerBlockV2, tv_swin.PatchMergingV2
    sizes = {"patch_size": [4, 4], "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": [4, 4]}
    return tv.SwinTransformer(**sizes, num_classes=5, block=block, downsample_layer=merging)


def tv_vit() -> nn.Module:
    sizes = {"num_layers": 3, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 24}
    return tv.VisionTransformer(**PATCHES, **sizes, num_classes=5)


def encoder(norm_first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True, norm_first=norm_first)
    stack = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), stack)


def words(**more: Any) -> dict[str, Any]:
    """Two texts, the second one shorter."""
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    ids = torch.randint(3, 50, (2, 7), generator=torch.Generator().manual_seed(2)) * mask
    return {"input_ids": ids, "attention_mask": mask, **more}


SWIN = {"img_size": 32, "depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16, "window_size": 4}
VIT = {"img_size": 32, "patch_size": 8, "depth": 3}
TINY = {"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 2}
TEXT = {**WORDS, **SMALL}
GPT2 = {**WORDS, "n_embd": 32, "n_layer": 3, "n_head": 2, "n_positions": 16}
HEADS = {"num_key_value_heads": 1, "head_dim": 16}

ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], Any, int, int]] = {
    "torchvision resnet18": (lambda: tv.resnet18(num_classes=5), 32, 5, 5),
    "torchvision mobilenet_v2": (lambda: tv.mobilenet_v2(num_classes=5), 32, 10, 10),
    "torchvision ViT": (tv_vit, 32, 3, 6),
    "torchvision Swin": (lambda: swin(1), 32, 4, 8),
    "torchvision Swin V2": (lambda: swin(2), 32, 4, 8),
    "torch encoder, pre-norm": (lambda: encoder(True), (2, 5, 8), 3, 6),
    "torch encoder, post-norm": (lambda: encoder(False), (2, 5, 8), 3, 6),
    "timm test_resnet": (timm_net("test_resnet"), 32, 1, 1),
    "timm test_vit": (timm_net("test_vit", img_size=32, patch_size=8), 32, 6, 12),
    "timm DeiT": (timm_net("deit_tiny_patch16_224", **VIT), 32, 3, 6),
    "timm DeiT III": (timm_net("deit3_small_patch16_224", **VIT), 32, 3, 6),
    "timm Swin": (timm_net("swin_tiny_patch4_window7_224", **SWIN), 32, 3, 6),
    "timm Swin V2": (timm_net("swinv2_tiny_window8_256", **SWIN), 32, 3, 6),
    "timm test_convnext": (timm_net("test_convnext"), 32, 9, 9),
    "timm test_convnext2": (timm_net("test_convnext2"), 32, 4, 4),
    "timm CaiT": (timm_net("cait_xxs24_224", **TINY), 32, 4, 8),
    "timm BEiT": (timm_net("beit_base_patch16_224", **TINY), 32, 2, 4),
    "timm XCiT": (timm_net("xcit_nano_12_p16_224", **TINY), 32, 2, 6),
    "timm MLP-Mixer": (lambda: mlp_mixer.MlpMixer(5, img_size=32, patch_size=8, num_blocks=3, embed_dim=16), 32, 3, 6),
    "timm PoolFormer": (lambda: metaformer.MetaFormer(depths=(1, 2), dims=(8, 16), num_classes=5), 32, 3, 6),
    "transformers ViT": (classifier("ViT", **SMALL, **PATCHES), 32, 3, 6),
    "transformers DeiT": (classifier("DeiT", **SMALL, **PATCHES), 32, 3, 6),
    "transformers DINOv2": (classifier("Dinov2", **SMALL, **PATCHES), 32, 3, 6),
    "transformers BERT": (hf_net("Bert", "ForSequenceClassification", **TEXT), words(), 3, 6),
    "transformers RoBERTa": (hf_net("Roberta", "ForSequenceClassification", **TEXT), words(), 3, 6),
    "transformers GPT-2": (hf_net("GPT2", "LMHeadModel", **GPT2), words(use_cache=False), 3, 6),
    "transformers GPT-2, cached": (hf_net("GPT2", "LMHeadModel", **GPT2), words(), 3, 6),
    "transformers Llama": (hf_net("Llama", "ForCausalLM", **TEXT, **HEADS), words(use_cache=False), 3, 6),
    "transformers Mistral": (hf_net("Mistral", "ForCausalLM", **TEXT, **HEADS), words(), 3, 6),
    "transformers Qwen2": (hf_net("Qwen2", "ForCausalLM", **TEXT, **HEADS), words(use_cache=False), 3, 6),
    "transformers GPT-NeoX": (hf_net("GPTNeoX", "ForCausalLM", **TEXT), words(use_cache=False), 3, 3),
}
"""Name -> factory, its input (the size of images, a shape, or arguments), and how many blocks and branches it has.

Counted by hand: a Transformer layer is a block of two branches, and blocks that project are none. XCiT has a third
branch, between neighbouring patches. GPT-NeoX sums attention and feed-forward before it adds them, which is one branch;
of test_resnet's four blocks three project.
"""


class Bound(nn.Module):
    """A network with its arguments, so that it can be counted and compared as a function of nothing."""

    def __init__(self, net: nn.Module, example: Any) -> None:
        super().__init__()
        self.net, self.example = net, example

    def forward(self, x: Any = None) -> torch.Tensor:
        given = self.example
        found = self.net(**given) if isinstance(given, dict) else self.net(given)
        return found if isinstance(found, torch.Tensor) else found.logits


@functools.cache
def made(name: str) -> tuple[nn.Module, Any]:
    """The network of that name in eval mode, noise on all weights, and an example of two inputs."""
    build, given = ARCHITECTURES[name][:2]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = build().eval().requires_grad_(False)
        for weights in net.parameters():
            weights.add_(0.05 * torch.randn(weights.shape))
        shape = (2, 3, given, given) if isinstance(given, int) else given
        return net, torch.rand(shape) if isinstance(shape, tuple) else shape


def one_of(example: Any) -> Any:
    """The first of two inputs."""
    if isinstance(example, dict):
        return {name: part[:1] if isinstance(part, torch.Tensor) else part for name, part in example.items()}
    return example[:1]


def table() -> str:
    """The networks, with blocks, branches and multiply-accumulates of one input."""
    rows = []
    for name in ARCHITECTURES:
        net, example = made(name)
        blocks, branches = (len(find_blocks(net, example, unit)) for unit in ("outermost", "branch"))
        macs = count_macs(Bound(net, one_of(example)), torch.zeros(1))
        rows.append((*name.split(" ", 1), blocks, branches, f"{macs:,}"))
    head = ("library", "network", "blocks", "branches", "MACs")
    return tabulate(rows, headers=head, tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    print(table())
