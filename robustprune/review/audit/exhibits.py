"""What a review can show an auditor: by name, the file of the bundle in which it lies and the figure. No torch.

Each function returns the figure as text, or None where this review does not have it; controls.py says what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from robustprune.policy.findings import whole_points
from robustprune.results.checks import CATALOGUE
from robustprune.results.claims import CLEAN, WORST, headlines, named
from robustprune.results.cost_changes import changes
from robustprune.results.overstated import by_threat
from robustprune.results.records import CaseResult, Check
from robustprune.results.words import percent, plural, points_between
from robustprune.review.files import CASES, ENVIRONMENT, MANIFEST, SAMPLES, SIGNATURE, VERDICT
from robustprune.review.record import Review
from robustprune.review.shifts import class_shifts, shifts

Show = Callable[[Review], str | None]


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """Something that a bundle holds: what it is called, the file, and what this review says of it."""

    title: str
    file: str
    show: Show


def _signature(review: Review) -> str | None:
    key = review.facts.signed_by
    return f"ed25519, key {key[:16]}..., over every file and both models" if key else None


def _models(review: Review) -> str | None:
    sides = (review.facts.candidate, review.candidate), (review.facts.parent, review.parent)
    found = [f"{facts['name']} {(facts.get('sha256') or case.weights_hash)[:16]}..." for facts, case in sides]
    return f"sha256 of {' and '.join(found)}"


def _change(claim: str) -> Show:
    def show(review: Review) -> str | None:
        for one in shifts(review.candidate, review.parent, review.policy.confidence):
            if one.claim == claim:
                change = points_between(one.difference, one.low, one.high)
                return f"{percent(one.before)} -> {percent(one.now)}, {change} points"
        return None

    return show


def _check(number: int) -> Show:
    def show(review: Review) -> str | None:
        mine = [one for one in _checks(review) if one.number == number and one.status != "skipped"]
        return "; ".join(dict.fromkeys(f"{one.status}: {one.evidence}" for one in mine)) or None

    return show


def _checks(review: Review) -> list[Check]:
    return review.candidate.checks


def _tally(review: Review) -> str | None:
    counts = {status: sum(one.status == status for one in _checks(review)) for status in ("pass", "fail", "skipped")}
    return ", ".join(f"{count} {status}" for status, count in counts.items()) if any(counts.values()) else None


def _attacks(review: Review) -> str | None:
    return ", ".join(f"{one.attack} ({one.threat})" for one in review.candidate.outcomes) or None


def _same_suite(review: Review) -> str | None:
    ours, theirs = ({(one.attack, one.threat) for one in case.outcomes} for case in (review.candidate, review.parent))
    both = len(ours & theirs)
    return (
        f"{plural(both, 'attack')} made anew on each network, {len(review.candidate.labels):,} samples"
        if both
        else None
    )


def _fields(read: Callable[[CaseResult], Iterator[str]]) -> Show:
    return lambda review: "; ".join(dict.fromkeys(text for text in read(review.candidate) if text)) or None


def _queries(case: CaseResult) -> Iterator[str]:
    for one in case.outcomes:
        if one.budget:
            yield f"{one.attack}: {', '.join(f'{count:,} {unit}' for unit, count in one.budget.items())} a sample"


def _policy(review: Review) -> str | None:
    policy = review.policy
    named_ones = [f"{name} {whole_points(margin)}" for name, margin in policy.class_drops.items()]
    margins = [f"clean {whole_points(policy.max_clean_drop)}", f"robust {whole_points(policy.max_robust_drop)}"]
    return f"margins in points: {', '.join([*margins, *named_ones])}; {100 * policy.confidence:g} % intervals"


def _classes(review: Review) -> str | None:
    found = []
    for claim in headlines(review.candidate, review.parent):
        worst = class_shifts(claim, review.candidate, review.parent, review.policy.confidence)[0]
        found.append(f"{named(claim)}, worst class {worst.name} {percent(worst.before)} -> {percent(worst.now)}")
    return "; ".join(found)


def _floors(review: Review) -> str | None:
    found = [one.text for one in review.verdict.findings if one.measure.startswith("floor of ") and one.margin]
    return "; ".join(found) or None


def _overstated(review: Review) -> str | None:
    return "; ".join(f"{one.threat}: {one.text}" for one in by_threat(review.candidate).values()) or None


def _environment(review: Review) -> str | None:
    made = review.candidate.environment
    return (
        ", ".join(f"{name} {made[name]}" for name in ("robustprune", "commit", "torch", "device") if made.get(name))
        or None
    )


def _samples(review: Review) -> str | None:
    data, n = review.facts.data, len(review.candidate.labels)
    return f"{n:,} of {data['name']}, seed {data['seed']}, sha256 {review.candidate.sample_hash[:16]}..."


def _structure(review: Review) -> str | None:
    before, now = review.changes.blocks
    return f"residual blocks {before} -> {now}; {len(review.changes.gone)} gone, {len(review.changes.altered)} altered"


def _energy(review: Review) -> str | None:
    found = [one for one in changes(review.candidate.cost, review.parent.cost) if one.measure.name.startswith("energy")]
    return (
        "; ".join(f"{one.measure.name}: {one.before:.3g} -> {one.now:.3g} {one.measure.unit}" for one in found) or None
    )


def _exhibits() -> Iterator[tuple[str, str, str, Show]]:
    yield "signature", "signature of the bundle", SIGNATURE, _signature
    yield "manifest", "sha256 of every file", MANIFEST, lambda review: "written with the bundle, sealed"
    yield "models", "hashes of both models", VERDICT, _models
    yield "verdict", "verdict", VERDICT, lambda review: review.verdict.verdict
    yield "policy", "thresholds", VERDICT, _policy
    yield "command", "command", VERDICT, lambda review: review.facts.command or None
    yield "same-suite", "the same attacks on both", CASES, _same_suite
    yield "structure", "what changed in the structure", VERDICT, _structure
    yield "clean", named(CLEAN), CASES, _change(CLEAN)
    yield "robust", named(WORST), CASES, _change(WORST)
    yield "classes", "class by class", CASES, _classes
    yield "floors", "floors", VERDICT, _floors
    yield "attacks", "attacks", VERDICT, _attacks
    yield "threat", "norm and budget", VERDICT, _fields(lambda case: (one.threat for one in case.outcomes))
    yield "knowledge", "the attacker's knowledge", CASES, _fields(lambda case: (one.knowledge for one in case.outcomes))
    yield "goal", "the attacker's goal", CASES, _fields(lambda case: ("any wrong class" for one in case.outcomes[:1]))
    yield "queries", "what an attack may spend", CASES, _fields(_queries)
    yield "overstated", "how much too high robust accuracy can be", CASES, _overstated
    yield "checks", "validity checks", VERDICT, _tally
    yield "unit-test", "attacks on networks of known distances", VERDICT, _check(20)
    yield "shipped", "the file that ships", VERDICT, lambda review: str(review.parity) if review.parity else None
    yield "service", "the candidate in a process like a service", VERDICT, _check(31)
    yield "samples", "evaluation samples", SAMPLES, _samples
    yield "environment", "versions and machine", ENVIRONMENT, _environment
    yield "energy", "energy", VERDICT, _energy
    for number, entry in CATALOGUE.items():
        yield f"check-{number}", f"check {number}, {entry.name}", VERDICT, _check(number)


EXHIBITS = {name: Exhibit(title=title, file=file, show=show) for name, title, file, show in _exhibits()}
"""All of them, by the name that a mapping uses."""


def shown(names: Sequence[str], review: Review) -> tuple[list[str], list[str]]:
    """Return what a review has of the named exhibits, a line each with its file, and what it does not have."""
    have, lack = [], []
    for name in names:
        one = EXHIBITS[name]
        text = one.show(review)
        if text is None:
            lack.append(f"{one.title}: not in this review")
        else:
            have.append(f"{one.title}: {text} ({one.file})")
    return have, lack
