"""What robustness costs: accuracy against MACs and latency, over eps, and class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from robustprune.errors import InputError
from robustprune.report.figures.style import INK, PALETTE, Look, colour, legend, new_axes, sign, star
from robustprune.report.groups import Group, accuracy, group
from robustprune.results.claims import WORST, by_class, named, right
from robustprune.results.exchanged import EMBEDDING, WORDS
from robustprune.results.records import FRACTIONS, CaseResult
from robustprune.results.statistics import paired, wilson
from robustprune.results.words import NORMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


STEP, SPREAD = 0.018, 0.09
"""How far networks of equal cost stand apart, and all of them together at most, as shares of the range of costs."""


DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
"""How the Pareto fronts of several parents are drawn."""


LABELS = {
    EMBEDDING: "all words of a text together move by, in mean lengths of a word vector",
    WORDS: "words of a text exchanged at most",
}
"""What stands under curves over what attacks on texts may do."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a curve over eps (pixel units of [0, 1]): k of n samples withstood the attack."""

    eps: float
    k: int
    n: int


def pareto(
    cases: Sequence[CaseResult],
    against: Literal["macs", "latency"] = "macs",
    measure: str = WORST,
    batch: str | None = None,
) -> Figure:
    """Draw accuracy against cost, a point a network (mean over runs, 95 % interval), and a Pareto front a parent.

    `batch` chooses the batch size of the latency; None takes the first that was measured. Networks of equal
    cost stand side by side; the fronts are drawn at their true cost.
    """
    groups = [one for one in group(cases) if accuracy(one, measure) is not None]
    if against == "latency":
        batch = batch or next((key for one in groups for key in one.first.cost.latency_ms), "1")
        groups = [one for one in groups if all(batch in case.cost.latency_ms for case in one.cases)]
    label = "MACs a sample, millions" if against == "macs" else f"latency at batch {batch}, ms"
    figure, axes = new_axes(3.7, label, f"{named(measure)}, %")
    looks_of = _looks_of(groups)
    places = [(_cost(one, against, batch), one) for one in groups]
    width = max((x for x, _ in places), default=1.0) - min((x for x, _ in places), default=0.0)
    for x, one in places:
        beside = [other for other_x, other in places if other_x == x]
        step = min(STEP, SPREAD / len(beside))
        shift = step * width * (beside.index(one) - (len(beside) - 1) / 2)
        _draw_point(axes, x + shift, one, measure, looks_of[_series(one, groups)])
    for series, (shade, mark) in looks_of.items():
        axes.plot([], [], linestyle="none", markersize=6, label=series, color=shade, marker=mark)
    _draw_fronts(axes, places, measure)
    legend(axes)
    return figure


