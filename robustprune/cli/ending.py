"""How a verb ends: what it says went wrong, in one line, and the exit code that goes with it.

Bad input and everything that the system refuses (a full disk, a folder that cannot be written) is exit code 2. So is
whatever the user's own code does, be it a suite, a factory or a network: it may raise SystemExit and the like, and
must not decide the exit code by that. What is left is an error of this program: exit code 70, and a log of it.
"""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from robustprune.errors import InputError

DONE, FAIL, WRONG_USE, UNDECIDED, INTERNAL, STOPPED = 0, 1, 2, 3, 70, 130
"""Exit codes."""

HALTED = "stopped; what was finished is kept, the same command goes on from there"

PACKAGE = Path(__file__).parents[1]
FRAME = re.compile(r'File "(.+?)", line (\d+)')
LONGEST = 400
"""Characters of a foreign error message that are kept."""

LINE = 1000
"""Characters of a line, about; of a longer one the middle is left out."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The exit code of a verb, and what it rests on: a bundle, results or other files that it has written."""

    code: int = DONE
    kind: Literal["", "bundle", "stages", "results", "files"] = ""
    paths: tuple[str, ...] = ()


class Interrupted(KeyboardInterrupt):
    """The user pressed Ctrl-C; any other KeyboardInterrupt was raised by somebody's code."""


def ending_of(work: Callable[[], object]) -> Ending:
    """Do the work of a verb and return how it ended; what went wrong is said on stderr, in one line."""
    try:
        done = work()
        sys.stdout.flush()
        return done if isinstance(done, Ending) else Ending()
    except click.UsageError:
        raise
    except click.exceptions.Exit as end:
        if foreign(end) is None:
            raise
        code, line = WRONG_USE, told(end)
    except BaseException as error:
        code, line = judged(error)
    say(line)
    return Ending(code=code)


def judged(error: BaseException) -> tuple[int, str]:
    """Return the exit code for an error, and the line that is said of it."""
    if isinstance(error, KeyboardInterrupt | click.Abort) and (isinstance(error, Interrupted) or not _in_child()):
        return STOPPED, HALTED
    if isinstance(error, InputError):
        return WRONG_USE, str(error)
    if isinstance(error, OSError) and (foreign(error) is None or error.filename):
        return WRONG_USE, refused(error)
    if isinstance(error, BrokenExecutor):
        return WRONG_USE, f"a process that measured ended by itself, before its work was done ({error})"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return WRONG_USE, f"not enough memory: {str(error)[:LONGEST]}"
    if not isinstance(error, Exception) or foreign(error) is not None:
        return WRONG_USE, told(error)
    if "os error" in str(error) or "I/O error" in str(error):
        return WRONG_USE, f"{type(error).__name__}: {error}"
    return INTERNAL, f"internal error, {type(error).__name__}: {str(error)[:LONGEST]}; {_logged(error)}"


def refused(error: OSError) -> str:
    """Say what the system refused, and where."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name not in (None, "")]
    return ": ".join([*(name[:LONGEST] for name in names[:1]), error.strerror or str(error)])


def told(error: BaseException) -> str:
    """Say that code of the user ended the work, and where."""
    place = foreign(error)
    at = f"{place[0]}, line {place[1]}" if place else "code that was given"
    reason = f": {error}" if str(error) else ""
    return f"{at} raised {type(error).__name__}{reason[:LONGEST]}; nothing was decided"


def foreign(error: BaseException) -> tuple[str, str] | None:
    """Return file and line of the user's code that an error came from; None where it came from this program.

    It is the user's where a file that belongs neither to this program nor to anything installed was at work below
    this program's last frame, also in a process that worked for this one.
    """
    text = "".join(traceback.format_exception(error))
    frames = [found.groups() for found in FRAME.finditer(text)]
    ours = max((place for place, (file, _) in enumerate(frames) if Path(file).is_relative_to(PACKAGE)), default=-1)
    theirs = [(file, line) for file, line in frames[ours + 1 :] if not _installed(file)]
    return theirs[-1] if theirs and ours >= 0 else None


def one_line(text: str) -> str:
    """Write text as one line, whatever characters are in it, and not too long a one."""
    plain = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in plain)
    return shown if len(shown) <= LINE else f"{shown[: LINE // 2]} ... {shown[-LINE // 2 :]}"


def say(line: str) -> None:
    """Write one line to stderr."""
    try:
        click.echo(f"robustprune: {one_line(line)}", err=True)
    except (OSError, UnicodeError):
        sys.stderr = io.StringIO()


def end_output() -> None:
    """Write out what waits; what cannot be written is dropped, so that the interpreter does not fail at its end."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        try:
            stream.flush()
        except (OSError, ValueError):
            setattr(sys, name, None)
            _to_nowhere(stream)


def _to_nowhere(stream: Any) -> None:
    """Point a stream's file at nothing."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return


def _in_child() -> bool:
    """Whether this process tells a user's Ctrl-C from a KeyboardInterrupt that somebody raised (program.py)."""
    return signal.getsignal(signal.SIGINT) is not signal.default_int_handler


def _installed(file: str) -> bool:
    places = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return file.startswith("<") or any(Path(file).is_relative_to(place) for place in [*places, PACKAGE])


def _logged(error: BaseException) -> str:
    """Keep the traceback in a file and say where; it goes to stderr where no file can be written."""
    text = "".join(traceback.format_exception(error))
    try:
        handle, name = tempfile.mkstemp(prefix="robustprune-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return f"its traceback could not be written: {text}"
    return f"the traceback is in {name}"
