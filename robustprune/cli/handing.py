"""What a review hands over beside its verdict: the bundle, signed or not, and files for a CI job and for auditors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustprune.cli.verbs import FILE, FOLDER
from robustprune.errors import InputError

if TYPE_CHECKING:
    from robustprune.review.audit.change import Last
    from robustprune.review.audit.signature import Signer
    from robustprune.review.record import Control, Review

COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "UNTRUSTED": "magenta"}
OPTIONS = ("output", "summary", "comment", "sarif", "before", "key", "controls")


@dataclass(frozen=True, kw_only=True)
class Handing:
    """Where everything goes: a folder for the bundle, and files, None for what nobody asked for."""

    output: Path | None = None
    summary: Path | None = None
    comment: Path | None = None
    sarif: Path | None = None
    signer: Signer | None = None
    last: Last | None = None
    controls: tuple[Control, ...] = ()

    def folder(self, usual: str) -> Path:
        """Choose the folder of the bundle: the one given, else the `usual` one. Files have to lie outside of it."""
        from robustprune.files import writable

        folder = self.output or Path(usual)
        for name, file in {"summary": self.summary, "comment": self.comment, "sarif": self.sarif}.items():
            if file is not None and (not writable(file.parent) or folder in (file, *file.parents)):
                raise InputError(f"--{name} {file}: cannot be written there; expected a file outside the bundle")
        return folder

    def __call__(self, found: Review, folder: Path) -> None:
        """Write the bundle and the files, and say what was found, the verdict first."""
        from robustprune.files import write_whole
        from robustprune.report.sarif import of_verdict, to_sarif
        from robustprune.review import bundle
        from robustprune.review.audit.comment import comment
        from robustprune.review.files import REPORT, VERDICT
        from robustprune.review.summary import headline, to_markdown, to_text

        found = replace(found, facts=replace(found.facts, controls=self.controls))
        seal = bundle.write_bundle(found, folder, self.signer)
        if self.summary is not None:
            write_whole(self.summary, to_markdown(found, seal).encode())
        if self.comment is not None:
            write_whole(self.comment, comment(found, self.last, seal).encode())
        if self.sarif is not None:
            judged = of_verdict(found.verdict, (folder / VERDICT).as_posix())
            write_whole(self.sarif, to_sarif(judged, "review").encode())
        click.secho(headline(found), fg=COLOURS[found.verdict.verdict], bold=True)
        click.echo(to_text(found))
        if not (folder / REPORT).is_file():
            click.echo(f"{REPORT} and pictures left out: pip install 'robustprune[report]'", err=True)
        click.echo(f"\nBundle: {folder}, sha256 of its manifest {seal}")


def handing_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options of what is handed over; it gets `handing`, with what was given read and checked."""

    @functools.wraps(verb)
    def wrapped(*args: Any, **options: Any) -> Any:
        mine = {name: options.pop(name) for name in OPTIONS}
        return verb(*args, handing=_opened(mine), **options)

    for name, line in {
        "sarif": "Write the findings as SARIF 2.1.0, for code scanning.",
        "comment": "Write a short Markdown comment for a pull request.",
        "summary": "Write a Markdown summary, for a CI job to post.",
    }.items():
        wrapped = click.option(f"--{name}", type=FILE, help=line)(wrapped)
    wrapped = click.option("--controls", type=FILE, metavar="TOML", help="Controls of your own, beside the usual.")(
        wrapped
    )
    wrapped = click.option("--before", type=FOLDER, help="Bundle of the last review, for the comment.")(wrapped)
    line = "Sign the bundle with this private key, ed25519 in PEM."
    wrapped = click.option("--sign", "key", type=FILE, metavar="KEY", help=line)(wrapped)
    return click.option("--output", type=FOLDER, help="Folder for the evidence bundle [<candidate>-review].")(wrapped)


def _opened(options: dict[str, Any]) -> Handing:
    """Read what was given, before anything is measured."""
    from robustprune.review.audit.change import last
    from robustprune.review.audit.controls import controls
    from robustprune.review.audit.signature import signer

    key, before = options.pop("key"), options.pop("before")
    if before is not None and options["comment"] is None:
        raise InputError("--before is for --comment FILE, which says what changed since that review")
    return Handing(
        signer=None if key is None else signer(key),
        last=None if before is None else last(before),
        controls=controls(options.pop("controls")),
        **options,
    )