def _draw_fronts(axes: Axes, places: Sequence[tuple[float, Group]], measure: str) -> None:
    """Draw the front of every parent and what was made of it, on to the right: at more cost nothing is better."""
    roots = [*dict.fromkeys(_root(one) for _, one in places)]
    end = max((x for x, _ in places), default=0.0)
    for index, root in enumerate(roots):
        own = [(x, one) for x, one in places if _root(one) == root]
        front = pareto_front(
            [(x, 100 * fmean(fmean(right(case, measure) or [0]) for case in one.cases)) for x, one in own]
        )
        if len(own) > 1:
            xs, ys = zip(*front, (end, front[-1][1]), strict=True)
            style: dict[str, Any] = {"linestyle": DASHES[index % len(DASHES)], "linewidth": 1.1, "zorder": 1}
            name = f"Pareto front, {root}" if len(roots) > 1 else "Pareto front"
            axes.step(xs, ys, where="post", color=INK, label=name, **style)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other one beats: less or equal cost (x) at more accuracy (y), by rising cost.

    >>> pareto_front([(1, 5), (2, 4), (3, 8), (3, 7)])
    [(1, 5), (3, 8)]
    """
    front: list[tuple[float, float]] = []
    for x, y in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or y > front[-1][1]:
            front.append((x, y))
    return front


def over_eps(
    curves: Mapping[str, Sequence[Point]], norm: str = "Linf", table: Mapping[str, Sequence[Point]] | None = None
) -> Figure:
    """Draw robust accuracy over the size of the perturbation, a curve a network, with 95 % bands (Wilson).

    `table` holds what the table says of the same networks, which may be of more attacks and samples: bars across.
    """
    if not curves or not any(curves.values()):
        raise InputError("over_eps: no points; expected at least one curve")
    parts = FRACTIONS.get(norm)
    scale = parts or 1
    unit = f"/{parts} of the pixel range" if parts else "of the pixel range"
    label = f"largest perturbation, {norm}, {unit}" if norm in NORMS else LABELS.get(norm, norm)
    figure, axes = new_axes(3.5, label, "robust accuracy, %")
    if norm == WORDS:
        axes.locator_params(axis="x", integer=True)
    for index, (name, points) in enumerate(curves.items()):
        ordered = sorted(points, key=lambda point: point.eps)
        xs = [scale * point.eps for point in ordered]
        ends = [wilson(point.k, point.n) for point in ordered]
        ys = [100 * point.k / point.n for point in ordered]
        shade, mark = sign(index)
        axes.plot(xs, ys, marker=mark, markersize=5, color=shade, linewidth=1.6, label=name)
        low, high = [100 * end[0] for end in ends], [100 * end[1] for end in ends]
        axes.fill_between(xs, low, high, color=shade, alpha=0.16, linewidth=0)
        told = (table or {}).get(name, ())
        if told:
            xs, ys = [scale * point.eps for point in told], [100 * point.k / point.n for point in told]
            look: dict[str, Any] = {"marker": "_", "markersize": 15, "markeredgewidth": 2.4, "linestyle": "none"}
            axes.plot(xs, ys, color=shade, label=f"{name}, worst case of the table", **look)
    axes.set_ylim(0, 100)
    axes.set_xlim(left=0)
    legend(axes)
    return figure


def curves_of(cases: Sequence[CaseResult], norm: str = "Linf") -> dict[str, list[Point]]:
    """Collect curves from cases that met one attack under `norm` at two or more eps; eps 0 is clean accuracy."""
    found: dict[str, list[Point]] = {}
    for case in cases:
        by_attack: dict[str, list[Point]] = {}
        for outcome in case.outcomes:
            if outcome.norm == norm:
                point = Point(eps=outcome.eps, k=sum(outcome.robust), n=len(outcome.status))
                by_attack.setdefault(outcome.attack, []).append(point)
        longest = max(by_attack.values(), key=len, default=[])
        if len(longest) > 1:
            found[case.case] = [Point(eps=0.0, k=sum(case.clean), n=len(case.clean)), *longest]
    return found


def worst_of(case: CaseResult, norm: str = "Linf") -> list[Point]:
    """Return what withstands all attacks that a case met under `norm`, at each of their eps; eps rising."""
    found: dict[float, list[Sequence[bool]]] = {}
    for outcome in case.outcomes:
        if outcome.norm == norm:
            found.setdefault(outcome.eps, []).append(outcome.robust)
    return [
        Point(eps=eps, k=sum(map(all, zip(*rows, strict=True))), n=len(rows[0])) for eps, rows in sorted(found.items())
    ]


def class_change(candidate: CaseResult, parent: CaseResult, measure: str = WORST) -> Figure:
    """Draw every class's change against the parent in points, with 95 % intervals; the worst at the top."""
    before, after = right(parent, measure), right(candidate, measure)
    if before is None or after is None:
        raise InputError(f"class_change: {measure!r} was not measured on both networks")
    changes = []
    for name, rows in by_class(parent):
        pair = paired([before[i] for i in rows], [after[i] for i in rows])
        changes.append((pair, f"{name} (n = {pair.n})"))
    changes.sort(key=lambda change: -change[0].difference)
    height = 1.0 + 0.27 * len(changes)
    figure, axes = new_axes(height, f"change against the parent in points: {named(measure)}", "")
    for row, (pair, _) in enumerate(changes):
        shade = colour(1) if pair.high < 0 else colour(2) if pair.low > 0 else INK
        middle = 100 * pair.difference
        axes.barh(row, middle, height=0.62, color=shade, alpha=0.35)
        axes.plot([100 * pair.low, 100 * pair.high], [row, row], color=shade, linewidth=1.4)
        axes.plot(middle, row, marker="o", markersize=3.5, color=shade)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(changes)), [name for _, name in changes])
    return figure


def _series(one: Group, groups: Sequence[Group]) -> str:
    """Name the series of a point: its strategy, and its family where there are several."""
    several = len({other.first.family for other in groups}) > 1
    return f"{one.first.family}, {one.first.strategy}" if several else one.first.strategy


def _root(one: Group) -> str:
    """Name the family of the parent that a group was made of, or is."""
    return (one.parents or one.cases)[0].family


def _looks_of(groups: Sequence[Group]) -> dict[str, Look]:
    """Give every series a sign of its own; a strategy has one colour in all families, parents are stars in ink."""
    roots = [*dict.fromkeys(_root(one) for one in groups)]
    strategies = [*dict.fromkeys(one.first.strategy for one in groups if one.parents is not None)]
    room = -(-len(strategies) // len(PALETTE)) * len(PALETTE)
    found: dict[str, Look] = {}
    for one in groups:
        family = roots.index(_root(one))
        place = family if one.parents is None else room * family + strategies.index(one.first.strategy)
        found[_series(one, groups)] = star(place) if one.parents is None else sign(place)
    return found


def _draw_point(axes: Axes, x: float, one: Group, measure: str, look: Look) -> None:
    """Draw one network with its interval."""
    share = accuracy(one, measure)
    if share is not None:
        shade, mark = look
        axes.vlines(x, 100 * share.low, 100 * share.high, color=shade, linewidth=1, alpha=0.6)
        axes.plot(x, 100 * share.mean, markersize=11 if one.parents is None else 6, color=shade, marker=mark)


def _cost(one: Group, against: str, batch: str | None) -> float:
    if against == "macs":
        return fmean(case.cost.macs for case in one.cases) / 1e6
    return fmean(
        _latency(case, base, str(batch)) for case, base in zip(one.cases, one.parents or one.cases, strict=True)
    )


def _latency(case: CaseResult, parent: CaseResult, batch: str) -> float:
    """Milliseconds: the parent's times the ratio, which was timed in turn; the case's own where that is missing."""
    own, ratio = case.cost.latency_ms[batch][1], case.cost.latency_ratio.get(batch)
    return own if ratio is None or batch not in parent.cost.latency_ms else parent.cost.latency_ms[batch][1] * ratio
