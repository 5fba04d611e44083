"""What a measurement is made of, and its JSON form: plain data without torch, so that reports need none either."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal, TypeVar

from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.results.costs import Cost, cost_from

SCHEMA = 1

Read = TypeVar("Read")

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
    figures: dict[str, Any] = field(default_factory=dict)
    """The numbers behind the line, where others reckon with them; earlier versions have none."""


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What happened to every sample under one attack.

    `status` holds one letter a sample, in the order of the data. `distance` is the norm of the perturbation that
    broke the sample (nan where none did); `steps` the iterations spent on it.
    """

    attack: str
    norm: str
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

    knowledge: str = ""
    """What the attack saw of the network; "" is not stated, and so are an empty `objective` and `budget`."""
    objective: str = ""
    """The kind of loss it climbed: cross-entropy, margin or none."""
    budget: dict[str, int] = field(default_factory=dict)
    """What it could spend on a sample, by unit."""

    @property
    def threat(self) -> str:
        """Name the threat model.

        >>> Outcomes(attack="a", norm="Linf", eps=8/255, settings={}, status="", distance=[], steps=[]).threat
        'Linf 8/255'
        """
        return threat_name(self.norm, self.eps)

    @property
    def transferred(self) -> bool:
        """Whether the perturbations were made on the parent: an attack that a parent itself cannot have."""
        return self.knowledge == "the parent's gradients"

    @property
    def robust(self) -> list[bool]:
        """True where the sample was right and stayed right. Clean errors, broken and failed ones are False."""
        return [letter == ROBUST for letter in self.status]


FRACTIONS = {"Linf": 255}
"""Norms whose eps is written as a fraction, and its denominator."""


def threat_name(norm: str, eps: float) -> str:
    """Write norm and eps; eps as a fraction where that is usual for the norm, else plainly.

    >>> threat_name("Linf", 0.25/255), threat_name("L2", 0.5)
    ('Linf 0.25/255', 'L2 0.5')
    """
    parts = FRACTIONS.get(norm)
    return f"{norm} {round(eps * parts, 6):g}/{parts}" if parts else f"{norm} {eps:g}"


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
    environment: dict[str, Any] = field(default_factory=dict)
    family: str = ""
    """The network of which `model` is one training; its name where none was given, as in earlier versions."""
    combines: bool = False
    """Its criterion is made of several criteria: a consensus, which a table sets beside the others."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", self.family or self.model)

    @property
    def subject(self) -> str:
        """What the case is a run of: its name without the training's number and the seed."""
        return self.family + self.case.removeprefix(self.model).removesuffix(f"/seed{self.seed}")

    @property
    def as_given(self) -> bool:
        """Whether nothing was pruned or fine-tuned: a parent, or a finished artefact, which stands for itself."""
        return not (self.recipe or self.removed)

    @property
    def worst(self) -> list[bool]:
        """Say per sample if it is right, and robust against every attack of the suite."""
        columns = [outcome.robust for outcome in self.outcomes]
        return [all(column) and ok for ok, *column in zip(self.clean, *columns, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A case that was approved although the suite's policy does not pass it: who accepted that, when and why."""

    case: str
    verdict: str
    reasons: list[str]
    who: str
    when: str
    why: str


def to_record(case: CaseResult) -> dict[str, Any]:
    """Turn a result into plain JSON data."""
    outcomes, checks = [outcomes_record(outcome) for outcome in case.outcomes], [dict(vars(one)) for one in case.checks]
    return {**vars(case), "cost": dict(vars(case.cost)), "outcomes": outcomes, "checks": checks}


def from_record(record: Mapping[str, Any]) -> CaseResult:
    """Rebuild a result from what `to_record` gave, now or in an earlier version.

    Earlier versions wrote `seconds`, and not whether a criterion combines others, which its scores tell too.
    """
    made = {
        "combines": len(record["scores"]) > 1,
        **{name: value for name, value in record.items() if name != "seconds"},
        "cost": cost_from(record["cost"]),
        "outcomes": [outcomes_from(outcome) for outcome in record["outcomes"]],
        "checks": [Check(**check) for check in record["checks"]],
    }
    return CaseResult(**made)


def outcomes_record(outcomes: Outcomes) -> dict[str, Any]:
    """Turn the outcomes of one attack into plain JSON data; a distance that does not exist (nan) becomes null."""
    distance = [None if isnan(d) else round(d, 6) for d in outcomes.distance]
    return {**vars(outcomes), "distance": distance}


def outcomes_from(record: Mapping[str, Any]) -> Outcomes:
    """Rebuild the outcomes of one attack from their JSON form."""
    return Outcomes(**{**record, "distance": [nan if d is None else d for d in record["distance"]]})


def save(cases: Sequence[CaseResult], path: Path, accepted: Sequence[Accepted] = ()) -> None:
    """Write results as gzipped JSON, and what was accepted of them; the same results give the same bytes."""
    content: dict[str, Any] = {"schema": SCHEMA, "cases": [to_record(case) for case in cases]}
    if accepted:
        content["accepted"] = [dict(vars(one)) for one in accepted]
    text = json.dumps(content, separators=(",", ":"))
    write_whole(path, gzip.compress(text.encode(), mtime=0))


def load(path: Path) -> list[CaseResult]:
    """Read what `save` wrote. InputError where the file is missing, damaged or of another schema."""
    return _read(path, lambda content: [from_record(record) for record in content["cases"]])


def load_accepted(path: Path) -> list[Accepted]:
    """Read what was accepted of the results in a file. InputError as in `load`."""
    return _read(path, lambda content: [Accepted(**record) for record in content.get("accepted", [])])


def _read(path: Path, made: Callable[[Mapping[str, Any]], list[Read]]) -> list[Read]:
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
        if content["schema"] != SCHEMA:
            raise InputError(f"{path}: schema {content['schema']}, expected {SCHEMA}; run the suite again")
        return made(content)
    except FileNotFoundError:
        raise InputError(f"{path}: no results there; `robustprune run` makes them, `approve` keeps them") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise InputError(f"{path}: not a results file of robustprune ({error})") from None
