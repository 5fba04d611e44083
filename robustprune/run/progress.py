"""What runs and what remains, on stderr: bars on a terminal, lines in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from robustprune.run.measurement import DAMAGED, SAID

LOSS = "loss"
"""What is said of an epoch has it."""

if TYPE_CHECKING:
    from rich.progress import TaskID


class Display:
    """A listener for `run_suite` that shows one bar for the suite and one for every case being worked on."""

    def __init__(self, title: str, cases: int) -> None:
        self.console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.whole = self.bars.add_task(f"[bold]{title}", total=cases)
        self.running: dict[str, TaskID] = {}
        self.done: set[str] = set()
        self.told: dict[str, float] = {}
        self.damaged: list[str] = []
        self.cases = cases
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bars.stop()
        if len(self.damaged) > 1:
            named = ", ".join(line.partition(" is ")[0] for line in self.damaged[1:4])
            whole = (
                f"{len(self.damaged)} files of the store are damaged, missing or another user's, and were measured anew"
            )
            self._say(f"{whole}; beside the first {named}" + ", ..." * (len(self.damaged) > 4))

    def stage(self, case: str, stage: str, done: int, total: int) -> None:
        """Show how far a case is; in a log when it begins, and epoch by epoch, one line a second at most.

        Of damaged files the first is told at once, the others are counted and told at the end.
        """
        if total == SAID and done == DAMAGED:
            self.damaged.append(stage)
            if len(self.damaged) > 1:
                return
        if total == SAID:
            self._say(f"{case}: {stage}")
            return
        if not self.console.is_terminal:
            first = case not in self.told
            last = self.told.setdefault(case, 0.0)
            if first or (LOSS in stage and (done == total or time.monotonic() - last > 1)):
                self.told[case] = time.monotonic()
                self._say(f"{case}: {stage}" + (f" ({done} of {total})" if done else ""))
        if case not in self.running:
            self.running[case] = self.bars.add_task(case)
        self.bars.update(self.running[case], description=f"{case}: {stage}", completed=done, total=total)

    def finished(self, case: str) -> None:
        """Count a case, once: it is prepared by a worker first and timed by the main process later."""
        if case in self.running:
            self.bars.remove_task(self.running.pop(case))
        if case in self.done:
            return
        self.done.add(case)
        self.bars.update(self.whole, completed=len(self.done))
        if not self.console.is_terminal:
            self._say(f"[{len(self.done)}/{self.cases}] {time.monotonic() - self.began:5.0f} s  {case}")

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
