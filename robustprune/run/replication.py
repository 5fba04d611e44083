"""Running a suite again with other seeds throughout, and keeping what each run said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustprune import results
from robustprune.files import write_whole
from robustprune.report import replication
from robustprune.results.records import CaseResult
from robustprune.run.shelf import TABLE, measure_suite, shelf
from robustprune.suite.cases import Suite


def replicated(suite: Suite, times: int, folder: Path | None, **how: Any) -> list[Path]:
    """Measure what is missing of the runs 1 to `times` of a suite, and write the study below `replication/`.

    `how`: device, workers and executor, see `measure_suite`.
    """
    runs = []
    for number in range(1, times + 1):
        again = suite.replicated(number)
        runs.append(measure_suite(again, shelf(again, folder), **how))
    return write_study(runs, shelf(suite, folder).approved.parent / "replication" / suite.name)


def write_study(runs: Sequence[Sequence[CaseResult]], folder: Path) -> list[Path]:
    """Write the counts and sentences of a study, and the outcomes that they are made from."""
    folder.mkdir(parents=True, exist_ok=True)
    found = replication.sentences(runs)
    texts = {
        TABLE: replication.to_markdown(found, len(runs)),
        "sentences.csv": replication.listed(found).to_csv(index=False, lineterminator="\n"),
    }
    for name, text in texts.items():
        write_whole(folder / name, text.encode())
    for number, cases in enumerate(runs, 1):
        results.save([outcomes_only(case) for case in cases], folder / f"run-{number}.json.gz")
    return [*(folder / name for name in texts), *(folder / f"run-{n}.json.gz" for n in range(1, len(runs) + 1))]


def outcomes_only(case: CaseResult) -> CaseResult:
    """The case with what sentences are made from: who was right and who resisted, without distances and checks."""
    slim = [replace(outcome, distance=[], steps=[]) for outcome in case.outcomes]
    return replace(case, outcomes=slim, checks=[], scores={}, similarity={})
