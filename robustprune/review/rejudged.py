"""The exit code that a bundle earns: judged again from its outcomes and its policy, whoever wrote it. No torch."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from robustprune import results
from robustprune.errors import InputError
from robustprune.policy.policy import Policy, exit_code, judge
from robustprune.review.files import CASES, VERDICT


def rejudged(folder: Path, lossless: bool = False) -> int:
    """Return the exit code that follows from the outcomes in a bundle; `lossless` leaves out what was to be gained."""
    try:
        said = json.loads((folder / VERDICT).read_bytes())
        policy = policy_of(said["policy"])
        cases = {case.case: case for case in results.load(folder / CASES)}
        candidate, parent = cases[said["candidate"]["case"]], cases[said["parent"]["case"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder}: no bundle that can be judged ({type(error).__name__}: {error})") from None
    if lossless:
        policy = dataclasses.replace(policy, min_saving=0.0, max_latency_ratio=None)
    return exit_code([judge(candidate, parent, policy)])


def policy_of(fields: dict[str, Any]) -> Policy:
    """Return the policy that verdict.json holds."""
    blocking = fields.get("blocking")
    return Policy(**{**fields, "blocking": tuple(blocking) if isinstance(blocking, list) else blocking})
