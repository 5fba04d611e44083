"""What reports say of the criteria: the numbers of results.agreement, in words, tables, CSV and on the page."""

import io
from dataclasses import replace

import made_up
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare, spearmanr

from robustprune.report import voters
from robustprune.report.html import render
from robustprune.report.written import files, rendered
from robustprune.results.voters import runs_of

BLOCKS = ["one.1", "one.2", "two.1", "two.2"]
VOTES = {"a": [2.0, 1.0, 3.0, 4.0], "b": [1.0, 4.0, 2.0, 3.0], "c": [3.0, 3.0, 2.0, 2.0]}
SUMS = [2 + 1 + 3.5, 1 + 4 + 3.5, 3 + 2 + 1.5, 4 + 3 + 1.5]


def suite():
    scores = {"all": SUMS, **VOTES}
    case = made_up.case(
        [True] * 4,
        [made_up.outcome("PGD", "rrrb")],
        case="net/all-1/ft/seed0",
        strategy="all",
        recipe="ft",
        parent="net/parent",
        blocks=BLOCKS,
        removed=["one.1"],
        scores={name: dict(zip(BLOCKS, row, strict=True)) for name, row in scores.items()},
        combines=True,
    )
    return [made_up.case([True] * 4, [made_up.outcome("PGD", "rrrr")], blocks=BLOCKS), case]


def said():
    return {title.partition(",")[0]: (text, rows) for title, text, rows in voters.parts(suite())}


def test_the_matrix_and_concordance_are_scipys():
    (w, _), rows = said()[voters.AGREE]
    statistic = friedmanchisquare(*zip(*VOTES.values(), strict=True)).statistic
    assert f"the 3 voters of all, {statistic / 9:.2f}." in w
    table = {row["criterion"]: row for row in rows}
    assert table["a"]["b"] == f"{spearmanr(VOTES['a'], VOTES['b']).statistic:.2f}"
    assert table["all"]["all"] == "1.00"


def test_what_each_voter_decides_is_named_block_by_block():
    (about,), rows = said()[voters.DECIDES]
    assert "take what was removed in 1 of 1 case." in about
    assert [row["voter left out"] for row in rows] == ["a", "b", "c"]
    changed = {row["voter left out"]: (row["changed"], row["then stay"], row["then go"]) for row in rows}
    assert changed["a"] == ("1 of 1", "one.1 (1)", "two.1 (1)")
    assert changed["b"] == ("1 of 1", "one.1 (1)", "one.2 (1)")
    assert changed["c"] == ("0 of 1", "-", "-")


def test_candidates_stand_in_the_table_and_in_a_file_of_numbers():
    _, rows = said()[voters.LETS_GO]
    assert rows[0] == {"criterion": "all", "one.1": "100 (100)", "one.2": "0 (0)", "two.1": "100 (0)", "two.2": "0 (0)"}
    table = pd.read_csv(io.StringIO(files(suite())["votes.csv"]))
    assert [*table.columns] == ["model", "criterion", "block", "runs", "mean_rank", "lowest_half", "chosen"]
    assert len(table) == len(BLOCKS) * (1 + len(VOTES))
    row = table[(table.criterion == "b") & (table.block == "two.1")].iloc[0]
    assert (row.mean_rank, row.lowest_half, row.chosen) == (2, 1, 0)


@pytest.mark.parametrize("form", ["md", "html"])
def test_page_and_markdown_show_the_tables(form):
    text = rendered(suite(), form) if form == "md" else render("made up", suite())
    for title in (voters.AGREE, voters.DECIDES, voters.LETS_GO, "voter left out", "two.1 (1)"):
        assert title in text


def test_where_no_two_criteria_scored_nothing_is_said():
    parent, case = suite()
    single = made_up.case([True] * 4, blocks=BLOCKS, scores={"a": case.scores["a"]}, strategy="a", removed=["one.2"])
    for cases in ([parent], [single]):
        assert [*voters.parts(cases)] == []
        assert list(files(cases)) == ["table.md", "table.csv"]
    assert len(runs_of([single])) == 1


@pytest.mark.parametrize("names", [["a", "b"], ["all", "a"]], ids=["two criteria", "a consensus of one voter"])
@pytest.mark.parametrize("blocks", [BLOCKS, BLOCKS[:1]], ids=["blocks", "a single block"])
def test_what_is_not_defined_is_left_out_and_nothing_fails(names, blocks):
    parent, case = suite()
    scores = {name: {block: case.scores[name][block] for block in blocks} for name in names}
    few = replace(case, scores=scores, strategy=names[0], combines=names[0] == "all", blocks=blocks, removed=blocks[:1])
    assert "table.md" in files([parent, few])
    assert voters.AGREE in render("made up", [parent, few]) or len(blocks) == 1
