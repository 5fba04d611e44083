"""Tiny networks and images for trainings that take milliseconds."""

import torch
from torch import nn

from robustprune.data import Split
from robustprune.finetune import Recipe


def small(seed=0, dropout=0.0, norm=True):
    """A convolution, BatchNorm, dropout and a linear layer on 1 x 8 x 8 images of three classes."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        middle = nn.BatchNorm2d(4) if norm else nn.Identity()
        layers = [nn.Conv2d(1, 4, 3, padding=1), middle, nn.ReLU(), nn.Dropout(dropout), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(256, 3))


def blobs(n=60, seed=0):
    """Three classes that differ by which third of the image is bright."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 8, 8, generator=generator) * 0.6
    for label in range(3):
        x[y == label, :, label * 3 : label * 3 + 2] += 0.4
    return Split(x, y)


def recipe(**changes):
    return Recipe(**{"name": "r", "epochs": 2, "lr": 0.05, "batch_size": 16, "schedule": "constant", **changes})


def weights(model):
    return torch.cat([tensor.detach().flatten().float() for tensor in model.state_dict().values()])
