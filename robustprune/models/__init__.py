"""Networks: finding what can be removed in any of them, a few of our own, and safe weight files."""

from robustprune.models.blocks import Block, bypass, find_blocks, skip_for
from robustprune.models.catalogue import MODELS
from robustprune.models.checkpoints import file_hash, load_weights, read_metadata, save_weights, weights_hash
from robustprune.models.modes import evaluating, frozen
from robustprune.models.normalize import Normalize, Normalized
from robustprune.models.resnet import CifarResNet, Resnet4b, cifar10_resnet, resnet4b
from robustprune.models.skip import Activation, Skip

__all__ = [
    "MODELS",
    "Activation",
    "Block",
    "CifarResNet",
    "Normalize",
    "Normalized",
    "Resnet4b",
    "Skip",
    "bypass",
    "cifar10_resnet",
    "evaluating",
    "file_hash",
    "find_blocks",
    "frozen",
    "load_weights",
    "read_metadata",
    "resnet4b",
    "save_weights",
    "skip_for",
    "weights_hash",
]
