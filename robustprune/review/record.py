"""A review as plain data, and `verdict.json`, the form in which it is archived. No torch.

`verdict.json`, schema 1. Shares are proportions of n samples, differences are candidate minus parent,
positions count from 0 in the evaluation sample (`samples.json`), intervals have the policy's confidence.

- `schema`, `robustprune`, `made`, `command`: 1; the version that wrote it; when (UTC, ISO 8601); the exact
  command.
- `signed_by`: the name of the key that signed the bundle (audit/signature.py); "" where none did.
- `verdict`, `exit_code`: PASS, FAIL, INCONCLUSIVE or UNTRUSTED; what the command returned.
- `needed_n`: size of the evaluation set that would settle what is inconclusive; null: unknown, or not needed.
- `reasons`: the lines that made the verdict.
- `findings`: for every measure `verdict.Finding`: measure, verdict, text, difference, low, high, margin, n,
  needed_n.
- `policy`: the fields of `policy.Policy`.
- `candidate`, `parent`: case (its name in cases.json.gz), name, spec, weights (file name), sha256 of
  that file, fingerprint (of weights, structure and code), weights_hash, removed, described (what a file says
  of itself).
- `data`: name, source, n, seed, sample_hash (sha256 over images and labels).
- `origin`: by kind of measurement, how many were measured for this review, and how many were found in the store of the
  user's own runs.
- `controls`: the controls that controls.md is about (`Control`): id, source, asks, evidence, missing.
- `tier`, `attacks`: how much evidence; each attack with norm, eps and settings; one that tries corruptions one by one
  also with `accuracy`, by corruption, and its `mean`.
- `changes`: what changed in the structure (`anatomy.Changes`).
- `costs`: for every cost (`results.costs`) that both networks have: measure, unit, before, now, ratio; where it
  is timed, also range, the quartiles of the ratio over runs in turn, or null, and busy, whether the machine was.
- `shifts`: for every claim `shifts.Shift`: before, now, difference, low, high, p, broken and fixed samples.
- `worst_class`: for clean accuracy and the worst case, the class that is worst on the candidate.
- `transfer`: attacks made on the parent, tried on the candidate (`shifts.Transfer`); from transfer.json.
- `curves`: by side, robust accuracy over eps: eps, k of n. Empty where it was not measured.
- `curves_over_words`, `texts`: only where the samples are texts: the same over the number of exchanged words, which is
  eps there; and newly broken texts, the words before and after, pairwise.
- `exhibits`: sha256 over the curves, the hashes of the samples and the texts, which follow from nothing; the summary
  quotes it.
- `parity`: the shipped file beside the candidate (`parity.Parity`), or null: unmeasured.
- `artefact`: only where the candidate is a file that ships: `twin` (its case in cases.json.gz), what the file `alone`
  changes (`shifts.Shift`, from the twin to it), `speeds` beside PyTorch (`results.speeds.Speeds`).
- `checks`: of candidate and parent: number, name, status, evidence, blocking, figures (the numbers behind it).

`findings`, `shifts`, `worst_class`, `transfer`, `verdict`, `needed_n`, `reasons` and `exit_code` follow from
cases.json.gz, transfer.json and `policy`: `derived` computes them, for `robustprune verify` too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from robustprune import __version__
from robustprune.policy.findings import Verdict
from robustprune.policy.policy import Policy, exit_code, judge
from robustprune.results.claims import headlines
from robustprune.results.cost_changes import CostChange, changes
from robustprune.results.each import each
from robustprune.results.exchanged import BrokenText, is_on_texts
from robustprune.results.records import CaseResult, Outcomes
from robustprune.review.artefacts.beside import Beside, beside_record
from robustprune.review.shifts import class_shifts, shifts, transfer
from robustprune.review.texts.broken import as_record

if TYPE_CHECKING:
    from robustprune.report.figures import Point, Sample
    from robustprune.review.changes import Changes
    from robustprune.review.parity import Parity

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Control:
    """A control of a standard, in short words of our own: `evidence` names what in a review is evidence for it.

    `missing` says what no review can show.
    """

    id: str
    asks: str
    source: str = ""
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Where a review comes from; the sides and `data` hold what verdict.json says of them."""

    candidate: dict[str, Any]
    parent: dict[str, Any]
    data: dict[str, Any]
    tier: str
    command: str
    made: str
    samples: list[str] = field(default_factory=list)
    """One hash for every image of the evaluation sample, in order."""
    origin: dict[str, dict[str, int]] = field(default_factory=dict)
    """By kind of measurement, how many were `measured` for this review and how many `found` in the user's store."""
    signed_by: str = ""
    """The name of the key that signs the bundle."""
    controls: tuple[Control, ...] = ()
    """The controls that it is held against."""


