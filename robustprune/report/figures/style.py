"""One look for all pictures, and files that are the same byte for byte when made again.

Backgrounds are transparent and all colours are middle tones, so a picture can be read on white and on
black; the HTML page replaces `INK` by the page's own text colour. The palette is Okabe and Ito's (2008),
its pale tones left out, and every series also differs in its marker, so colour is not the only sign.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from robustprune.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Look = tuple[str, str | tuple[int, int, int]]
"""Colour and marker: a letter, or corners, kind and angle."""

INK = "#767c86"
"""Text, axes and reference lines."""

PALETTE = ("#0f7fc4", "#d55e00", "#009e73", "#c4669b", "#b58900", "#7d6fd1", "#4a9fb5", "#a0522d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "d", "h", "+", "x", "1", "2")
FINE = 300
"""Dots an inch for the layout: on a coarse grid letters are narrower than they will be drawn, and labels are cut."""
LINE, MARK = 84, 8
"""Letters that a line of a legend holds, and how many a marker takes."""
ROW = 0.17
"""Inches that a line of a legend takes beyond the second."""
MANY, SMALL = 24, 0.72
"""From so many names on a legend is set smaller, by this factor."""
WIDTH = 5.8
"""Inches; small, so that the text is still readable when a phone scales the picture down."""


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty transparent figure. InputError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("figures need matplotlib: pip install 'robustprune[report]'") from None
    figure = Figure(figsize=(width, height), layout="constrained", dpi=FINE)
    figure.patch.set_alpha(0)
    return figure


def new_axes(height: float, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Return a figure with one pair of labelled axes in the common look."""
    with looks():
        figure = new_figure(height)
        axes = figure.add_subplot()
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        dress(axes)
    return figure, axes


def dress(axes: Axes, grid: bool = True) -> None:
    """Give axes the common look: few lines, all in ink, a faint grid behind the data."""
    axes.patch.set_alpha(0)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    axes.tick_params(colors=INK, which="both", labelsize=8.5)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(INK)
        label.set_fontsize(9.5)
    if grid:
        axes.grid(True, color=INK, alpha=0.22, linewidth=0.6)


def legend(axes: Axes) -> None:
    """Put a legend without a frame beneath the axes, in up to three columns as long as the names fit."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        scale = SMALL if len(labels) >= MANY else 1.0
        columns = max(1, min(3, int(LINE / scale) // (max(map(len, labels)) + MARK)))
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.set_figheight(figure.get_figheight() + scale * ROW * max(0, -(-len(labels) // columns) - 2))
        box = axes.figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5 * scale
        )
        for text in box.get_texts():
            text.set_color(INK)


def colour(index: int) -> str:
    """Return the colour of the series of that index, around the palette."""
    return PALETTE[index % len(PALETTE)]


def sign(index: int) -> Look:
    """Return how the series of that index is drawn: its marker is its own up to 16 series, with its colour up to 128.

    >>> sign(1), sign(9)
    (('#d55e00', 's'), ('#d55e00', '>'))
    """
    return colour(index), MARKERS[(index + index // len(MARKERS)) % len(MARKERS)]


def star(index: int) -> Look:
    """Return how the parent of that index is drawn: stars in ink, that of the first with five points.

    >>> star(0)[1], star(1)[1], star(2)[1]
    ((5, 1, 0), (4, 1, 0), (6, 1, 0))
    """
    points = (5, 4)[index] if index < 2 else index + 4
    return INK, (points, 1, 0)


def fade(hue: str = PALETTE[0]) -> Colormap:
    """Return a colour map from transparent to a hue: nothing is seen where nothing is, on any background."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    red, green, blue = to_rgb(hue)
    return LinearSegmentedColormap.from_list("fade", [(red, green, blue, 0.0), (red, green, blue, 1.0)])


@contextmanager
def looks() -> Iterator[None]:
    """Set how to draw and save: real text in SVG, ids that do not depend on chance, no name is a formula."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "robustprune", "font.size": 9, "text.parse_math": False}):
        yield


def to_svg(figure: Figure) -> str:
    """Return a figure as SVG text, from `<svg` on, without dates: the same figure gives the same text."""
    buffer = io.StringIO()
    with looks():
        _settle(figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def svg_file(figure: Figure) -> bytes:
    """Return the content of a figure's SVG file."""
    return ('<?xml version="1.0" encoding="utf-8"?>\n' + to_svg(figure)).encode()


def save(figure: Figure, path: str | Path, dpi: int = 200) -> Path:
    """Write a figure to a file, as SVG or PNG by its ending; the same figure gives the same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        path.write_bytes(svg_file(figure))
    elif path.suffix == ".png":
        with looks():
            _settle(figure)
            figure.savefig(path, dpi=dpi, transparent=True, metadata={"Software": None})
    else:
        raise InputError(f"{path}: a figure can be saved as .svg or .png")
    return path


def _settle(figure: Figure) -> None:
    """Lay out once and for all, names as they are: the constrained layout would move a little with every drawing."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
