"""A folder in which verbs are given bad input: what they must say of it, and that they leave everything as it was."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from suite_files import TINY

from robustprune.cli.verbs import main

SECONDS = 60
"""Within which an answer has to be there, on a busy machine too."""

LONGEST = 1200
"""Characters of a line: what was given may be quoted, not all of it."""


@dataclass(frozen=True)
class Sandbox:
    """A folder with places: `work`, where verbs are called, and `outside`, which they must leave alone."""

    root: Path

    @property
    def work(self) -> Path:
        return self.root / "work"

    def suite(self, text: str = TINY, name: str = "tiny") -> Path:
        """Write a suite file."""
        file = self.work / "suites" / f"{name}.py"
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
        return file

    def files(self) -> dict[str, Any]:
        """Everything that lies here but in the temporary folder, with what would show a change."""
        found = {}
        for path in (one for one in sorted(self.root.rglob("*")) if not one.is_relative_to(self.root / "tmp")):
            about = path.lstat()
            found[str(path)] = (about.st_mode, about.st_size, None if path.is_dir() else about.st_mtime_ns)
        return found

    def call(self, *words: object) -> Result:
        """Call a verb in this process, as the program's child does."""
        with no_longer_than(SECONDS):
            return CliRunner().invoke(main, [str(word) for word in words])

    def refuses(self, words: list[Any], said: str) -> None:
        """Assert that a verb refuses: exit code 2, one line that holds `said`, and nothing written anywhere."""
        before = self.files()
        result = self.call(*words)
        assert result.exit_code == 2, (result.exit_code, result.output[-2000:], result.exception)
        lines = [line for line in result.stderr.splitlines() if line and not line.startswith(("Usage: ", "Try ", "\t"))]
        assert len(lines) == 1, result.stderr
        assert said in lines[0], lines[0]
        assert lines[0].isprintable()
        assert len(lines[0]) <= LONGEST, len(lines[0])
        assert result.stdout == ""
        after = self.files()
        assert {path for path in after.keys() | before.keys() if after.get(path) != before.get(path)} == set()


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Stop what takes longer; what stops is no Exception, so nothing takes it for bad input."""

    def stop(number: int, frame: object) -> None:
        raise Hangs(f"no answer in {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Hangs(BaseException):
    """A verb gave no answer."""
