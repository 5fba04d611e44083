"""What all verbs share: the group, exit codes, and options that several of them have."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from robustprune import __version__
from robustprune.cli.data_folder import looking_in
from robustprune.cli.ending import Ending, ending_of
from robustprune.errors import InputError

COMMAND = "robustprune.command"


class Verbs(click.Group):
    """Ends every verb with an exit code that is its own; verbs return an `Ending`, or None where nothing is to say.

    `program` runs a command line as the installed program does, in a child where code of the user is run (program.py);
    `main.main(...)` runs it in this process. `ended` is how the last verb ended.
    """

    program: Callable[[Sequence[str]], int] | None = None
    ended: Ending | None = None

    def __call__(self, *args: Any, **extra: Any) -> Any:
        """Be the program where nothing is given.

        A child begins by reading its parent's script again, and that may call this without asking if it is the main
        module; then there is nothing to do.
        """
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            return None
        if args or extra or self.program is None:
            return self.main(*args, **extra)
        sys.exit(self.program(sys.argv[1:]))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb. Importing torch makes a million objects that stay: looking for garbage there costs a tenth."""
        gc.set_threshold(100_000, 20, 20)
        self.ended = ending_of(functools.partial(super().invoke, ctx))
        ctx.exit(self.ended.code)


class Recorded(click.Command):
    """A verb that remembers how it was called, for the evidence (`ctx.meta[COMMAND]`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the command line, then parse it."""
        ctx.meta[COMMAND] = shlex.join([*ctx.command_path.split(), *args])
        return super().parse_args(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Is this layer-pruned network still safe to ship?

    Prunes residual blocks, fine-tunes, attacks, and compares accuracy, robustness and cost with the parent's.
    """


def example(text: str, codes: str = "0 done") -> str:
    """Write the epilog of a verb: an example, left as it is, and the exit codes that mean something here."""
    return (
        f"\b\nExample:\n  {text}\n\nExit codes: {codes}, 2 wrong use or bad input, 70 an error of robustprune itself."
    )


FOLDER, FILE = click.Path(file_okay=False, path_type=Path), click.Path(dir_okay=False, path_type=Path)
device_option = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps.")
results_option = click.option("--results", type=FOLDER, help="Folder of results [results].")


def data_option(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb `--data-dir`, which points the loaders at a folder; the verb itself does not see it."""

    @click.option("--data-dir", type=FOLDER, help="Folder of data and weights [ROBUSTPRUNE_DATA].")
    @functools.wraps(verb)
    def wrapped(*args: Any, data_dir: Path | None, **options: Any) -> Any:
        if data_dir is not None and not data_dir.is_dir():
            raise InputError(f"--data-dir {data_dir}: no such folder")
        with looking_in(data_dir):
            return verb(*args, **options)

    return wrapped