@dataclass(frozen=True, kw_only=True)
class Exhibits:
    """What is shown beside the outcomes: newly broken images or texts, and by side a curve over eps.

    Texts have curves over the number of exchanged `words` too.
    """

    gallery: tuple[Sample, ...] = ()
    curves: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    words: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    texts: tuple[BrokenText, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Review:
    """Two networks on the same samples, what changed between them, and the verdict."""

    candidate: CaseResult
    parent: CaseResult
    policy: Policy
    verdict: Verdict
    changes: Changes
    facts: Facts
    transfers: tuple[Outcomes, ...] = ()
    parity: Parity | None = None
    exhibits: Exhibits = field(default_factory=Exhibits)
    beside: Beside | None = None
    """Of a candidate that ships: its float twin, and how fast both run."""

    @property
    def cases(self) -> list[CaseResult]:
        """Everything that was measured: the parent, the float twin where there is one, the candidate."""
        twin = [] if self.beside is None or self.beside.twin is None else [self.beside.twin]
        return [self.parent, *twin, self.candidate]

    @property
    def exit_code(self) -> int:
        """The number that the command returns."""
        return exit_code([self.verdict])


def to_json(review: Review) -> dict[str, Any]:
    """Return a review as the content of verdict.json."""
    facts = review.facts
    return {
        "schema": SCHEMA,
        "robustprune": __version__,
        "made": facts.made,
        "command": facts.command,
        "signed_by": facts.signed_by,
        **derived(review.candidate, review.parent, review.policy, review.transfers),
        "policy": asdict(review.policy),
        "candidate": _side(review.candidate, facts.candidate),
        "parent": _side(review.parent, facts.parent),
        "data": {
            **facts.data,
            "n": len(review.candidate.labels),
            "sample_hash": review.candidate.sample_hash,
        },
        "tier": facts.tier,
        "origin": facts.origin,
        "controls": [_plain(asdict(one)) for one in facts.controls],
        "attacks": [_attack(outcome) for outcome in review.candidate.outcomes],
        "changes": asdict(review.changes),
        "costs": [_cost(change) for change in changes(review.candidate.cost, review.parent.cost)],
        "curves": _curves(review.exhibits.curves),
        **_of_texts(review),
        "exhibits": exhibits_digest(review),
        "parity": asdict(review.parity) if review.parity else None,
        **(_artefact(review, review.beside) if review.beside is not None else {}),
        "checks": {
            side: [asdict(check) for check in case.checks]
            for side, case in (("candidate", review.candidate), ("parent", review.parent))
        },
    }


def _artefact(review: Review, beside: Beside) -> dict[str, Any]:
    return {"artefact": beside_record(beside, review.candidate, review.policy.confidence)}


def exhibits_digest(review: Review) -> str:
    """Hash what is shown beside the outcomes and follows from nothing: curves, list of samples, texts that broke."""
    shown = [_curves(review.exhibits.curves), review.facts.samples, *_of_texts(review).values()]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _of_texts(review: Review) -> dict[str, Any]:
    """Return what is shown of texts alone; nothing of images."""
    if not is_on_texts(review.candidate):
        return {}
    exhibits = review.exhibits
    return {"curves_over_words": _curves(exhibits.words), "texts": [as_record(one) for one in exhibits.texts]}


def _curves(curves: Mapping[str, tuple[Point, ...]]) -> dict[str, Any]:
    return {side: [asdict(point) for point in points] for side, points in curves.items()}


def derived(candidate: CaseResult, parent: CaseResult, policy: Policy, transfers: Sequence[Outcomes]) -> dict[str, Any]:
    """Compute everything in verdict.json that follows from the outcomes and the policy."""
    verdict = judge(candidate, parent, policy)
    claims = headlines(candidate, parent)
    worst = [class_shifts(claim, candidate, parent, policy.confidence)[0] for claim in claims]
    return {
        "verdict": verdict.verdict,
        "exit_code": exit_code([verdict]),
        "needed_n": verdict.needed_n,
        "reasons": verdict.reasons,
        "findings": [asdict(finding) for finding in verdict.findings],
        "shifts": [_plain(asdict(shift)) for shift in shifts(candidate, parent, policy.confidence)],
        "worst_class": [asdict(one) for one in worst],
        "transfer": [asdict(transfer(outcomes, policy.confidence)) for outcomes in transfers],
    }


def _side(case: CaseResult, facts: dict[str, Any]) -> dict[str, Any]:
    return {"case": case.case, **facts, "weights_hash": case.weights_hash, "removed": list(case.removed)}


def _attack(outcome: Outcomes) -> dict[str, Any]:
    found = {"attack": outcome.attack, "threat": outcome.threat, "norm": outcome.norm, "eps": outcome.eps}
    known = each(outcome)
    alone = {"mean": known.mean, "accuracy": known.shares} if known is not None else {}
    return {**found, "settings": outcome.settings, **alone}


def _cost(change: CostChange) -> dict[str, Any]:
    measure = change.measure
    found = {"measure": measure.name, "unit": measure.unit}
    timed = {"range": list(change.range) if change.range else None, "busy": change.busy} if measure.timed else {}
    return {**found, "before": change.before, "now": change.now, "ratio": change.ratio, **timed}


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Turn tuples into lists, as JSON gives them back."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in record.items()}
