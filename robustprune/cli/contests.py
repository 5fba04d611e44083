"""The verb that answers over several suites whether a consensus prunes better than each single criterion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustprune.cli.ending import Ending
from robustprune.cli.verbs import FOLDER, data_option, example, results_option
from robustprune.errors import InputError

if TYPE_CHECKING:
    from robustprune.report.across.page import Passes, Source
    from robustprune.results.records import CaseResult
    from robustprune.suite.cases import Case, Suite


@click.command(epilog=example("robustprune contest suites/digits.py suites/fashion_mnist.py"))
@click.argument("suites", nargs=-1, required=True)
@click.option(
    "--output",
    type=FOLDER,
    default=Path("results/consensus"),
    show_default=True,
    help="Folder of the page, its figures and tables.",
)
@results_option
@data_option
def contest(suites: tuple[str, ...], output: Path, results: Path | None) -> Ending:
    """Does a consensus prune better than each single criterion, over all SUITES together? Measures nothing.

    SUITES are suite files, whose latest results are taken, else the approved ones; or folders of results, of which
    nobody knows what a recipe costs. Writes a page with the answer, its figures and every number.
    """
    from robustprune.files import write_all
    from robustprune.report.across.page import PAGE, contested
    from robustprune.report.figures import svg_file

    _check_free(output)
    made = contested([_source(given, results) for given in suites])
    drawn = {name: svg_file(draw()) for name, draw in made.figures.items()}
    write_all(output, {name: text.encode() for name, text in made.texts.items()} | drawn)
    files = [str(output / name) for name in (*made.texts, *made.figures)]
    click.echo("\n\n".join(made.texts[PAGE].split("\n\n")[1:5]))
    click.echo(f"Written: {', '.join(files)}", err=True)
    return Ending(kind="files", paths=tuple(files))


def _check_free(output: Path) -> None:
    """Refuse a folder whose page is about something else, such as a project's own; asked before anything is read."""
    from robustprune.files import writable
    from robustprune.report.across.page import PAGE
    from robustprune.report.across.tables import QUESTION

    page = output / PAGE
    if not writable(output):
        raise InputError(f"--output {output}: cannot be written there; expected a folder")
    if page.exists() and not (page.is_file() and page.read_bytes().startswith(f"# {QUESTION}".encode())):
        raise InputError(f"--output {output}: its {PAGE} is not of `robustprune contest`; give another folder")


def _source(given: str, results: Path | None) -> Source:
    """Read what is known of one suite."""
    from robustprune.report.across.page import Source
    from robustprune.results.seen import seen
    from robustprune.run.shelf import latest, load_set, shelf
    from robustprune.suite.files import open_suite

    file = not (Path(given).is_dir() or given.endswith(".gz"))
    suite = open_suite(given) if file else None
    cases = load_set(Path(given)) if suite is None else latest(shelf(suite, results), suite)
    if not cases:
        raise InputError(f"{given}: holds no results, expected some cases")
    passes = {} if suite is None else _passes(suite, cases)
    return Source(name=cases[0].suite, given=given, file=file, networks=seen(cases), passes=passes)


def _passes(suite: Suite, cases: list[CaseResult]) -> dict[str, Passes]:
    """Return what fine-tuning took of every case that the suite still has."""
    removed = {case.case: len(case.removed) for case in cases}
    known = [case for case in suite.cases if case.recipe is not None and case.id in removed]
    n = len(suite.data().train) if any(_unstated(case) for case in known) else 0
    return {case.id: _cost(case, removed[case.id], n) for case in known}


def _unstated(case: Case) -> bool:
    """Whether one must know how many training images there are."""
    between = None if case.strategy is None else case.strategy.between
    return any(recipe is not None and recipe.samples is None for recipe in (case.recipe, between))


def _cost(case: Case, removed: int, n: int) -> Passes:
    """Add up the recipe, and that between removals as often as it ran."""
    from robustprune.finetune.passes import cost

    recipes = [case.recipe]
    if case.strategy is not None and case.strategy.step is not None:
        recipes += [case.strategy.between] * (-(-removed // case.strategy.step) - 1)
    costs = [cost(recipe, n) for recipe in recipes if recipe is not None]
    return sum(c.forwards for c in costs), sum(c.backwards for c in costs), sum(c.teacher for c in costs)
