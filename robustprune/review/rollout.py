"""The verb `stage`: runs the stages, hands over the curve, the last network that passed, and its bundle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustprune.policy import exit_code
from robustprune.progress import Display
from robustprune.results import CaseResult
from robustprune.review.bundle import check_free, write_bundle
from robustprune.review.handover import case_review, write_network
from robustprune.review.pages import can_draw
from robustprune.review.stages import Rollout, choose_case, curve, plan, removable_costs, roll_out
from robustprune.runner import one_thread, open_bench
from robustprune.store import write_whole
from robustprune.subject import Bench
from robustprune.workspace import open_suite, shelf

if TYPE_CHECKING:
    from robustprune.policy import Policy

CURVE, RECORD, PICTURE, BUNDLE = "stages.md", "stages.json", "stages.svg", "bundle"


def run_rollout(
    *,
    suite: str,
    model: str | None,
    criterion: str | None,
    step: float,
    most: float,
    output: Path | None,
    results: Path | None,
    policy: Policy | None,
    device: str,
    command: str,
) -> tuple[list[str], int]:
    """Roll out a suite's strategy stage by stage; returns what to say and the exit code."""
    opened = open_suite(suite)
    opened = dataclasses.replace(opened, policy=policy) if policy is not None else opened
    case = choose_case(opened, model, criterion)
    folder = output or Path(f"{opened.name}-stages")
    check_free(folder)
    bench = open_bench(opened, shelf(opened, results).store, device)
    with one_thread(bench.device):
        steps = plan(removable_costs(case, bench), step, most)
    with Display(f"stages of {case.model.name}", len(steps) + 1) as display:
        found = roll_out(case, steps, bench, display)
    written = hand_over(found, folder, bench, command)
    first = exit_code([found.stages[0].verdict])
    reasons = [f"  {reason}" for reason in found.stages[-1].verdict.reasons if found.stages[-1] is not found.passed]
    lines = [
        found.answer,
        "",
        table(found),
        *reasons,
        *_final(found),
        *(f"Written: {path}" for path in written),
    ]
    return lines, 0 if found.passed else first


def hand_over(found: Rollout, folder: Path, bench: Bench, command: str) -> list[Path]:
    """Write the curve, and of the last stage that passed the network and its bundle."""
    write_whole(folder / CURVE, (f"{found.answer}\n\n{table(found)}\n").encode())
    write_whole(folder / RECORD, (json.dumps(record(found, command), indent=1) + "\n").encode())
    written = [folder / CURVE, folder / RECORD, *draw(found, folder)]
    best = found.passed
    if best is None:
        return written
    path, _ = write_network(best.case, best.result, "safetensors", folder, bench)
    review = case_review(best.case, best.result, found.parent, path, bench.suite.policy, bench, command)
    write_bundle(review, folder / BUNDLE)
    return [*written, path, folder / BUNDLE]


def table(found: Rollout) -> str:
    """The curve as a Markdown table."""
    from tabulate import tabulate

    return str(tabulate(list(curve(found)), headers="keys", tablefmt="pipe", disable_numparse=True))


def record(found: Rollout, command: str) -> dict[str, Any]:
    """The curve as plain data: one entry a stage, with every finding."""
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
    n = len(result.clean)
    return {"clean": sum(result.clean) / n, "robust": sum(result.worst) / n}


def _final(found: Rollout) -> list[str]:
    """What the whole policy says of what is handed over, where that is something else."""
    if found.final is None or found.final.verdict == "PASS":
        return []
    return [
        f"By the whole policy, with what it asks to gain, that is {found.final.verdict}:",
        *found.final.reasons,
    ]
