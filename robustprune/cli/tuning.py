"""The verb `tune`: weights of a consensus, found on held-out training samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustprune.cli.ending import Ending
from robustprune.cli.verbs import FILE, data_option, device_option, example, results_option

if TYPE_CHECKING:
    from robustprune.tune.search import Tried


@click.command(epilog=example("robustprune tune suites/digits.py --by family --networks 20 --output weights.json"))
@click.argument("suite")
@click.option("--model", "models", multiple=True, help="A model of SUITE; again for more [all with a consensus].")
@click.option(
    "--objective",
    type=click.Choice(["clean", "robust"]),
    default="robust",
    show_default=True,
    help="Accuracy, or accuracy under the attacks of the first threat.",
)
@click.option("--by", type=click.Choice(["voter", "family"]), default="family", show_default=True, help="What weighs.")
@click.option(
    "--networks",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Choices of blocks that are fine-tuned and attacked at most, for every model.",
)
@click.option("--held-out", default=0.25, show_default=True, help="Share of the training samples that weights see.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the search and the samples.")
@click.option("--output", type=FILE, default=Path("weights.json"), show_default=True, help="The file of weights.")
@device_option
@results_option
@data_option
def tune(suite: str, models: tuple[str, ...], held_out: float, device: str, results: Path | None, **how: Any) -> Ending:
    """Find weights for the voters of SUITE's consensus, and write them to a file that suites load.

    Every trial prunes by a consensus with other weights and fine-tunes by the recipe of that case; its worth is counted
    on training samples that were held out from scoring and fine-tuning. No test image is looked at. Parents that come
    as files may have learned from the held-out samples. A search that was stopped goes on, as does one with a larger
    budget.
    """
    from robustprune.results.words import plural
    from robustprune.run.bench import open_bench
    from robustprune.run.shelf import shelf
    from robustprune.suite.files import open_suite
    from robustprune.tune.search import Search, best, write_weights
    from robustprune.tune.trial import Fitting, consensus_cases, held_out_bench

    output: Path = how.pop("output")
    opened = open_suite(suite)
    cases, store = consensus_cases(opened, models), shelf(opened, results).store
    bench = held_out_bench(open_bench(opened, store, device), held_out, how["seed"])
    fitting = Fitting(bench=bench, cases=cases, objective=how.pop("objective"))
    search = Search(fitting=fitting, storage=store.folder.parent / "tune" / f"{opened.name}.db", **how)
    tried = search.run(
        lambda one: click.echo(_line(one), err=True) if one.new else None,
        lambda: click.echo("waiting for another search", err=True),
    )
    write_weights(search, tried, output)
    found, choices = best(tried), len({one.worth.removed for one in tried})
    click.echo("\n".join(f"{name}: {weight:.3f}" for name, weight in found.weights.items()))
    click.echo(
        f"{len(tried)} trials chose blocks in {plural(choices, 'way')}. {fitting.objective} accuracy on "
        f"{len(bench.sample)} held-out training samples: {found.worth.value:.2%}, with equal weights "
        f"{tried[0].worth.value:.2%}. The best of many looks better than it is: compare the two in a suite.",
        err=True,
    )
    click.echo(f"Written: {output}", err=True)
    return Ending(kind="files", paths=(str(output),))


def _line(one: Tried) -> str:
    """Say what a trial gave."""
    blocks = "; ".join(", ".join(names) for names in dict.fromkeys(one.worth.removed))
    return f"trial {one.number + 1}: {one.worth.value:.2%} without {blocks}"
