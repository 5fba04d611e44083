"""The command line: verbs only. Everything that takes time to import is imported by the verb that needs it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click

from robustprune.cli.blocks import blocks
from robustprune.cli.contests import contest
from robustprune.cli.ending import DONE, FAIL, UNDECIDED, Ending
from robustprune.cli.hashes import hashes
from robustprune.cli.language import shorten
from robustprune.cli.new import new
from robustprune.cli.options import energy_options, metering, where_options
from robustprune.cli.reviews import export, review, stage, verify
from robustprune.cli.stores import clean, merge
from robustprune.cli.tables import show, wide_option
from robustprune.cli.tuning import tune
from robustprune.cli.verbs import data_option, device_option, example, main, results_option
from robustprune.errors import InputError
from robustprune.machine import user_name

__all__ = ["main"]


@main.command(epilog=example("robustprune run suites/digits.py -k consensus"))
@click.argument("suite")
@click.option("-k", "expression", help="Only cases whose name holds this text; their parents run too.")
@click.option("--quick", is_flag=True, help="One seed and 64 samples: a look, too small for any claim.")
@device_option
@where_options
@click.option("--force", is_flag=True, help="Measure everything anew.")
@click.option("--shard", metavar="N/COUNT", help="Only this part of the cases, kept apart; `merge` joins the parts.")
@energy_options
@wide_option
@results_option
@data_option
def run(suite: str, shard: str | None, wide: bool, results: Path | None, **how: Any) -> Ending:
    """Measure what is missing of SUITE, with progress, then print the comparison table.

    A terminal is shown what fits its width; a file or a pipe gets everything.
    """
    from robustprune.run.shards import parsed
    from robustprune.run.shelf import BASELINE, TABLE, measure_suite, write_tables
    from robustprune.run.shelf import shelf as shelf_of
    from robustprune.suite.files import open_suite

    expression, quick, energy = how.pop("expression"), how.pop("quick"), metering(how.pop("energy"), how.pop("country"))
    if shard is not None and (expression or quick):
        raise InputError("--shard: a part of the whole suite; give it without -k and --quick")
    part = None if shard is None else parsed(shard)
    opened = open_suite(suite, expression, quick)
    place = shelf_of(opened, results, part)
    if part is not None and energy is not None:
        raise InputError("--energy: measured of a whole suite, on one machine; give it without --shard")
    cases = measure_suite(opened, place, shard=part, **how)
    if energy is not None:
        from robustprune.run.energy import suite_energy

        cases = suite_energy(opened, place, cases, how["device"], energy)
    files = write_tables(cases, place.latest)
    show(cases, (place.latest / TABLE).read_text(), wide)
    click.echo(f"Written: {', '.join(str(path) for path in files)}", err=True)
    return Ending(kind="results", paths=(str(place.latest / BASELINE), *map(str, files)))


@main.command(epilog=example("robustprune train suites/digits.py"))
@click.argument("suite")
@device_option
@data_option
def train(suite: str, device: str) -> None:
    """Train the parents of SUITE anew that have a recipe, and write their weight files beside it."""
    from robustprune.run.parents import trained_parents
    from robustprune.suite.files import open_suite

    def tick(stage: str, done: int, total: int) -> None:
        click.echo(f"epoch {done} of {total}: {stage}" if total else stage, err=True)

    for line in trained_parents(open_suite(suite), device, tick):
        click.echo(line)


@main.command(epilog=example("robustprune replicate suites/digits.py --times 6"))
@click.argument("suite")
@click.option("--times", type=click.IntRange(2), default=6, show_default=True, help="How many runs.")
@device_option
@where_options
@results_option
@data_option
def replicate(suite: str, times: int, results: Path | None, **how: Any) -> None:
    """Run SUITE several times with other seeds throughout: do its significant sentences hold?

    Parents are trained anew, so each of them needs a recipe. Every run costs what the suite costs, and more.
    """
    from robustprune.run.replication import replicated
    from robustprune.suite.files import open_suite

    files = replicated(open_suite(suite), times, results, **how)
    click.echo(files[0].read_text())
    click.echo(f"Written: {', '.join(map(str, files))}", err=True)


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
@wide_option
@results_option
@data_option
def report(suite: str, form: str, output: Path | None, wide: bool, results: Path | None) -> None:
    """Show stored results of SUITE as a table or as one HTML page. Measures nothing.

    Of the format md a terminal is shown what fits its width; a file or a pipe gets everything.
    """
    from robustprune.files import write_whole
    from robustprune.report.written import rendered
    from robustprune.run.shelf import latest
    from robustprune.run.shelf import shelf as shelf_of
    from robustprune.suite.files import open_suite

    opened = open_suite(suite)
    cases = latest(shelf_of(opened, results), opened)
    text = rendered(cases, form, opened.policy)
    if output is None:
        show(cases, text, wide or form != "md")
    else:
        write_whole(output, text.encode())
        click.echo(f"Written: {output}", err=True)


@main.command(
    epilog=example(
        "robustprune compare results/digits .robustprune/latest/digits", "0 nothing weaker, 1 weaker, 3 no answer"
    )
)
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("now", type=click.Path(path_type=Path))
def compare(before: Path, now: Path) -> Ending:
    """Compare two result sets: folders, or cases.json.gz files, BEFORE and NOW.

    Weaker is what lost accuracy significantly, or other blocks; there is no answer where attacks differ.
    """
    from robustprune.policy.baseline import changes, environment_differences
    from robustprune.policy.blocks import choices
    from robustprune.policy.policy import Policy
    from robustprune.run.shelf import load_set

    old, new = (load_set(path) for path in (before, now))
    chosen, found = choices(new, old), changes(new, old, Policy())
    if not found:
        raise InputError(f"{before} and {now} have no case in common")
    for line in environment_differences(new, old):
        click.echo(f"warning: {line}", err=True)
    for one in [*chosen, *found]:
        click.echo(str(one))
    weaker, other = ([one for one in found if one.verdict == verdict] for verdict in ("FAIL", "UNTRUSTED"))
    blocks = [one for one in chosen if one.verdict == "FAIL"]
    told = "".join(
        f", {len(some)} {what}" for some, what in ((blocks, "with other blocks"), (other, "cannot be compared")) if some
    )
    click.echo(f"{len(found)} claims compared, {len(weaker)} significantly weaker{told}")
    return Ending(code=FAIL if weaker or blocks else UNDECIDED if other else DONE)


@main.command(epilog=example("robustprune approve suites/digits.py --reason 'depth-first is a control'"))
@click.argument("suite")
@click.option("--reason", default="", metavar="TEXT", help="Why what fails the suite's policy is accepted.")
@click.option("--by", default=user_name, metavar="NAME", help="Who accepts it [the user's name].")
@results_option
@data_option
def approve(suite: str, reason: str, by: str, results: Path | None) -> None:
    """Make the latest results of SUITE the baseline that `pytest suites/` compares with.

    Says what was accepted although the suite's own policy does not pass it, and the smallest drop that a later
    comparison can see.
    """
    from robustprune.run.shelf import approve as keep
    from robustprune.run.shelf import shelf as shelf_of
    from robustprune.suite.files import open_suite

    opened = open_suite(suite)
    today = date.today().isoformat()
    done = keep(opened, shelf_of(opened, results), who=by, when=today, why=reason)
    click.echo(done.detectable)
    for one in done.accepted:
        more = f" (and {len(one.reasons) - 1} more)" if len(one.reasons) > 1 else ""
        click.echo(f"accepted: {one.case}: {one.verdict}: {one.reasons[0]}{more}")
    if done.dirty:
        click.echo(f"warning: {done.dirty} cases were measured with changes that are not in the commit", err=True)
    for path in done.files:
        click.echo(f"Written: {path}")


@main.command("list", epilog=example("robustprune list criteria"))
@click.argument(
    "kind",
    metavar="KIND",
    type=click.Choice(["models", "criteria", "attacks", "recipes", "datasets", "suites", "checks"]),
)
def list_names(kind: str) -> None:
    """Print the names of one KIND with one line each; of attacks and recipes also what they spend.

    KIND is models, criteria, attacks, recipes, datasets, suites or checks.
    """
    from robustprune.names import describe_all, load_object
    from robustprune.results.checks import listed
    from robustprune.run.inspection import list_suites

    own = {"suites": lambda: list_suites(Path("suites")), "checks": listed}
    lines = own[kind]() if kind in own else describe_all(kind)
    if kind in ("attacks", "recipes"):
        lines = load_object(f"robustprune.cli.{kind}:described")(lines)
    width = max(24, 2 + max(map(len, lines), default=0))
    for name, line in lines.items():
        click.echo(f"{name:<{width}}{line}")


@main.command(epilog=example("robustprune doctor"))
@results_option
@data_option
def doctor(results: Path | None) -> None:
    """Say what is installed, which data is found where, and what each suite would need."""
    from robustprune.run.cleaning import told
    from robustprune.run.inspection import diagnose
    from robustprune.run.shelf import STORE, local_folder

    for line in diagnose(Path("suites")):
        click.echo(line)
    click.echo(f"{'store':<14}{told(local_folder(results or Path('results')) / STORE)}")


for verb in (new, blocks, hashes, merge, clean, tune, contest, shorten, review, verify, stage, export):
    main.add_command(verb)
