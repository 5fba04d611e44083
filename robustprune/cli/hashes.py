"""The verb `hashes`: the images that a network learned from, named so that a review can tell if it reports on them."""

from __future__ import annotations

import click

from robustprune.cli.verbs import data_option, example


@click.command(epilog=example("robustprune hashes pictures/ > training-hashes.txt"))
@click.argument("data")
@click.option(
    "--part",
    type=click.Choice(["train", "test", "both"]),
    default="train",
    show_default=True,
    help="Which part; data of a single part are taken whole.",
)
@data_option
def hashes(data: str, part: str) -> None:
    """Print one hash for every image of DATA, for `review --training-hashes`.

    A hash is how the sha256 of the pixels begins as they are loaded (16 digits of it): float32 in [0,1], channel by
    channel. DATA is a name, .npz, .parquet, or a folder of pictures.
    """
    from robustprune.data import load_data

    found = load_data(data, test_share=1)
    chosen = {"train": [found.train], "test": [found.test], "both": [found.train, found.test]}[part]
    for digest in dict.fromkeys(digest for split in chosen for digest in split.hashes()):
        click.echo(digest)
