"""The command line: verbs only. Everything that takes time to import is imported by the verb that needs it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from robustprune import __version__
from robustprune.errors import InputError
from robustprune.review.commands import export, review, stage, verify

DONE, FAIL, WRONG_USE, UNDECIDED = 0, 1, 2, 3


class Verbs(click.Group):
    """Turns wrong use into one line on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            click.echo(f"robustprune: {' '.join(str(error).split())}", err=True)
            ctx.exit(WRONG_USE)
        except KeyboardInterrupt:
            click.echo("robustprune: stopped; what was finished is kept, the same command goes on from there", err=True)
            ctx.exit(130)


def example(text: str) -> str:
    """An epilog that click leaves as it is."""
    return f"\b\nExample:\n  {text}"


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Is this layer-pruned network still safe to ship?

    Prunes residual blocks, fine-tunes, attacks, and compares accuracy, robustness and cost with the parent's.
    """


def common(verb: Callable[..., None]) -> Callable[..., None]:
    """Options that every verb on a suite has."""

    @click.option("--data-dir", type=click.Path(file_okay=False), help="Folder of data and weights [ROBUSTPRUNE_DATA].")
    @click.option("--results", type=click.Path(file_okay=False, path_type=Path), help="Folder of results [results].")
    @functools.wraps(verb)
    def wrapped(*args: Any, data_dir: str | None, **options: Any) -> None:
        if data_dir is not None:
            if not Path(data_dir).is_dir():
                raise InputError(f"--data-dir {data_dir}: no such folder")
            os.environ["ROBUSTPRUNE_DATA"] = data_dir
        verb(*args, **options)

    return wrapped


@main.command(epilog=example("robustprune run suites/digits.py -k consensus"))
@click.argument("suite")
@click.option("-k", "expression", help="Only cases whose name holds this text; their parents run too.")
@click.option("--quick", is_flag=True, help="One seed and 64 samples: a look, too small for any claim.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps.")
@click.option("--workers", type=click.IntRange(1), help="Processes [one a core; 1 on an accelerator].")
@click.option("--force", is_flag=True, help="Measure everything anew.")
@common
def run(
    suite: str, expression: str | None, quick: bool, device: str, workers: int | None, force: bool, results: Path | None
) -> None:
    """Measure what is missing of SUITE, with progress, then print the comparison table."""
    from robustprune import workspace

    opened = workspace.open_suite(suite, expression, quick)
    place = workspace.shelf(opened, results)
    cases = workspace.measure_suite(opened, place, device=device, workers=workers, force=force)
    files = workspace.write_tables(cases, place.latest)
    click.echo((place.latest / workspace.TABLE).read_text())
    click.echo(f"Written: {', '.join(str(path) for path in files)}", err=True)


@main.command(epilog=example("robustprune check suites/digits.py"))
@click.argument("suite")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps.")
@common
def check(suite: str, device: str, results: Path | None) -> None:
    """Import SUITE, load its data, pass one image through every model. Trains nothing."""
    from robustprune import workspace
    from robustprune.inspection import inspect

    for line in list(inspect(workspace.open_suite(suite), device)):
        click.echo(line)


@main.command(epilog=example("robustprune report suites/digits.py --format tex"))
@click.argument("suite")
@click.option("--format", "form", type=click.Choice(["md", "csv", "tex", "html"]), default="md", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, not to stdout.")
@common
def report(suite: str, form: str, output: Path | None, results: Path | None) -> None:
    """Show stored results of SUITE as a table or as one HTML page. Measures nothing."""
    from robustprune import workspace
    from robustprune.store import write_whole

    opened = workspace.open_suite(suite)
    text = workspace.rendered(workspace.latest(workspace.shelf(opened, results), opened), form, opened.policy)
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
    from robustprune import workspace
    from robustprune.policy import Policy
    from robustprune.regression import changes, environment_differences

    old, new = (workspace.load_set(path) for path in (before, now))
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
@common
def approve(suite: str, results: Path | None) -> None:
    """Make the latest results of SUITE the baseline that `pytest suites/` compares with."""
    from robustprune import workspace

    opened = workspace.open_suite(suite)
    for path in workspace.approve(opened, workspace.shelf(opened, results)):
        click.echo(f"Written: {path}")


@main.command("list", epilog=example("robustprune list criteria"))
@click.argument("kind", type=click.Choice(["models", "criteria", "attacks", "recipes", "datasets", "suites"]))
def list_names(kind: str) -> None:
    """Print the names of one KIND with one line each."""
    from robustprune.inspection import list_suites
    from robustprune.registry import describe_all

    for name, line in (list_suites(Path("suites")) if kind == "suites" else describe_all(kind)).items():
        click.echo(f"{name:<24}{line}")


@main.command(epilog=example("robustprune doctor"))
@common
def doctor(results: Path | None) -> None:
    """Say what is installed, which data is found where, and what each suite would need."""
    from robustprune.inspection import diagnose

    for line in diagnose(Path("suites")):
        click.echo(line)


for verb in (review, verify, stage, export):
    main.add_command(verb)
