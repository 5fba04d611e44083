"""The verb `shorten`: a causal language model without some of its layers, and what that costs in perplexity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustprune.cli.ending import Ending
from robustprune.cli.verbs import FILE, FOLDER, device_option, example
from robustprune.errors import InputError

if TYPE_CHECKING:
    from robustprune.results.perplexity import Perplexity
    from robustprune.ship.language.comparing import Shorter

USUAL = ("random", "depth-first", "depth-last", "block-influence", "angular-distance", "cka", "consensus")
"""Criteria that are compared where none is named: three controls, two of the literature on language models, a metric
that compares features, and what combines several of those."""


@click.command(
    epilog=example("robustprune shorten gpt2/ --text book.txt --remove 3 --criterion block-influence --output gpt2-9/")
)
@click.argument("folder", type=FOLDER)
@click.option("--text", type=FILE, required=True, help="Text, UTF-8: its beginning to score on, its end to compare on.")
@click.option("--remove", type=click.IntRange(min=1), required=True, help="How many layers go.")
@click.option("--criterion", "names", multiple=True, help="Which of `list criteria`; several are compared.")
@click.option("--length", type=click.IntRange(min=2), default=128, show_default=True, help="Tokens of a window.")
@click.option("--scoring", type=click.IntRange(min=2), default=64, show_default=True, help="Windows to score on.")
@click.option("--samples", type=click.IntRange(min=2), default=256, show_default=True, help="Windows to compare on.")
@click.option("--output", type=FOLDER, help="Folder for the shorter model; takes one --criterion.")
@device_option
def shorten(
    folder: Path,
    text: Path,
    remove: int,
    names: tuple[str, ...],
    output: Path | None,
    device: str,
    **sizes: int,
) -> Ending:
    """Take layers out of the causal language model in FOLDER, and say what that costs in perplexity.

    FOLDER is as save_pretrained of `transformers` writes it, with safetensors and tokenizer.json. Nothing is fetched,
    and nothing is trained: what fine-tuning wins back is not in these numbers. The shorter model is written as the
    library opens it again.
    """
    from robustprune.machine import pick_device
    from robustprune.models.texts.causal import layers_of, shortened
    from robustprune.ship.language.comparing import compared, named, whole
    from robustprune.ship.language.opened import open_causal
    from robustprune.ship.language.windows import windows

    if output is not None and (len(names) != 1 or output.exists()):
        raise InputError(f"--output {output}: expected one --criterion, and a folder that is not there yet")
    criteria = [named(name) for name in dict.fromkeys(names or USUAL)]
    opened, place = open_causal(folder), pick_device(device)
    model = opened.model.to(place)
    name, layers = layers_of(model)
    if remove >= len(layers):
        raise InputError(f"--remove {remove}: the model has {len(layers)} layers ({name}), expected fewer")
    cut = windows(opened.ids(_read(text)), sizes["length"], sizes["scoring"], sizes["samples"])
    for part in (cut.scoring, cut.evaluation):
        opened.fits(part)
    cut = replace(cut, scoring=cut.scoring.to(place), evaluation=cut.evaluation.to(place))
    found = [*compared(model, cut, remove, criteria, tick=lambda stage: click.echo(stage, err=True))]
    click.echo(table(found, whole(model, cut), sum(one.numel() for one in model.parameters())))
    if output is None:
        return Ending()
    opened.save(shortened(model, found[0].removed), output, cut.evaluation[:2])
    click.echo(f"Written: {output}, {len(layers) - remove} of {len(layers)} layers")
    return Ending(kind="files", paths=(str(output.absolute()),))


def table(found: list[Shorter], before: Perplexity, parameters: int) -> str:
    """Show what each criterion did, the least loss first, beneath the whole model."""
    from tabulate import tabulate

    heads = ["criterion", "layers that went", "parameters", "perplexity", "beside the whole model [95 %]", "p (Holm)"]
    rows = [["-", "none: the whole model", f"{parameters:,}", f"{before.value:.2f}", "", ""]]
    for one in sorted(found, key=lambda one: one.ratio.value):
        less = one.parameters / parameters - 1
        gone = ", ".join(name.rpartition(".")[2] for name in one.removed)
        beside = f"x {one.ratio.value:.3f} [{one.ratio.low:.3f}, {one.ratio.high:.3f}]"
        p = "< .001" if one.p_holm < 0.001 else f"{one.p_holm:.3f}"
        rows.append([one.criterion, gone, f"{less:+.1%}", f"{one.perplexity.value:.2f}", beside, p])
    told = f"Perplexity on {len(before.surprise)} windows of {before.tokens} predicted tokens; lower is better."
    return f"{tabulate(rows, heads, disable_numparse=True)}\n\n{told}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--text {path}: cannot be read as UTF-8 text ({error})") from None
