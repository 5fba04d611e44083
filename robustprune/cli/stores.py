"""Verbs on what runs leave behind: shards put together, a store that is cleaned."""

from __future__ import annotations

from pathlib import Path

import click

from robustprune.cli.ending import Ending
from robustprune.cli.tables import show, wide_option
from robustprune.cli.verbs import FOLDER, data_option, device_option, example, results_option


@click.command(epilog=example("robustprune merge suites/digits.py shards/*"))
@click.argument("suite")
@click.argument("folders", nargs=-1, required=True, type=FOLDER)
@wide_option
@results_option
@data_option
def merge(suite: str, folders: tuple[Path, ...], wide: bool, results: Path | None) -> Ending:
    """Put together what `run SUITE --shard` has written to FOLDERS, as the latest results of SUITE.

    Refused where they do not belong together: another suite or program, the same case with other outcomes, cases that
    are missing. Where all shards used one folder, `run SUITE` does the same: it finds everything measured.
    """
    from robustprune.run.latest import keep
    from robustprune.run.shards import merged
    from robustprune.run.shelf import BASELINE, TABLE, shelf, write_tables
    from robustprune.suite.files import open_suite

    opened = open_suite(suite)
    cases, lines = merged(opened, folders)
    for line in lines:
        click.echo(line, err=True)
    place = shelf(opened, results)
    keep(cases, place.latest / BASELINE)
    files = write_tables(cases, place.latest)
    show(cases, (place.latest / TABLE).read_text(), wide)
    click.echo(f"Written: {', '.join(map(str, files))}", err=True)
    return Ending(kind="results", paths=(str(place.latest / BASELINE), *map(str, files)))


@click.command(epilog=example("robustprune clean suites/*.py --yes"))
@click.argument("suites", nargs=-1)
@click.option("--yes", is_flag=True, help="Remove it; without this it is only said.")
@device_option
@results_option
@data_option
def clean(suites: tuple[str, ...], yes: bool, device: str, results: Path | None) -> None:
    """Remove from the store what a run of SUITES would not find there; without any suite, everything.

    What was measured for `replicate`, `stage` and `--quick`, on another device or by another version of the program
    goes too. So does what was begun of a case that is not finished, but for what can be found on the way to it.
    """
    from robustprune.run.cleaning import content, needed, remove, spare
    from robustprune.run.own import own_store
    from robustprune.run.shelf import STORE, local_folder, shelf
    from robustprune.suite.files import open_suite

    opened = [open_suite(suite) for suite in suites]
    places = [shelf(suite, results).store for suite in opened]
    store = places[0] if places else own_store(local_folder(results or Path("results")) / STORE)
    whole, keys = content(store.folder), set[str]()
    for suite, place in zip(opened, places, strict=True):
        if place.folder != store.folder:
            raise click.UsageError(f"{suite.name} has another store, {place.folder}; clean one store at a time")
        found, unfinished = needed(suite, store, device)
        keys |= found
        if unfinished:
            click.echo(f"{suite.name}: {len(unfinished)} of {len(suite.cases)} cases are not finished", err=True)
    some = spare(store.folder, keys)
    click.echo(f"{store.folder}: {whole}; {'removed' if yes else 'to remove'} {some}")
    if yes:
        remove(some.files)
    elif some.files:
        click.echo("nothing was removed; --yes removes it", err=True)
