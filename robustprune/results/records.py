"""What a measurement is made of, and its JSON form: plain data without torch, so that reports need none either."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from robustprune.errors import InputError
from robustprune.files import write_whole
from robustprune.results.costs import Cost
from robustprune.results.optimality import Reach
from robustprune.results.sound import contradictions, twice, unpacked
from robustprune.results.words import BLOCKS
from robustprune.typed import Line, NotNegative, Rule, Seed, Whole, built

SCHEMA = 1
Read = TypeVar("Read")
Trust = Literal["TRUSTED", "SUSPECT", "INVALID"]

CLEAN_ERROR, ROBUST, BROKEN, BROKEN_EARLIER, FAILED = "e", "r", "b", "p", "f"
"""A sample's letter: wrong anyway; resisted; broken; broken by a cheaper attack; not attacked, so not robust."""

Letters = Annotated[str, Rule(lambda text: not set(text) - set("erbpf"), "letters of e, r, b, p and f, one a sample")]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One validity check: `status` is pass, fail or skipped, `evidence` one line that says what was seen."""

    number: Whole
    name: Line
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

    attack: Line
    norm: Line
    eps: NotNegative
    settings: dict[str, Any]
    status: Letters
    distance: list[float]
    steps: list[int]
    forwards: Whole = 0
    backwards: Whole = 0
    seconds: NotNegative = 0.0
    error: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """How it was carried out (precision, BatchNorm folded or not); unlike `settings` it may differ between networks."""

    knowledge: str = ""
    """What the attack saw of the network; "" is not stated, and so are an empty `objective` and `budget`."""
    objective: str = ""
    """The kind of loss it climbed: cross-entropy, margin or none."""
    budget: dict[str, int] = field(default_factory=dict)
    """What it could spend on a sample, by unit."""
    allowed_forwards: int | None = None
    """The most queries that it could make on a sample; None is not stated, as in earlier versions."""
    allowed_backwards: int | None = None
    """The most gradient passes."""

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

    suite: Line
    case: Line
    model: Line
    strategy: Line
    """'parent' and 'dense, fine-tuned' for the two unpruned kinds."""
    recipe: Line
    seed: Seed
    parent: Line | None
    """The `case` of the parent; None for a parent."""
    blocks: list[Line]
    """Names of the removable blocks of the parent, in order of depth."""
    removed: list[Line]
    scores: dict[str, dict[str, float]]
    """Criterion -> block -> score (higher = keep), as first measured on the parent."""
    similarity: dict[str, float]
    """Block that stayed -> linear CKA of its output with the parent's."""
    cost: Cost
    classes: list[Line]
    labels: list[Whole]
    clean: list[bool]
    outcomes: list[Outcomes]
    checks: list[Check] = field(default_factory=list)
    trust: Trust = "TRUSTED"
    sample_hash: str = ""
    weights_hash: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    family: Line = ""
    """The network of which `model` is one training; its name where none was given, as in earlier versions."""
    combines: bool = False
    """Its criterion is made of several criteria: a consensus, which a table sets beside the others."""
    twin: Line | None = None
    """The `case` of which it is a copy in another format, as it ships."""
    units: Line = BLOCKS
    """What `blocks` are called."""
    reach: list[Reach] = field(default_factory=list)
    """What each attack breaks on its own; of one parent a family, nothing elsewhere and in earlier versions."""

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

    case: Line
    verdict: Literal["FAIL", "INCONCLUSIVE", "UNTRUSTED"]
    reasons: list[str]
    who: str
    when: str
    why: str


def to_record(case: CaseResult) -> dict[str, Any]:
    """Turn a result into plain JSON data."""
    parts = {name: [dict(vars(one)) for one in getattr(case, name)] for name in ("checks", "reach")}
    return {**vars(case), "cost": dict(vars(case.cost)), "outcomes": [*map(outcomes_record, case.outcomes)], **parts}


def from_record(record: Any, who: str = "a result") -> CaseResult:
    """Rebuild a result from what `to_record` gave, now or in an earlier version. InputError where it is none.

    Earlier versions wrote `seconds`, and not whether a criterion combines others, which its scores tell too.
    """
    if isinstance(record, Mapping):
        known = {name: value for name, value in record.items() if name != "seconds"}
        record = {"combines": len(record.get("scores") or ()) > 1, **known}
        if isinstance(record.get("outcomes"), list):
            record["outcomes"] = [_with_nan(outcome) for outcome in record["outcomes"]]
    case = built(CaseResult, record, who)
    attacks = [(f"{one.attack}, {one.threat}", one.status, one.distance, one.steps) for one in case.outcomes]
    wrong = next(contradictions(case.clean, len(case.labels), attacks, case.blocks, case.removed), None)
    if wrong is not None:
        raise InputError(f"{who}: {case.case}: {wrong}")
    return case


def outcomes_record(outcomes: Outcomes) -> dict[str, Any]:
    """Turn the outcomes of one attack into plain JSON data; a distance that does not exist (nan) becomes null."""
    distance = [None if isnan(d) else round(d, 6) for d in outcomes.distance]
    return {**vars(outcomes), "distance": distance}


def outcomes_from(record: Any, who: str = "an outcome") -> Outcomes:
    """Rebuild the outcomes of one attack from their JSON form. InputError where it is none."""
    return built(Outcomes, _with_nan(record), who)


def _with_nan(record: Any) -> Any:
    """The record of outcomes with nan where a distance does not exist."""
    if not isinstance(record, Mapping) or not isinstance(record.get("distance"), list):
        return record
    return {**record, "distance": [nan if d is None else d for d in record["distance"]]}


def save(cases: Sequence[CaseResult], path: Path, accepted: Sequence[Accepted] = ()) -> None:
    """Write results as gzipped JSON, and what was accepted of them; the same results give the same bytes."""
    write_whole(path, packed(cases, accepted))


def packed(cases: Sequence[CaseResult], accepted: Sequence[Accepted] = ()) -> bytes:
    """Return the bytes that `save` writes."""
    parts = {"accepted": [dict(vars(one)) for one in accepted]} if accepted else {}
    content = {"schema": SCHEMA, "cases": [to_record(case) for case in cases], **parts}
    return gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0)


def load(path: Path) -> list[CaseResult]:
    """Read what `save` wrote. InputError names the place where the file is missing, damaged or says nonsense."""
    cases = _read(path, "cases", from_record)
    if (name := twice([case.case for case in cases])) is not None:
        raise InputError(f"{path}: two cases are named {name!r}")
    return cases


def load_accepted(path: Path) -> list[Accepted]:
    """Read what was accepted of the results in a file. InputError as in `load`."""
    return _read(path, "accepted", lambda record, who: built(Accepted, record, who))


def _read(path: Path, part: str, made: Callable[[Any, str], Read]) -> list[Read]:
    """Make an object of every record in one part of a file."""
    content = unpacked(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: schema {found}, expected {SCHEMA}; run the suite again")
    records = content.get(part, [])
    if not isinstance(records, list) or (part not in content and part == "cases"):
        raise InputError(f"{path}: {part}, expected a list of {part}")
    return [made(record, f"{path}: {part}[{place}]") for place, record in enumerate(records)]
