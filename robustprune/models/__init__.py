"""Networks: finding what can be removed in any of them, a few of our own, and safe weight files.

blocks.py finds the removable blocks from one recorded forward (recorder.py, trace.py, skip.py, units.py); resnet.py
holds networks, vit/ and texts/ more of them, normalize.py the layer that keeps their input in [0,1]; checkpoints.py
reads, writes and hashes weights; modes.py puts a network into eval mode and back; libraries/ knows those of
torchvision, timm and transformers; texts/causal.py shortens language models. To add a network: a factory in resnet.py
or a file beside it, and a line in catalogue.py for its name. One of your own needs no name: pass the factory.
"""

from robustprune.models.blocks import Block, find_blocks
from robustprune.models.catalogue import MODELS
from robustprune.models.checkpoints import file_hash, load_weights, read_metadata, save_weights, weights_hash
from robustprune.models.libraries import LibraryNetwork, Named, is_named, named
from robustprune.models.made import as_network, logits_alone, returning_logits
from robustprune.models.modes import evaluating, frozen
from robustprune.models.normalize import Normalize, Normalized
from robustprune.models.resnet import CifarResNet, cifar10_resnet, resnet4b
from robustprune.models.skip import Skip
from robustprune.models.survey import Survey, survey
from robustprune.models.texts.encoder import Encoder
from robustprune.models.texts.minilm import minilm, minilm_vocabulary
from robustprune.models.texts.network import TextNetwork, kinds_of
from robustprune.models.units import UnitSize

__all__ = [
    "MODELS",
    "Block",
    "CifarResNet",
    "Encoder",
    "LibraryNetwork",
    "Named",
    "Normalize",
    "Normalized",
    "Skip",
    "Survey",
    "TextNetwork",
    "UnitSize",
    "as_network",
    "cifar10_resnet",
    "evaluating",
    "file_hash",
    "find_blocks",
    "frozen",
    "is_named",
    "kinds_of",
    "load_weights",
    "logits_alone",
    "minilm",
    "minilm_vocabulary",
    "named",
    "read_metadata",
    "resnet4b",
    "returning_logits",
    "save_weights",
    "survey",
    "weights_hash",
]
