"""What a measurement is made of. Plain data without torch, so that reports need no torch either."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal

from robustprune.errors import InputError
from robustprune.store import write_whole

SCHEMA = 1

Trust = Literal["TRUSTED", "SUSPECT", "INVALID"]

CLEAN_ERROR, ROBUST, BROKEN, BROKEN_EARLIER, FAILED = "e", "r", "b", "p", "f"
"""One letter a sample: wrong before any attack; resisted; broken by this attack; already broken by a cheaper
attack of the same threat model; could not be attacked (an error, never counted as robust)."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One validity check: `status` is pass, fail or skipped, `evidence` one line that says what was seen."""

    number: int
    name: str
    status: Literal["pass", "fail", "skipped"]
    evidence: str
    blocking: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What happened to every sample under one attack.

    `status` holds one letter a sample, in the order of the data. `distance` is the norm of the perturbation that
    broke the sample (nan where none did); `steps` the iterations spent on it.
    """

    attack: str
    norm: Literal["Linf", "L2"]
    eps: float
    settings: dict[str, Any]
    status: str
    distance: list[float]
    steps: list[int]
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0
    error: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """How it was carried out (precision, BatchNorm folded or not); unlike `settings` it may differ between networks."""

    @property
    def threat(self) -> str:
        """The threat model's name.

        >>> Outcomes(attack="a", norm="Linf", eps=8/255, settings={}, status="", distance=[], steps=[]).threat
        'Linf 8/255'
        """
        return threat_name(self.norm, self.eps)

    @property
    def robust(self) -> list[bool]:
        """True where the sample was right and stayed right. Clean errors, broken and failed ones are False."""
        return [letter == ROBUST for letter in self.status]


def threat_name(norm: str, eps: float) -> str:
    """Write eps as a fraction of 255 where it is one (Linf), else plainly.

    >>> threat_name("Linf", 0.25/255), threat_name("L2", 0.5)
    ('Linf 0.25/255', 'L2 0.5')
    """
    return f"{norm} {round(eps * 255, 6):g}/255" if norm == "Linf" else f"{norm} {eps:g}"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model costs. Times in milliseconds, sizes in bytes, `macs` for one sample."""

    macs: int
    params: int
    file_bytes: int
    latency_ms: dict[str, tuple[float, float, float]]
    """Batch size -> (lower quartile, median, upper quartile) of one forward pass."""
    latency_ratio: dict[str, float]
    """Batch size -> median of (this model / its parent), timed in turn; 1.0 for a parent."""
    memory_bytes: int
    memory_method: str
    threads: int
    device: str


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """Everything measured about one case; the row of a table is made from it and from its parent's."""

    suite: str
    case: str
    model: str
    strategy: str
    """'parent' and 'dense, fine-tuned' for the two unpruned kinds."""
    recipe: str
    seed: int
    parent: str | None
    """The `case` of the parent; None for a parent."""
    blocks: list[str]
    """Names of the removable blocks of the parent, in order of depth."""
    removed: list[str]
    scores: dict[str, dict[str, float]]
    """Criterion -> block -> score (higher = keep), as first measured on the parent."""
    similarity: dict[str, float]
    """Block that stayed -> linear CKA of its output with the parent's."""
    cost: Cost
    classes: list[str]
    labels: list[int]
    clean: list[bool]
    outcomes: list[Outcomes]
    checks: list[Check] = field(default_factory=list)
    trust: Trust = "TRUSTED"
    sample_hash: str = ""
    weights_hash: str = ""
    seconds: float = 0.0
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def worst(self) -> list[bool]:
        """Per sample: right, and robust against every attack of the suite."""
        columns = [outcome.robust for outcome in self.outcomes]
        return [all(column) and ok for ok, *column in zip(self.clean, *columns, strict=True)]


def to_record(case: CaseResult) -> dict[str, Any]:
    """Turn a result into plain JSON data."""
    return {**asdict(case), "outcomes": [outcomes_record(outcome) for outcome in case.outcomes]}


def from_record(record: Mapping[str, Any]) -> CaseResult:
    """Rebuild a result from what `to_record` gave."""
    outcomes = [outcomes_from(outcome) for outcome in record["outcomes"]]
    checks = [Check(**check) for check in record["checks"]]
    return CaseResult(**{**record, "cost": cost_from(record["cost"]), "outcomes": outcomes, "checks": checks})


def outcomes_record(outcomes: Outcomes) -> dict[str, Any]:
    """Turn the outcomes of one attack into plain JSON data; a distance that does not exist (nan) becomes null."""
    distance = [None if isnan(d) else round(d, 6) for d in outcomes.distance]
    return {**asdict(outcomes), "distance": distance}


def outcomes_from(record: Mapping[str, Any]) -> Outcomes:
    """Rebuild the outcomes of one attack from their JSON form."""
    return Outcomes(**{**record, "distance": [nan if d is None else d for d in record["distance"]]})


def cost_from(record: Mapping[str, Any]) -> Cost:
    """Rebuild a cost from its JSON form."""
    latency = {batch: tuple(times) for batch, times in record["latency_ms"].items()}
    return Cost(**{**record, "latency_ms": latency})


def save(cases: Sequence[CaseResult], path: Path) -> None:
    """Write results as gzipped JSON; the same results give the same bytes."""
    text = json.dumps({"schema": SCHEMA, "cases": [to_record(case) for case in cases]}, separators=(",", ":"))
    write_whole(path, gzip.compress(text.encode(), mtime=0))


def load(path: Path) -> list[CaseResult]:
    """Read what `save` wrote. InputError where the file is missing, damaged or of another schema."""
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
        if content["schema"] != SCHEMA:
            raise InputError(f"{path}: schema {content['schema']}, expected {SCHEMA}; run the suite again")
        return [from_record(record) for record in content["cases"]]
    except FileNotFoundError:
        raise InputError(f"{path}: no results there; `robustprune run` makes them, `approve` keeps them") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise InputError(f"{path}: not a results file of robustprune ({error})") from None
