"""Samples that the parent withstood and the pruned network does not: image, perturbation, sum."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustprune.errors import InputError
from robustprune.report.figures.style import INK, WIDTH, looks, new_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Image = NDArray[np.floating]

LETTERS, WIDE = 8, 0.62
"""Size of a title's letters in points, and the width of one as a share of it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample: images (C, H, W) in [0, 1] as numpy arrays, and the classes (names) that belong to it."""

    original: Image
    adversarial: Image
    label: str
    """The true class."""
    candidate_says: str
    """What the pruned network takes the adversarial image for."""
    name: str = ""
    """Such as the index of the sample."""


def gallery(samples: Sequence[Sample], most: int = 6) -> Figure:
    """Draw up to `most` samples, one a column: the original, its perturbation, the adversarial image.

    The perturbation is grey where it is 0, and amplified (the factor is written above it) to be seen.
    """
    if not samples:
        raise InputError("gallery: no samples; expected at least one")
    shown = samples[:most]
    columns = max(len(shown), 3)
    with looks():
        figure = new_figure(WIDTH * 3.6 / columns + 0.5)
        grid = figure.subplots(3, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for column, sample in enumerate(shown):
            for axes, (title, image) in zip(grid[:, column], _pictures(sample), strict=True):
                axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axes.set_title(wrapped(title, columns), fontsize=LETTERS, color=INK, pad=3)
    return figure


def wrapped(title: str, columns: int) -> str:
    r"""Break a title into lines that fit one of so many columns; what does not fit on three lines is cut.

    >>> wrapped("sample 12: automobile", 6).splitlines()
    ['sample 12:', 'automobile']
    """
    letters = int(72 * WIDTH / columns / (WIDE * LETTERS)) - 1
    return textwrap.fill(title, letters, max_lines=3, placeholder="...")


def _pictures(sample: Sample) -> list[tuple[str, Image]]:
    """Return the three images of a column with their titles."""
    delta = sample.adversarial - sample.original
    size = float(abs(delta).max()) or 0.5
    name = f"{sample.name}: " if sample.name else ""
    return [
        (f"{name}{sample.label}", _channels_last(sample.original)),
        (f"change x {0.5 / size:.0f}", _channels_last(0.5 + delta / (2 * size))),
        (f"taken for {sample.candidate_says}", _channels_last(sample.adversarial)),
    ]


def _channels_last(image: Image) -> Image:
    """Turn (C, H, W) into what imshow takes: (H, W, 3), or (H, W) for one channel."""
    clipped = image.clip(0, 1)
    return clipped[0] if clipped.shape[0] == 1 else clipped.transpose(1, 2, 0)
