"""The common corruptions one by one: what each does to one image, and how much of it at which severity.

They and their parameters are those that made CIFAR-10-C (Hendrycks & Dietterich 2019, 1903.12261, make_cifar_c.py):
noise, blur, light and digital loss, no weather. Lengths are in pixels of a 32 x 32 image, and grow with a larger one.
Departures: a blur continues the image by its border; motion is a one-sided Gaussian along a line, drawn bilinearly;
grey pixels stay grey where saturation changes; nothing but JPEG is rounded to 8 bits.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

SIDE = 32
"""Pixels along the side of the images that lengths are stated for."""

Distort = Callable[[Tensor, Any, np.random.Generator], Tensor]
"""Returns an image (C, H, W) in [0,1], given one of the five levels, and a generator; the caller clamps."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A corruption, and its levels from severity 1 to 5."""

    distort: Distort
    levels: tuple[Any, Any, Any, Any, Any]
    colour: bool = False
    """Whether it changes nothing of an image of one channel, and is left out there."""


def gaussian_noise(x: Tensor, sigma: float, draw: np.random.Generator) -> Tensor:
    """Add normal noise."""
    return x + sigma * torch.from_numpy(draw.standard_normal(tuple(x.shape), dtype=np.float32))


def shot_noise(x: Tensor, photons: float, draw: np.random.Generator) -> Tensor:
    """Count so many photons for white, as a sensor does."""
    return torch.from_numpy(draw.poisson(x.double().numpy() * photons).astype(np.float32)) / photons


def impulse_noise(x: Tensor, amount: float, draw: np.random.Generator) -> Tensor:
    """Set a share of the values to 0 or 1, as many to one as to the other on average."""
    u = torch.from_numpy(draw.random(tuple(x.shape), dtype=np.float32))
    return torch.where(u < amount / 2, 0.0, torch.where(u < amount, 1.0, x))


def gaussian_blur(x: Tensor, sigma: float, draw: np.random.Generator) -> Tensor:
    """Blur by a Gaussian."""
    return filtered(x, _gaussian(sigma * _scale(x)))


def defocus_blur(x: Tensor, level: tuple[float, float], draw: np.random.Generator) -> Tensor:
    """Blur by a disk of some radius, its rim smoothed by a Gaussian."""
    radius, rim = (length * _scale(x) for length in level)
    reach = math.ceil(radius)
    across = torch.arange(-reach, reach + 1.0)
    disk = (across[:, None] ** 2 + across**2 <= radius**2).float()
    smooth = _gaussian(rim)
    return filtered(x, functional.conv2d(disk[None, None], smooth[None, None], padding=len(smooth) - 1)[0, 0])


def motion_blur(x: Tensor, level: tuple[float, float], draw: np.random.Generator) -> Tensor:
    """Blur along a line that ends here, at an angle of up to 45 degrees."""
    length, sigma = (part * _scale(x) for part in level)
    angle, reach = math.radians(draw.uniform(-45, 45)), math.ceil(length)
    kernel = torch.zeros(2 * reach + 3, 2 * reach + 3)
    for step in range(reach + 1):
        weight = math.exp(-(step**2) / (2 * sigma**2))
        down, right = reach + 1 + step * math.sin(angle), reach + 1 + step * math.cos(angle)
        top, left = int(down), int(right)
        for row, share in ((top, 1 - (down - top)), (top + 1, down - top)):
            kernel[row, left] += weight * share * (1 - (right - left))
            kernel[row, left + 1] += weight * share * (right - left)
    return filtered(x, kernel)


def brightness(x: Tensor, more: float, draw: np.random.Generator) -> Tensor:
    """Raise the value of HSV, the largest channel; colours keep hue and saturation."""
    value = x.amax(0, keepdim=True)
    brighter = (value + more).clamp(max=1)
    return torch.where(value > 0, x * (brighter / value.clamp(min=1e-12)), brighter)


def contrast(x: Tensor, factor: float, draw: np.random.Generator) -> Tensor:
    """Draw every channel towards its mean."""
    mean = x.mean((1, 2), keepdim=True)
    return (x - mean) * factor + mean


def saturation(x: Tensor, level: tuple[float, float], draw: np.random.Generator) -> Tensor:
    """Scale and shift the saturation of HSV."""
    value, low = x.amax(0, keepdim=True), x.amin(0, keepdim=True)
    now = (value - low) / value.clamp(min=1e-12)
    wanted = (now * level[0] + level[1]).clamp(0, 1)
    return torch.where(now > 0, value - (value - x) * wanted / now.clamp(min=1e-12), x)


def pixelate(x: Tensor, share: float, draw: np.random.Generator) -> Tensor:
    """Shrink the image to a share of its sides, by areas, and enlarge it by areas again."""
    height, width = x.shape[1:]
    shrunk = functional.adaptive_avg_pool2d(x[None], (max(1, int(height * share)), max(1, int(width * share))))
    return functional.adaptive_avg_pool2d(shrunk, (height, width))[0]


def jpeg(x: Tensor, quality: int, draw: np.random.Generator) -> Tensor:
    """Store the image as JPEG and read it again."""
    pixels, stored = (x * 255).round().to(torch.uint8).permute(1, 2, 0).numpy(), io.BytesIO()
    Image.fromarray(pixels[..., 0] if len(x) == 1 else pixels).save(stored, "JPEG", quality=quality)
    read = np.array(Image.open(stored), dtype=np.float32).reshape(pixels.shape)
    return torch.from_numpy(read).permute(2, 0, 1) / 255


def filtered(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the image (C, H, W) under a kernel of odd sides whose sum is made 1; the border goes on outside."""
    reach, channels = len(kernel) // 2, len(x)
    wide = functional.pad(x[None], [reach] * 4, mode="replicate")
    weight = (kernel / kernel.sum()).expand(channels, 1, -1, -1)
    return functional.conv2d(wide, weight, groups=channels)[0]


def _gaussian(sigma: float) -> Tensor:
    """Return the square kernel of a Gaussian, four standard deviations to each side."""
    reach = max(1, math.ceil(4 * sigma))
    line = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    return line[:, None] * line


def _scale(x: Tensor) -> float:
    """Return how much longer lengths are in this image; in one below 32 x 32 they stay."""
    return max(1.0, min(x.shape[1:]) / SIDE)


KINDS: Mapping[str, Kind] = {
    "gaussian noise": Kind(distort=gaussian_noise, levels=(0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot noise": Kind(distort=shot_noise, levels=(500, 250, 100, 75, 50)),
    "impulse noise": Kind(distort=impulse_noise, levels=(0.01, 0.02, 0.03, 0.05, 0.07)),
    "gaussian blur": Kind(distort=gaussian_blur, levels=(0.4, 0.6, 0.7, 0.8, 1.0)),
    "defocus blur": Kind(distort=defocus_blur, levels=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))),
    "motion blur": Kind(distort=motion_blur, levels=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "brightness": Kind(distort=brightness, levels=(0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": Kind(distort=contrast, levels=(0.75, 0.5, 0.4, 0.3, 0.15)),
    "saturation": Kind(distort=saturation, levels=((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)), colour=True),
    "pixelate": Kind(distort=pixelate, levels=(0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg": Kind(distort=jpeg, levels=(80, 65, 58, 50, 40)),
}
"""Name -> what it does, with make_cifar_c.py's levels from severity 1 to 5."""
