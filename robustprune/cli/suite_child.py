"""A suite under pytest: loaded and measured in a child, so that its code can neither end pytest nor speak for it.

The children come from a server that has torch ready (forkserver), where the system has one.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustprune.cli.child import Terminated, in_child
from robustprune.cli.ending import told
from robustprune.errors import InputError, MissingData

if TYPE_CHECKING:
    from robustprune.policy.policy import Policy
    from robustprune.results.records import CaseResult

READY = ["torch", "robustprune.run.suite", "robustprune.run.inspection", "robustprune.run.shelf"]
"""Modules that the server of children has imported."""


@dataclass(frozen=True, kw_only=True)
class PlannedCase:
    """One case of a suite: its name, its subject with the claims on it, and what it is."""

    id: str
    subject: str
    claims: list[str]
    compared: bool
    """Whether it has a parent that it is compared with."""
    pruned: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A suite as plain data, with the folders where its approved and its latest results lie."""

    name: str
    minutes: float
    policy: Policy
    cases: list[PlannedCase]
    approved: Path
    latest: Path


class Failed(Exception):
    """Measuring failed; the message is the traceback of the child."""


def plan_of(file: Path, results: Path | None) -> Plan:
    """Return what a suite holds. InputError where it cannot be loaded."""
    from robustprune.review.rejudged import policy_of

    said = _asked(_planned, file, results)
    return Plan(
        name=str(said["name"]),
        minutes=float(said["minutes"]),
        policy=policy_of(said["policy"]),
        cases=[PlannedCase(**case) for case in said["cases"]],
        approved=Path(said["approved"]),
        latest=Path(said["latest"]),
    )


def measured_by(file: Path, results: Path | None, device: str, plan: Plan) -> list[CaseResult]:
    """Measure what is missing of a suite and return every case, as it was written down."""
    from robustprune.results import load
    from robustprune.run.shelf import BASELINE

    _asked(_measured, file, results, device)
    cases = load(plan.latest / BASELINE)
    missing = sorted({case.id for case in plan.cases} - {case.case for case in cases})
    if missing:
        raise InputError(f"{plan.name}: {len(missing)} cases were not measured, first {missing[0]}")
    return cases


def _asked(work: Callable[..., Mapping[str, Any]], *args: Any) -> dict[str, Any]:
    """Return what a child says; what went wrong there is raised here."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    if method == "forkserver":
        multiprocessing.get_context(method).set_forkserver_preload(READY)
    try:
        said = in_child(method, _there, work, str(Path.cwd()), dict(os.environ), *args)
    except Terminated as asked:
        signal.signal(asked.number, signal.SIG_DFL)
        os.kill(os.getpid(), asked.number)
        raise
    wrong, text = said.get("wrong"), str(said.get("text", ""))
    if wrong == "missing":
        raise MissingData(text)
    if wrong == "input":
        raise InputError(text)
    if wrong:
        raise Failed(text)
    return said


def _there(work: Callable[..., Mapping[str, Any]], folder: str, variables: dict[str, str], *args: Any) -> Any:
    """Do the work in a child, in the folder and with the variables of its parent; an error is said, not raised."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    try:
        return work(*args)
    except MissingData as error:
        return {"wrong": "missing", "text": str(error)}
    except InputError as error:
        return {"wrong": "input", "text": str(error)}
    except SystemExit as error:
        return {"wrong": "input", "text": told(error)}
    except Exception:
        return {"wrong": "error", "text": traceback.format_exc()}


def _planned(file: Path, results: Path | None) -> dict[str, Any]:
    from robustprune.results.claims import listed, titled
    from robustprune.run.attacked import for_network
    from robustprune.run.shelf import shelf
    from robustprune.suite.files import load_suite

    suite = load_suite(file)
    place = shelf(suite, results)
    cases = []
    for case in suite.cases:
        attacks = for_network(tuple(suite.attacks), has_parent=case.parent_case is not None)
        one = PlannedCase(
            id=case.id,
            subject=case.subject,
            claims=list(listed(titled(attack.name, attack.threat) for attack in attacks)),
            compared=case.parent_case is not None,
            pruned=case.strategy is not None,
        )
        cases.append(dataclasses.asdict(one))
    facts = {"name": suite.name, "minutes": suite.minutes, "policy": dataclasses.asdict(suite.policy), "cases": cases}
    return {**facts, "approved": str(place.approved.absolute()), "latest": str(place.latest.absolute())}


def _measured(file: Path, results: Path | None, device: str) -> dict[str, Any]:
    from robustprune.run.shelf import measure_suite, shelf
    from robustprune.suite.files import load_suite

    suite = load_suite(file)
    measure_suite(suite, shelf(suite, results), device=device)
    return {"done": True}
