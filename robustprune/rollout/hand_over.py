"""The verb `stage`: runs the stages, hands over the curve, the last network that passed, and its bundle."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustprune.files import write_whole
from robustprune.policy.policy import exit_code
from robustprune.report.markdown import pipe
from robustprune.results.claims import share
from robustprune.results.records import CaseResult
from robustprune.review.bundle import check_free, write_bundle
from robustprune.review.case import case_review
from robustprune.review.pages import can_draw
from robustprune.rollout.stages import Rollout, check_steps, choose_case, curve, plan, removable_costs, roll_out
from robustprune.run.bench import Bench
from robustprune.run.case import Finished
from robustprune.run.executors.local import Local, on_threads
from robustprune.run.progress import Display
from robustprune.run.store import Store
from robustprune.run.suite import CaseWork, measure_cases
from robustprune.ship.case import write_network
from robustprune.suite import Case, Suite

CURVE, RECORD, PICTURE, BUNDLE = "stages.md", "stages.json", "stages.svg", "bundle"


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which strategy of a suite is rolled out, and in which steps: shares of the removable MACs."""

    suite: Suite
    model: str | None = None
    criterion: str | None = None
    step: float = 0.1
    most: float = 1.0

    def __post_init__(self) -> None:
        check_steps(self.step, self.most)


def run_rollout(
    request: Request, folder: Path | None, store: Store, device: str, command: str
) -> tuple[list[str], int]:
    """Roll out a suite's strategy stage by stage; returns what to say and the exit code.

    Curve, network and bundle go to `folder`, by default one that is named after the suite.
    """
    suite = request.suite
    case = choose_case(suite, request.model, request.criterion)
    folder = folder or Path(f"{suite.name}-stages")
    check_free(folder)
    work = CaseWork(suite=suite, store=store, device=device)
    with on_threads(1):
        steps = plan(removable_costs(case, work.bench), request.step, request.most)
    with Display(f"stages of {case.model.name}", len(steps) + 1) as display:

        def measure(one: Case, parent: Finished | None) -> Finished:
            known = [] if parent is None else [parent.measured]
            return measure_cases([one], work, Local(), display, known)[0]

        found = roll_out(case, steps, suite.policy, measure)
    written = hand_over(found, folder, work.bench, command)
    first = exit_code([found.stages[0].verdict])
    reasons = [f"  {reason}" for reason in found.stages[-1].verdict.reasons if found.stages[-1] is not found.passed]
    lines = [found.answer, "", table(found), *reasons, *_final(found), *(f"Written: {path}" for path in written)]
    return lines, 0 if found.passed else first


def hand_over(found: Rollout, folder: Path, bench: Bench, command: str) -> list[Path]:
    """Write the curve, and of the last stage that passed the network and its bundle."""
    write_whole(folder / CURVE, (f"{found.answer}\n\n{table(found)}\n").encode())
    write_whole(folder / RECORD, (json.dumps(record(found, command), indent=1) + "\n").encode())
    written = [folder / CURVE, folder / RECORD, *draw(found, folder)]
    best = found.passed
    if best is None:
        return written
    path, _ = write_network(best.finished, found.start.network, "safetensors", folder, bench)
    write_bundle(case_review(found.start, best.finished, path, bench, command), folder / BUNDLE)
    return [*written, path, folder / BUNDLE]


def table(found: Rollout) -> str:
    """Write the curve as a Markdown table."""
    rows = list(curve(found))
    return pipe([*rows[0]], [[*row.values()] for row in rows])


def record(found: Rollout, command: str) -> dict[str, Any]:
    """Write the curve as plain data: one entry a stage, with every finding."""
    return {
        "schema": 1,
        "command": command,
        "answer": found.answer,
        "parent": {"case": found.parent.case, "macs": found.parent.cost.macs, **_shares(found.parent)},
        "stages": [
            {
                "share": stage.step.share,
                "blocks": stage.step.blocks,
                "case": stage.result.case,
                "removed": stage.result.removed,
                "macs": stage.result.cost.macs,
                "saved": stage.saved(found.parent),
                **_shares(stage.result),
                "verdict": stage.verdict.verdict,
                "findings": [dataclasses.asdict(finding) for finding in stage.verdict.findings],
            }
            for stage in found.stages
        ],
        "final": found.final.verdict if found.final else None,
    }


def draw(found: Rollout, folder: Path) -> list[Path]:
    """Draw robust accuracy against the cost of every stage, where matplotlib is installed."""
    if not can_draw():
        return []
    from robustprune.report.figures import pareto, save

    cases = [found.parent, *(stage.result for stage in found.stages)]
    return [save(pareto(cases), folder / PICTURE)]


def _shares(result: CaseResult) -> dict[str, float]:
    return {"clean": share(result.clean), "robust": share(result.worst)}


def _final(found: Rollout) -> list[str]:
    """Say what the whole policy says of what is handed over, where that is something else."""
    if found.final is None or found.final.verdict == "PASS":
        return []
    return [
        f"By the whole policy, with what it asks to gain, that is {found.final.verdict}:",
        *found.final.reasons,
    ]
