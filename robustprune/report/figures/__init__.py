"""Pictures: data in, a matplotlib `Figure` out. `save` writes one as SVG or PNG, `to_svg` gives the text."""

from robustprune.report.figures.energy import energy_bars
from robustprune.report.figures.forest import Bar, forest
from robustprune.report.figures.fronts import Place, fronts
from robustprune.report.figures.gallery import Sample, gallery
from robustprune.report.figures.layers import agreement, candidate_blocks, layer_similarity, removed_blocks
from robustprune.report.figures.style import save, svg_file, to_svg
from robustprune.report.figures.tradeoff import Point, class_change, curves_of, over_eps, pareto, pareto_front, worst_of

__all__ = [
    "Bar",
    "Place",
    "Point",
    "Sample",
    "agreement",
    "candidate_blocks",
    "class_change",
    "curves_of",
    "energy_bars",
    "forest",
    "fronts",
    "gallery",
    "layer_similarity",
    "over_eps",
    "pareto",
    "pareto_front",
    "removed_blocks",
    "save",
    "svg_file",
    "to_svg",
    "worst_of",
]
