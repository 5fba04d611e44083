"""The verb `new`: a suite for a network and data, written as a file that one can read and change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustprune.cli.ending import Ending
from robustprune.cli.options import fractions
from robustprune.cli.verbs import FILE, data_option, device_option, example
from robustprune.errors import InputError
from robustprune.files import writable
from robustprune.typed import FolderName, mismatch

if TYPE_CHECKING:
    from robustprune.data import Data
    from robustprune.review.given import Given
    from robustprune.suite.draft import Draft

AUTO = "auto"


@click.command(
    epilog=example("robustprune new suites/mine.py --model timm:resnet18 --weights w.safetensors --data digits")
)
@click.argument("suite", type=FILE)
@click.option("--model", required=True, metavar="SPEC[@FILE]", help="What builds the parent; see `review --help`.")
@click.option("--weights", type=Path, help="Its weights [those that the factory or the library gives it].")
@click.option("--data", required=True, help="Name, .npz, .parquet, or a folder of pictures.")
@click.option("--eps", default=AUTO, show_default=True, help="Budget under Linf, such as 8/255; auto looks for one.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@device_option
@data_option
def new(suite: Path, model: str, weights: Path | None, data: str, eps: str, force: bool, device: str) -> Ending:
    """Write a SUITE file for a network: controls, single criteria, consensus, everyday attacks, a policy.

    With --eps auto a short attack on 64 test images finds the eps at which the parent keeps about half of what it has
    right; the file says what was measured. What is written has passed `robustprune check`.
    """
    from robustprune.data import load_data
    from robustprune.review.given import open_parent

    budget = None if eps == AUTO else fractions((eps,))[0]
    check_place(suite, force)
    loaded = load_data(data)
    given = open_parent(model, weights, loaded.test.x[:1])
    draft = drafted(suite, given, loaded, data, (budget, device))
    before = suite.read_bytes() if suite.is_file() else None
    write_checked(draft, before, device)
    click.echo(f"Written: {suite}")
    return Ending(kind="files", paths=(str(suite.absolute()),))


def check_place(suite: Path, force: bool) -> None:
    """Raise InputError where no suite can be written, or where something is that must not be lost."""
    if suite.suffix != ".py" or mismatch(suite.stem, FolderName) is not None:
        raise InputError(f"{suite}: expected the name of a Python file, such as suites/mine.py")
    if suite.exists() and not force:
        raise InputError(f"{suite}: is there already; expected another name, or --force to write over it")
    if not writable(suite.parent):
        raise InputError(f"{suite}: cannot be written; expected a place in a folder of yours")


def drafted(suite: Path, given: Given, data: Data, source: str, how: tuple[float | None, str]) -> Draft:
    """Look at a network and say what its suite is written from; `how` is an eps, None to look for one, and a device."""
    from robustprune.machine import pick_device
    from robustprune.models import Named, survey
    from robustprune.prune import most_removable
    from robustprune.run.fits import check_fits, check_labels
    from robustprune.suite.draft import Draft, eps_text
    from robustprune.suite.sweep import swept

    budget, device = how
    click.echo(f"{given.spec}: is built and looked at", err=True)
    net = given.load().to(pick_device(device))
    example = data.test.x[:1].to(pick_device(device))
    check_fits(net, example, len(data.classes), given.spec)
    check_labels(net, data.classes, given.spec)
    found = survey(net, example)
    removable = most_removable(found.blocks, keep_per_stage=0)
    if not removable:
        reason = found.remark or "each is the first of its stage"
        raise InputError(f"{given.spec}: no block can go ({reason}); `robustprune blocks {given.spec}` says more")
    sweep = swept(net, data.test, None if budget is None else budget * 255, lambda line: click.echo(line, err=True))
    return Draft(
        file=suite,
        spec=given.spec,
        weights=given.weights or kept_weights(suite, given),
        name=given.factory.title if isinstance(given.factory, Named) else given.name,
        source=source,
        data=data,
        classes=net(example).shape[1],
        removable=removable,
        sweep=sweep,
        eps=eps_text(sweep.level if budget is None else budget * 255, budget),
    )


def kept_weights(suite: Path, given: Given) -> Path:
    """Write weights that come from no file beside the suite, so that it finds them again."""
    from robustprune.models import save_weights

    file = suite.parent / "weights" / f"{suite.stem}.safetensors"
    if file.exists():
        raise InputError(f"{file}: is there already; expected it as --weights, or gone")
    save_weights(given.load(), file)
    click.echo(f"Written: {file}, the weights of {given.spec}", err=True)
    return file


def write_checked(draft: Draft, before: bytes | None, device: str) -> None:
    """Write a suite and look whether it fits together; where it does not, what was there `before` comes back."""
    from robustprune.files import write_whole
    from robustprune.run.inspection import inspected
    from robustprune.suite.files import load_suite

    write_whole(draft.file, draft.text().encode())
    try:
        for line in inspected(load_suite(draft.file), device):
            click.echo(line, err=True)
    except BaseException:
        if before is None:
            draft.file.unlink()
        else:
            write_whole(draft.file, before)
        raise
