"""What the preprocessing of a Hugging Face image classifier does to an image in [0,1], as one mean and one std.

The library multiplies bytes by `rescale_factor`, shifts by -1 where there is a `rescale_offset`, and normalises;
EfficientNet divides by the std a second time (`include_top`). All of it is one linear map for each channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robustprune.errors import InputError
from robustprune.models.libraries.hf_folders import read_json

FILE = "preprocessor_config.json"
WHITE = 255
USUAL = 224
"""Height and width of images where nothing says them."""
LONGEST = 10_000
"""Pixels of a side; more is a mistake in a file."""


def preprocessing(folder: Path, spec: str) -> Mapping[str, Any]:
    """Read what the folder says. InputError where it says nothing."""
    found = read_json(folder / FILE) or read_json(folder / "processor_config.json").get("image_processor", {})
    if not found:
        raise InputError(f"{spec}: {folder} holds no {FILE}, so that its normalisation is unknown; expected that file")
    return found


def normalisation(told: Mapping[str, Any], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and std of images in [0,1] that do what a preprocessing does.

    >>> normalisation({"image_mean": [0.5], "image_std": [0.25]}, 1)
    ((0.5,), (0.25,))
    >>> normalisation({"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False}, 1)
    ((0.5,), (0.5,))
    """
    scale = WHITE * float(told.get("rescale_factor", 1 / WHITE)) if told.get("do_rescale", True) else float(WHITE)
    offset = 1.0 if told.get("rescale_offset") and told.get("do_rescale", True) else 0.0
    normalised = told.get("do_normalize", True)
    mean = _values(told.get("image_mean"), 0.0, channels) if normalised else [0.0] * channels
    std = _values(told.get("image_std"), 1.0, channels) if normalised else [1.0] * channels
    again = _values(told.get("image_std"), 1.0, channels) if told.get("include_top") else [1.0] * len(std)
    if scale == 1 and not offset:  # nothing to round
        return tuple(mean), tuple(a * b for a, b in zip(std, again, strict=True))
    means = tuple((one + offset) / scale for one in mean)
    return means, tuple(a * b / scale for a, b in zip(std, again, strict=True))


def side_lengths(told: Mapping[str, Any], usual: Any) -> tuple[int, int]:
    """Return height and width of the images that come out of a preprocessing; `usual` where it does not say.

    >>> side_lengths({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True}, None)
    (224, 224)
    """
    found = told.get("crop_size") if told.get("do_center_crop") else told.get("size")
    found = found or told.get("size") or usual or USUAL
    if isinstance(found, Mapping):
        edge = found.get("shortest_edge", USUAL)
        found = [found.get("height", edge), found.get("width", edge)]
    pair = [found, found] if isinstance(found, int) else list(found)
    height, width = int(pair[0]), int(pair[-1])
    if not (1 <= height <= LONGEST and 1 <= width <= LONGEST):
        raise InputError(f"{FILE}: images of {height} x {width} pixels; expected 1 to {LONGEST:,} a side")
    return height, width


def _values(given: float | Sequence[float] | None, usual: float, channels: int) -> list[float]:
    if given is None or isinstance(given, int | float):
        return [usual if given is None else float(given)] * channels
    return [float(one) for one in given]
