"""What a review hands over beside its verdict: the bundle, signed or not, and files for a CI job and for auditors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
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
    inputs: tuple[Path, ...] = ()
    """What was given to be read, and stays as it is."""

    def folder(self, usual: str) -> Path:
        """Choose the folder of the bundle: the one given, else the `usual` one. Files have to lie outside of it."""
        folder = self.output or Path(usual)
        if folder.name in ("", ".."):
            raise InputError(f"--output {folder}: expected a folder with a name, new or empty")
        taken: dict[Path, str] = {}
        for name, file in self.files.items():
            reason = self._refused(file, folder, taken)
            if reason:
                raise InputError(f"--{name} {file}: {reason}; expected a file outside the bundle, of its own")
            taken[file.resolve()] = f"--{name}"
        return folder

    @property
    def files(self) -> dict[str, Path]:
        """The files that were asked for, by the name of their option."""
        asked = {"summary": self.summary, "comment": self.comment, "sarif": self.sarif}
        return {name: file for name, file in asked.items() if file is not None}

    def _refused(self, file: Path, folder: Path, taken: Mapping[Path, str]) -> str:
        """Say why a file cannot be written, or must not be; "" where it can."""
        from robustprune.files import writable

        real = file.resolve()
        if file.is_symlink() or (file.exists() and not file.is_file()):
            return "there stands something that is no plain file"
        if not writable(file.parent) or folder.resolve() in (real, *real.parents):
            return "cannot be written there"
        for given in self.inputs:
            if given.resolve() in (real, *real.parents):
                return f"would write over {given}, which was given"
        return f"{taken[real]} is the same file" if real in taken else ""

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

    key, before, mapping = (options.pop(name) for name in ("key", "before", "controls"))
    if before is not None and options["comment"] is None:
        raise InputError("--before is for --comment FILE, which says what changed since that review")
    return Handing(
        signer=None if key is None else signer(key),
        last=None if before is None else last(before),
        controls=controls(mapping),
        inputs=tuple(one for one in (key, before, mapping) if one is not None),
        **options,
    )
