"""The pictures that every suite report shows, with the words that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from robustprune.errors import InputError
from robustprune.report import figures
from robustprune.report.figures import Point
from robustprune.report.html import Picture
from robustprune.results.costs import energy
from robustprune.results.exchanged import EMBEDDING, WORDS
from robustprune.results.records import CaseResult
from robustprune.results.words import NORMS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ON_TEXTS = {
    EMBEDDING: "how far the embedded words move",
    WORDS: "the number of exchanged words",
}
"""What a budget against texts is the size of."""


def suite_pictures(
    cases: Sequence[CaseResult], curves: Mapping[str, Mapping[str, Sequence[Point]]] | None = None
) -> list[Picture]:
    """Draw what the cases have data for; a picture without data is left out.

    `curves` are robust accuracies over eps by norm (name -> points); None takes them from attacks that ran at
    several eps, or at several severities. Pictures of blocks are drawn family by family, over all runs.
    """
    names = dict.fromkeys(outcome.norm for case in cases for outcome in case.outcomes)
    drawn = {name: figures.curves_of(cases, name) for name in names} if curves is None else curves
    return [*_tradeoffs(cases), *_curves(cases, drawn), *_energy(cases), *_blocks(cases)]


def _tradeoffs(cases: Sequence[CaseResult]) -> Iterator[Picture]:
    yield Picture(
        title="Robust accuracy against computation",
        figure=figures.pareto(cases, "macs"),
        alt="Worst-case robust accuracy of every network over its multiply-accumulates",
        caption="Up and left is better; each parent has a front. Bars: 95 % intervals. Equal costs stand side by side.",
    )
    batches = dict.fromkeys(batch for case in cases for batch in case.cost.latency_ms)
    for batch in batches:
        yield Picture(
            title=f"Robust accuracy against latency, batch {batch}",
            figure=figures.pareto(cases, "latency", batch=batch),
            alt=f"Worst-case robust accuracy of every network over its latency at batch {batch}",
            caption="Up and left is better. The parent's median, times the ratio to it that was timed in turn.",
        )


def _curves(cases: Sequence[CaseResult], drawn: Mapping[str, Mapping[str, Sequence[Point]]]) -> Iterator[Picture]:
    """Yield a picture for every norm, or other threat, under which there are curves."""
    found = {name: curves for name, curves in drawn.items() if any(curves.values())}
    for name, curves in found.items():
        size = "the size of the perturbation" if name in NORMS else ON_TEXTS.get(name, name)
        table = {case.case: figures.worst_of(case, name) for case in cases}
        yield Picture(
            title=f"Robust accuracy over {size}" + (f", {name}" if name in NORMS and len(found) > 1 else ""),
            figure=figures.over_eps(curves, name, table),
            alt=f"Robust accuracy falling with {size}: " + ", ".join(curves),
            caption=_about_curves(cases, curves, name),
        )


def _energy(cases: Sequence[CaseResult]) -> Iterator[Picture]:
    """Yield a picture for every kind of work whose energy was measured."""
    for what in dict.fromkeys(what for case in cases for what in case.cost.energy_joules):
        measure = energy(what)
        methods = dict.fromkeys(case.cost.energy_method for case in cases if what in case.cost.energy_joules)
        yield Picture(
            title=f"Energy, {what}",
            figure=figures.energy_bars(cases, what),
            alt=f"Bars: {measure.title} of every network, in joules",
            caption=f"{measure.unit}; means over runs. Measured: {'; '.join(methods)}.",
        )


def _about_curves(cases: Sequence[CaseResult], curves: Mapping[str, Sequence[Point]], norm: str) -> str:
    """Say what the curves are of, and why they can differ from the table."""
    used, whole = max(point.n for each in curves.values() for point in each), max(len(case.labels) for case in cases)
    sample = f"{used:,} of the {whole:,} samples of the table" if used < whole else f"the {used:,} samples of the table"
    other = " It is of fewer samples, too, so it can lie on either side of the bars." if used < whole else ""
    return (
        f"Curves: one attack at each size, on {sample}. Bars across: what withstands all attacks of the table under "
        f"{norm}, on all {whole:,}. A curve can lie above them, since one attack breaks fewer.{other} Where they "
        "differ, the bars count. Bands: 95 % intervals (Wilson)."
    )


def _blocks(cases: Sequence[CaseResult]) -> Iterator[Picture]:
    families = _families(cases)
    several = len({*families}) > 1
    for name in dict.fromkeys(families):
        some = [case for case, family in zip(cases, families, strict=True) if family == name]
        names = f", {name}" if several else ""
        yield from _drawn(
            figures.removed_blocks,
            some,
            f"Which blocks went{names}",
            "Map of strategies by blocks: how often each block was removed",
            "Share of the runs in which a strategy removed the block.",
        )
        yield from _drawn(
            figures.layer_similarity,
            some,
            f"What was lost of the parent's representation{names}",
            "Map of networks by blocks: similarity of each block's output to the parent's",
            "Linear CKA of a block's output with the parent's: 1 is the same up to rotation and scale.",
        )
        yield from _drawn(
            figures.agreement,
            some,
            f"How far the criteria agree{names}",
            "Matrix of rank correlations between the criteria's scores",
            "Criteria that agree are one voice, not many, in a consensus.",
        )
        yield from _drawn(
            figures.candidate_blocks,
            some,
            f"Which blocks each criterion would let go{names}",
            "Map of criteria by blocks: how often each block is in the criterion's lowest half",
            "Full colour: in the lowest half in every run (network and seed). Numbers: share of the runs in which the "
            "block is among those to go, at the numbers of blocks that the suite removes.",
        )


def _families(cases: Sequence[CaseResult]) -> list[str]:
    """Name the family that each case comes from: its parent's, which a finished artefact does not bear itself."""
    families = {case.case: case.family for case in cases}
    return [families.get(case.parent or case.case, case.family) for case in cases]


def _drawn(
    draw: Callable[[Sequence[CaseResult]], Figure],
    cases: Sequence[CaseResult],
    title: str,
    alt: str,
    caption: str,
) -> Iterator[Picture]:
    """Yield a picture unless there is nothing to draw."""
    try:
        figure = draw(cases)
    except InputError:
        return
    yield Picture(title=title, figure=figure, alt=alt, caption=caption)
