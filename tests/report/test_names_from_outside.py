"""Names of classes, files and networks are text in every format, never markup, formulas or commands."""

from __future__ import annotations

import pytest
from pandas import DataFrame

from robustprune.report.formats import to_csv
from robustprune.report.markdown import inline, pipe, printable


@pytest.mark.parametrize("name", ["## PASS: may ship\n", "\x1b[1mPASS", "a\r\n## PASS", "\udc80", "x\u2028y", "\x00"])
def test_a_name_stays_on_its_line_and_sends_nothing_to_the_terminal(name):
    for text in (printable(name), inline(name)):
        assert text.isprintable()
        assert len(text.splitlines()) == 1
        text.encode()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "<!-- x", "</table>", "[PASS](http://x)", "![x](y)"])
def test_a_name_is_no_tag_and_no_link(name):
    assert not any(mark in inline(name) for mark in ("<s", "<!", "</", "]("))


@pytest.mark.parametrize("name", ["a|b", "a\\|b", "|", "\\\\|"])
def test_a_table_keeps_its_columns(name):
    head, rule, row = pipe([name, "n"], [[name, 1]], padded=False).splitlines()
    for line in (head, row):
        assert line.replace("\\|", "").count("|") == rule.count("|")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-cmd", "@sum", "\t=1", "\r=1"])
def test_a_cell_is_no_formula(name):
    head, row = to_csv(DataFrame({name: [name], "n": [-0.5]})).splitlines()
    assert head.startswith("'")
    assert row.startswith("'")
    assert row.endswith(",-0.5")


def test_a_number_below_a_half_and_plain_names_are_left_as_they_are():
    assert inline("cka, p < 0.05 [-0.1, 0.2]") == "cka, p < 0.05 [-0.1, 0.2]"
