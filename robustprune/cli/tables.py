"""Tables on the terminal: what fits its width, everything on request and where no terminal is."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from robustprune.results.records import CaseResult

wide_option = click.option(
    "--wide", is_flag=True, help="All columns and notes, wider than the terminal as they may be."
)


def show(cases: Sequence[CaseResult], whole: str, wide: bool) -> None:
    """Print the whole text where it is asked for, or where stdout is no terminal; else the table that fits it."""
    if wide or not sys.stdout.isatty():
        click.echo(whole)
        return
    from robustprune.report.terminal import to_terminal

    click.echo(to_terminal(cases, shutil.get_terminal_size().columns))
