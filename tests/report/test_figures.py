"""Figures: what is drawn agrees with the data, axes say their units, files are the same when made again."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

import made_up
import numpy as np
import pytest

from robustprune.errors import InputError
from robustprune.report import figures
from robustprune.report.figures.style import INK, sign, star
from robustprune.report.figures.tradeoff import _latency
from robustprune.report.pictures import suite_pictures
from robustprune.results.statistics import tango

CASES = made_up.whole_suite(n=60, seeds=(0, 1))


def sample(channels=3):
    original = np.full((channels, 8, 8), 0.5)
    return figures.Sample(
        original=original, adversarial=original + 8 / 255, label="cat", candidate_says="car", name="#7"
    )


def curves():
    return {"parent": [figures.Point(eps=eps / 255, k=100 - 10 * eps, n=100) for eps in (0, 1, 2, 4)]}


EVERY = {
    "pareto": lambda: figures.pareto(CASES),
    "latency": lambda: figures.pareto(CASES, "latency", batch="128"),
    "two models": lambda: figures.pareto(made_up.whole_suite(n=30, seeds=(0,), models=("a", "b"))),
    "eps": lambda: figures.over_eps(curves()),
    "removed": lambda: figures.removed_blocks(CASES),
    "similarity": lambda: figures.layer_similarity(CASES),
    "agreement": lambda: figures.agreement(CASES),
    "candidates": lambda: figures.candidate_blocks(CASES),
    "classes": lambda: figures.class_change(CASES[-1], CASES[0]),
    "gallery": lambda: figures.gallery([sample(), sample(1)]),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_figure_is_svg_without_dates_and_the_same_when_saved_twice(name):
    figure = EVERY[name]()
    first = figures.to_svg(figure)
    assert first == figures.to_svg(figure if name != "agreement" else EVERY[name]())
    ElementTree.fromstring(first)
    assert not re.search(r"\d{4}-\d\d-\d\d|dc:date", first)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "gallery"])
def test_every_axis_is_labelled_or_names_its_ticks(name):
    axes = EVERY[name]().axes[0]
    for axis in (axes.xaxis, axes.yaxis):
        assert axis.get_label_text() or all(tick.get_text() for tick in axis.get_ticklabels())


def test_the_pareto_figure_shows_every_network_at_its_cost_and_accuracy():
    drawn = {
        (round(float(line.get_xdata()[0]), 1), round(float(line.get_ydata()[0]), 3))
        for line in figures.pareto(CASES).axes[0].lines
        if len(line.get_xdata()) == 1
    }
    assert len(drawn) == 10
    parent = CASES[0]
    heights = {y for _, y in drawn}
    assert round(100 * sum(parent.worst) / 60, 3) in heights
    assert max(x for x, _ in drawn) == pytest.approx(40, abs=0.4)


def test_many_networks_of_equal_cost_stand_near_it():
    """A tenth of the range apart at most, however many they are."""
    pruned = next(case for case in CASES if case.removed)
    many = [replace(pruned, case=f"{pruned.model}/s{i}", strategy=f"s{i}") for i in range(40)]
    lines = figures.pareto([CASES[0], *many]).axes[0].lines
    places = [float(line.get_xdata()[0]) for line in lines if len(line.get_xdata()) == 1]
    true, dearest = pruned.cost.macs / 1e6, CASES[0].cost.macs / 1e6
    assert len(places) == 41
    assert max(abs(x - true) for x in places if x < dearest) <= 0.05 * (dearest - true)


def families(*names):
    """Several families, as suites of several parents have them."""
    return made_up.whole_suite(n=30, seeds=(0,), models=names)


def handles(figure):
    return [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]


def test_no_two_series_have_one_sign_and_a_strategy_has_one_colour():
    lines = [line for line in handles(figures.pareto(families("a", "b", "c"))) if line.get_linestyle() == "None"]
    assert len(lines) == 3 * 6
    assert len({(line.get_color(), str(line.get_marker())) for line in lines}) == len(lines)
    assert len({line.get_color() for line in lines if line.get_label().endswith("consensus")}) == 1


def test_signs_repeat_neither_up_to_128_series_nor_their_markers_up_to_16():
    assert len({sign(index) for index in range(128)}) == 128
    assert len({sign(index)[1] for index in range(16)}) == 16
    assert len({star(index) for index in range(20)}) == 20


def test_every_parent_has_a_front_of_its_own():
    figure = figures.pareto(families("a", "b"))
    fronts = {line.get_label(): line for line in handles(figure) if "front" in line.get_label()}
    assert [*fronts] == ["Pareto front, a", "Pareto front, b"]
    assert len({line.get_linestyle() for line in fronts.values()}) == 2
    for family in "ab":
        points = {}
        for case in families(family):
            points[case.strategy, len(case.removed)] = (case.cost.macs / 1e6, 100 * sum(case.worst) / 30)
        expected = figures.pareto_front([*points.values()])
        xs, ys = fronts[f"Pareto front, {family}"].get_data()
        assert [*zip(xs[:-1], ys[:-1], strict=True)] == [pytest.approx(point) for point in expected]
        assert [xs[-1], ys[-1]] == pytest.approx([40, expected[-1][1]])  # on to the dearest network
    assert [line.get_label() for line in handles(figures.pareto(CASES))][-1] == "Pareto front"


def test_the_pareto_front_keeps_only_what_nothing_beats():
    points = [(3, 9), (1, 5), (2, 4), (2, 6), (4, 9), (1, 3)]
    front = figures.pareto_front(points)
    assert front == [(1, 5), (2, 6), (3, 9)]
    for x, y in points:
        assert any(fx <= x and fy >= y for fx, fy in front)


def test_the_block_map_holds_the_share_of_seeds():
    mesh = figures.removed_blocks(CASES).axes[0].collections[0]
    consensus = [case for case in CASES if case.strategy == "consensus" and len(case.removed) == 3]
    expected = [np.mean([block in case.removed for case in consensus]) for block in made_up.BLOCKS]
    assert np.asarray(mesh.get_array())[0].tolist() == pytest.approx(expected)


def test_similarities_are_written_short_enough_for_their_cells():
    case = replace(CASES[-1], similarity=dict(zip(made_up.BLOCKS, (1.0, 0.996, 0.994, 0.5), strict=False)), removed=[])
    texts = [text.get_text() for text in figures.layer_similarity([CASES[0], case]).axes[0].texts]
    assert texts == ["1", "1", ".99", ".50"]


def test_agreement_is_the_rank_correlation_averaged_over_runs():
    blocks = made_up.BLOCKS[:4]
    up, down = dict(zip(blocks, [1.0, 2, 3, 9], strict=True)), dict(zip(blocks, [8.0, 3, 2, 1], strict=True))
    one = replace(CASES[0], scores={"a": up, "b": down})
    two = replace(CASES[0], scores={"a": up, "b": up}, seed=1)
    mesh = figures.agreement([one, two]).axes[0].collections[0]
    assert np.asarray(mesh.get_array()) == pytest.approx(np.array([[1, 0], [0, 1]]))


def test_candidates_are_drawn_as_shares_of_the_runs():
    """Of four blocks the two lowest are a half; one of each is removed."""
    blocks = made_up.BLOCKS[:4]
    up, down = dict(zip(blocks, [1.0, 2, 3, 9], strict=True)), dict(zip(blocks, [8.0, 3, 2, 1], strict=True))
    fields = {"strategy": "a", "removed": blocks[:1]}
    one = replace(CASES[0], scores={"a": up, "b": down}, **fields)
    two = replace(CASES[0], scores={"a": up, "b": up}, seed=1, **fields)
    axes = figures.candidate_blocks([one, two]).axes[0]
    assert np.asarray(axes.collections[0].get_array()) == pytest.approx(np.array([[1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5]]))
    written = {(text.get_position(), text.get_text()) for text in axes.texts}
    assert written == {((0.5, 0.5), "1"), ((0.5, 1.5), ".50"), ((3.5, 1.5), ".50")}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_class_bars_carry_tangos_interval():
    parent = made_up.case([True] * 40)
    child = made_up.case([i % 4 != 2 or i > 20 for i in range(40)], case="child")  # birds 2, 6, 10, 14, 18 lost
    axes = figures.class_change(child, parent, "clean").axes[0]
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert ticks[-1] == "bird (n = 10)"
    assert axes.patches[-1].get_width() == pytest.approx(-50)
    low, high = tango(0, 5, 10)
    assert [100 * low, 100 * high] == pytest.approx(list(axes.lines[-3].get_xdata()))


def test_curves_are_found_where_an_attack_ran_at_several_eps():
    case = made_up.case(
        [True] * 8,
        [
            made_up.outcome("PGD", "r" * 6 + "bb", eps=2 / 255),
            made_up.outcome("PGD", "r" * 3 + "b" * 5, eps=4 / 255),
        ],
    )
    points = figures.curves_of([case])["net/parent"]
    assert [(round(255 * point.eps), point.k, point.n) for point in points] == [
        (0, 8, 8),
        (2, 6, 8),
        (4, 3, 8),
    ]
    assert figures.curves_of(CASES) == {}


def test_the_gallery_amplifies_the_perturbation_and_says_by_how_much():
    figure = figures.gallery([sample()])
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["#7: cat", "change x 16", "taken for car"]
    shown = np.asarray(figure.axes[3].images[0].get_array())
    assert shown == pytest.approx(np.ones((8, 8, 3)))


def test_titles_of_the_gallery_do_not_overlap_however_long():
    names = ["Siberian husky, a large dog of the north", "T-shirt/top", "automobile", "Donaudampfschifffahrt"]
    some = [
        replace(sample(), label=name, candidate_says=name, name=f"sample {10_000 + i}")
        for i, name in enumerate(names * 2)
    ]
    figure = figures.gallery(some)
    figures.to_svg(figure)
    for row in range(3):
        boxes = [axes.title.get_window_extent() for axes in figure.axes[6 * row : 6 * row + 6]]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height for box in boxes)


def test_the_curve_stands_beside_the_worst_case_of_the_table_and_says_of_how_many():
    case = made_up.case(
        [True] * 8,
        [
            made_up.outcome("PGD", "rrrrrbbb"),
            made_up.outcome("CW", "brrrrrrb"),
            made_up.outcome("PGD", "bbbbbbbr", norm="L2", eps=0.5),
        ],
    )
    (point,) = figures.worst_of(case)
    assert (point.eps, point.k, point.n) == (8 / 255, 4, 8)
    curve = [figures.Point(eps=eps / 255, k=4, n=4) for eps in (0, 8)]
    (picture,) = [one for one in suite_pictures([case], {"Linf": {case.case: curve}}) if "perturbation" in one.title]
    assert "on 4 of the 8 samples" in picture.caption
    assert "either side" in picture.caption
    (told,) = [line for line in handles(picture.figure) if "worst case of the table" in line.get_label()]
    assert [*told.get_xdata(), *told.get_ydata()] == [pytest.approx(8), 50]
    whole = [replace(point, n=8) for point in curve]
    (picture,) = [one for one in suite_pictures([case], {"Linf": {case.case: whole}}) if "perturbation" in one.title]
    assert "on the 8 samples" in picture.caption
    assert "either side" not in picture.caption


def test_files_are_the_same_byte_for_byte(tmp_path):
    for ending in ("svg", "png"):
        one = figures.save(EVERY["eps"](), tmp_path / f"one.{ending}")
        two = figures.save(EVERY["eps"](), tmp_path / "sub" / f"two.{ending}")
        assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match=r"\.svg or \.png"):
        figures.save(EVERY["eps"](), tmp_path / "x.gif")


def test_colours_can_be_read_on_white_and_on_black():
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    from robustprune.report.figures.style import PALETTE

    for colour in (INK, *PALETTE):
        light = luminance(colour)
        assert 1.05 / (light + 0.05) >= 3, colour  # WCAG: 3 to 1 for graphics
        assert (light + 0.05) / (luminance("#14171c") + 0.05) >= 3, colour


@pytest.mark.parametrize(
    "call",
    [
        lambda: figures.removed_blocks(CASES[:1]),
        lambda: figures.layer_similarity(CASES[:1]),
        lambda: figures.agreement(CASES[:1]),
        lambda: figures.candidate_blocks(CASES[:1]),
        lambda: figures.over_eps({}),
        lambda: figures.gallery([]),
        lambda: figures.class_change(CASES[1], replace(CASES[0], outcomes=[])),
    ],
)
def test_nothing_to_draw_is_said(call):
    with pytest.raises(InputError):
        call()


def test_a_finished_artefact_is_drawn_beside_the_parent_that_it_replaces():
    """It bears a model name of its own; blocks and similarities are still those of its parent."""
    parent = made_up.case([True] * 20)
    child = made_up.case(
        [True] * 20,
        case="new/finished artefact",
        model="new",
        strategy="finished artefact",
        parent=parent.case,
        removed=["layer1.1"],
        similarity={"layer1.0": 0.9, "layer1.2": 0.8},
    )
    titles = [picture.title for picture in suite_pictures([parent, child])]
    assert "Which blocks went" in titles
    assert "What was lost of the parent's representation" in titles


def test_latency_is_the_parents_times_the_ratio_that_was_timed_in_turn():
    """A machine that was slow while the pruned network was timed does not make it look slower than its parent."""
    parent = made_up.case([True] * 20, cost=replace(made_up.cost(), latency_ms={"1": (9, 10, 11)}, latency_ratio={}))
    slow = replace(made_up.cost(), latency_ms={"1": (14, 15, 16)}, latency_ratio={"1": 0.8})
    child = made_up.case([True] * 20, case="a", strategy="a", parent=parent.case, removed=["layer1.1"], cost=slow)
    assert _latency(child, parent, "1") == pytest.approx(8.0)
    assert _latency(parent, parent, "1") == 10
