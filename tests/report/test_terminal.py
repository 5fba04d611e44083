"""The table of the terminal: no line is wider, no row loses its name, and where no terminal is nothing is left out."""

from __future__ import annotations

import io
from dataclasses import replace

import made_up
import pytest

from robustprune.cli.tables import show
from robustprune.report.table import comparison
from robustprune.report.terminal import fitted, shown, to_terminal

CASES = made_up.whole_suite(n=30, seeds=(0, 1), models=("resnet20", "resnet20-at"))


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80, 132])
def test_no_line_is_wider_than_the_terminal(width):
    text = to_terminal(CASES, width)
    assert max(map(len, text.splitlines())) <= width
    for title in ("model", "strategy", "worst %", "change", "evidence"):
        assert title in text.splitlines()[0]


def test_a_wide_terminal_shows_intervals_a_narrow_one_fewer_columns():
    table = shown(comparison(CASES))
    wide, middle, narrow = (fitted(table, width).splitlines() for width in (300, 100, 56))
    assert "[" in wide[2]
    assert "[" not in "".join(middle)
    assert middle[0].split() == [
        "model",
        "strategy",
        "removed",
        "MACs",
        "clean",
        "%",
        "worst",
        "%",
        "change",
        "evidence",
    ]
    assert narrow[0].split() == ["model", "strategy", "removed", "worst", "%", "change", "evidence"]
    assert len(wide) == len(comparison(CASES)) + 2


def test_names_that_tell_rows_apart_stay_however_narrow():
    both = [*CASES, *(replace(case, case=f"{case.case}/b", recipe="adam") for case in CASES if case.recipe)]
    head = fitted(shown(comparison(both)), 10).splitlines()[0]
    assert head.split() == ["model", "strategy", "recipe", "removed", "worst", "%", "change", "evidence"]
    one = [case for case in CASES if case.model == "resnet20" and len(case.removed) in (0, 3)]
    assert fitted(shown(comparison(one)), 10).splitlines()[0].split() == [
        "strategy",
        "worst",
        "%",
        "change",
        "evidence",
    ]


def test_findings_are_counted_and_significance_stays():
    table = {
        "strategy": ["cka"],
        "change": ["-7.2 [-13.2, -1.3] *"],
        "evidence": ["SUSPECT; class floor failed; small"],
    }
    assert fitted(table, 40).splitlines()[-1].split() == ["cka", "-7.2", "*", "SUSPECT", "+2"]


def test_a_name_cannot_move_the_cursor():
    assert "\x1b" not in to_terminal([replace(CASES[0], family="a\x1b[2Jb")], 80)


@pytest.mark.parametrize(
    ("screen", "wide", "whole"), [(Screen, False, False), (Screen, True, True), (io.StringIO, False, True)]
)
def test_everything_on_request_and_where_no_terminal_is(monkeypatch, screen, wide, whole):
    out = screen()
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr("sys.stdout", out)
    show(CASES, "x" * 300, wide)
    longest = max(map(len, out.getvalue().splitlines()))
    assert (longest == 300) == whole
    assert whole or longest <= 70
