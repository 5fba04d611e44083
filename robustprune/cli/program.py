"""The program as it is started: a verb that runs code of the user does so in a child, and its exit code is earned.

The child says how the verb ended and what that rests on; the exit code follows from the files that it has written,
which are read again here. An exit code of the child alone decides nothing (child.py). Verbs that run no such code
stay in this process, and begin at once.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from robustprune.cli.child import Ended, Terminated, in_child
from robustprune.cli.ending import (
    DONE,
    HALTED,
    INTERNAL,
    STOPPED,
    WRONG_USE,
    Ending,
    Interrupted,
    end_output,
    ending_of,
    say,
)
from robustprune.cli.suites import main
from robustprune.errors import InputError
from robustprune.files import write_whole

__all__ = ["main"]

TRUSTING = ("verify", "compare", "list")
"""Verbs that run no code but this program's."""

HELP = ("-h", "--help", "--version")

SLACK = 2.0
"""Seconds that the clock of a file system may be coarse by."""

TWICE = 1.0
"""Seconds within which a second interrupt is the same one: a terminal sends it to both processes."""

SIGNALLED = 128
"""What is added to the number of a signal to make an exit code."""


def program(words: Sequence[str]) -> int:
    """Run a command line; return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    verb = next((word for word in words if not word.startswith("-")), "")
    plain = verb not in main.commands or verb in TRUSTING or bool(set(HELP) & set(words))
    code = called(words) if plain else _guarded(words)
    end_output()
    return code


def called(words: Sequence[str]) -> int:
    """Run a command line in this process; return its exit code."""
    try:
        return int(main.main(list(words), prog_name="robustprune", standalone_mode=False) or DONE)
    except click.UsageError as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return STOPPED


def _guarded(words: Sequence[str]) -> int:
    """Run a command line in a child; return the exit code that what it has written earns."""
    began = time.monotonic()
    try:
        said = in_child("spawn", in_there, list(words))
        code = said.get("code")
        if not isinstance(code, int):
            raise Ended("the process that did the work did not say how it ended")
    except Ended as ended:
        say(f"{ended}; nothing was decided")
        return WRONG_USE
    except KeyboardInterrupt:
        return STOPPED
    except Terminated as asked:
        if not asked.said:
            say(HALTED)
        return SIGNALLED + asked.number
    found = ending_of(lambda: earned(code, said, began))
    return found.code


def in_there(words: Sequence[str]) -> Mapping[str, Any]:
    """Run a command line in a child and say how it ended."""
    pressed: list[float] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        again = bool(pressed) and now - pressed[-1] < TWICE
        pressed.append(now)
        if not again:
            raise Interrupted

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupt)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    main.ended = None
    code = called(words)
    ended = main.ended
    end_output()
    if ended is None:
        return {"code": code if code != DONE else INTERNAL}
    return dataclasses.asdict(ended)


def _age(path: Path) -> float:
    """Return the seconds since a file or folder was written, on the clock of the place where it lies."""
    mark = path.parent / f".now-{os.getpid()}"
    write_whole(mark, b"")
    try:
        return mark.stat().st_mtime - path.lstat().st_mtime
    finally:
        mark.unlink()


def earned(code: int, said: Mapping[str, Any], began: float) -> Ending:
    """Return how a verb ended by what it has written, read again. InputError where that is not there."""
    kind, paths = said.get("kind", ""), [Path(str(path)) for path in said.get("paths", ())]
    if kind == "bundle":
        from robustprune.review.rejudged import rejudged

        return Ending(code=rejudged(paths[0]))
    if code != DONE:
        return Ending(code=code)
    for path in paths:
        if not path.exists() or _age(path) > time.monotonic() - began + SLACK or not os.access(path, os.R_OK):
            raise InputError(f"{path}: was not written although the work was said to be done; nothing was decided")
    if kind == "results":
        from robustprune.results import load

        if not load(paths[0]):
            raise InputError(f"{paths[0]}: holds no results although the work was said to be done")
    if kind == "stages":
        from robustprune.review.rejudged import rejudged

        return Ending(code=rejudged(paths[0], lossless=True))
    return Ending(code=code)


main.program = program
