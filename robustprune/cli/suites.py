"""The command line: verbs only. Everything that takes time to import is imported by the verb that needs it."""

from __future__ import annotations

from pathlib import Path

import click

from robustprune.cli.reviews import export, review, stage, verify
from robustprune.cli.verbs import DONE, FAIL, data_option, device_option, example, main, results_option
from robustprune.errors import InputError

__all__ = ["main"]


@main.command(epilog=example("robustprune run suites/digits.py -k consensus"))
@click.argument("suite")
@click.option("-k", "expression", help="Only cases whose name holds this text; their parents run too.")
@click.option("--quick", is_flag=True, help="One seed and 64 samples: a look, too small for any claim.")
@device_option
@click.option("--workers", type=click.IntRange(1), help="Processes [one a core; 1 on an accelerator].")
@click.option("--force", is_flag=True, help="Measure everything anew.")
@results_option
@data_option
def run(
    suite: str, expression: str | None, quick: bool, device: str, workers: int | None, force: bool, results: Path | None
) -> None:
    """Measure what is missing of SUITE, with progress, then print the comparison table."""
    from robustprune.run.shelf import TABLE, measure_suite, write_tables
    from robustprune.run.shelf import shelf as shelf_of
    from robustprune.suite.files import open_suite

    opened = open_suite(suite, expression, quick)
    place = shelf_of(opened, results)
    cases = measure_suite(opened, place, device=device, workers=workers, force=force)
    files = write_tables(cases, place.latest)
    click.echo((place.latest / TABLE).read_text())
    click.echo(f"Written: {', '.join(str(path) for path in files)}", err=True)


@main.command(epilog=example("robustprune check suites/digits.py"))
@click.argument("suite")
@device_option
@results_option
@data_option
def check(suite: str, device: str, results: Path | None) -> None:
    """Import SUITE, load its data, pass one image through every model. Trains nothing."""
    from robustprune.run.inspection import inspected
    from robustprune.suite.files import open_suite

    for line in inspected(open_suite(suite), device):
        click.echo(line)


@main.command(epilog=example("robustprune report suites/digits.py --format tex"))
@click.argument("suite")
@click.option("--format", "form", type=click.Choice(["md", "csv", "tex", "html"]), default="md", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, not to stdout.")
@results_option
@data_option
def report(suite: str, form: str, output: Path | None, results: Path | None) -> None:
    """Show stored results of SUITE as a table or as one HTML page. Measures nothing."""
    from robustprune.files import write_whole
    from robustprune.report.written import rendered
    from robustprune.run.shelf import latest
    from robustprune.run.shelf import shelf as shelf_of
    from robustprune.suite.files import open_suite

    opened = open_suite(suite)
    text = rendered(latest(shelf_of(opened, results), opened), form, opened.policy)
    if output is None:
        click.echo(text)
    else:
        write_whole(output, text.encode())
        click.echo(f"Written: {output}", err=True)


@main.command(epilog=example("robustprune compare results/digits .robustprune/latest/digits"))
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("now", type=click.Path(path_type=Path))
def compare(before: Path, now: Path) -> None:
    """Compare two result sets sample by sample: folders, or cases.json.gz files, BEFORE and NOW.

    Exit code 1 where a case became significantly weaker.
    """
    from robustprune.policy.baseline import changes, environment_differences
    from robustprune.policy.policy import Policy
    from robustprune.run.shelf import load_set

    old, new = (load_set(path) for path in (before, now))
    found = changes(new, old, Policy())
    if not found:
        raise InputError(f"{before} and {now} have no case in common")
    for line in environment_differences(new, old):
        click.echo(f"warning: {line}", err=True)
    for one in found:
        click.echo(str(one))
    weaker = [one for one in found if one.verdict == "FAIL"]
    click.echo(f"{len(found)} claims compared, {len(weaker)} significantly weaker")
    click.get_current_context().exit(FAIL if weaker else DONE)


@main.command(epilog=example("robustprune approve suites/digits.py"))
@click.argument("suite")
@results_option
@data_option
def approve(suite: str, results: Path | None) -> None:
    """Make the latest results of SUITE the baseline that `pytest suites/` compares with."""
    from robustprune.run.shelf import approve as keep
    from robustprune.run.shelf import shelf as shelf_of
    from robustprune.suite.files import open_suite

    opened = open_suite(suite)
    for path in keep(opened, shelf_of(opened, results)):
        click.echo(f"Written: {path}")


@main.command("list", epilog=example("robustprune list criteria"))
@click.argument("kind", type=click.Choice(["models", "criteria", "attacks", "recipes", "datasets", "suites"]))
def list_names(kind: str) -> None:
    """Print the names of one KIND with one line each."""
    from robustprune.names import describe_all
    from robustprune.run.inspection import list_suites

    for name, line in (list_suites(Path("suites")) if kind == "suites" else describe_all(kind)).items():
        click.echo(f"{name:<24}{line}")


@main.command(epilog=example("robustprune doctor"))
@results_option
@data_option
def doctor(results: Path | None) -> None:
    """Say what is installed, which data is found where, and what each suite would need."""
    from robustprune.run.inspection import diagnose

    for line in diagnose(Path("suites")):
        click.echo(line)


for verb in (review, verify, stage, export):
    main.add_command(verb)
