"""The verb `blocks`: what can be removed from a network, and what forbids it elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustprune.cli.verbs import data_option, device_option, example
from robustprune.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robustprune.models.units import UnitSize

TOKENS = 8
"""Of a text where nothing says how many: the first ones of the vocabulary."""

UNITS = click.Choice(["outermost", "smallest", "branch"])


@click.command(epilog=example("robustprune blocks cifar10-resnet20 --input 3x32x32"))
@click.argument("model", metavar="SPEC[@FILE]")
@click.option("--data", help="Name, .npz, .parquet, or a folder of pictures: real images are looked at, not noise.")
@click.option("--input", "shape", help="Shape of one input where there are no data, such as 3x224x224.")
@click.option(
    "--weights",
    type=Path,
    help="Weights of the network; without, the factory's, or random ones of a library's.",
)
@click.option(
    "--unit",
    type=UNITS,
    default="outermost",
    show_default=True,
    help="Which of units in one another, or single branches.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@device_option
@data_option
def blocks(
    model: str,
    data: str | None,
    shape: str | None,
    weights: Path | None,
    unit: UnitSize,
    as_json: bool,
    device: str,
) -> None:
    """What can be removed from a network, block by block, and what forbids it elsewhere.

    A Transformer layer is a block of two branches, attention and feed-forward.

    SPEC is package.module:factory, path/to/file.py:factory or a name from `list models`, and is run; or a name that a
    library knows, torchvision:NAME, timm:NAME, hf:FOLDER_OR_NAME, whose weights do not matter here. A stage is a run of
    blocks of one shape; a unit that cannot go has the operation on its skip path that forbids it.
    """
    from robustprune.cli.block_rows import as_plain, as_table, rows_of
    from robustprune.machine import pick_device
    from robustprune.models import survey

    net, images = _opened(model, weights, data, shape)
    images = images.to(pick_device(device))
    net = net.to(images.device)
    found = survey(net, images, unit)
    rows = rows_of(net, images, found)
    click.echo(json.dumps(as_plain(rows, found), indent=1) if as_json else as_table(rows, found))


def _opened(spec: str, weights: Path | None, data: str | None, shape: str | None) -> tuple[nn.Module, Tensor]:
    """The network and two inputs: real ones, noise of the stated shape, or noise that fits."""
    import torch

    from robustprune.data import load_data
    from robustprune.models import LibraryNetwork, TextNetwork, is_named
    from robustprune.models.probe import probe_input
    from robustprune.review.given import open_parent
    from robustprune.suite.specs import RANDOM

    if data is not None and shape is not None:
        raise InputError("--data and --input: expected one of the two")
    images = torch.empty(0)
    if data is not None:
        images = load_data(data, test_share=1).test.x[:2]
    elif shape is not None:
        images = torch.rand(2, *_lengths(shape), generator=torch.Generator().manual_seed(0))
    bare = is_named(spec) and "@" not in spec and weights is None
    net = open_parent(f"{spec}@{RANDOM}" if bare else spec, weights, images).load()
    if not len(images) and isinstance(net, LibraryNetwork):
        images = torch.rand(2, *net.size, generator=torch.Generator().manual_seed(0))
    if data is None and isinstance(net, TextNetwork):
        images = torch.arange(2 * (_lengths(shape)[0] if shape else TOKENS)).view(2, -1) % len(net.kinds)
    return net, images if len(images) else probe_input(net)


def _lengths(shape: str) -> list[int]:
    """Read the shape of one input.

    >>> _lengths("3x32x32")
    [3, 32, 32]
    """
    parts = shape.lower().replace(",", "x").split("x")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--input {shape!r}: expected the lengths of one input, such as 3x32x32")
    return [int(part) for part in parts]
