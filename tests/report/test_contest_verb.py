"""`robustprune contest`: suites or folders of results in, a page and what lies beside it out, or one clear line."""

from __future__ import annotations

from dataclasses import replace

import made_up_suites as made
import pytest
from click.testing import CliRunner
from suite_files import TINY

from robustprune.cli.contests import _cost
from robustprune.cli.verbs import main
from robustprune.criteria import DepthFirst
from robustprune.finetune import Recipe
from robustprune.results.records import save
from robustprune.suite import Case, Model, Strategy

MADE = TINY.replace('"tiny"', '"one"').replace('name="net"', 'name="net-0"').replace("remove=2", "remove=1")
"""A suite that trains nothing here, since results of its name are approved; two of its cases are among them."""

FILES = {"README.md", "comparisons.csv", "means.csv"} | {
    f"{kind}_{measure}.svg" for kind in ("forest", "front") for measure in ("robust", "clean")
}


def call(*words):
    return CliRunner().invoke(main, ["contest", *map(str, words)])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Suites and approved results of them."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "suites").mkdir()
    (folder / "suites" / "one.py").write_text(MADE)
    (folder / "suites" / "unmeasured.py").write_text(MADE.replace('"one"', '"unmeasured"'))
    one = made.suite(n=30)
    few = [case for case in one if not case.combines]
    sets = {"one": one, "two": made.suite("two", n=20), "few": [replace(case, suite="few") for case in few]}
    for name, cases in sets.items():
        save(cases, folder / "results" / name / "cases.json.gz")
    return folder


def test_it_writes_the_page_the_figures_and_every_number(home, tmp_path):
    result = call(home / "suites/one.py", home / "results/two", "--output", tmp_path / "page")
    assert result.exit_code == 0, result.output
    assert {file.name for file in (tmp_path / "page").iterdir()} == FILES
    page = (tmp_path / "page" / "README.md").read_text()
    assert result.stdout.strip() in page
    assert "robust-consensus" in result.stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ft")]
    assert rows == [["ft", "one", "4", "200", "200", "0"]]


def test_what_was_fine_tuned_between_removals_costs_too():
    long, short = (Recipe(name=name, epochs=epochs, lr=0.1) for name, epochs in (("long", 3), ("short", 1)))
    model = Model(name="net", build=object, weights="net.safetensors")
    once = Strategy(criterion=DepthFirst(), remove=5, step=2, between=short)
    assert _cost(Case(model=model, strategy=once, recipe=long), removed=5, n=10) == (50, 50, 0)
    assert _cost(Case(model=model, recipe=long), removed=0, n=10) == (30, 30, 0)


WRONG = {
    "no such suite": (["suites/none.py"], "no such suite"),
    "no such folder": (["results/none.gz"], "results/none.gz"),
    "no results": (["suites/unmeasured.py"], "unmeasured: no results yet"),
    "twice": (["results/one", "suites/one.py"], "both are results of 'one', expected suites of different names"),
    "no consensus": (["results/few"], "few: no strategy that combines criteria, expected a consensus among them"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_line(home, tmp_path, name):
    given, line = WRONG[name]
    result = call(*(home / one for one in given), "--output", tmp_path / "page")
    assert result.exit_code == 2
    assert result.stdout == ""
    (said,) = result.stderr.splitlines()
    assert line in said
    assert not (tmp_path / "page").exists()


def test_without_suites_it_says_how_it_is_used():
    result = call()
    assert result.exit_code == 2
    assert "Missing argument" in result.stderr
